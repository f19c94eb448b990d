//! Benchmarks: the throughput of a model on this machine, in evolution and in training.
//!
//! Where in the flow: above `evolve`, whose rounds it times, and `train`, whose steps it times. `cli` chooses
//! the model, and prints and stores the results.
//!
//! - `evolution`: a run of evolution over built-in seeds, and where its time went
//! - `timed_engine`: the engine with a stopwatch
//! - `rates`: prefill and decode rates by batch width
//! - `exact`: the cost of `exact` determinism
//! - `history`: a file with one line per measurement
//! - `compare`: two measurements side by side
//! - `training`: the steps of the trainer
//! - `gemm_peak`: the peak speed of the matrix products of a step
//!
//! **Invariant:** benchmarks measure what a user runs: the same engine, the same `evolve::run`, a journal on
//! disk. No decision depends on the results.

mod compare;
mod error;
mod evolution;
mod exact;
mod gemm_peak;
mod history;
mod rates;
mod timed_engine;
mod training;

pub use compare::{Comparison, Line, compare};
pub use error::Error;
pub use evolution::{Evolution, Shares};
pub use exact::ExactCost;
pub use history::{FORMAT, History, MachineEntry, ModelEntry, Record, Settings};
pub use rates::Rate;
pub use training::{TrainFigures, TrainSettings, measure_training};

use crate::llm::{Determinism, EngineOptions};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The subject of a benchmark.
#[derive(Debug, Clone)]
pub struct Workload<'p> {
    /// The model file that the engine loads: the given one, or a converted copy.
    pub model: &'p Path,
    /// SHA-256 of the given model file, in lowercase hex.
    pub sha256: String,
    /// The level of determinism of the evolution and the rates; the model must support it.
    pub determinism: Determinism,
    /// The settings that the results depend on; they are stored with them.
    pub settings: Settings,
    /// Once it is true, the benchmark ends with [`crate::llm::Error::Interrupted`].
    pub interrupt: Arc<AtomicBool>,
}

impl Workload<'_> {
    fn options(&self, determinism: Determinism) -> EngineOptions<'_> {
        let mut options = EngineOptions::new(self.model, self.settings.threads);
        options.n_seq = self.settings.batch_width;
        options.gpu_layers = self.settings.gpu_layers;
        options.determinism = determinism;
        options.interrupt = Arc::clone(&self.interrupt);
        options
    }
}

/// All results of a benchmark of evolution.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// The run of evolution.
    pub evolution: Evolution,
    /// The rates of the model by batch width.
    pub rates: Vec<Rate>,
    /// The cost of `exact` determinism; `None` if the model does not support it.
    pub exact: Option<ExactCost>,
    /// Why the model does not support `exact`.
    pub not_exact_because: Option<String>,
}

/// The progress of a benchmark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A chunk of the evolution was finished.
    Evolution {
        /// The round; 0 is the stage that answers the seeds.
        round: u32,
        /// Number of finished instructions of this stage.
        done: usize,
        /// Number of instructions of this stage.
        total: usize,
    },
    /// The rates at this batch width are about to be measured.
    Rates {
        /// Number of sequences in a batch.
        width: usize,
    },
    /// A pass of the comparison of determinism levels is about to start.
    Exact {
        /// Number of finished passes.
        done: usize,
        /// Number of passes.
        total: usize,
    },
}

/// Runs all benchmarks: first the evolution (so that the peak memory is its own), then the rates, then the
/// determinism levels. `scratch` is an empty directory for the journal, which is not removed.
///
/// # Errors
/// A setting is out of range, the model or the directory is unusable, or the measurement was interrupted.
pub fn run(
    workload: &Workload<'_>,
    scratch: &Path,
    report: &mut dyn FnMut(Progress),
) -> Result<Figures, Error> {
    workload.settings.check()?;
    let level = workload.determinism;
    let (best, not_exact_because) =
        Determinism::Exact.resolve(workload.model, workload.settings.gpu_layers)?;
    let (evolution, requests) = evolution::measure(workload, level, scratch, report)?;
    let rates = rates::measure(workload, level, report)?;
    let exact = match best {
        Determinism::Exact => exact::measure(workload, &requests, report)?,
        Determinism::Scheduled => None,
    };
    Ok(Figures { evolution, rates, exact, not_exact_because })
}

/// The median of at least one number; for an even count, the mean of the two in the middle.
fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let half = numbers.len() / 2;
    if numbers.len() % 2 == 1 { numbers[half] } else { f64::midpoint(numbers[half - 1], numbers[half]) }
}

/// `part / whole`, or 0 if `whole` is 0.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert!((median(&mut [3.0, 1.0, 2.0]) - 2.0).abs() < 1e-12);
        assert!((median(&mut [4.0, 1.0, 2.0, 100.0]) - 3.0).abs() < 1e-12);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let settings = Settings { seeds: 1, rounds: 1, repeats: 1, widths: vec![1], ..Settings::default() };
        let refused = |change: &dyn Fn(&mut Settings)| {
            let mut settings = settings.clone();
            change(&mut settings);
            settings.check().map_err(|error| error.to_string())
        };
        assert_eq!(refused(&|_| ()), Ok(()));
        assert!(refused(&|s| s.seeds = 0).unwrap_err().contains("`seeds` is 0"));
        assert!(refused(&|s| s.seeds = 100_000).unwrap_err().contains("built-in seeds"));
        assert!(refused(&|s| s.rounds = 0).unwrap_err().contains("`rounds`"));
        assert!(refused(&|s| s.repeats = 0).unwrap_err().contains("`repeats`"));
        assert!(refused(&|s| s.widths = vec![1, 0]).unwrap_err().contains("`widths` is [1, 0]"));
    }
}
