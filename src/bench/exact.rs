//! What reproducible bytes cost: the same requests at both levels, by turns.
//!
//! Where in the flow: [`super::run`] calls [`measure`] last, with requests that a real evolution made.
//!
//! Passes alternate, so that a machine that gets slower or busier is so for both; each pass has an engine of
//! its own, because an engine keeps prefixes between calls and a later pass would find them; and of the
//! passes of a level the median counts.
//!
//! **Invariant:** both levels complete the same list; loading is not measured.

use super::{Error, Step, Workload, median};
use crate::llm::{Determinism, Engine, Generate as _, Request};
use std::time::Instant;

/// Requests of a pass, at most: enough to fill a batch, and to fill it again.
const REQUESTS: usize = 48;

/// Time of one list of requests at both levels.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExactCost {
    /// Requests of a pass.
    pub requests: usize,
    /// Passes of each level.
    pub passes: usize,
    /// Median of the passes at `exact`.
    pub exact_seconds: f64,
    /// Median of the passes at `scheduled`, which promises less.
    pub scheduled_seconds: f64,
    /// Tokens drawn per second at `exact`.
    pub exact_tokens_per_second: f64,
    /// Tokens drawn per second at `scheduled`.
    pub scheduled_tokens_per_second: f64,
    /// Time of a token at `exact` in times of a token at `scheduled`. Per token, because the levels round
    /// differently and so may write texts of different lengths.
    pub cost: f64,
}

/// `None` if there is nothing to ask.
pub(super) fn measure(
    workload: &Workload<'_>,
    requests: &[Request],
    step: &mut dyn FnMut(Step),
) -> Result<Option<ExactCost>, Error> {
    let requests = sample(requests);
    if requests.is_empty() {
        return Ok(None);
    }
    let levels = [Determinism::Exact, Determinism::Scheduled];
    let passes = workload.settings.repeats;
    let (mut seconds, mut speeds) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for pass in 0..passes {
        // Each level is first in half of the passes.
        for turn in 0..2 {
            let index = (pass + turn) % 2;
            step(Step::Exact { done: 2 * pass + turn, total: 2 * passes });
            let mut engine = Engine::load(workload.options(levels[index]))?;
            let started = Instant::now();
            let completions = engine.generate(&requests)?;
            let wall = started.elapsed().as_secs_f64();
            let tokens: usize = completions.iter().map(|completion| completion.completion_tokens).sum();
            seconds[index].push(wall);
            speeds[index].push(super::ratio(tokens as f64, wall));
        }
    }
    let [exact_seconds, scheduled_seconds] = seconds.map(|mut seconds| median(&mut seconds));
    let [exact_speed, scheduled_speed] = speeds.map(|mut speeds| median(&mut speeds));
    Ok(Some(ExactCost {
        requests: requests.len(),
        passes,
        exact_seconds,
        scheduled_seconds,
        exact_tokens_per_second: exact_speed,
        scheduled_tokens_per_second: scheduled_speed,
        cost: super::ratio(scheduled_speed, exact_speed),
    }))
}

/// At most [`REQUESTS`], evenly from the list: instructions and answers in their proportion.
fn sample(requests: &[Request]) -> Vec<Request> {
    let count = requests.len().min(REQUESTS);
    (0..count).map(|k| requests[k * requests.len() / count].clone()).collect()
}
