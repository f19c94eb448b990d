//! LLaMA forward and backward over `ops`, on a quantized, frozen base.

use crate::device::Device;
use crate::gguf::Gguf;
use crate::lora::{BaseShape, LoraWeights};
use std::ops::Range;
use std::sync::Arc;

/// Hugging Face's keys.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "Hugging Face's names")]
pub struct ModelConfig {
    pub hidden_size: usize, pub intermediate_size: usize, pub num_hidden_layers: usize,
    pub num_attention_heads: usize, pub num_key_value_heads: usize, pub head_dim: usize,
    pub vocab_size: usize, pub max_position_embeddings: usize, pub rms_norm_eps: f32, pub rope_theta: f32,
    pub tie_word_embeddings: bool,
}

impl ModelConfig {
    /// The part that decides an adapter's shapes.
    pub fn base_shape(&self) -> BaseShape { todo!() }
}

/// (Owner: full thiserror enum.)
#[derive(Debug, thiserror::Error)]
#[error("model")]
pub struct Error;

/// One packed row: several samples one after the other; a token attends only within its segment and
/// positions start at 0 in each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedRow {
    /// (T) token ids.
    pub tokens: Vec<u32>,
    /// (T) what the token at t has to predict, already shifted; `None`: no loss there.
    pub targets: Vec<Option<u32>>,
    /// Contiguous, cover 0..T.
    pub segments: Vec<Range<usize>>,
}

/// Sum of negative log-likelihoods (nats) over the rows that have a target, and their count.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LossSum {
    /// Nats.
    pub nll: f64,
    /// Rows with a target.
    pub n_targets: usize,
}

/// A loaded base. Weights stay quantized in the map and are never written.
#[derive(Debug)]
pub struct Llama { pub(crate) config: ModelConfig }

/// Activations and scratch, allocated once, reused for every row up to `max_tokens`.
#[derive(Debug)]
pub struct Workspace {}

impl Llama {
    /// Checks every tensor that the architecture needs (name, shape, format), names the first that is wrong.
    ///
    /// # Errors
    /// The file is not a LLaMA that we can train.
    pub fn load(_gguf: Arc<Gguf>) -> Result<Self, Error> { todo!() }
    /// Configuration.
    pub fn config(&self) -> &ModelConfig { &self.config }
    /// Buffers for rows of at most `max_tokens`; `training` adds what backward needs.
    pub fn workspace(&self, _max_tokens: usize, _adapter: Option<&LoraWeights>, _training: bool) -> Workspace { todo!() }
    /// Logits of all positions, (T, V). For tests and small inputs.
    pub fn logits(&self, _device: &Device, _ws: &mut Workspace, _adapter: Option<&LoraWeights>, _row: &PackedRow) -> Vec<f32> { todo!() }
    /// Loss without gradients.
    pub fn loss(&self, _device: &Device, _ws: &mut Workspace, _adapter: Option<&LoraWeights>, _row: &PackedRow) -> LossSum { todo!() }
    /// Adds the gradient of `loss_scale * nll` to `grads.data` (same layout as `adapter`); returns the unscaled loss.
    /// `dropout_key` seeds the counter-based dropout of this row (ignored when `lora_dropout` is 0).
    pub fn forward_backward(&self, _device: &Device, _ws: &mut Workspace, _adapter: &LoraWeights, _row: &PackedRow, _loss_scale: f32, _dropout_key: u64, _grads: &mut LoraWeights) -> LossSum { todo!() }
}
