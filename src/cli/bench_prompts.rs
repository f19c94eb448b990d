//! `evol bench prompts`: wordings of the operators' prompts beside each other.

use super::args::BenchPromptsArgs;
use super::session::Session;
use crate::dataset::{OnBadInput, Seed, builtin_seeds, read_seeds};
use crate::evolve::{self, EvolveConfig, Operator, TriedChild, Wording};
use crate::gguf::Gguf;
use crate::llm::{self, Engine};
use crate::run::{Compute, EngineSettings, Error, Host as _, Result, resolve_model};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::sync::Arc;

/// What one wording made, in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    operator: &'static str,
    wording: String,
    children: usize,
    passed: usize,
    /// Children that were rejected, by the name of the rule or guard.
    rejected: BTreeMap<&'static str, usize>,
    generated_tokens: usize,
}

/// Runs the command.
///
/// # Errors
/// Model, seeds or prompts are unusable, llama.cpp fails, or the command was interrupted.
pub(super) fn run(args: &BenchPromptsArgs, session: &Session) -> Result<()> {
    let model = resolve_model(&args.model)?;
    let operators = operators(&args.operators)?;
    let own = args.prompts.as_deref().map(|folder| read_wordings(folder, &operators)).transpose()?;
    let mut seeds = match &args.seeds {
        Some(path) => read_seeds(path, OnBadInput::Fail)?.seeds,
        None => builtin_seeds(),
    };
    seeds.truncate(args.max_seeds.get());
    let gguf = Gguf::open(&model)?;
    gguf.check_for_llama_cpp()?;
    let settings = EngineSettings::from(&args.engine);
    settings.validate()?;
    let out = args.out.as_deref().map(|path| create(path, args.force)).transpose()?;
    let compute = Compute::prepare(&settings, &model, &gguf.sha256()?, None, session.context())?;
    let mut options = compute.options();
    options.interrupt = Arc::clone(session.interrupt.flag());
    let mut engine = Engine::load(options)?;
    let wordings = match own {
        Some(wordings) => wordings,
        None => embedded(&engine, args, &operators)?,
    };
    let rows = try_all(&mut engine, args, session, &wordings, &seeds, out)?;
    if session.output.is_json() { session.output.document(&rows) } else { session.output.data(&table(&rows)) }
}

/// The file for the children. One that is there is replaced with `force` alone: somebody may have read it and
/// noted what is good.
fn create(path: &Path, force: bool) -> Result<File> {
    let mut options = File::options();
    options.write(true).create_new(!force).create(force).truncate(force);
    options.open(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::Exists { path: path.to_owned() },
        _ => Error::io("cannot write the children")(error),
    })
}

/// The operators that are named, or all that have the model write.
fn operators(names: &[String]) -> Result<Vec<Operator>> {
    let writes = |operator: &Operator| !operator.is_by_code();
    if names.is_empty() {
        return Ok(Operator::ALL.into_iter().filter(writes).collect());
    }
    let parse = |name: &String| {
        Operator::parse(name).filter(writes).ok_or_else(|| Error::Flag {
            flag: "--operators",
            found: name.clone(),
            expected: "operators that have the model write, such as `deepening` or `mutation`",
        })
    };
    names.iter().map(parse).collect()
}

fn embedded(engine: &Engine, args: &BenchPromptsArgs, operators: &[Operator]) -> Result<Vec<Wording>> {
    let mut wordings = Wording::embedded(engine, Some(engine.info().n_params), args.style.into())?;
    wordings.retain(|wording| operators.contains(&wording.operator));
    Ok(wordings)
}

/// The files `OPERATOR/NAME.txt` below a folder, by operator and name.
fn read_wordings(folder: &Path, operators: &[Operator]) -> Result<Vec<Wording>> {
    let mut wordings = Vec::new();
    for &operator in operators {
        let below = folder.join(operator.name());
        let entries = match std::fs::read_dir(&below) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            other => other.map_err(|source| Error::Read { path: below.clone(), source })?,
        };
        let mut paths = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|source| Error::Read { path: below.clone(), source })?;
            paths.push(entry.path());
        }
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
        paths.sort();
        for path in paths {
            let source = std::fs::read_to_string(&path)
                .map_err(|source| Error::Read { path: path.clone(), source })?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let wording = Wording::parse(operator, &name, &source)
                .map_err(|error| Error::Prompt { path: path.clone(), error })?;
            wordings.push(wording);
        }
    }
    if wordings.is_empty() {
        return Err(Error::NoPrompts { path: folder.to_owned() });
    }
    Ok(wordings)
}

fn try_all(
    engine: &mut Engine,
    args: &BenchPromptsArgs,
    session: &Session,
    wordings: &[Wording],
    seeds: &[Seed],
    mut out: Option<File>,
) -> Result<Vec<Row>> {
    let n_params = Some(engine.info().n_params);
    let config =
        EvolveConfig { seed: session.seed.unwrap_or(0), style: args.style.into(), ..EvolveConfig::default() };
    let mut rows = Vec::new();
    for (at, wording) in wordings.iter().enumerate() {
        let detail = format!("{} {}", wording.operator.name(), wording.name);
        session.report_progress("wordings", at as u64, wordings.len() as u64, &detail);
        let tried = evolve::try_wording(engine, n_params, wording, seeds, args.samples.get(), &config);
        let children = match tried {
            Err(evolve::Error::Llm(llm::Error::Interrupted)) => return Err(Error::Interrupted),
            other => other?,
        };
        if let Some(out) = &mut out {
            for child in &children {
                let line = serde_json::to_string(child).expect("results have string keys only");
                writeln!(out, "{line}").map_err(Error::io("cannot write the children"))?;
            }
        }
        rows.push(row(wording, &children));
    }
    session.progress_done();
    Ok(rows)
}

fn row(wording: &Wording, children: &[TriedChild]) -> Row {
    let mut rejected = BTreeMap::new();
    for reason in children.iter().filter_map(|child| child.reason) {
        *rejected.entry(reason).or_insert(0) += 1;
    }
    Row {
        operator: wording.operator.name(),
        wording: wording.name.clone(),
        children: children.len(),
        passed: children.iter().filter(|child| child.reason.is_none()).count(),
        rejected,
        generated_tokens: children.iter().map(|child| child.generated_tokens).sum(),
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<20}{:<16}{:>9}{:>8}{:>14}  rejected\n",
        "operator", "wording", "children", "passed", "tokens/passed"
    );
    for row in rows {
        let rejected: Vec<String> =
            row.rejected.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let cost = match row.passed {
            0 => "-".to_owned(),
            passed => format!("{:.0}", row.generated_tokens as f64 / passed as f64),
        };
        let Row { operator, wording, children, passed, .. } = row;
        let rejected = rejected.join(", ");
        let _ = writeln!(text, "{operator:<20}{wording:<16}{children:>9}{passed:>8}{cost:>14}  {rejected}");
    }
    text
}
