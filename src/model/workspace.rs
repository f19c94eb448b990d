//! All memory of a pass, allocated once.
//!
//! Where in the flow: [`Llama::workspace`] makes it, and every pass borrows it, for rows of any length up to
//! the one that it was made for.
//!
//! Shapes: T tokens, C `hidden_size`, H·D and K·D columns of queries and keys, F `intermediate_size`, R rank.
//! Per token and layer backward needs 2C + 2HD + 2KD + 2F numbers, and a few for norms, softmax and adapters;
//! the inputs of the linear layers (norms, silu·up) are recomputed from them. With checkpointing (Chen et al.
//! 2016, arXiv:1604.06174) layers are divided into segments. Of each segment only the stream before it (C
//! numbers per token) is kept; the rest is recomputed when backward gets there, in buffers that all segments
//! share. With `feed-forward` (selective, as in Korthikanti et al. 2022, arXiv:2205.05198, but for the blocks
//! that take most of a LLaMA's memory) there is one segment, whose feed-forward blocks share their buffers.
//!
//! **Invariant:** [`Workspace::bytes`] is what [`Workspace::new`] allocates: both walk over the same buffers.
//! **Invariant:** the length of a buffer is that of the current row, its capacity that of the longest, so
//! resizing never allocates.

use super::adapter::GROUPS;
use super::row::{PackedRow, RowIndex};
use super::{GradientCheckpointing, Llama, ModelConfig};
use crate::lora::{LoraWeights, TargetModule};
use crate::ops::{attention, cross_entropy, linear, lora, rope};
use crate::tensor::Real;

/// What a workspace is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Losses and logits.
    Inference,
    /// Gradients too, which need the activations of every layer, kept or recomputed.
    Training(GradientCheckpointing),
}

/// Activations and scratch, allocated once, reused for every row up to `max_tokens`.
#[derive(Debug)]
pub struct Workspace<T = f32> {
    max_tokens: usize,
    pub(super) ranks: GroupRanks,
    pub(super) training: bool,
    pub(super) segments: Segments,
    pub(super) index: RowIndex,
    /// (T, D/2, 2).
    pub(super) rope_table: Buffer<T>,
    /// (T, C) each: the residual stream between layers, at the indices that [`Segments`] gives.
    pub(super) stream: Vec<Buffer<T>>,
    /// What the attention of each layer of a segment leaves for backward; without training, one that all
    /// layers share.
    pub(super) attention: Vec<AttentionBuffers<T>>,
    /// The same for feed-forward blocks.
    pub(super) feed_forward: Vec<FeedForwardBuffers<T>>,
    pub(super) shared: SharedBuffers<T>,
    pub(super) head: HeadBuffers<T>,
    /// `None` without training.
    pub(super) backward: Option<BackwardBuffers<T>>,
    /// (T, R): the gradient of a group's `t`, R the largest sum of ranks. Empty without training.
    pub(super) u: Buffer<T>,
    /// Scratch of the op that runs: decoded weights, dropped inputs, gradients per head.
    pub(super) scratch: Vec<T>,
    scratch_len: usize,
}

/// How the layers are divided: segments of `length` layers, of which the last may be shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segments {
    layers: usize,
    length: usize,
    /// Feed-forward blocks that have buffers of their own: all of a segment, or one.
    feed_forward_slots: usize,
    /// Streams kept between segments: all of them in training, otherwise two that alternate.
    between: usize,
}

/// Indices of a layer's input and output in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) input: usize,
    pub(super) output: usize,
}

/// Sums of the adapter's ranks over projections that read the same input, 0 without an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupRanks {
    pub(super) qkv: usize,
    pub(super) o: usize,
    pub(super) gate_up: usize,
    pub(super) down: usize,
}

impl GroupRanks {
    pub(super) fn new(adapter: Option<&LoraWeights>) -> Self {
        let [qkv, o, gate_up, down] = GROUPS.map(|group| {
            let Some(adapter) = adapter else { return 0 };
            group.iter().filter_map(|&module| adapter.pair(0, module)).map(|pair| pair.rank).sum()
        });
        Self { qkv, o, gate_up, down }
    }

    /// In the order of [`GROUPS`].
    fn list(self) -> [usize; 4] {
        let Self { qkv, o, gate_up, down } = self;
        [qkv, o, gate_up, down]
    }

    pub(super) fn max(self) -> usize {
        self.list().into_iter().max().unwrap_or(0)
    }
}

impl Segments {
    pub(super) fn new(layers: usize, purpose: Purpose) -> Self {
        match purpose {
            Purpose::Inference => Self { layers, length: 1, feed_forward_slots: 1, between: 2 },
            Purpose::Training(checkpointing) => {
                let length = checkpointing.segment_length(layers);
                let feed_forward_slots = checkpointing.feed_forward_slots(layers);
                Self { layers, length, feed_forward_slots, between: layers.div_ceil(length) + 1 }
            }
        }
    }

    /// Index of a layer in its segment, and of its attention buffers.
    pub(super) fn slot(&self, layer: usize) -> usize {
        layer % self.length
    }

    /// Index of its feed-forward buffers.
    pub(super) fn feed_forward_slot(&self, layer: usize) -> usize {
        self.slot(layer) % self.feed_forward_slots
    }

    /// Indices into the stream of a layer's input and output.
    pub(super) fn places(&self, layer: usize) -> Places {
        let (segment, slot) = (layer / self.length, self.slot(layer));
        let input = if slot == 0 { segment % self.between } else { self.between + slot - 1 };
        let ends = slot + 1 == self.length || layer + 1 == self.layers;
        let output = if ends { (segment + 1) % self.between } else { self.between + slot };
        Places { input, output }
    }

    /// Index of the last layer's output in the stream.
    pub(super) fn output(&self) -> usize {
        self.layers.div_ceil(self.length) % self.between
    }

    /// Layers of a segment, which is also the number of attention buffers.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Number of feed-forward buffers.
    pub(super) fn feed_forward_buffers(&self) -> usize {
        self.feed_forward_slots
    }

    /// Number of stream buffers.
    pub(super) fn places_needed(&self) -> usize {
        self.between + self.length - 1
    }
}

/// What attention leaves for backward, besides the layer's input.
#[derive(Debug)]
pub(super) struct AttentionBuffers<T> {
    pub(super) rstd: Buffer<T>,
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
    /// (T, R), R the sum of the ranks of q, k and v.
    pub(super) t_qkv: Buffer<T>,
    pub(super) t_o: Buffer<T>,
}

/// What a feed-forward block leaves for backward, besides its input.
#[derive(Debug)]
pub(super) struct FeedForwardBuffers<T> {
    pub(super) rstd: Buffer<T>,
    pub(super) gate: Buffer<T>,
    pub(super) up: Buffer<T>,
    /// (T, R), R the sum of the ranks of gate and up.
    pub(super) t_gate_up: Buffer<T>,
    pub(super) t_down: Buffer<T>,
}

/// Intermediate results that all layers share.
#[derive(Debug)]
pub(super) struct SharedBuffers<T> {
    /// (T, C): a normalised stream.
    pub(super) normed: Buffer<T>,
    /// (T, C): what a layer adds to the stream.
    pub(super) branch: Buffer<T>,
    /// (T, F): silu(gate) · up.
    pub(super) ffn: Buffer<T>,
}

/// The head's input at the positions that have a target, at most T.
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
    /// (T, C): the gradient of the stream, from the last layer down.
    pub(super) d_stream: Buffer<T>,
    pub(super) d_normed: Buffer<T>,
    pub(super) d_ffn: Buffer<T>,
    pub(super) d_attn: Buffer<T>,
    pub(super) d_q: Buffer<T>,
    pub(super) d_k: Buffer<T>,
    pub(super) d_v: Buffer<T>,
}

/// A (T, columns) matrix with capacity for the longest row.
#[derive(Debug)]
pub(super) struct Buffer<T> {
    data: Vec<T>,
    columns: usize,
}

impl<T: Real> Buffer<T> {
    /// Sets the number of rows; their content is unspecified.
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
    /// A workspace for rows of at most `max_tokens` tokens.
    pub fn workspace(&self, max_tokens: usize, adapter: Option<&LoraWeights>, purpose: Purpose) -> Workspace {
        Workspace::new(self.config(), max_tokens, adapter, purpose)
    }
}

impl<T: Real> Workspace<T> {
    pub(super) fn new(
        config: &ModelConfig,
        max_tokens: usize,
        adapter: Option<&LoraWeights>,
        purpose: Purpose,
    ) -> Self {
        let mut ws = Self::planned(config, max_tokens, adapter, purpose);
        ws.index.reserve(max_tokens);
        for buffer in ws.buffers() {
            buffer.data.reserve_exact(max_tokens * buffer.columns);
        }
        ws.scratch = vec![T::ZERO; ws.scratch_len];
        ws
    }

    /// Bytes that a workspace will allocate.
    pub fn bytes(
        config: &ModelConfig,
        max_tokens: usize,
        adapter: Option<&LoraWeights>,
        purpose: Purpose,
    ) -> usize {
        let mut ws = Self::planned(config, max_tokens, adapter, purpose);
        let numbers: usize = ws.buffers().map(|buffer| max_tokens * buffer.columns).sum();
        (numbers + ws.scratch_len) * size_of::<T>() + RowIndex::bytes(max_tokens)
    }

    /// A workspace without memory: only the shapes of its buffers.
    fn planned(
        config: &ModelConfig,
        max_tokens: usize,
        adapter: Option<&LoraWeights>,
        purpose: Purpose,
    ) -> Self {
        let buffer = |columns| Buffer { data: Vec::new(), columns };
        let hidden = config.hidden_size;
        let training = purpose != Purpose::Inference;
        let segments = Segments::new(config.num_hidden_layers, purpose);
        let ranks = GroupRanks::new(adapter);
        Self {
            max_tokens,
            ranks,
            training,
            segments,
            index: RowIndex::default(),
            rope_table: buffer(config.head_dim),
            stream: (0..segments.places_needed()).map(|_| buffer(hidden)).collect(),
            attention: (0..segments.length).map(|_| AttentionBuffers::new(config, ranks)).collect(),
            feed_forward: (0..segments.feed_forward_slots)
                .map(|_| FeedForwardBuffers::new(config, ranks))
                .collect(),
            shared: SharedBuffers {
                normed: buffer(hidden),
                branch: buffer(hidden),
                ffn: buffer(config.intermediate_size),
            },
            head: HeadBuffers { x: buffer(hidden), rstd: buffer(1), normed: buffer(hidden) },
            backward: training.then(|| BackwardBuffers::new(config)),
            u: buffer(if training { ranks.max() } else { 0 }),
            scratch: Vec::new(),
            scratch_len: scratch_len(config, max_tokens, adapter, training),
        }
    }

    /// Every buffer but scratch.
    fn buffers(&mut self) -> impl Iterator<Item = &mut Buffer<T>> {
        let SharedBuffers { normed, branch, ffn } = &mut self.shared;
        let HeadBuffers { x, rstd, normed: head_normed } = &mut self.head;
        [&mut self.rope_table, &mut self.u, normed, branch, ffn, x, rstd, head_normed]
            .into_iter()
            .chain(&mut self.stream)
            .chain(self.attention.iter_mut().flat_map(AttentionBuffers::buffers))
            .chain(self.feed_forward.iter_mut().flat_map(FeedForwardBuffers::buffers))
            .chain(self.backward.iter_mut().flat_map(BackwardBuffers::buffers))
    }

    /// Prepares for `row`: lengths of buffers, index lists, and angles of the rotation.
    ///
    /// # Panics
    /// If the row is longer than `max_tokens`.
    pub(super) fn set_row(&mut self, model: &Llama, row: &PackedRow) {
        let tokens = row.tokens.len();
        assert!(tokens <= self.max_tokens, "a row of {tokens} tokens in a workspace for {}", self.max_tokens);
        self.index.set(row);
        for buffer in self.buffers() {
            buffer.resize(tokens);
        }
        let targets = self.index.targets.len();
        for buffer in [&mut self.head.x, &mut self.head.rstd, &mut self.head.normed] {
            buffer.resize(targets);
        }
        if let Some(backward) = &mut self.backward {
            backward.d_head_x.resize(targets);
            backward.d_head_normed.resize(targets);
        }
        let (frequencies, magnitude) = (model.rope_frequencies(), model.rope_magnitude());
        rope::fill_table(&self.index.positions, frequencies, magnitude, &mut self.rope_table);
    }
}

impl<T: Real> AttentionBuffers<T> {
    fn new(config: &ModelConfig, ranks: GroupRanks) -> Self {
        let buffer = |columns| Buffer { data: Vec::new(), columns };
        let q = config.num_attention_heads * config.head_dim;
        let kv = config.num_key_value_heads * config.head_dim;
        Self {
            rstd: buffer(1),
            q: buffer(q),
            k: buffer(kv),
            v: buffer(kv),
            attn: buffer(q),
            lse: buffer(config.num_attention_heads),
            middle: buffer(config.hidden_size),
            t_qkv: buffer(ranks.qkv),
            t_o: buffer(ranks.o),
        }
    }

    fn buffers(&mut self) -> impl Iterator<Item = &mut Buffer<T>> {
        let Self { rstd, q, k, v, attn, lse, middle, t_qkv, t_o } = self;
        [rstd, q, k, v, attn, lse, middle, t_qkv, t_o].into_iter()
    }
}

impl<T: Real> FeedForwardBuffers<T> {
    fn new(config: &ModelConfig, ranks: GroupRanks) -> Self {
        let buffer = |columns| Buffer { data: Vec::new(), columns };
        let ffn = config.intermediate_size;
        Self {
            rstd: buffer(1),
            gate: buffer(ffn),
            up: buffer(ffn),
            t_gate_up: buffer(ranks.gate_up),
            t_down: buffer(ranks.down),
        }
    }

    fn buffers(&mut self) -> impl Iterator<Item = &mut Buffer<T>> {
        let Self { rstd, gate, up, t_gate_up, t_down } = self;
        [rstd, gate, up, t_gate_up, t_down].into_iter()
    }
}

impl<T: Real> BackwardBuffers<T> {
    fn new(config: &ModelConfig) -> Self {
        let buffer = |columns| Buffer { data: Vec::new(), columns };
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

    fn buffers(&mut self) -> impl Iterator<Item = &mut Buffer<T>> {
        let Self { d_head_x, d_head_normed, d_stream, d_normed, d_ffn, d_attn, d_q, d_k, d_v } = self;
        [d_head_x, d_head_normed, d_stream, d_normed, d_ffn, d_attn, d_q, d_k, d_v].into_iter()
    }
}

/// The largest scratch of any op. One buffer is enough because ops run one after the other.
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
    for (group, rank) in GROUPS.into_iter().zip(GroupRanks::new(adapter).list()) {
        let dropout = adapter.filter(|_| training).map_or(0.0, |adapter| adapter.config.lora_dropout);
        let inputs = base.in_features(group[0]);
        // The workspace of a training run also serves evaluation, which has no dropout.
        let without = lora::scratch_len(max_tokens, inputs, rank, 0.0);
        len = len.max(without).max(lora::scratch_len(max_tokens, inputs, rank, dropout));
    }
    if training {
        len = len.max(attention::scratch_len(max_tokens, config.heads()));
    }
    len
}

impl ModelConfig {
    /// How the columns of q, k and v are divided into heads.
    pub(super) fn heads(&self) -> attention::Heads {
        attention::Heads {
            heads: self.num_attention_heads,
            kv_heads: self.num_key_value_heads,
            head_dim: self.head_dim,
        }
    }
}
