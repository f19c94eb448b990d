//! Asking a judge, if it can be trusted, and keeping what it said.
//!
//! **Invariant:** pairs that were judged are not judged again.

use super::settings::Settings;
use super::stage::{Asked, engine_options, interruptible, matches};
use super::{EvalPlan, JudgeChoice};
use crate::cli::error::Result;
use crate::cli::plan::Session;
use crate::cli::run_dir::RunDir;
use crate::eval::result::Judge;
use crate::eval::{self, Margins, Pair};
use crate::gguf::Gguf;
use crate::llm::{Determinism, Engine};
use serde::{Deserialize, Serialize};
use std::path::Path;

const PREFERENCES: &str = "preferences.jsonl";

/// How the judge did on pairs with a known better response.
const CALIBRATION: &str = "judge.json";

/// Pairs that are judged between two looks at Ctrl-C.
const WAVE: usize = 24;

/// Who judges, and what it said of each pair of [`matches()`], in their order.
pub(super) type Judged = Option<(Judge, Vec<Vec<Margins>>)>;

#[derive(Serialize, Deserialize)]
struct KeptMargins {
    name: String,
    against: String,
    margins: Vec<Margins>,
}

/// The engine that judges: that of the contestants without an adapter, or another one.
fn with_judge<T>(
    plan: &EvalPlan,
    session: &Session,
    engine: &mut Engine,
    ask: impl FnOnce(&mut Engine) -> Result<T>,
) -> Result<T> {
    let JudgeChoice::Model(path) = &plan.judge else { return ask(engine) };
    let (determinism, reason) = Determinism::Exact.resolve(path, 0)?;
    if let Some(reason) = reason {
        session.output.warn(&format!("the judge's results depend on threads and batch width: {reason}"));
    }
    ask(&mut Engine::load(engine_options(path, determinism, session))?)
}

/// Tries the judge on pairs with a known better response, once; `None`: nobody judges.
///
/// # Errors
/// A model is unusable, or the command was interrupted.
pub(super) fn try_judge(
    plan: &EvalPlan,
    dir: &RunDir,
    session: &Session,
    engine: &mut Engine,
    settings: &Settings,
) -> Result<Option<Judge>> {
    if plan.judge == JudgeChoice::Never || plan.adapters.is_empty() {
        return Ok(None);
    }
    if let Some(kept) = dir.read_json::<Judge>(CALIBRATION)? {
        return Ok(Some(kept));
    }
    session.output.note("trying the judge on pairs with a known better response");
    let found = with_judge(plan, session, engine, |judge| interruptible(eval::calibrate(judge)))?;
    let Some(calibration) = found else {
        session.output.warn("no pair fits the judge's context: nobody compares responses");
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
pub(super) fn judged(
    judge: Option<Judge>,
    plan: &EvalPlan,
    dir: &RunDir,
    session: &Session,
    engine: &mut Engine,
    asked: &[Asked],
) -> Result<Judged> {
    let Some(judge) = judge else { return Ok(None) };
    if !judge.trusted {
        return Ok(Some((judge, Vec::new())));
    }
    if judge.same_family {
        session.output.warn("judge and contestants are one family: it may prefer what it would say itself");
    }
    let margins = with_judge(plan, session, engine, |engine| {
        let text = dir.read(PREFERENCES)?.unwrap_or_default();
        let mut kept: Vec<KeptMargins> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let mut all = Vec::new();
        for (side, against) in matches(plan, asked) {
            let (side, against) = (&asked[side], &asked[against]);
            let known = kept.iter().find(|kept| kept.name == side.name && kept.against == against.name);
            if let Some(known) = known.filter(|known| known.margins.len() == side.responses.len()) {
                all.push(known.margins.clone());
                continue;
            }
            let margins = compare(engine, session, side, against)?;
            all.push(margins.clone());
            kept.push(KeptMargins { name: side.name.clone(), against: against.name.clone(), margins });
            let lines = kept.iter().map(|kept| serde_json::to_string(kept).expect("text keys") + "\n");
            dir.write(PREFERENCES, &lines.collect::<String>())?;
        }
        Ok(all)
    })?;
    Ok(Some((judge, margins)))
}

/// What the judge says of two contestants, item by item. Equal responses are a tie without asking, and
/// choices, which it does not see, are not its business.
fn compare(engine: &mut Engine, session: &Session, side: &Asked, against: &Asked) -> Result<Vec<Margins>> {
    let mut progress = session.output.progress(&format!("judge {} against {}", side.name, against.name));
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
        session.check_interrupt()?;
        progress.update((done * WAVE) as u64, open.len() as u64, "");
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
    progress.finish();
    Ok(margins)
}

/// Whether two model files say that they are of one family.
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
