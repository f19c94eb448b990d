//! Benchmarks a run of evolution over built-in seeds: its rates, and where its time went.
//!
//! Where in the flow: [`super::run`] calls [`measure`] first.
//!
//! The run is `evolve::run` with a journal on disk: calibration of the judge, answers to the seeds, and the
//! rounds. It does not stop for a low yield, because a model that yields nothing has a throughput as well.
//!
//! **Invariant:** the shares of the wall time add up to 1.

use super::timed_engine::{EngineTimes, TimedEngine};
use super::{Error, Progress, Workload, ratio};
use crate::dataset::{Seed, builtin_seeds};
use crate::evolve::{self, Event, EvolveConfig, JudgeConfig, Profile, Roots, Summary, Times};
use crate::identity::Identity;
use crate::llm::{Determinism, Engine, EngineStats, Request};
use crate::process;
use crate::store::Store;
use std::path::Path;
use std::time::Instant;

/// The results of a run of evolution.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evolution {
    /// The level of determinism.
    pub determinism: Determinism,
    /// Number of attempts to evolve an instruction.
    pub attempts: u64,
    /// Number of evolved instructions that were kept, each with its answer.
    pub kept: u64,
    /// Number of instructions with a usable answer, including seeds.
    pub answers: u64,
    /// Wall time in seconds from opening the journal to the last commit, without loading the model.
    pub wall_seconds: f64,
    /// Number of generated tokens.
    pub generated_tokens: u64,
    /// Number of prompt tokens that were computed, including the judge's.
    pub prompt_tokens: u64,
    /// Number of prompt tokens that were taken from a cached prefix.
    pub reused_prompt_tokens: u64,
    /// Number of questions to the judge, including its calibration.
    pub judgements: u64,
    /// Generated tokens per second of wall time.
    pub tokens_per_second: f64,
    /// Kept evolved instructions per hour of wall time.
    pub kept_per_hour: f64,
    /// Instructions with a usable answer per hour of wall time, including seeds.
    pub answers_per_hour: f64,
    /// Generated tokens per kept evolved instruction; `None` if none was kept.
    pub tokens_per_kept: Option<f64>,
    /// Share of all prompt tokens that were taken from a cached prefix.
    pub prefix_reuse: f64,
    /// Questions per second of judging.
    pub judgements_per_second: f64,
    /// The shares of the wall time.
    pub shares: Shares,
    /// Peak memory of the process until the end of the run in bytes, including the mapped model; `None` if
    /// the system does not provide it.
    pub peak_memory_bytes: Option<u64>,
}

/// Shares of the wall time, which add up to 1.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shares {
    /// llama.cpp on prompts of instructions and answers.
    pub prefill: f64,
    /// llama.cpp on generated tokens.
    pub decode: f64,
    /// Sampling tokens and searching for stop strings.
    pub sampling: f64,
    /// The judge, including its prompts.
    pub judge: f64,
    /// The rules that need no model.
    pub filters: f64,
    /// Reading and writing the journal.
    pub store: f64,
    /// Everything else: rendering and tokenising prompts, creating caches, waiting for the last worker.
    pub other: f64,
}

impl Shares {
    fn new(wall: f64, engine: &EngineTimes, times: Times) -> Self {
        let parts = [
            engine.prefill,
            engine.decode,
            engine.sampling,
            engine.judge,
            times.filters.as_secs_f64(),
            times.store.as_secs_f64(),
        ];
        // The parts lie within the wall time, but clocks may differ by a tick, and the rest must not be
        // negative.
        let whole = parts.iter().sum::<f64>().max(wall);
        let [prefill, decode, sampling, judge, filters, store] = parts.map(|part| ratio(part, whole));
        let other = 1.0 - (prefill + decode + sampling + judge + filters + store);
        Self { prefill, decode, sampling, judge, filters, store, other: other.max(0.0) }
    }

    /// The shares with their names, in the order of work.
    pub fn named(&self) -> [(&'static str, f64); 7] {
        [
            ("prefill", self.prefill),
            ("decode", self.decode),
            ("sampling", self.sampling),
            ("judge", self.judge),
            ("filters", self.filters),
            ("store", self.store),
            ("other", self.other),
        ]
    }
}

/// Runs and measures an evolution with its journal in `scratch`. Also returns the requests to the model, as
/// input for other benchmarks.
pub(super) fn measure(
    workload: &Workload<'_>,
    determinism: Determinism,
    scratch: &Path,
    report: &mut dyn FnMut(Progress),
) -> Result<(Evolution, Vec<Request>), Error> {
    // WizardLM's profile gives every model the same work.
    let config = EvolveConfig {
        profile: Profile::Wizardlm,
        rounds: Some(workload.settings.rounds),
        seed: workload.settings.seed,
        max_tokens: workload.settings.max_tokens,
        min_yield: 0.0,
        max_errors: 1.0,
        judge: JudgeConfig { pairs: 48, ..JudgeConfig::default() },
        ..EvolveConfig::default()
    };
    let seeds = spread(builtin_seeds(), workload.settings.seeds);
    let mut store = Store::create(scratch)?;
    let mut engine = Engine::load(workload.options(determinism))?;
    let n_params = Some(engine.info().n_params);
    let mut timed = TimedEngine::new(&mut engine);
    let (sha256, recipe) = (workload.sha256.clone(), Identity::default());
    let model = evolve::Model { generate: &mut timed, sha256, recipe, n_params, judge: None };
    let mut on_event = |event: &Event| {
        if let Event::Chunk(chunk) = event {
            report(Progress::Evolution { round: chunk.round, done: chunk.done, total: chunk.total });
        }
    };
    let started = Instant::now();
    let (summary, times) = evolve::run_timed(model, &mut store, Roots::all(&seeds), &config, &mut on_event)?;
    let wall = started.elapsed().as_secs_f64();
    let TimedEngine { times: engine_times, requests, .. } = timed;
    let evolution = results(determinism, wall, &summary, times, &engine_times, engine.stats());
    Ok((evolution, requests))
}

/// Picks `count` seeds, spread evenly over the list, which is ordered by skill.
fn spread(seeds: Vec<Seed>, count: usize) -> Vec<Seed> {
    let all = seeds.len();
    let count = count.min(all);
    let picked = |index: usize| (0..count).any(|k| k * all / count == index);
    seeds.into_iter().enumerate().filter(|(index, _)| picked(*index)).map(|(_, seed)| seed).collect()
}

fn results(
    determinism: Determinism,
    wall: f64,
    summary: &Summary,
    times: Times,
    engine_times: &EngineTimes,
    stats: EngineStats,
) -> Evolution {
    let generated = stats.generated_tokens as f64;
    let prompts = stats.prompt_tokens + stats.reused_prompt_tokens;
    Evolution {
        determinism,
        attempts: summary.attempts,
        kept: summary.kept,
        answers: summary.answers,
        wall_seconds: wall,
        generated_tokens: stats.generated_tokens,
        prompt_tokens: stats.prompt_tokens,
        reused_prompt_tokens: stats.reused_prompt_tokens,
        judgements: engine_times.judged,
        tokens_per_second: ratio(generated, wall),
        kept_per_hour: ratio(summary.kept as f64 * 3600.0, wall),
        answers_per_hour: ratio(summary.answers as f64 * 3600.0, wall),
        tokens_per_kept: (summary.kept > 0).then(|| generated / summary.kept as f64),
        prefix_reuse: ratio(stats.reused_prompt_tokens as f64, prompts as f64),
        judgements_per_second: ratio(engine_times.judged as f64, engine_times.judge),
        shares: Shares::new(wall, engine_times, times),
        peak_memory_bytes: process::peak_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn shares_add_up_to_one_whatever_the_clocks_say() {
        let engine = EngineTimes { prefill: 2.0, decode: 5.0, sampling: 0.5, judge: 1.0, judged: 4 };
        let times = Times { filters: Duration::from_millis(250), store: Duration::from_millis(250) };
        for wall in [10.0, 9.0, 8.9, 0.0] {
            let shares = Shares::new(wall, &engine, times);
            let sum: f64 = shares.named().iter().map(|(_, share)| share).sum();
            assert!((sum - 1.0).abs() < 1e-9, "{shares:?}");
            assert!(shares.named().iter().all(|(_, share)| (0.0..=1.0).contains(share)), "{shares:?}");
        }
        let shares = Shares::new(10.0, &engine, times);
        assert!((shares.decode - 0.5).abs() < 1e-9 && (shares.other - 0.1).abs() < 1e-9);
    }

    #[test]
    fn seeds_are_spread_over_the_list_and_keep_their_order() {
        let all = builtin_seeds();
        let positions: Vec<usize> = spread(all.clone(), 7)
            .iter()
            .map(|seed| all.iter().position(|s| s == seed).expect("one of them"))
            .collect();
        assert_eq!(positions.len(), 7);
        assert!(positions.is_sorted() && *positions.last().unwrap() > all.len() / 2, "{positions:?}");
        assert_eq!(spread(all.clone(), all.len()), all);
    }
}
