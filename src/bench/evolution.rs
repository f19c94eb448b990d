//! A real run of evolution over built-in seeds, with its rates and where its time went.
//!
//! Where in the flow: [`super::run`] calls [`measure`] first.
//!
//! The run is `evolve::run` with its default configuration, in a journal on disk: judge's calibration,
//! answers to the seeds, and the rounds. It never gives up for a bad yield: a model that yields nothing has a
//! rate too.
//!
//! **Invariant:** the shares of the stages add up to 1.

use super::spent::{Spent, Stopped};
use super::{Error, Step, Workload, ratio};
use crate::dataset::{Seed, builtin_seeds};
use crate::evolve::{self, Event, EvolveConfig, JudgeConfig, Profile, Roots, Summary, Times};
use crate::llm::{Determinism, Engine, EngineStats, Request};
use crate::process;
use crate::store::Store;
use std::path::Path;
use std::time::Instant;

/// Rates of a run of evolution.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evolution {
    /// Level of reproducibility of the run.
    pub determinism: Determinism,
    /// Attempts at evolving.
    pub attempts: u64,
    /// Evolved instructions that were kept, each with its answer.
    pub kept: u64,
    /// Instructions with a usable answer, seeds included.
    pub answers: u64,
    /// From the first look at the journal to the last commit, the model loaded already.
    pub wall_seconds: f64,
    /// Tokens drawn.
    pub generated_tokens: u64,
    /// Tokens of prompts that were computed, the judge's included.
    pub prompt_tokens: u64,
    /// Tokens of prompts that were taken from a shared prefix.
    pub reused_prompt_tokens: u64,
    /// Questions that the judge was asked, calibration included.
    pub judgements: u64,
    /// Tokens drawn per second of the whole run.
    pub tokens_per_second: f64,
    /// Evolved instructions kept per hour of the whole run.
    pub kept_per_hour: f64,
    /// Instructions with a usable answer per hour, seeds included.
    pub answers_per_hour: f64,
    /// Tokens drawn per evolved instruction that was kept; absent when none was.
    pub tokens_per_kept: Option<f64>,
    /// Of all tokens of prompts, the share that was not computed again.
    pub prefix_reuse: f64,
    /// Questions per second of judging.
    pub judgements_per_second: f64,
    /// Where the wall time went.
    pub shares: Shares,
    /// Peak memory of the process up to the end of the run, the mapped model included; absent where the
    /// system does not tell.
    pub peak_memory_bytes: Option<u64>,
}

/// Shares of the wall time; they add up to 1.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shares {
    /// llama.cpp on prompts of instructions and answers.
    pub prefill: f64,
    /// llama.cpp on generated tokens.
    pub decode: f64,
    /// Drawing tokens, looking for stop strings.
    pub sampling: f64,
    /// The judge: scoring pairs of instructions, prompts included.
    pub judge: f64,
    /// The rules that need no model.
    pub filters: f64,
    /// Reading and writing the journal.
    pub store: f64,
    /// Everything else: rendering and tokenising prompts, making caches, a worker waiting for the last one.
    pub other: f64,
}

impl Shares {
    fn new(wall: f64, spent: &Spent, times: Times) -> Self {
        let parts = [
            spent.prefill,
            spent.decode,
            spent.sampling,
            spent.judge,
            times.filters.as_secs_f64(),
            times.store.as_secs_f64(),
        ];
        // Parts are measured within the whole; clocks that disagree by a tick must not make a negative rest.
        let whole = parts.iter().sum::<f64>().max(wall);
        let [prefill, decode, sampling, judge, filters, store] = parts.map(|part| ratio(part, whole));
        let other = 1.0 - (prefill + decode + sampling + judge + filters + store);
        Self { prefill, decode, sampling, judge, filters, store, other: other.max(0.0) }
    }

    /// With their names, in the order of work.
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

/// Runs an evolution in `scratch`; also what was asked of the model, for others to ask again.
pub(super) fn measure(
    workload: &Workload<'_>,
    determinism: Determinism,
    scratch: &Path,
    step: &mut dyn FnMut(Step),
) -> Result<(Evolution, Vec<Request>), Error> {
    // The paper's profile: the same work whatever the model is.
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
    let mut stopped = Stopped::new(&mut engine);
    let (sha256, recipe) = (workload.sha256.clone(), Vec::new());
    let model = evolve::Model { generate: &mut stopped, sha256, recipe, n_params, judge: None };
    let mut report = |event: &Event| {
        if let Event::Chunk(chunk) = event {
            step(Step::Evolution { round: chunk.round, done: chunk.done, total: chunk.total });
        }
    };
    let started = Instant::now();
    let (summary, times) = evolve::run_timed(model, &mut store, Roots::all(&seeds), &config, &mut report)?;
    let wall = started.elapsed().as_secs_f64();
    let Stopped { spent, requests, .. } = stopped;
    let evolution = figures(determinism, wall, &summary, times, &spent, engine.stats());
    Ok((evolution, requests))
}

/// `count` seeds, evenly over the list, which is ordered by skill.
fn spread(seeds: Vec<Seed>, count: usize) -> Vec<Seed> {
    let all = seeds.len();
    let count = count.min(all);
    let picked = |index: usize| (0..count).any(|k| k * all / count == index);
    seeds.into_iter().enumerate().filter(|(index, _)| picked(*index)).map(|(_, seed)| seed).collect()
}

fn figures(
    determinism: Determinism,
    wall: f64,
    summary: &Summary,
    times: Times,
    spent: &Spent,
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
        judgements: spent.judged,
        tokens_per_second: ratio(generated, wall),
        kept_per_hour: ratio(summary.kept as f64 * 3600.0, wall),
        answers_per_hour: ratio(summary.answers as f64 * 3600.0, wall),
        tokens_per_kept: (summary.kept > 0).then(|| generated / summary.kept as f64),
        prefix_reuse: ratio(stats.reused_prompt_tokens as f64, prompts as f64),
        judgements_per_second: ratio(spent.judged as f64, spent.judge),
        shares: Shares::new(wall, spent, times),
        peak_memory_bytes: process::peak_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn shares_add_up_to_one_whatever_the_clocks_say() {
        let spent = Spent { prefill: 2.0, decode: 5.0, sampling: 0.5, judge: 1.0, judged: 4 };
        let times = Times { filters: Duration::from_millis(250), store: Duration::from_millis(250) };
        for wall in [10.0, 9.0, 8.9, 0.0] {
            let shares = Shares::new(wall, &spent, times);
            let sum: f64 = shares.named().iter().map(|(_, share)| share).sum();
            assert!((sum - 1.0).abs() < 1e-9, "{shares:?}");
            assert!(shares.named().iter().all(|(_, share)| (0.0..=1.0).contains(share)), "{shares:?}");
        }
        let shares = Shares::new(10.0, &spent, times);
        assert!((shares.decode - 0.5).abs() < 1e-9 && (shares.other - 0.1).abs() < 1e-9);
    }

    #[test]
    fn seeds_are_spread_over_the_list_and_keep_their_order() {
        let all = builtin_seeds();
        let places: Vec<usize> = spread(all.clone(), 7)
            .iter()
            .map(|seed| all.iter().position(|s| s == seed).expect("one of them"))
            .collect();
        assert_eq!(places.len(), 7);
        assert!(places.is_sorted() && *places.last().unwrap() > all.len() / 2, "{places:?}");
        assert_eq!(spread(all.clone(), all.len()), all);
    }
}
