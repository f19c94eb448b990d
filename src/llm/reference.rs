//! Logits of all positions by llama.cpp, and likelihoods from them, for comparison with the trainer.
//!
//! Where in the flow: tests that the trainer computes what llama.cpp computes, and the perplexity of `merge`.
//!
//! **Invariant:** the textbook computation: no flash attention, an `f32` cache, one batch.

use std::path::Path;

use super::Error;
use super::engine::load_adapter;
use super::llama::{Contents, Context, ContextShape, Model, Recipe, Row};

/// Checks `sequences`, and calls `use_it` with a context that each of them fits into.
fn with_context<R>(
    model: &Path,
    adapter: Option<&Path>,
    sequences: &[&[u32]],
    use_it: impl FnOnce(&mut Context<'_>) -> Result<R, Error>,
) -> Result<R, Error> {
    let mut model = Model::load(model, Contents::Everything { gpu_layers: 0 })?;
    let mut adapter = adapter.map(|path| load_adapter(&mut model, path, 1.0)).transpose()?;
    let (max, n_vocab) = (model.info().n_ctx_train, model.n_vocab());
    for tokens in sequences {
        if !(1..=max).contains(&tokens.len()) {
            return Err(Error::TokenCount { tokens: tokens.len(), max });
        }
        if let Some(&token) = tokens.iter().find(|token| **token as usize >= n_vocab) {
            return Err(Error::UnknownToken { token, n_vocab });
        }
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let longest = sequences.iter().map(|tokens| tokens.len()).max().unwrap_or(1);
    let shape =
        ContextShape { sequences: 1, tokens: longest, n_batch: longest, threads, recipe: Recipe::Reference };
    use_it(&mut Context::new(&model, adapter.as_mut(), shape)?)
}

fn rows(tokens: &[u32]) -> Vec<Row> {
    tokens.iter().map(|&token| Row { token, sequence: 0, logits: true }).collect()
}

/// Logits (T, V) of `tokens` (T), with the adapter at scale 1.
///
/// # Errors
/// The model or the adapter is unusable; there are no tokens, too many for the model, or unknown ones.
pub fn reference_logits(model: &Path, adapter: Option<&Path>, tokens: &[u32]) -> Result<Vec<f32>, Error> {
    with_context(model, adapter, &[tokens], |context| {
        context.decode(&rows(tokens))?;
        Ok((0..tokens.len()).flat_map(|row| context.logits(row)).copied().collect())
    })
}

/// Mean log-likelihood per token, in nats, of all tokens but the first of each sequence, given those before
/// it.
///
/// # Errors
/// As [`reference_logits`].
pub fn log_likelihood(model: &Path, adapter: Option<&Path>, sequences: &[Vec<u32>]) -> Result<f64, Error> {
    let slices: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
    with_context(model, adapter, &slices, |context| {
        let (mut sum, mut count) = (0.0, 0);
        for tokens in &slices {
            context.truncate(0, 0);
            context.decode(&rows(tokens))?;
            for (row, &next) in tokens[1..].iter().enumerate() {
                let logits = context.logits(row);
                let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
                let total: f64 = logits.iter().map(|&z| (f64::from(z) - max).exp()).sum();
                sum += f64::from(logits[next as usize]) - max - total.ln();
                count += 1;
            }
        }
        Ok(sum / f64::from(count.max(1)))
    })
}
