//! One call's work on several cores: each worker has a context of its own and a fixed share of the list.
//!
//! Where in the flow: between a call of the engine and its loop (`generate.rs`, `score.rs`).
//!
//! llama.cpp can put several threads on one batch, but they meet at a spinning barrier after every operation,
//! some thousand times per token; when another program takes one of the cores for a moment, all wait (measured
//! on two busy cores: 200 ms per token instead of 10). Workers with one thread each never wait for each other,
//! and a few sequences per worker are enough to use the arithmetic of a core (tokens per CPU second with the
//! default model after a prefix of 256 tokens: 156 at width 4, 188 at 8, 220 at 16, 231 at 32).
//!
//! **Invariant:** who works on what is a function of the list and the options, never of time.

use std::sync::atomic::Ordering;

use super::Error;
use super::engine::{self, Engine, Settings};
use super::llama::{Context, Model};

/// Sequences per worker below which threads are better spent on one batch.
const SEQUENCES_PER_WORKER: usize = 4;

/// What one worker works with.
pub(super) struct Worker<'e> {
    pub(super) model: &'e Model,
    pub(super) context: Context<'e>,
    pub(super) settings: &'e Settings,
    /// Sequences that may be in progress at once; one more in the context holds a shared prefix.
    pub(super) width: usize,
}

/// How the work of a call is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    workers: usize,
    /// Threads of each worker.
    threads: usize,
    /// Sequences that a worker has in progress at once.
    width: usize,
}

impl Plan {
    /// For `sequences` (at least one) that can be in progress at once.
    pub(super) fn new(threads: usize, sequences: usize) -> Self {
        let workers = threads.min(sequences / SEQUENCES_PER_WORKER).max(1);
        Self { workers, threads: threads / workers, width: sequences.div_ceil(workers) }
    }

    /// For jobs of which a worker does one at a time.
    pub(super) fn one_by_one(threads: usize, jobs: usize) -> Self {
        Self { width: 1, ..Self::new(threads, jobs) }
    }
}

/// Runs the jobs `order` (indices into the caller's list, in the order to be worked on) in contexts of
/// `tokens` tokens per sequence. Jobs go to workers by turns, so that each gets its part of every group.
/// Results come with their indices, in no particular order.
pub(super) fn run<T: Send>(
    engine: &mut Engine,
    plan: Plan,
    order: &[usize],
    tokens: usize,
    work: impl Fn(Worker<'_>, Vec<usize>) -> Result<Vec<(usize, T)>, Error> + Sync,
) -> Result<Vec<(usize, T)>, Error> {
    if order.is_empty() {
        return Ok(Vec::new());
    }
    let settings = engine.settings.for_one_call();
    let Plan { workers, threads, width } = plan;
    let Engine { model, adapter, .. } = engine;
    let model = &*model;
    let shape = engine::shape(width + 1, tokens, threads);
    let make = |_| Context::new(model, adapter.as_mut(), shape);
    let contexts: Vec<Context<'_>> = (0..workers).map(make).collect::<Result<_, _>>()?;
    let run_one = |(worker, context): (usize, Context<'_>)| {
        let share = order.iter().copied().skip(worker).step_by(workers).collect();
        let result = work(Worker { model, context, settings: &settings, width }, share);
        if result.is_err() {
            settings.failed.store(true, Ordering::Relaxed);
        }
        result
    };
    let results: Vec<Result<Vec<(usize, T)>, Error>> = std::thread::scope(|scope| {
        let run_one = &run_one;
        let start = |job| scope.spawn(move || run_one(job));
        let handles: Vec<_> = contexts.into_iter().enumerate().map(start).collect();
        let join = |handle: std::thread::ScopedJoinHandle<'_, _>| {
            handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        handles.into_iter().map(join).collect()
    });
    merge(results)
}

/// All results, or the error of the first worker that failed of itself (the others were only stopped).
fn merge<T>(results: Vec<Result<Vec<(usize, T)>, Error>>) -> Result<Vec<(usize, T)>, Error> {
    let mut merged = Vec::new();
    let mut interrupted = false;
    for result in results {
        match result {
            Ok(part) => merged.extend(part),
            Err(Error::Interrupted) => interrupted = true,
            Err(error) => return Err(error),
        }
    }
    if interrupted { Err(Error::Interrupted) } else { Ok(merged) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_become_workers_while_each_has_enough_to_do() {
        for ((threads, sequences), expected) in [
            ((1, 32), (1, 1, 32)),
            ((2, 32), (2, 1, 16)),
            ((2, 15), (2, 1, 8)),
            ((2, 7), (1, 2, 7)),
            ((4, 32), (4, 1, 8)),
            ((16, 32), (8, 2, 4)),
            ((3, 1), (1, 3, 1)),
        ] {
            let Plan { workers, threads: each, width } = Plan::new(threads, sequences);
            assert_eq!((workers, each, width), expected, "{threads} threads, {sequences} sequences");
        }
    }

    #[test]
    fn a_failure_wins_over_the_interruptions_it_causes() {
        let failure = || Err(Error::NotANumber { token: 7 });
        let merged = merge::<()>(vec![Err(Error::Interrupted), failure(), Ok(vec![])]);
        assert!(matches!(merged, Err(Error::NotANumber { token: 7 })), "{merged:?}");
        assert!(matches!(merge::<()>(vec![Ok(vec![]), Err(Error::Interrupted)]), Err(Error::Interrupted)));
    }
}
