//! The last stage: writes a run as one HTML page.
//!
//! Where in the flow: reads the journal, the manifest, the training metrics and the evaluation;
//! [`crate::report`] renders the page. `evol report` runs only this stage.
//!
//! **Invariant:** it changes no file of the run but the page.

use super::baselines::EVOLVED;
use super::error::{Error, Result};
use super::eval::{self, read_generations};
use super::host::Context;
use super::manifest::Manifest;
use super::monitor::{read_seconds, read_speed};
use super::vectors::vectors;
use super::{files, funnel, shell};
use crate::constraint::Constraint;
use crate::dataset::{self, Record};
use crate::gguf::replace_file;
use crate::report::{
    MapPoint, MemoryFigure, NodeStatus, ReportData, ReportNode, RuleVerdict, RunManifest, StepPoint,
    TrainingCurve, ValidationPoint, render,
};
use crate::store::{Generation, History, Status, Store};
use crate::train::Metrics;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Maximum instructions on the map, spread over the run: more would take minutes and make it no clearer.
const MAP_POINTS: usize = 600;

/// Writes the page of the run in `dir` to `out`.
///
/// # Errors
/// The journal or the manifest cannot be read, the model fails, or the page cannot be written.
pub fn run(store: &Store, dir: &Path, out: &Path, context: Context<'_>) -> Result<()> {
    let (data, records) = gather(store, dir)?;
    draw(data, Some(&records), dir, out, context)
}

/// Renders and writes the page. With `records`, adds a map of them, for which the model reads up to
/// [`MAP_POINTS`] instructions.
///
/// # Errors
/// As [`run`].
pub fn draw(
    mut data: ReportData,
    records: Option<&[Record]>,
    dir: &Path,
    out: &Path,
    context: Context<'_>,
) -> Result<()> {
    if let Some(records) = records {
        (data.map, data.map_method) = map(records, dir, context)?;
    }
    write(&data, out)
}

fn write(data: &ReportData, out: &Path) -> Result<()> {
    let page = render(data);
    replace_file(out, |file| file.write_all(page.as_bytes()))
        .map_err(|source| Error::Write { path: out.to_owned(), source })
}

/// Collects everything for the page but the map, and the records for the map.
///
/// # Errors
/// The journal, the manifest or the responses cannot be read.
pub fn gather(store: &Store, dir: &Path) -> Result<(ReportData, Vec<Record>)> {
    let folder = dir.join(files::EVAL);
    let evaluation = eval::read(&folder);
    let mut generations = Vec::new();
    for contestant in evaluation.iter().flat_map(|evaluation| &evaluation.contestants) {
        generations.push((contestant.name.clone(), read_generations(&folder, &contestant.name)?));
    }
    let training = training(dir);
    let data = ReportData {
        manifest: run_manifest(dir, Manifest::read(dir)?.as_ref()),
        funnel: funnel::cells(&store.funnel()?),
        nodes: nodes(store)?,
        map: Vec::new(),
        map_method: None,
        speed: read_speed(dir),
        memory: memory(&training),
        training,
        evaluation,
        generations,
    };
    Ok((data, dataset::records(store)?))
}

/// The origin of a run, as far as its files say: a run may have no manifest or no configuration.
fn run_manifest(dir: &Path, manifest: Option<&Manifest>) -> RunManifest {
    let path = dir.join(files::CONFIG);
    let config_toml = std::fs::read_to_string(&path).unwrap_or_default();
    let reproduce = if config_toml.is_empty() {
        "this run was made by `evol evolve`; manifest.json has its settings".to_owned()
    } else {
        shell::evol(&["run", &shell::word(&path), "--out", "NEW"])
    };
    let title = std::path::absolute(dir)
        .ok()
        .and_then(|dir| dir.file_name().map(|name| name.to_string_lossy().into_owned()));
    let described = RunManifest {
        title: title.unwrap_or_else(|| "run".to_owned()),
        reproduce,
        config_toml,
        seconds: read_seconds(dir),
        ..RunManifest::default()
    };
    let Some(manifest) = manifest else { return described };
    let mut licences = Vec::new();
    for (name, licence) in [("model", &manifest.model.licence), ("seeds", &manifest.seeds.licence)] {
        licences.extend(licence.clone().map(|licence| (name.to_owned(), licence)));
    }
    RunManifest {
        evol_version: manifest.evol_version.clone(),
        model_name: manifest.model_name().unwrap_or_default().to_owned(),
        model_sha256: manifest.model.sha256.clone(),
        seed: manifest.seed,
        hashes: hashes(manifest),
        machine: machine(manifest),
        licences,
        ..described
    }
}

fn hashes(manifest: &Manifest) -> Vec<(String, String)> {
    // Of the identity, only hashes are shown; the settings are in the configuration.
    let is_hash = |text: &str| text.len() >= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let journal = manifest.journal.iter().filter(|(name, value)| is_hash(value) && *name != "model.sha256");
    [("model (SHA-256)", manifest.model.sha256.as_str()), ("seeds (BLAKE3)", &manifest.seeds.blake3)]
        .into_iter()
        .chain(journal)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn machine(manifest: &Manifest) -> Vec<(String, String)> {
    let machine = &manifest.machine;
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    let rows = [
        ("processor", machine.cpu.clone()),
        ("platform", Some(machine.platform.clone())),
        ("threads", Some(machine.threads.to_string())),
        ("memory", machine.memory_bytes.map(gib)),
        ("llama.cpp", Some(manifest.llama_cpp.join(", "))),
    ];
    rows.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
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
    let tokens = |count: fn(&Generation) -> u64| {
        generations.iter().flatten().map(|&generation| count(generation)).sum()
    };
    ReportNode {
        prompt_tokens: tokens(|generation| generation.prompt_tokens as u64),
        completion_tokens: tokens(|generation| generation.completion_tokens as u64),
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

/// The detail of a verdict in words.
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

/// The wording of a constraint, or its JSON if this version does not know its kind.
fn in_words(constraint: Value) -> String {
    let data = constraint.to_string();
    serde_json::from_value::<Constraint>(constraint).map_or(data, |constraint| constraint.text(0))
}

/// The kept instructions as points in a plane; none if the model's file is missing.
fn map(records: &[Record], dir: &Path, context: Context<'_>) -> Result<(Vec<MapPoint>, Option<String>)> {
    let model = Manifest::read(dir)?.map(|manifest| manifest.model.path);
    let Some(model) = model.filter(|model| model.is_file()) else {
        context.host.warn("the report has no map: the model file of this run has moved");
        return Ok((Vec::new(), None));
    };
    let shown: Vec<Record> =
        eval::spread(records.len(), Some(MAP_POINTS)).into_iter().map(|at| records[at].clone()).collect();
    context.host.note(&format!("reading {} instructions for the map", shown.len()));
    let points = dataset::pca_2d(&vectors(&model, &shown, context)?);
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

/// The loss curves of all adapters of the run.
fn training(dir: &Path) -> Vec<TrainingCurve> {
    let mut folders: BTreeMap<String, PathBuf> = BTreeMap::new();
    for entry in std::fs::read_dir(dir.join(files::BASELINES)).into_iter().flatten().flatten() {
        folders.insert(entry.file_name().to_string_lossy().into_owned(), entry.path());
    }
    folders.insert(EVOLVED.to_owned(), dir.join(files::ADAPTER));
    folders.into_iter().filter_map(|(name, folder)| curve(name, &folder)).collect()
}

fn curve(name: String, folder: &Path) -> Option<TrainingCurve> {
    let text = std::fs::read_to_string(folder.join(files::METRICS)).ok()?;
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
            // A killed process may leave a broken last line.
            Err(_) => {}
        }
    }
    (!curve.steps.is_empty()).then_some(curve)
}

fn memory(training: &[TrainingCurve]) -> Vec<MemoryFigure> {
    let peak = |curve: &TrainingCurve| {
        let bytes = curve.steps.iter().filter_map(|step| step.peak_memory_bytes).max()?;
        Some(MemoryFigure { name: format!("training {}, peak", curve.name), bytes })
    };
    training.iter().filter_map(peak).collect()
}
