//! What a run will cost, before it starts.
//!
//! Where in the flow: `cli` prints it and asks nothing more; [`super::train`] computes the same steps again.
//!
//! **Invariant:** rows, steps and tokens are exact, not estimates: the same packing decides them.

use super::pack::{Timeline, epoch_rows};
use super::{Encoded, Error, TrainConfig};
use crate::lora::LoraWeights;
use crate::model::ModelConfig;

/// The numbers of a run.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Plan {
    /// Numbers in the adapter.
    pub trainable_parameters: usize,
    /// Samples trained on in one pass.
    pub samples: usize,
    /// Packed rows of the first pass.
    pub rows_per_epoch: usize,
    /// Positions fed in one pass.
    pub tokens_per_epoch: usize,
    /// Positions with loss in one pass.
    pub targets_per_epoch: usize,
    /// Passes begun.
    pub epochs: usize,
    /// Optimiser steps.
    pub steps: u64,
    /// Positions fed over all steps.
    pub tokens: u64,
    /// Positions of one validation pass; it runs at least twice.
    pub validation_tokens: usize,
    /// Longest row: no workspace needs to be longer.
    pub longest_row: usize,
    /// Adapter, gradient and both moments of `AdamW`.
    pub optimizer_bytes: usize,
    /// Activations of the longest row, forward and backward. An estimate: it leaves out index lists and the
    /// scratch of single ops. The base comes on top: its file is mapped, so what is used of it counts once for
    /// all processes.
    pub activation_bytes: usize,
}

impl Plan {
    /// All memory of the run beside the base and the program.
    pub fn total_bytes(&self) -> u64 {
        (self.optimizer_bytes + self.activation_bytes) as u64
    }
}

/// Plans a run of `config` on a model.
///
/// # Errors
/// As [`super::train`]: a setting is out of range, or nothing is left to train or validate on.
pub fn plan(
    model: &ModelConfig,
    config: &TrainConfig,
    train: &Encoded,
    validation: &Encoded,
) -> Result<Plan, Error> {
    check_inputs(model, config, train, validation)?;
    let lengths = train.lengths();
    let rows_per_epoch = epoch_rows(&lengths, config.max_seq_len, config.seed, 0).len();
    let timeline = Timeline::new(config, lengths);
    let trainable_parameters = LoraWeights::zeros(&config.lora(), &model.base_shape()).data.len();
    let longest_row = longest_row(config, train, validation);
    Ok(Plan {
        trainable_parameters,
        samples: train.samples.len(),
        rows_per_epoch,
        tokens_per_epoch: train.positions(),
        targets_per_epoch: train.targets(),
        epochs: timeline.epochs(),
        steps: timeline.total_steps,
        tokens: timeline.total_tokens,
        validation_tokens: validation.positions(),
        longest_row,
        optimizer_bytes: 4 * trainable_parameters * size_of::<f32>(),
        activation_bytes: longest_row * floats_per_token(model, config) * size_of::<f32>(),
    })
}

/// Numbers that a pass keeps per position: what every layer leaves for backward, and what only one layer at a
/// time needs.
fn floats_per_token(model: &ModelConfig, config: &TrainConfig) -> usize {
    let (hidden, ffn) = (model.hidden_size, model.intermediate_size);
    let q = model.num_attention_heads * model.head_dim;
    let kv = model.num_key_value_heads * model.head_dim;
    let adapters = config.lora().target_modules.len() * config.r;
    let layer = 2 * (hidden + q + kv + ffn) + model.num_attention_heads + adapters;
    let once = 9 * hidden + 2 * (ffn + q + kv) + model.head_dim + config.r;
    model.num_hidden_layers * layer + once
}

/// What has to hold before a run starts.
pub(super) fn check_inputs(
    model: &ModelConfig,
    config: &TrainConfig,
    train: &Encoded,
    validation: &Encoded,
) -> Result<(), Error> {
    config.validate()?;
    let (found, limit) = (config.max_seq_len, model.max_position_embeddings);
    if found > limit {
        return Err(Error::ContextTooShort { found, limit });
    }
    if config.r > model.hidden_size {
        // More rank than width adds numbers and no meaning; a typo adds more of them than there is memory.
        let expected = "no more than the model's hidden size";
        return Err(Error::Config { field: "r", found: config.r.to_string(), expected });
    }
    train.require_samples("train")?;
    // No validation examples at all is a choice; examples of which none is usable is a mistake.
    if validation.dropped.is_empty() { Ok(()) } else { validation.require_samples("validate") }
}

/// An upper bound on the positions of any row: the capacity, or everything there is if that is less.
pub(super) fn longest_row(config: &TrainConfig, train: &Encoded, validation: &Encoded) -> usize {
    config.max_seq_len.min(train.positions().max(validation.positions()))
}
