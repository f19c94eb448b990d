//! The cost of `exact` determinism: the time for the same requests at both levels.
//!
//! Where in the flow: [`super::run`] calls [`measure`] last, with requests from a real evolution.
//!
//! The levels alternate, so a machine that becomes slower or busier affects both. Each pass loads a new
//! engine, because an engine caches prefixes between calls. The result of a level is the median of its
//! passes.
//!
//! **Invariant:** both levels complete the same requests, and loading is not measured.

use super::{Error, Progress, Workload, median};
use crate::llm::{Determinism, Engine, Generate as _, Request};
use std::time::Instant;

/// Maximum number of requests of a pass: enough to fill a batch and to refill it.
const REQUESTS: usize = 48;

/// The time for the same requests at both levels.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExactCost {
    /// Number of requests of a pass.
    pub requests: usize,
    /// Number of passes at each level.
    pub passes: usize,
    /// Median time of a pass at `exact`, in seconds.
    pub exact_seconds: f64,
    /// Median time of a pass at `scheduled`, in seconds.
    pub scheduled_seconds: f64,
    /// Generated tokens per second at `exact`.
    pub exact_tokens_per_second: f64,
    /// Generated tokens per second at `scheduled`.
    pub scheduled_tokens_per_second: f64,
    /// Time per token at `exact` divided by time per token at `scheduled`. Per token, because the levels
    /// round differently and may therefore generate texts of different lengths.
    pub cost: f64,
}

/// Measures the cost of `exact` with a sample of `requests`; `None` if there are none.
pub(super) fn measure(
    workload: &Workload<'_>,
    requests: &[Request],
    report: &mut dyn FnMut(Progress),
) -> Result<Option<ExactCost>, Error> {
    let requests = sample(requests);
    if requests.is_empty() {
        return Ok(None);
    }
    let levels = [Determinism::Exact, Determinism::Scheduled];
    let passes = workload.settings.repeats;
    let (mut seconds, mut speeds) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for pass in 0..passes {
        // Each level goes first in half of the passes.
        for turn in 0..2 {
            let index = (pass + turn) % 2;
            report(Progress::Exact { done: 2 * pass + turn, total: 2 * passes });
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

/// Picks at most [`REQUESTS`] requests, spread evenly over the list, so that instructions and answers keep
/// their proportion.
fn sample(requests: &[Request]) -> Vec<Request> {
    let count = requests.len().min(REQUESTS);
    (0..count).map(|k| requests[k * requests.len() / count].clone()).collect()
}
