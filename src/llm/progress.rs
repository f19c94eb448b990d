//! Counters of the engine's work, which other threads may read at any time.
//!
//! Where in the flow: workers count; the caller's progress line and `measure` read.
//!
//! **Invariant:** no counter decides a token. Under `Determinism::Exact` measured times decide how many
//! tokens are guessed, which changes how long a completion takes and not what it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Counters that grow while the engine works.
#[derive(Debug, Default)]
pub struct Progress {
    pub(super) generated_tokens: AtomicU64,
    pub(super) prompt_tokens: AtomicU64,
    pub(super) reused_prompt_tokens: AtomicU64,
    pub(super) decode_batches: AtomicU64,
    pub(super) drafted_tokens: AtomicU64,
    pub(super) accepted_tokens: AtomicU64,
    pub(super) finished: AtomicU64,
    pub(super) prefill_ns: AtomicU64,
    pub(super) decode_ns: AtomicU64,
    pub(super) sampling_ns: AtomicU64,
    pub(super) score_ns: AtomicU64,
    pub(super) worker_ns: AtomicU64,
}

/// [`Progress`] at one moment, counted since the engine was loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct EngineStats {
    /// Tokens drawn.
    pub generated_tokens: u64,
    /// Tokens of prompts that were computed.
    pub prompt_tokens: u64,
    /// Tokens of prompts that were copied from a shared prefix instead.
    pub reused_prompt_tokens: u64,
    /// Batches that the generated tokens were decoded in.
    pub decode_batches: u64,
    /// Tokens that were guessed, and decoded as guesses.
    pub drafted_tokens: u64,
    /// Guessed tokens that were then drawn, each of which saved a batch.
    pub accepted_tokens: u64,
    /// Requests completed and questions scored.
    pub finished: u64,
    /// Nanoseconds in llama.cpp on prompts, including those of questions, summed over workers.
    pub prefill_ns: u64,
    /// Nanoseconds in llama.cpp on generated tokens, summed over workers.
    pub decode_ns: u64,
    /// Nanoseconds of drawing tokens and looking for stop strings, summed over workers.
    pub sampling_ns: u64,
    /// Nanoseconds of scoring questions, prompts included, summed over workers.
    pub score_ns: u64,
    /// Nanoseconds that workers had work, summed. A prefix that all prompts share is computed before they
    /// start, and only counts in `prefill_ns`. The rest of the wall time is allocating caches and waiting for
    /// the last worker.
    pub worker_ns: u64,
}

impl Progress {
    /// The counters now.
    pub fn stats(&self) -> EngineStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EngineStats {
            generated_tokens: read(&self.generated_tokens),
            prompt_tokens: read(&self.prompt_tokens),
            reused_prompt_tokens: read(&self.reused_prompt_tokens),
            decode_batches: read(&self.decode_batches),
            drafted_tokens: read(&self.drafted_tokens),
            accepted_tokens: read(&self.accepted_tokens),
            finished: read(&self.finished),
            prefill_ns: read(&self.prefill_ns),
            decode_ns: read(&self.decode_ns),
            sampling_ns: read(&self.sampling_ns),
            score_ns: read(&self.score_ns),
            worker_ns: read(&self.worker_ns),
        }
    }

    pub(super) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Adds the time that `work` takes to a counter of nanoseconds.
    pub(super) fn time<T>(counter: &AtomicU64, work: impl FnOnce() -> T) -> T {
        Self::timed(counter, work).0
    }

    /// As [`Progress::time`], and also returns the time.
    pub(super) fn timed<T>(counter: &AtomicU64, work: impl FnOnce() -> T) -> (T, Duration) {
        let started = Instant::now();
        let result = work();
        let taken = started.elapsed();
        counter.fetch_add(taken.as_nanos() as u64, Ordering::Relaxed);
        (result, taken)
    }
}
