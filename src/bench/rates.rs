//! The prefill and decode rates of a model by batch width.
//!
//! Where in the flow: [`super::run`] calls [`measure`] after the evolution.
//!
//! As in an evolution, the requests of a batch share a prefix and differ in the rest. Their completions are
//! restricted to a few common words, so that none ends early and the batch stays full. The times are those of
//! llama.cpp, without sampling.
//!
//! **Invariant:** every rate is measured on a batch that is full from its first row to its last.

use super::timed_engine::min_workers;
use super::{Error, Progress, Workload, median, ratio};
use crate::llm::{
    Determinism, Engine, EngineStats, Generate as _, Part, Prompt, Request, Restriction, Sampling, Tokenizer,
};
use std::time::Instant;

/// Number of tokens that every request generates.
const GENERATED: usize = 32;

/// The sentence that, repeated, makes the shared prefix of about 250 tokens.
const SHARED: &str = "The keeper of the lighthouse wrote down the weather every evening. ";
const SHARED_TIMES: usize = 20;

/// The words that completions are restricted to.
const WORDS: &str = " the sea and a wind from north";

/// The rates at one batch width.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Number of sequences in a batch.
    pub width: usize,
    /// Prompt tokens computed per second.
    pub prefill_tokens_per_second: f64,
    /// Rows decoded per second; a row is one token of one sequence.
    pub decode_rows_per_second: f64,
}

/// Measures the rates at each width; each is the median of the repetitions.
pub(super) fn measure(
    workload: &Workload<'_>,
    determinism: Determinism,
    report: &mut dyn FnMut(Progress),
) -> Result<Vec<Rate>, Error> {
    let part = |text: &str| Part { text: text.to_owned(), special: false };
    let words = Tokenizer::load(workload.model)?.tokenize(&[part(WORDS)])?;
    let mut rates = Vec::with_capacity(workload.settings.widths.len());
    for &width in &workload.settings.widths {
        report(Progress::Rates { width });
        let mut prefill = Vec::new();
        let mut decode = Vec::new();
        for _ in 0..workload.settings.repeats {
            // An engine caches prefixes between calls, so each repetition loads its own.
            let mut options = workload.options(determinism);
            options.n_seq = width;
            let mut engine = Engine::load(options)?;
            let requests: Vec<Request> = (0..width as u64).map(|id| request(id, &words)).collect();
            let started = Instant::now();
            engine.generate(&requests)?;
            let rate = rate(started.elapsed().as_secs_f64(), width, &engine.stats());
            prefill.push(rate.prefill_tokens_per_second);
            decode.push(rate.decode_rows_per_second);
        }
        rates.push(Rate {
            width,
            prefill_tokens_per_second: median(&mut prefill),
            decode_rows_per_second: median(&mut decode),
        });
    }
    Ok(rates)
}

fn request(id: u64, words: &[u32]) -> Request {
    let part = |text: String| Part { text, special: false };
    Request {
        id,
        prompt: Prompt {
            parts: vec![part(SHARED.repeat(SHARED_TIMES)), part(format!("On day {id} he saw"))],
            shared: 1,
        },
        sampling: Sampling::default(),
        stop: Vec::new(),
        max_tokens: GENERATED,
        key: id,
        sample: 0,
        restriction: Restriction::Only(words.to_vec()),
    }
}

/// Computes the rates of one call that took `wall` seconds from the engine's counters.
fn rate(wall: f64, width: usize, stats: &EngineStats) -> Rate {
    let seconds = |ns: u64| ns as f64 / 1e9;
    let (prefill, decode) = (seconds(stats.prefill_ns), seconds(stats.decode_ns));
    let workers = min_workers(prefill + decode + seconds(stats.sampling_ns), wall);
    // The first token of a sequence is computed with its prompt, so it is not a decoded row.
    let rows = stats.generated_tokens.saturating_sub(width as u64);
    Rate {
        width,
        prefill_tokens_per_second: ratio(stats.prompt_tokens as f64 * workers, prefill),
        decode_rows_per_second: ratio(rows as f64 * workers, decode),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rate_uses_the_time_of_its_own_work() {
        let stats = EngineStats {
            generated_tokens: 4 * 32,
            prompt_tokens: 300,
            prefill_ns: 2_000_000_000,
            decode_ns: 1_000_000_000,
            ..EngineStats::default()
        };
        let close = |found: Rate, prefill: f64, decode: f64| {
            (found.prefill_tokens_per_second - prefill).abs() < 1e-9
                && (found.decode_rows_per_second - decode).abs() < 1e-9
        };
        assert!(close(rate(3.1, 4, &stats), 150.0, 124.0));
        // The same counters in half the wall time mean two workers.
        assert!(close(rate(1.6, 4, &stats), 300.0, 248.0));
    }
}
