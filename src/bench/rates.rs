//! Rates of the model by batch width: prompts in tokens per second, decoding in rows per second.
//!
//! Where in the flow: [`super::run`] calls [`measure`] after the evolution.
//!
//! `width` requests share a prefix and differ in the rest, as those of an evolution do, and are drawn from a
//! few plain words, so that none ends early and the batch stays full. Times are those that llama.cpp took,
//! without sampling.
//!
//! **Invariant:** every rate is of a batch that was full from its first row to its last.

use super::spent::parallel;
use super::{Error, Step, Workload, median, ratio};
use crate::llm::{
    Determinism, Engine, EngineStats, Generate as _, Part, Prompt, Request, Restriction, Sampling, Tokenizer,
};
use std::time::Instant;

/// Tokens that every request generates.
const GENERATED: usize = 32;

/// What all requests share: about 250 tokens.
const SHARED: &str = "The keeper of the lighthouse wrote down the weather every evening. ";
const SHARED_TIMES: usize = 20;

/// What may be drawn.
const WORDS: &str = " the sea and a wind from north";

/// Rates at one batch width.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Sequences in progress at once.
    pub width: usize,
    /// Tokens of prompts computed per second.
    pub prefill_tokens_per_second: f64,
    /// Rows (a token of a sequence each) decoded per second.
    pub decode_rows_per_second: f64,
}

/// Medians of the repeats, width by width.
pub(super) fn measure(
    workload: &Workload<'_>,
    determinism: Determinism,
    step: &mut dyn FnMut(Step),
) -> Result<Vec<Rate>, Error> {
    let part = |text: &str| Part { text: text.to_owned(), special: false };
    let words = Tokenizer::load(workload.model)?.tokenize(&[part(WORDS)])?;
    let mut rates = Vec::with_capacity(workload.settings.widths.len());
    for &width in &workload.settings.widths {
        step(Step::Rates { width });
        let mut prefill = Vec::new();
        let mut decode = Vec::new();
        for _ in 0..workload.settings.repeats {
            // An engine keeps prefixes between calls: each repeat has its own, so that all compute the same.
            let mut options = workload.options(determinism);
            options.n_seq = width;
            let mut engine = Engine::load(options)?;
            let requests: Vec<Request> = (0..width as u64).map(|id| request(id, &words)).collect();
            let started = Instant::now();
            engine.generate(&requests)?;
            let (of_prompts, of_rows) = speeds(started.elapsed().as_secs_f64(), width, &engine.stats());
            prefill.push(of_prompts);
            decode.push(of_rows);
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

/// Tokens of prompts and rows per second, from the counters of one call that took `wall` seconds. A
/// sequence's first token comes with its prompt and is no row of decoding.
fn speeds(wall: f64, width: usize, stats: &EngineStats) -> (f64, f64) {
    let seconds = |ns: u64| ns as f64 / 1e9;
    let (prefill, decode) = (seconds(stats.prefill_ns), seconds(stats.decode_ns));
    let workers = parallel(prefill + decode + seconds(stats.sampling_ns), wall);
    let rows = stats.generated_tokens.saturating_sub(width as u64);
    (ratio(stats.prompt_tokens as f64 * workers, prefill), ratio(rows as f64 * workers, decode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_time_that_their_own_work_took() {
        let stats = EngineStats {
            generated_tokens: 4 * 32,
            prompt_tokens: 300,
            prefill_ns: 2_000_000_000,
            decode_ns: 1_000_000_000,
            ..EngineStats::default()
        };
        let (prefill, decode) = speeds(3.1, 4, &stats);
        assert!((prefill - 150.0).abs() < 1e-9 && (decode - 124.0).abs() < 1e-9);
        // The same counters in half the wall time: two workers.
        let (prefill, decode) = speeds(1.6, 4, &stats);
        assert!((prefill - 300.0).abs() < 1e-9 && (decode - 248.0).abs() < 1e-9);
    }
}
