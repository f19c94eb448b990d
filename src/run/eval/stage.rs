//! The whole evaluation: all contestants respond, the judge compares, and the result is written.
//!
//! Where in the flow: called by `evol eval` and by [`crate::run::run`].
//!
//! **Invariant:** the result is written last.

use super::contestant::{Answered, Contestant};
use super::judging::{Judged, compare_all, matches, pairs, try_judge};
use super::plan::{BASE, EvalPlan};
use super::settings::Settings;
use crate::dataset;
use crate::eval::result::{Evaluation, Pooled, SuiteInfo};
use crate::eval::{self, Measurements, Side, Task, Variant};
use crate::gguf::Gguf;
use crate::llm::{Determinism, Engine, ScoredTokens, Tokenizer};
use crate::run::dir::RunDir;
use crate::run::error::{ErrorContext as _, Result};
use crate::run::host::Context;
use std::path::Path;

/// Name of the result file. An evaluation that has it is finished.
const FILE_NAME: &str = "eval.json";

/// Generates the missing responses, compares the contestants, and writes the result.
///
/// # Errors
/// A model or an adapter is unusable, the folder has other settings, or the evaluation was interrupted.
pub fn run(plan: &EvalPlan, dir: &RunDir, context: Context<'_>) -> Result<Evaluation> {
    let gguf = Gguf::open(&plan.model)?;
    gguf.check_for_llama_cpp()?;
    let (determinism, reason) = Determinism::Exact.resolve(&plan.model, 0)?;
    if let Some(reason) = reason {
        context.host.warn(&format!("responses depend on threads and batch width: {reason}"));
    }
    let settings = Settings::new(plan, &gguf, determinism)?;
    let held_out = held_out(plan)?;
    let mut options = context.engine_options(&plan.model);
    options.determinism = determinism;
    let mut engine = Engine::load(options)?;
    // Fail on an unusable adapter before anything is written, so that the folder can still be used once it is
    // fixed.
    for adapter in &plan.adapters {
        engine.set_adapter(Some((&adapter.path, 1.0)))?;
    }
    engine.set_adapter(None)?;
    settings.keep(dir)?;
    let judge = try_judge(plan, dir, context, &mut engine, &settings)?;
    let mut contestants = Vec::new();
    let adapters = plan.adapters.iter().map(|adapter| (adapter.name.as_str(), Some(adapter.path.as_path())));
    for (name, adapter) in std::iter::once((BASE, None)).chain(adapters) {
        let engine = &mut engine;
        let mut contestant = Contestant { plan, dir, context, engine, name, adapter, has_adapter: false };
        let (responses, held_out) = contestant.answer(&held_out)?;
        let adapter_sha256 = settings.adapters.get(name).cloned();
        contestants.push(Answered { name: name.to_owned(), adapter_sha256, responses, held_out });
        // The next contestant starts from the base.
        contestant.engine.set_adapter(None)?;
    }
    let judged = compare_all(judge, plan, dir, context, &mut engine, &contestants)?;
    let evaluation = sum_up(plan, &settings, &contestants, judged);
    dir.write_json(FILE_NAME, &evaluation)?;
    Ok(evaluation)
}

fn held_out(plan: &EvalPlan) -> Result<Vec<ScoredTokens>> {
    let Some(path) = &plan.validation else { return Ok(Vec::new()) };
    let tokenizer = Tokenizer::load(&plan.model)?;
    let examples = dataset::read_examples(path)?.examples;
    eval::encode_held_out(&tokenizer, &examples, plan.max_seq_len)
        .context(|| format!("cannot use `{}`", path.display()))
}

/// The evaluation in `dir`; `None` if there is none, or if another version wrote it.
pub fn read(dir: &Path) -> Option<Evaluation> {
    serde_json::from_slice(&std::fs::read(dir.join(FILE_NAME)).ok()?).ok()
}

fn sum_up(plan: &EvalPlan, settings: &Settings, contestants: &[Answered], judged: Judged) -> Evaluation {
    let seed = plan.options.seed;
    let measured = contestants.iter().map(|contestant| {
        eval::score_contestant(Measurements {
            name: &contestant.name,
            adapter_sha256: contestant.adapter_sha256.as_deref(),
            responses: &contestant.responses,
            held_out: &contestant.held_out,
            seed,
        })
    });
    let side = |at: usize| Side {
        name: &contestants[at].name,
        responses: &contestants[at].responses,
        held_out: &contestants[at].held_out,
    };
    let (judge, margins) = judged.unzip();
    let margins = margins.unwrap_or_default();
    let comparisons = matches(plan, contestants).into_iter().enumerate().map(|(number, (one, other))| {
        let mut comparison = eval::compare(side(one), side(other), seed);
        comparison.preference = margins.get(number).and_then(|margins| {
            eval::preference(&contestants[one].responses, &contestants[other].responses, margins, seed)
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
        contestants: measured.collect(),
        comparisons: comparisons.collect(),
        judge,
        pooled: pooled(plan, contestants),
    }
}

/// Compares all pairs of kinds of adapters, the base included, over all their training runs.
fn pooled(plan: &EvalPlan, contestants: &[Answered]) -> Vec<Pooled> {
    if plan.kinds.is_empty() {
        return Vec::new();
    }
    let responses = |names: &[String]| {
        let selected = contestants.iter().filter(|contestant| names.contains(&contestant.name));
        selected.map(|contestant| contestant.responses.as_slice()).collect()
    };
    let base = Variant { name: BASE, trainings: responses(&[BASE.to_owned()]) };
    let others =
        plan.kinds.iter().map(|kind| Variant { name: &kind.name, trainings: responses(&kind.adapters) });
    let kinds: Vec<Variant<'_>> = std::iter::once(base).chain(others).collect();
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
