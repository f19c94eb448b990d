//! Log-likelihoods of given texts under the model.
//!
//! Where in the flow: `eval` measures held-out answers and choices with it.
//!
//! It uses the attention and cache of generation (`reference.rs` has the textbook computation). Each worker
//! computes one sequence at a time.
//!
//! **Invariant:** the result of a sequence is a function of the model, the adapter and the sequence alone:
//! each is computed in batches of its own.

use super::engine::Engine;
use super::llama::Row;
use super::prefix;
use super::progress::Progress;
use super::workers::{self, Layout, Worker};
use super::{Error, Part};

/// Tokens, and which of them count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScoredTokens {
    /// All tokens, in order.
    pub tokens: Vec<u32>,
    /// For each token whether its likelihood, given those before it, counts. The first one cannot.
    pub counts: Vec<bool>,
}

impl Engine {
    /// The tokens of a prompt with these parts.
    ///
    /// # Errors
    /// A part cannot be tokenised.
    pub fn tokenize(&self, parts: &[Part]) -> Result<Vec<u32>, Error> {
        super::tokenizer::encode(&self.model, parts)
    }

    /// For each sequence the sum of the log-likelihoods, in nats, of the tokens that count; `None` for one
    /// that has fewer than two tokens or more than a sequence may have.
    ///
    /// # Errors
    /// The model failed, or the call was interrupted; a token is not in its vocabulary.
    ///
    /// # Panics
    /// If a sequence has not one flag per token, or its first token counts.
    pub fn log_likelihoods(&mut self, sequences: &[ScoredTokens]) -> Result<Vec<Option<f64>>, Error> {
        self.settings.check_interrupt()?;
        let n_vocab = self.model.n_vocab();
        for ScoredTokens { tokens, counts } in sequences {
            assert_eq!(tokens.len(), counts.len(), "one flag per token");
            assert!(counts.first() != Some(&true), "nothing stands before the first token");
            if let Some(&token) = tokens.iter().find(|token| **token as usize >= n_vocab) {
                return Err(Error::UnknownToken { token, n_vocab });
            }
        }
        let max_tokens = self.settings.max_tokens;
        let fits = |index: &usize| (2..=max_tokens).contains(&sequences[*index].tokens.len());
        let plan = prefix::Plan::unshared((0..sequences.len()).filter(fits));
        let longest = (0..sequences.len()).filter(fits).map(|index| sequences[index].tokens.len()).max();
        let layout = Layout::one_by_one(self.settings.threads, plan.len());
        let shape = layout.shape(self.settings.clone(), longest.unwrap_or(0));
        let found = workers::run(self.call(), layout, &plan, &[], shape, |worker, _| {
            likelihood_share(worker, sequences)
        })?;
        let mut sums = vec![None; sequences.len()];
        for (index, sum) in found {
            sums[index] = Some(sum);
        }
        Ok(sums)
    }
}

fn likelihood_share(mut worker: Worker<'_>, sequences: &[ScoredTokens]) -> Result<Vec<(usize, f64)>, Error> {
    let mut found = Vec::new();
    while let Some(index) = worker.next() {
        let ScoredTokens { tokens, counts } = &sequences[index];
        worker.context.truncate(0, 0);
        let n_batch = worker.context.shape().n_batch;
        let mut sum = 0.0;
        let mut at = 0;
        while at < tokens.len() {
            worker.settings.check_interrupt()?;
            // Some machines use other kernels for a batch of one row, so the last two rows stay together.
            let left = tokens.len() - at;
            let len = if left > n_batch && left - n_batch == 1 { n_batch - 1 } else { left.min(n_batch) };
            let asked = |row: usize| counts.get(at + row + 1).copied().unwrap_or(false);
            let rows: Vec<Row> = (0..len)
                .map(|row| Row {
                    token: tokens[at + row],
                    sequence: 0,
                    logits: asked(row) || at + row + 1 == tokens.len(),
                })
                .collect();
            worker.context.decode(&rows)?;
            for row in (0..len).filter(|&row| asked(row)) {
                sum += log_likelihood(worker.context.logits(row), tokens[at + row + 1])?;
            }
            at += len;
        }
        Progress::add(&worker.settings.progress.prompt_tokens, tokens.len());
        found.push((index, sum));
    }
    Ok(found)
}

/// The log-likelihood of one token under a row of logits, in double precision.
fn log_likelihood(logits: &[f32], token: u32) -> Result<f64, Error> {
    let logit = f64::from(logits[token as usize]);
    if logit.is_nan() {
        return Err(Error::NotANumber { token: token as usize });
    }
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let total: f64 = logits.iter().map(|&z| (f64::from(z) - max).exp()).sum();
    Ok(logit - max - total.ln())
}
