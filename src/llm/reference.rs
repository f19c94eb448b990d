//! Logits of all positions by llama.cpp, for comparison with the trainer.
//!
//! Where in the flow: tests, and whatever checks that the trainer computes what llama.cpp computes.
//!
//! **Invariant:** the textbook computation: no flash attention, an `f32` cache, one batch.

use std::path::Path;

use super::Error;
use super::engine::load_adapter;
use super::llama::{Contents, Context, ContextShape, Model, Recipe, Row};

/// Logits (T, V) of `tokens` (T), with the adapter at the strength that it was trained with.
///
/// # Errors
/// The model or the adapter is unusable; there are no tokens, too many for the model, or unknown ones.
pub fn reference_logits(model: &Path, adapter: Option<&Path>, tokens: &[u32]) -> Result<Vec<f32>, Error> {
    let mut model = Model::load(model, Contents::Everything { gpu_layers: 0 })?;
    let mut adapter = adapter.map(|path| load_adapter(&mut model, path, 1.0)).transpose()?;
    let (max, n_vocab) = (model.info().n_ctx_train, model.n_vocab());
    if !(1..=max).contains(&tokens.len()) {
        return Err(Error::TokenCount { tokens: tokens.len(), max });
    }
    if let Some(&token) = tokens.iter().find(|token| **token as usize >= n_vocab) {
        return Err(Error::UnknownToken { token, n_vocab });
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let shape = ContextShape {
        sequences: 1,
        tokens: tokens.len(),
        n_batch: tokens.len(),
        threads,
        recipe: Recipe::Reference,
    };
    let mut context = Context::new(&model, adapter.as_mut(), shape)?;
    let rows: Vec<Row> = tokens.iter().map(|&token| Row { token, sequence: 0, logits: true }).collect();
    context.decode(&rows)?;
    Ok((0..tokens.len()).flat_map(|row| context.logits(row)).copied().collect())
}
