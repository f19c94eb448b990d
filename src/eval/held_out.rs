//! How likely a contestant finds answers that nothing was trained on.
//!
//! Where in the flow: beside `responses`; the likelihoods of all contestants are compared record by record.
//!
//! The tokens that count are those that training puts its loss on ([`crate::train::encode`]), of records that
//! fit its rows; the numbers are llama.cpp's, as a user of the adapter gets them, so they differ a little
//! from the trainer's validation loss.
//!
//! **Invariant:** records that do not fit the model's context are left out for every contestant.

use super::Error;
use super::measure::RecordLikelihood;
use crate::dataset::Example;
use crate::llm::{Engine, ScoredTokens, Tokenizer};
use crate::train::{self, Overlong};

/// Tokenises held-out conversations as training would; longer ones than `max_seq_len` are left out.
///
/// # Errors
/// The model has no usable chat template, or a conversation cannot be rendered.
pub fn encode(
    tokenizer: &Tokenizer,
    examples: &[Example],
    max_seq_len: usize,
) -> Result<Vec<ScoredTokens>, Error> {
    let encoded = train::encode(tokenizer, examples, max_seq_len, Overlong::Drop)?;
    let scored = |sample: &train::Sample| ScoredTokens {
        tokens: sample.tokens().to_vec(),
        counts: sample.has_loss().to_vec(),
    };
    Ok(encoded.samples.iter().map(scored).collect())
}

/// The likelihoods of the answers, with the adapter that `engine` has.
///
/// # Errors
/// The model failed, or the call was interrupted.
pub fn likelihoods(engine: &mut Engine, records: &[ScoredTokens]) -> Result<Vec<RecordLikelihood>, Error> {
    let sums = engine.log_likelihoods(records)?;
    let likelihood = |(sum, record): (Option<f64>, &ScoredTokens)| {
        let tokens = record.counts.iter().filter(|&&counts| counts).count();
        Some(RecordLikelihood { log_likelihood: sum?, tokens })
    };
    Ok(sums.into_iter().zip(records).filter_map(likelihood).collect())
}
