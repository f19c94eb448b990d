//! All memory of a pass, allocated once.
//!
//! Where in the flow: made by [`Llama::workspace`], lent to every pass, whose rows may have any length up to
//! the one it was made for.
//!
//! Shapes: T tokens, C `hidden_size`, H·D and K·D columns of queries and keys, F `intermediate_size`, R rank.
//! Per token and layer backward needs 2C + 2HD + 2KD + 2F numbers, and a few for norms, softmax and adapters;
//! the inputs of the linear layers (norms, silu·up) are computed again from them.
//!
//! **Invariant:** a buffer's length is that of the current row, its capacity that of the longest: resizing
//! never allocates.

use super::row::{PackedRow, RowIndex};
use super::{Llama, ModelConfig};
use crate::lora::{LoraWeights, TargetModule};
use crate::ops::{attention, cross_entropy, linear, lora, rope};
use crate::tensor::Real;

/// Activations and scratch, allocated once, reused for every row up to `max_tokens`.
#[derive(Debug)]
pub struct Workspace<T = f32> {
    max_tokens: usize,
    /// Rank of the adapter, 0 without one.
    pub(super) rank: usize,
    pub(super) training: bool,
    pub(super) index: RowIndex,
    /// (T, D/2, 2).
    pub(super) rope_table: Buffer<T>,
    /// (T, C) each, the residual stream between layers: before every layer and after the last one in
    /// training, else two that take turns.
    pub(super) stream: Vec<Buffer<T>>,
    /// What each layer leaves for backward; without training one that all layers use.
    pub(super) layers: Vec<LayerBuffers<T>>,
    pub(super) shared: SharedBuffers<T>,
    pub(super) head: HeadBuffers<T>,
    /// `None` without training.
    pub(super) backward: Option<BackwardBuffers<T>>,
    /// (T, R): the gradient of an adapter's `t`. Empty without training.
    pub(super) u: Buffer<T>,
    /// Decoded weights, dropped inputs, gradients per head: whatever the running op needs.
    pub(super) scratch: Vec<T>,
}

/// What a layer leaves for backward, besides its input.
#[derive(Debug)]
pub(super) struct LayerBuffers<T> {
    pub(super) attn_rstd: Buffer<T>,
    /// (T, H, D), rotated.
    pub(super) q: Buffer<T>,
    /// (T, K, D), rotated.
    pub(super) k: Buffer<T>,
    pub(super) v: Buffer<T>,
    /// (T, H, D).
    pub(super) attn: Buffer<T>,
    /// (T, H).
    pub(super) lse: Buffer<T>,
    /// (T, C): the stream between attention and feed-forward.
    pub(super) middle: Buffer<T>,
    pub(super) ffn_rstd: Buffer<T>,
    pub(super) gate: Buffer<T>,
    pub(super) up: Buffer<T>,
    /// (T, R) for each adapted projection, in the order of [`TargetModule::ALL`]; others are empty.
    pub(super) t: [Buffer<T>; 7],
}

/// What no layer leaves behind.
#[derive(Debug)]
pub(super) struct SharedBuffers<T> {
    /// (T, C): a normalised stream.
    pub(super) normed: Buffer<T>,
    /// (T, C): what a layer adds to the stream.
    pub(super) branch: Buffer<T>,
    /// (T, F): silu(gate) · up.
    pub(super) ffn: Buffer<T>,
}

/// The positions that have a target, at most T.
#[derive(Debug)]
pub(super) struct HeadBuffers<T> {
    pub(super) x: Buffer<T>,
    pub(super) rstd: Buffer<T>,
    pub(super) normed: Buffer<T>,
}

/// Gradients of activations.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "`d_x` is the gradient of `x`, as everywhere in ops")]
pub(super) struct BackwardBuffers<T> {
    /// (N, C).
    pub(super) d_head_x: Buffer<T>,
    /// (N, C).
    pub(super) d_head_normed: Buffer<T>,
    /// (T, C): of the stream, from the last layer down.
    pub(super) d_stream: Buffer<T>,
    pub(super) d_normed: Buffer<T>,
    pub(super) d_ffn: Buffer<T>,
    pub(super) d_attn: Buffer<T>,
    pub(super) d_q: Buffer<T>,
    pub(super) d_k: Buffer<T>,
    pub(super) d_v: Buffer<T>,
}

/// (T, columns), with memory for the longest row.
#[derive(Debug)]
pub(super) struct Buffer<T> {
    data: Vec<T>,
    columns: usize,
}

impl<T: Real> Buffer<T> {
    fn new(max_tokens: usize, columns: usize) -> Self {
        Self { data: Vec::with_capacity(max_tokens * columns), columns }
    }

    /// Makes it hold `tokens` rows of unspecified content.
    fn resize(&mut self, tokens: usize) {
        debug_assert!(tokens * self.columns <= self.data.capacity(), "{tokens} rows do not fit");
        self.data.resize(tokens * self.columns, T::ZERO);
    }
}

impl<T> std::ops::Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.data
    }
}

impl<T> std::ops::DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.data
    }
}

impl Llama {
    /// Buffers for rows of at most `max_tokens`; `training` adds what backward needs.
    pub fn workspace(&self, max_tokens: usize, adapter: Option<&LoraWeights>, training: bool) -> Workspace {
        Workspace::new(self.config(), max_tokens, adapter, training)
    }
}

impl<T: Real> Workspace<T> {
    pub(super) fn new(
        config: &ModelConfig,
        max_tokens: usize,
        adapter: Option<&LoraWeights>,
        training: bool,
    ) -> Self {
        let buffer = |columns| Buffer::new(max_tokens, columns);
        let hidden = config.hidden_size;
        let layers = config.num_hidden_layers;
        let rank = adapter.map_or(0, |adapter| adapter.config.r);
        let (saved, stream) = if training { (layers, layers + 1) } else { (1, 2) };
        Self {
            max_tokens,
            rank,
            training,
            index: RowIndex::with_capacity(max_tokens),
            rope_table: buffer(config.head_dim),
            stream: (0..stream).map(|_| buffer(hidden)).collect(),
            layers: (0..saved).map(|_| LayerBuffers::new(config, max_tokens, adapter)).collect(),
            shared: SharedBuffers {
                normed: buffer(hidden),
                branch: buffer(hidden),
                ffn: buffer(config.intermediate_size),
            },
            head: HeadBuffers { x: buffer(hidden), rstd: buffer(1), normed: buffer(hidden) },
            backward: training.then(|| BackwardBuffers::new(config, max_tokens)),
            u: buffer(if training { rank } else { 0 }),
            scratch: vec![T::ZERO; scratch_len(config, max_tokens, adapter, training)],
        }
    }

    /// Prepares for `row`: lengths, index lists, angles.
    ///
    /// # Panics
    /// If the row is longer than the workspace was made for.
    pub(super) fn set_row(&mut self, model: &Llama, row: &PackedRow) {
        let tokens = row.tokens.len();
        assert!(tokens <= self.max_tokens, "a row of {tokens} tokens in a workspace for {}", self.max_tokens);
        self.index.set(row);
        let shared = &mut self.shared;
        let resized =
            [&mut self.rope_table, &mut self.u, &mut shared.normed, &mut shared.branch, &mut shared.ffn];
        resized.into_iter().chain(&mut self.stream).for_each(|buffer| buffer.resize(tokens));
        self.layers.iter_mut().for_each(|layer| layer.resize(tokens));
        let targets = self.index.targets.len();
        for buffer in [&mut self.head.x, &mut self.head.rstd, &mut self.head.normed] {
            buffer.resize(targets);
        }
        if let Some(backward) = &mut self.backward {
            backward.resize(tokens, targets);
        }
        rope::fill_table(&self.index.positions, model.rope_frequencies(), &mut self.rope_table);
    }
}

impl<T: Real> LayerBuffers<T> {
    fn new(config: &ModelConfig, max_tokens: usize, adapter: Option<&LoraWeights>) -> Self {
        let buffer = |columns| Buffer::new(max_tokens, columns);
        let (hidden, ffn) = (config.hidden_size, config.intermediate_size);
        let q = config.num_attention_heads * config.head_dim;
        let kv = config.num_key_value_heads * config.head_dim;
        let rank = |module| adapter.filter(|a| a.pair(0, module).is_some()).map_or(0, |a| a.config.r);
        Self {
            attn_rstd: buffer(1),
            q: buffer(q),
            k: buffer(kv),
            v: buffer(kv),
            attn: buffer(q),
            lse: buffer(config.num_attention_heads),
            middle: buffer(hidden),
            ffn_rstd: buffer(1),
            gate: buffer(ffn),
            up: buffer(ffn),
            t: TargetModule::ALL.map(|module| buffer(rank(module))),
        }
    }

    fn resize(&mut self, tokens: usize) {
        let Self { attn_rstd, q, k, v, attn, lse, middle, ffn_rstd, gate, up, t } = self;
        for buffer in [attn_rstd, q, k, v, attn, lse, middle, ffn_rstd, gate, up].into_iter().chain(t) {
            buffer.resize(tokens);
        }
    }
}

impl<T: Real> BackwardBuffers<T> {
    fn new(config: &ModelConfig, max_tokens: usize) -> Self {
        let buffer = |columns| Buffer::new(max_tokens, columns);
        let (hidden, ffn) = (config.hidden_size, config.intermediate_size);
        let q = config.num_attention_heads * config.head_dim;
        let kv = config.num_key_value_heads * config.head_dim;
        Self {
            d_head_x: buffer(hidden),
            d_head_normed: buffer(hidden),
            d_stream: buffer(hidden),
            d_normed: buffer(hidden),
            d_ffn: buffer(ffn),
            d_attn: buffer(q),
            d_q: buffer(q),
            d_k: buffer(kv),
            d_v: buffer(kv),
        }
    }

    fn resize(&mut self, tokens: usize, targets: usize) {
        let Self { d_head_x, d_head_normed, d_stream, d_normed, d_ffn, d_attn, d_q, d_k, d_v } = self;
        for buffer in [d_head_x, d_head_normed] {
            buffer.resize(targets);
        }
        for buffer in [d_stream, d_normed, d_ffn, d_attn, d_q, d_k, d_v] {
            buffer.resize(tokens);
        }
    }
}

/// The largest need of any op: no two run at once.
fn scratch_len(
    config: &ModelConfig,
    max_tokens: usize,
    adapter: Option<&LoraWeights>,
    training: bool,
) -> usize {
    let base = config.base_shape();
    let (hidden, vocab) = (config.hidden_size, config.vocab_size);
    let mut len =
        cross_entropy::scratch_len(max_tokens, hidden, vocab).max(linear::scratch_len(hidden, vocab));
    for module in TargetModule::ALL {
        len = len.max(linear::scratch_len(base.in_features(module), base.out_features(module)));
    }
    if training {
        len = len.max(attention::scratch_len(max_tokens, config.heads()));
        let dropout = adapter.map_or(0.0, |adapter| adapter.config.lora_dropout);
        let widest = TargetModule::ALL.map(|module| base.in_features(module)).into_iter().max();
        len = len.max(lora::scratch_len(max_tokens, widest.unwrap_or(0), dropout));
    }
    len
}

impl ModelConfig {
    /// How the columns of q, k and v are divided.
    pub(super) fn heads(&self) -> attention::Heads {
        attention::Heads {
            heads: self.num_attention_heads,
            kv_heads: self.num_key_value_heads,
            head_dim: self.head_dim,
        }
    }
}
