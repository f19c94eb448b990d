//! Throughput: how fast a model evolves instructions and is trained on this machine, in figures.
//!
//! Where in the flow: above `evolve`, whose real rounds it times, and `train`, whose steps; `cli` names the
//! model, prints the figures and keeps them.
//!
//! - `evolution`: a run of evolution over built-in seeds, and where its time went
//! - `spent`: the model with a stopwatch around it
//! - `rates`: prefill and decode rates by batch width
//! - `exact`: what reproducible bytes cost
//! - `history`: a line of figures per measurement; `compare`: two of them side by side
//! - `training`: steps of the trainer; `gemm_peak`: what its products could do at best
//!
//! **Invariant:** what is measured is what a user runs: the same engine, the same `evolve::run`, a journal on
//! a disk. Figures decide nothing.

mod compare;
mod error;
mod evolution;
mod exact;
mod gemm_peak;
mod history;
mod rates;
mod spent;
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

/// What to measure.
#[derive(Debug, Clone)]
pub struct Workload<'p> {
    /// The model's file that the engine computes with: as it was given, or converted.
    pub model: &'p Path,
    /// SHA-256 of the model as it was given, lowercase hexadecimal.
    pub sha256: String,
    /// Level of the evolution and the rates, which the model can have.
    pub determinism: Determinism,
    /// What the figures depend on, and what is kept beside them.
    pub settings: Settings,
    /// When it becomes true, measuring ends with [`crate::llm::Error::Interrupted`].
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

/// Everything that was measured.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// A real run of evolution.
    pub evolution: Evolution,
    /// Rates of the model by batch width.
    pub rates: Vec<Rate>,
    /// What reproducible bytes cost; absent if this model cannot have them.
    pub exact: Option<ExactCost>,
    /// Why not.
    pub not_exact_because: Option<String>,
}

/// How far a measurement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Of a stage of the evolution, so many instructions are done.
    Evolution {
        /// As the journal counts: 0 answers the seeds.
        round: u32,
        /// Instructions of this stage that are done.
        done: usize,
        /// Instructions of this stage.
        total: usize,
    },
    /// The rates at this width are measured now.
    Rates {
        /// Sequences.
        width: usize,
    },
    /// A pass of the comparison of modes begins.
    Exact {
        /// Passes that are done.
        done: usize,
        /// Passes.
        total: usize,
    },
}

/// Measures all: first the evolution (so that the peak of memory is its own), then the rates, then the modes.
/// `scratch` is an empty directory for the journal, which stays there.
///
/// # Errors
/// A setting is out of range, the model or the directory is unusable, or the measurement was interrupted.
pub fn run(workload: &Workload<'_>, scratch: &Path, step: &mut dyn FnMut(Step)) -> Result<Figures, Error> {
    workload.settings.check()?;
    let level = workload.determinism;
    let (best, not_exact_because) =
        Determinism::Exact.resolve(workload.model, workload.settings.gpu_layers)?;
    let (evolution, requests) = evolution::measure(workload, level, scratch, step)?;
    let rates = rates::measure(workload, level, step)?;
    let exact = match best {
        Determinism::Exact => exact::measure(workload, &requests, step)?,
        Determinism::Scheduled => None,
    };
    Ok(Figures { evolution, rates, exact, not_exact_because })
}

/// The middle of at least one number; of an even count, the mean of the two in the middle.
fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let half = numbers.len() / 2;
    if numbers.len() % 2 == 1 { numbers[half] } else { f64::midpoint(numbers[half - 1], numbers[half]) }
}

/// `part` of `whole`; 0 of nothing.
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
