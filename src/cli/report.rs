//! `evol report`: everything that a run left, as one page.
//!
//! Where in the flow: reads the journal, the manifest, the trainer's metrics and the evaluation;
//! `crate::report` draws.
//!
//! **Invariant:** it changes nothing in a run but the page.

use super::args::ReportArgs;
use super::error::{Error, Result};
use super::eval::{self, read_generations};
use super::live;
use super::plan::Session;
use super::run::{DIR as EVAL_DIR, funnel};
use super::shell;
use super::stats;
use super::{config, manifest};
use crate::constraint::Constraint;
use crate::dataset;
use crate::gguf::replace_file;
use crate::report::{
    MapPoint, MemoryFigure, NodeStatus, ReportData, ReportNode, RuleVerdict, RunManifest, StepPoint,
    TrainingCurve, ValidationPoint, render,
};
use crate::store::{History, Status, Store};
use crate::train::Metrics;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// File name in the run directory.
pub(crate) const FILE_NAME: &str = "report.html";

/// Instructions that the map shows, spread over the run: reading more of them takes minutes and makes the
/// picture no clearer.
const MAP_POINTS: usize = 600;

/// Runs the command.
///
/// # Errors
/// There is no run, or the page cannot be written.
pub(crate) fn run(args: &ReportArgs, session: &Session) -> Result<()> {
    // The journal is given back before the model reads: that takes a while, and others may want to look.
    let (mut data, records) = gather(&Store::open(&args.run)?, &args.run)?;
    let out = args.out.clone().unwrap_or_else(|| args.run.join(FILE_NAME));
    if !args.no_map {
        (data.map, data.map_method) = map(&records, &args.run, session)?;
    }
    write(&data, &out)?;
    if session.output.is_json() {
        return session.output.document(&serde_json::json!({ "report": out }));
    }
    session.output.data(&format!("{}\n", out.display()))
}

/// Writes the page of the run in `dir` to `out`.
///
/// # Errors
/// As [`run`].
pub(crate) fn stage(store: &Store, dir: &Path, out: &Path, session: &Session) -> Result<()> {
    let (mut data, records) = gather(store, dir)?;
    (data.map, data.map_method) = map(&records, dir, session)?;
    write(&data, out)
}

fn write(data: &ReportData, out: &Path) -> Result<(), Error> {
    let page = render(data);
    replace_file(out, |file| file.write_all(page.as_bytes()))
        .map_err(|source| Error::Write { path: out.to_owned(), source })
}

/// Everything but the map, and the records that the map is of.
fn gather(store: &Store, dir: &Path) -> Result<(ReportData, Vec<dataset::Record>)> {
    let evaluation = eval::read(&dir.join(EVAL_DIR));
    let mut generations = Vec::new();
    for contestant in evaluation.iter().flat_map(|evaluation| &evaluation.contestants) {
        generations.push((contestant.name.clone(), read_generations(&dir.join(EVAL_DIR), &contestant.name)?));
    }
    let training = training(dir);
    let data = ReportData {
        manifest: run_manifest(dir),
        funnel: funnel::cells(&store.funnel()?),
        nodes: nodes(store)?,
        map: Vec::new(),
        map_method: None,
        speed: live::read_speed(dir),
        memory: memory(&training),
        training,
        evaluation,
        generations,
    };
    Ok((data, dataset::records(store)?))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn run_manifest(dir: &Path) -> RunManifest {
    let manifest: Value = read_json(&dir.join(manifest::FILE_NAME)).unwrap_or_default();
    let text = |path: &str| manifest.pointer(path).and_then(Value::as_str).map(str::to_owned);
    let toml = dir.join(config::FILE_NAME);
    let config_toml = std::fs::read_to_string(&toml).unwrap_or_default();
    let reproduce = if config_toml.is_empty() {
        "this run was made by `evol evolve`; its settings are in manifest.json".to_owned()
    } else {
        shell::evol(&["run", &shell::word(&toml), "--out", "NEW"])
    };
    let pairs = |names: &[(&str, &str)]| -> Vec<(String, String)> {
        names.iter().filter_map(|(name, path)| Some(((*name).to_owned(), text(path)?))).collect()
    };
    let mut hashes = pairs(&[("model (SHA-256)", "/model/sha256"), ("seeds (BLAKE3)", "/seeds/blake3")]);
    if let Some(journal) = manifest.pointer("/journal").and_then(Value::as_object) {
        // Settings are in the configuration; what is left are hashes.
        let is_hash = |text: &str| text.len() >= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let of_prompts =
            journal.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        hashes.extend(of_prompts.filter(|(name, value)| is_hash(value) && name != "model.sha256"));
    }
    let title = std::path::absolute(dir)
        .ok()
        .and_then(|dir| dir.file_name().map(|name| name.to_string_lossy().into_owned()));
    RunManifest {
        title: title.unwrap_or_else(|| "run".to_owned()),
        evol_version: text("/evol_version").unwrap_or_default(),
        reproduce,
        model_name: text("/model/known_as").or_else(|| text("/model/name")).unwrap_or_default(),
        model_sha256: text("/model/sha256").unwrap_or_default(),
        seed: manifest.pointer("/seed").and_then(Value::as_u64).unwrap_or_default(),
        config_toml,
        hashes,
        machine: machine(&manifest),
        licences: pairs(&[("model", "/model/licence"), ("seeds", "/seeds/licence")]),
        seconds: super::run::seconds(dir),
    }
}

fn machine(manifest: &Value) -> Vec<(String, String)> {
    let of = |name: &str| manifest.pointer(&format!("/machine/{name}"));
    let mut rows = Vec::new();
    let mut row =
        |name: &str, value: Option<String>| rows.extend(value.map(|value| (name.to_owned(), value)));
    row("processor", of("cpu").and_then(Value::as_str).map(str::to_owned));
    row("platform", of("platform").and_then(Value::as_str).map(str::to_owned));
    row("threads", of("threads").map(Value::to_string));
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    row("memory", of("memory_bytes").and_then(Value::as_u64).map(gib));
    let sets = manifest.pointer("/llama_cpp").and_then(Value::as_array);
    row("llama.cpp", sets.map(|sets| sets.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")));
    rows
}

fn nodes(store: &Store) -> Result<Vec<ReportNode>> {
    let mut nodes = Vec::new();
    for seed in store.attempts(0, 0)? {
        nodes.extend(store.family(seed.id)?.into_iter().map(node));
    }
    Ok(nodes)
}

fn node(history: History) -> ReportNode {
    let History { node, verdicts, answer } = history;
    let generations = [node.generation.as_ref(), answer.as_ref().map(|answer| &answer.generation)];
    let tokens =
        |of: fn(&crate::store::Generation) -> u64| generations.iter().flatten().map(|&made| of(made)).sum();
    ReportNode {
        prompt_tokens: tokens(|made| made.prompt_tokens as u64),
        completion_tokens: tokens(|made| made.completion_tokens as u64),
        id: node.id,
        parent_id: node.parent_id,
        root_id: node.root_id,
        round: node.round,
        attempt: node.attempt,
        operator: node.operator,
        instruction: node.instruction,
        input: node.input,
        skill: node.skill,
        difficulty: node.difficulty,
        status: match node.status {
            Status::Kept => NodeStatus::Kept,
            Status::Eliminated => NodeStatus::Eliminated,
            _ => NodeStatus::Other,
        },
        reason: node.reason,
        verdicts: verdicts
            .into_iter()
            .map(|verdict| RuleVerdict {
                rule: verdict.rule,
                passed: verdict.passed,
                detail: words(&verdict.detail),
            })
            .collect(),
        answer: answer.map(|answer| answer.text),
        constraints: node.constraints.into_iter().map(in_words).collect(),
    }
}

/// What a verdict found, as a reader would write it.
fn words(detail: &Value) -> String {
    match detail {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let fields =
                fields.iter().map(|(name, value)| format!("{}: {}", name.replace('_', " "), words(value)));
            fields.collect::<Vec<_>>().join(", ")
        }
        Value::Array(values) => values.iter().map(words).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A constraint as it is asked for; one that this program does not know as its data.
fn in_words(constraint: Value) -> String {
    let data = constraint.to_string();
    serde_json::from_value::<Constraint>(constraint).map_or(data, |constraint| constraint.text(0))
}

/// The kept instructions as the run's model sees them; none where the model is no longer there.
fn map(
    records: &[dataset::Record],
    dir: &Path,
    session: &Session,
) -> Result<(Vec<MapPoint>, Option<String>)> {
    let manifest: Value = read_json(&dir.join(manifest::FILE_NAME)).unwrap_or_default();
    let model = manifest.pointer("/model/path").and_then(Value::as_str).map(PathBuf::from);
    let Some(model) = model.filter(|model| model.is_file()) else {
        session.output.warn("the model of this run is no longer where it was: the page has no map");
        return Ok((Vec::new(), None));
    };
    let shown: Vec<dataset::Record> =
        eval::spread(records.len(), Some(MAP_POINTS)).into_iter().map(|at| records[at].clone()).collect();
    session.output.note(&format!("reading {} instructions for the map", shown.len()));
    let points = dataset::pca_2d(&stats::vectors(&model, &shown, session)?);
    let method = format!(
        "The first two principal components of the model's last hidden states, averaged over each \
         instruction{}.",
        if shown.len() < records.len() {
            format!("; {} of {} are shown", shown.len(), records.len())
        } else {
            String::new()
        }
    );
    Ok((points.into_iter().map(|(id, [x, y])| MapPoint { id, x, y }).collect(), Some(method)))
}

/// The curves of the run's adapter and of those that it is compared with.
fn training(dir: &Path) -> Vec<TrainingCurve> {
    let mut folders: BTreeMap<String, PathBuf> = BTreeMap::new();
    for entry in std::fs::read_dir(dir.join("baselines")).into_iter().flatten().flatten() {
        folders.insert(entry.file_name().to_string_lossy().into_owned(), entry.path());
    }
    folders.insert("evolved".to_owned(), dir.join("adapter"));
    folders.into_iter().filter_map(|(name, folder)| curve(name, &folder)).collect()
}

fn curve(name: String, folder: &Path) -> Option<TrainingCurve> {
    let text = std::fs::read_to_string(folder.join("metrics.jsonl")).ok()?;
    let mut curve = TrainingCurve { name, ..TrainingCurve::default() };
    for line in text.lines() {
        match serde_json::from_str(line) {
            Ok(Metrics::Step(step)) => curve.steps.push(StepPoint {
                step: step.step,
                loss: step.loss,
                learning_rate: step.learning_rate,
                grad_norm: step.grad_norm,
                tokens_per_second: step.tokens_per_second,
                peak_memory_bytes: step.peak_memory_bytes,
            }),
            Ok(Metrics::Eval(pass)) => {
                curve.validation.push(ValidationPoint { step: pass.step, loss: pass.validation_loss });
            }
            // The last line of a process that was killed.
            Err(_) => {}
        }
    }
    (!curve.steps.is_empty()).then_some(curve)
}

fn memory(training: &[TrainingCurve]) -> Vec<MemoryFigure> {
    let peak = |curve: &TrainingCurve| {
        let bytes = curve.steps.iter().filter_map(|step| step.peak_memory_bytes).max()?;
        Some(MemoryFigure { name: format!("training {}, at most", curve.name), bytes })
    };
    training.iter().filter_map(peak).collect()
}
