//! Asking all contestants, and keeping what they said.
//!
//! Files in the folder: `settings.json` (what decided the rest), `generations-NAME.jsonl`,
//! `held-out-NAME.json`, `preferences.jsonl`, and `eval.json` (the result, written last).
//!
//! **Invariant:** the process may be killed at any instant, and the same command ends with the same bytes.

use super::ask::Ask;
use super::judging::{Judged, judged, try_judge};
use super::settings::{Settings, keep_settings, settings};
use super::{BASE, EvalPlan};
use crate::cli::error::{Context as _, Error, Result};
use crate::cli::plan::Session;
use crate::cli::run_dir::RunDir;
use crate::dataset;
use crate::eval::result::{Evaluation, Generation, Pooled, SuiteInfo};
use crate::eval::{self, Measurements, RecordLikelihood, Side, Task, Variant};
use crate::gguf::Gguf;
use crate::llm::{self, Determinism, Engine, EngineOptions, ScoredTokens, Tokenizer};
use std::path::Path;
use std::sync::Arc;

/// The result, and what makes an evaluation finished.
const FILE_NAME: &str = "eval.json";

/// A contestant with what it said.
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) adapter_sha256: Option<String>,
    pub(super) responses: Vec<Generation>,
    pub(super) held_out: Vec<RecordLikelihood>,
}

/// Asks what is not kept yet, and sums up. `tick` is called every second.
///
/// # Errors
/// A model or an adapter is unusable, the folder has other settings, or the command was interrupted.
pub(crate) fn stage(
    plan: &EvalPlan,
    dir: &RunDir,
    session: &Session,
    tick: &mut (dyn FnMut() + Send),
) -> Result<Evaluation> {
    let gguf = Gguf::open(&plan.model)?;
    gguf.check_for_llama_cpp()?;
    let (determinism, reason) = Determinism::Exact.resolve(&plan.model, 0)?;
    if let Some(reason) = reason {
        session.output.warn(&format!("responses depend on threads and batch width: {reason}"));
    }
    let settings = settings(plan, &gguf, determinism)?;
    let held_out = held_out(plan)?;
    let mut engine = Engine::load(engine_options(&plan.model, determinism, session))?;
    // What cannot be used is told before anything is kept: the same folder takes the command once it is
    // mended.
    for (_, adapter) in &plan.adapters {
        engine.set_adapter(Some((adapter, 1.0)))?;
    }
    engine.set_adapter(None)?;
    keep_settings(dir, &settings)?;
    let judge = try_judge(plan, dir, session, &mut engine, &settings)?;
    let mut asked = Vec::new();
    let adapters = plan.adapters.iter().map(|(name, path)| (name.as_str(), Some(path.as_path())));
    for (name, adapter) in std::iter::once((BASE, None)).chain(adapters) {
        let mut ask =
            Ask { plan, dir, session, engine: &mut engine, name, adapter, has_adapter: false, tick };
        let (responses, held_out) = ask.contestant(&held_out)?;
        let adapter_sha256 = settings.adapters.get(name).cloned();
        asked.push(Asked { name: name.to_owned(), adapter_sha256, responses, held_out });
        // The next one begins with its own weights.
        engine.set_adapter(None)?;
    }
    let judged = judged(judge, plan, dir, session, &mut engine, &asked)?;
    let evaluation = sum_up(plan, &settings, &asked, judged);
    dir.write_json(FILE_NAME, &evaluation)?;
    Ok(evaluation)
}

/// The engine that all contestants and the judge run in.
pub(super) fn engine_options<'p>(
    model: &'p Path,
    determinism: Determinism,
    session: &Session,
) -> EngineOptions<'p> {
    let mut options = EngineOptions::new(model, session.threads);
    options.determinism = determinism;
    options.interrupt = Arc::clone(session.interrupt.flag());
    options
}

fn held_out(plan: &EvalPlan) -> Result<Vec<ScoredTokens>> {
    let Some(path) = &plan.validation else { return Ok(Vec::new()) };
    let tokenizer = Tokenizer::load(&plan.model)?;
    let examples = dataset::read_examples(path)?.examples;
    eval::encode_held_out(&tokenizer, &examples, plan.max_seq_len)
        .context(|| format!("cannot use `{}`", path.display()))
}

/// The evaluation that `dir` holds; `None`: there is none, or it is of another version of this program.
pub(crate) fn read(dir: &Path) -> Option<Evaluation> {
    serde_json::from_slice(&std::fs::read(dir.join(FILE_NAME)).ok()?).ok()
}

/// Ctrl-C is no failure of the model.
pub(super) fn interruptible<T>(result: Result<T, eval::Error>) -> Result<T> {
    match result {
        Err(eval::Error::Llm(llm::Error::Interrupted)) => Err(Error::Interrupted),
        other => Ok(other?),
    }
}

/// Every later one of so many against every earlier one.
fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (1..count).flat_map(|side| (0..side).map(move |against| (side, against)))
}

/// Every later contestant against every earlier one, but those that differ by the seed of their training
/// only: nobody asks which of these is better.
pub(super) fn matches(plan: &EvalPlan, asked: &[Asked]) -> Vec<(usize, usize)> {
    let of_one_kind = |one: &str, other: &str| {
        let has = |name: &str, names: &[String]| names.iter().any(|known| known == name);
        plan.kinds.iter().any(|(_, names)| has(one, names) && has(other, names))
    };
    pairs(asked.len()).filter(|&(one, other)| !of_one_kind(&asked[one].name, &asked[other].name)).collect()
}

fn sum_up(plan: &EvalPlan, settings: &Settings, asked: &[Asked], judged: Judged) -> Evaluation {
    let seed = plan.options.seed;
    let contestants = asked.iter().map(|asked| {
        eval::score_contestant(Measurements {
            name: &asked.name,
            adapter_sha256: asked.adapter_sha256.as_deref(),
            responses: &asked.responses,
            held_out: &asked.held_out,
            seed,
        })
    });
    let side = |at: usize| Side {
        name: &asked[at].name,
        responses: &asked[at].responses,
        held_out: &asked[at].held_out,
    };
    let (judge, margins) = judged.unzip();
    let margins = margins.unwrap_or_default();
    let comparisons = matches(plan, asked).into_iter().enumerate().map(|(number, (one, other))| {
        let mut comparison = eval::compare(side(one), side(other), seed);
        comparison.preference = margins.get(number).and_then(|margins| {
            eval::preference(&asked[one].responses, &asked[other].responses, margins, seed)
        });
        comparison
    });
    Evaluation {
        evol_version: env!("CARGO_PKG_VERSION").to_owned(),
        suite: suite_info(plan),
        seed,
        max_tokens: plan.options.max_tokens,
        temperature: plan.options.temperature,
        model_sha256: settings.model_sha256.clone(),
        contestants: contestants.collect(),
        comparisons: comparisons.collect(),
        judge,
        pooled: pooled(plan, asked),
    }
}

/// Every later kind against every earlier one and the base.
fn pooled(plan: &EvalPlan, asked: &[Asked]) -> Vec<Pooled> {
    let base = (BASE.to_owned(), vec![BASE.to_owned()]);
    let kinds: Vec<Variant<'_>> = if plan.kinds.is_empty() { &[][..] } else { std::slice::from_ref(&base) }
        .iter()
        .chain(&plan.kinds)
        .map(|(name, trainings)| {
            let of_kind = asked.iter().filter(|asked| trainings.contains(&asked.name));
            Variant { name, trainings: of_kind.map(|asked| asked.responses.as_slice()).collect() }
        })
        .collect();
    pairs(kinds.len())
        .filter_map(|(kind, against)| eval::pool(&kinds[kind], &kinds[against], plan.options.seed))
        .collect()
}

fn suite_info(plan: &EvalPlan) -> SuiteInfo {
    let mut info = SuiteInfo {
        name: plan.suite.name.clone(),
        sha256: plan.suite.sha256.clone(),
        items: plan.items.len(),
        verifiable: 0,
        constraints: 0,
        exact: 0,
        choice: 0,
        contaminated: plan.contaminated,
    };
    for &item in &plan.items {
        match &plan.suite.items[item].task {
            Task::Open => {}
            Task::Constraints(list) => {
                (info.verifiable, info.constraints) = (info.verifiable + 1, info.constraints + list.len());
            }
            Task::Ifeval(list) => {
                (info.verifiable, info.constraints) = (info.verifiable + 1, info.constraints + list.len());
            }
            Task::Exact(_) => info.exact += 1,
            Task::Choice { .. } => info.choice += 1,
        }
    }
    info
}
