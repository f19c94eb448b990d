//! The likelihood of held-out answers: answers that no contestant was trained on.
//!
//! Where in the flow: beside `responses`. `compare` compares the likelihoods of two contestants record by
//! record.
//!
//! The tokens that count are those that carry the training loss ([`crate::train::encode`]), in records that
//! fit in a training row. llama.cpp computes the numbers, as it does for a user of the adapter, so they
//! differ slightly from the trainer's validation loss.
//!
//! **Invariant:** records that do not fit in the model's context are left out for every contestant.

use super::Error;
use super::measure::RecordLikelihood;
use crate::dataset::Example;
use crate::llm::{Engine, ScoredTokens, Tokenizer};
use crate::train::{self, Overlong};

/// Tokenises held-out conversations as training does. Those longer than `max_seq_len` tokens are left out.
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

/// Computes the log-likelihood of each answer with the adapter that is loaded in `engine`. Records that do
/// not fit in its context are left out.
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
