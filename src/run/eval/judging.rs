//! Tests the judge, and has it compare responses if it can be trusted.
//!
//! Where in the flow: [`super::stage`] tests the judge before the contestants respond, and has it compare
//! them afterwards.
//!
//! **Invariant:** a pair that was judged is not judged again.

use super::contestant::{Answered, interruptible};
use super::plan::{EvalPlan, JudgeChoice};
use super::settings::Settings;
use crate::eval::result::Judge;
use crate::eval::{self, Margins, Pair};
use crate::gguf::Gguf;
use crate::llm::{Determinism, Engine};
use crate::run::dir::RunDir;
use crate::run::error::Result;
use crate::run::host::{Context, Progress};
use serde::{Deserialize, Serialize};
use std::path::Path;

const PREFERENCES: &str = "preferences.jsonl";

/// Name of the file with the judge's accuracy on pairs with a known better response.
const CALIBRATION: &str = "judge.json";

/// Pairs that are judged between two checks for Ctrl-C.
const WAVE: usize = 24;

/// The judge, and its margins for each pair of [`matches()`], in their order.
pub(super) type Judged = Option<(Judge, Vec<Vec<Margins>>)>;

#[derive(Serialize, Deserialize)]
struct KeptMargins {
    name: String,
    against: String,
    margins: Vec<Margins>,
}

/// All pairs of `count` indices, the later one first.
pub(super) fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (1..count).flat_map(|side| (0..side).map(move |against| (side, against)))
}

/// All pairs of contestants to compare. Adapters that differ only in the seed of their training are not
/// compared with each other.
pub(super) fn matches(plan: &EvalPlan, contestants: &[Answered]) -> Vec<(usize, usize)> {
    let same_kind = |one: &String, other: &String| {
        plan.kinds.iter().any(|kind| kind.adapters.contains(one) && kind.adapters.contains(other))
    };
    pairs(contestants.len())
        .filter(|&(one, other)| !same_kind(&contestants[one].name, &contestants[other].name))
        .collect()
}

/// Calls `ask` with the engine that judges: the contestants' engine without an adapter, or another model's.
fn with_judge<T>(
    plan: &EvalPlan,
    context: Context<'_>,
    engine: &mut Engine,
    ask: impl FnOnce(&mut Engine) -> Result<T>,
) -> Result<T> {
    let JudgeChoice::Model(path) = &plan.judge else { return ask(engine) };
    let (determinism, reason) = Determinism::Exact.resolve(path, 0)?;
    if let Some(reason) = reason {
        context.host.warn(&format!("the judge's results depend on threads and batch width: {reason}"));
    }
    let mut options = context.engine_options(path);
    options.determinism = determinism;
    ask(&mut Engine::load(options)?)
}

/// Tests the judge on pairs with a known better response, once. `None` if there is no judge.
///
/// # Errors
/// A model is unusable, or the command was interrupted.
pub(super) fn try_judge(
    plan: &EvalPlan,
    dir: &RunDir,
    context: Context<'_>,
    engine: &mut Engine,
    settings: &Settings,
) -> Result<Option<Judge>> {
    if plan.judge == JudgeChoice::Never || plan.adapters.is_empty() {
        return Ok(None);
    }
    if let Some(kept) = dir.read_json::<Judge>(CALIBRATION)? {
        return Ok(Some(kept));
    }
    context.host.note("testing the judge on pairs with a known better response");
    let found = with_judge(plan, context, engine, |judge| interruptible(eval::calibrate(judge)))?;
    let Some(calibration) = found else {
        context.host.warn("responses are not compared: no pair fits into the judge's context");
        return Ok(None);
    };
    let same_family = match &plan.judge {
        JudgeChoice::Model(path) => same_family(path, &plan.model)?,
        _ => true,
    };
    let judge = Judge {
        model_sha256: settings.judge_sha256.clone().unwrap_or_default(),
        same_family,
        calibration_pairs: calibration.pairs,
        calibration_accuracy: calibration.accuracy,
        calibration_flip_rate: calibration.flip_rate,
        trusted: calibration.is_trusted(),
    };
    dir.write_json(CALIBRATION, &judge)?;
    Ok(Some(judge))
}

/// Has a judge that can be trusted compare every pair of [`matches()`].
///
/// # Errors
/// A model is unusable, or the command was interrupted.
pub(super) fn compare_all(
    judge: Option<Judge>,
    plan: &EvalPlan,
    dir: &RunDir,
    context: Context<'_>,
    engine: &mut Engine,
    contestants: &[Answered],
) -> Result<Judged> {
    let Some(judge) = judge else { return Ok(None) };
    if !judge.trusted {
        return Ok(Some((judge, Vec::new())));
    }
    if judge.same_family {
        context
            .host
            .warn("the judge is from the same model family as the contestants: it may prefer its own style");
    }
    let margins = with_judge(plan, context, engine, |engine| {
        let text = dir.read(PREFERENCES)?.unwrap_or_default();
        let mut kept: Vec<KeptMargins> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let mut all = Vec::new();
        for (side, against) in matches(plan, contestants) {
            let (side, against) = (&contestants[side], &contestants[against]);
            let known = kept.iter().find(|kept| kept.name == side.name && kept.against == against.name);
            if let Some(known) = known.filter(|known| known.margins.len() == side.responses.len()) {
                all.push(known.margins.clone());
                continue;
            }
            let margins = compare(engine, context, side, against)?;
            all.push(margins.clone());
            kept.push(KeptMargins { name: side.name.clone(), against: against.name.clone(), margins });
            let lines = kept.iter().map(|kept| serde_json::to_string(kept).expect("text keys") + "\n");
            dir.write(PREFERENCES, &lines.collect::<String>())?;
        }
        Ok(all)
    })?;
    Ok(Some((judge, margins)))
}

/// The judge's margins for two contestants, item by item. Equal responses are a tie without asking the judge.
/// Multiple choice is not judged.
fn compare(
    engine: &mut Engine,
    context: Context<'_>,
    side: &Answered,
    against: &Answered,
) -> Result<Vec<Margins>> {
    let stage = format!("judge {} against {}", side.name, against.name);
    let mut margins: Vec<Margins> = Vec::new();
    let mut open = Vec::new();
    for (at, (one, other)) in side.responses.iter().zip(&against.responses).enumerate() {
        let equal = one.response == other.response;
        margins.push((equal && !one.choice).then_some([0.0, 0.0]));
        if !equal && !one.choice {
            open.push(at);
        }
    }
    for (done, wave) in open.chunks(WAVE).enumerate() {
        context.check_interrupt()?;
        let (done, total) = ((done * WAVE) as u64, open.len() as u64);
        context.host.progress(&Progress { stage: &stage, done, total, ..Progress::default() });
        let pairs: Vec<Pair<'_>> = wave
            .iter()
            .map(|&at| Pair {
                instruction: &side.responses[at].instruction,
                first: &side.responses[at].response,
                second: &against.responses[at].response,
            })
            .collect();
        for (&at, found) in wave.iter().zip(interruptible(eval::judge(engine, &pairs))?) {
            margins[at] = found;
        }
    }
    context.host.progress_done();
    Ok(margins)
}

/// Whether the metadata of two model files names the same model family.
fn same_family(one: &Path, other: &Path) -> Result<bool> {
    let family = |path: &Path| -> Result<Option<String>> {
        let gguf = Gguf::open(path)?;
        let name = gguf.optional_string("general.basename")?.or(gguf.optional_string("general.name")?);
        // `Llama-3.2-1B` and `Llama-3.2-8B`.
        Ok(name.and_then(|name| name.split(['-', '_', ' ']).next()).map(str::to_lowercase))
    };
    let one = family(one)?;
    Ok(one.is_some() && one == family(other)?)
}
