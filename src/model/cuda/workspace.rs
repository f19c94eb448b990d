//! All memory of the passes besides base and adapter, and the upload of a row's lists.
//!
//! Where in the flow: the buffers are those of the CPU's [`workspace`](crate::model::workspace), with the
//! same [`Segments`] for checkpointing.
//!
//! **Invariant:** buffers have room for the longest row, and a pass uses their first rows.

use crate::device::cuda::{Arena, CudaDevice, CudaError, Dtype, Staging, Tensor};
use crate::lora::{LoraWeights, TargetModule};
use crate::model::row::{PackedRow, RowIndex};
use crate::model::workspace::{GroupRanks, Purpose, Segments};
use crate::model::{Llama, ModelConfig, Noise};
use crate::ops::{cross_entropy, rope};

/// A (rows, columns) matrix for the longest row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Buffer {
    tensor: Tensor,
    columns: usize,
}

impl Buffer {
    /// The first `rows` rows.
    pub(super) fn rows(&self, rows: usize) -> Tensor {
        self.tensor.first(rows * self.columns)
    }
}

/// What attention leaves for backward.
#[derive(Debug)]
pub(super) struct Attention {
    pub(super) rstd: Buffer,
    pub(super) q: Buffer,
    pub(super) k: Buffer,
    pub(super) v: Buffer,
    pub(super) attn: Buffer,
    pub(super) lse: Buffer,
    pub(super) middle: Buffer,
    pub(super) t_qkv: Buffer,
    pub(super) t_o: Buffer,
}

/// What a feed-forward block leaves for backward.
#[derive(Debug)]
pub(super) struct FeedForward {
    pub(super) rstd: Buffer,
    pub(super) gate: Buffer,
    pub(super) up: Buffer,
    pub(super) t_gate_up: Buffer,
    pub(super) t_down: Buffer,
}

/// Gradients of activations.
#[derive(Debug)]
pub(super) struct Backward {
    pub(super) d_head_x: Buffer,
    pub(super) d_head_normed: Buffer,
    pub(super) d_stream: Buffer,
    pub(super) d_normed: Buffer,
    pub(super) d_ffn: Buffer,
    pub(super) d_attn: Buffer,
    pub(super) d_q: Buffer,
    pub(super) d_k: Buffer,
    pub(super) d_v: Buffer,
    pub(super) deltas: Buffer,
}

/// Index lists of a row on the device.
#[derive(Debug)]
pub(super) struct Lists {
    pub(super) tokens: Buffer,
    pub(super) starts: Buffer,
    pub(super) ends: Buffer,
    pub(super) target_rows: Buffer,
    pub(super) targets: Buffer,
    /// For every token one more than its index among the targets, or 0.
    pub(super) places: Buffer,
    /// For every token the largest noise on its embedding.
    pub(super) bounds: Buffer,
}

/// Buffers for rows of at most `max_tokens`.
#[derive(Debug)]
pub(super) struct Workspace {
    max_tokens: usize,
    pub(super) training: bool,
    pub(super) segments: Segments,
    pub(super) index: RowIndex,
    pub(super) lists: Lists,
    pub(super) rope_table: Buffer,
    pub(super) stream: Vec<Buffer>,
    pub(super) attention: Vec<Attention>,
    pub(super) feed_forward: Vec<FeedForward>,
    pub(super) normed: Buffer,
    pub(super) branch: Buffer,
    pub(super) ffn: Buffer,
    pub(super) head_x: Buffer,
    pub(super) head_rstd: Buffer,
    pub(super) head_normed: Buffer,
    pub(super) backward: Option<Backward>,
    pub(super) u: Buffer,
    /// Scratch for one decoded matrix.
    pub(super) weights: Tensor,
    /// Scratch for the input of a branch with dropout.
    pub(super) dropped: Tensor,
    pub(super) cross_entropy: cross_entropy::cuda::Scratch,
}

/// Takes buffers of `rows` rows from an arena.
struct Taker<'a> {
    arena: &'a mut Arena,
    rows: usize,
    act: Dtype,
}

impl Taker<'_> {
    fn of(&mut self, dtype: Dtype, columns: usize) -> Buffer {
        Buffer { tensor: self.arena.take(dtype, self.rows * columns), columns }
    }

    /// A buffer of activations.
    fn act(&mut self, columns: usize) -> Buffer {
        self.of(self.act, columns)
    }
}

impl Lists {
    fn take(take: &mut Taker<'_>) -> Self {
        let mut list = || take.of(Dtype::U32, 1);
        let [tokens, starts, ends, target_rows, targets, places] = [(); 6].map(|()| list());
        Self { tokens, starts, ends, target_rows, targets, places, bounds: take.of(Dtype::F64, 1) }
    }
}

impl Attention {
    fn take(take: &mut Taker<'_>, config: &ModelConfig, ranks: GroupRanks) -> Self {
        let heads = config.num_attention_heads;
        let (q, kv) = (heads * config.head_dim, config.num_key_value_heads * config.head_dim);
        Self {
            rstd: take.of(Dtype::F32, 1),
            q: take.act(q),
            k: take.act(kv),
            v: take.act(kv),
            attn: take.act(q),
            lse: take.of(Dtype::F32, heads),
            middle: take.act(config.hidden_size),
            t_qkv: take.act(ranks.qkv),
            t_o: take.act(ranks.o),
        }
    }
}

impl FeedForward {
    fn take(take: &mut Taker<'_>, config: &ModelConfig, ranks: GroupRanks) -> Self {
        Self {
            rstd: take.of(Dtype::F32, 1),
            gate: take.act(config.intermediate_size),
            up: take.act(config.intermediate_size),
            t_gate_up: take.act(ranks.gate_up),
            t_down: take.act(ranks.down),
        }
    }
}

impl Backward {
    fn take(take: &mut Taker<'_>, config: &ModelConfig) -> Self {
        let (hidden, heads) = (config.hidden_size, config.num_attention_heads);
        let (q, kv) = (heads * config.head_dim, config.num_key_value_heads * config.head_dim);
        Self {
            d_head_x: take.act(hidden),
            d_head_normed: take.act(hidden),
            d_stream: take.act(hidden),
            d_normed: take.act(hidden),
            d_ffn: take.act(config.intermediate_size),
            d_attn: take.act(q),
            d_q: take.act(q),
            d_k: take.act(kv),
            d_v: take.act(kv),
            deltas: take.of(Dtype::F32, heads),
        }
    }
}

impl Workspace {
    pub(super) fn take(
        arena: &mut Arena,
        config: &ModelConfig,
        adapter: &LoraWeights,
        max_tokens: usize,
        purpose: Purpose,
        act: Dtype,
    ) -> Self {
        let (hidden, vocab, base) = (config.hidden_size, config.vocab_size, config.base_shape());
        let (ranks, training) = (GroupRanks::new(Some(adapter)), purpose != Purpose::Inference);
        let segments = Segments::new(config.num_hidden_layers, purpose);
        let largest =
            |of: &dyn Fn(TargetModule) -> usize| TargetModule::ALL.into_iter().map(of).max().unwrap_or(0);
        let matrix = largest(&|module| base.in_features(module) * base.out_features(module));
        let weights = arena.take(act, matrix.max(cross_entropy::cuda::weights_len(hidden, vocab)));
        let drops = training && adapter.config.lora_dropout > 0.0;
        let widest = largest(&|module| base.in_features(module));
        let dropped = arena.take(act, if drops { max_tokens * widest } else { 0 });
        let cross_entropy =
            cross_entropy::cuda::Scratch::take(arena, act, weights, max_tokens, hidden, vocab);
        let take = &mut Taker { arena, rows: max_tokens, act };
        Self {
            max_tokens,
            training,
            index: RowIndex::default(),
            lists: Lists::take(take),
            rope_table: take.of(Dtype::F32, config.head_dim),
            stream: (0..segments.places_needed()).map(|_| take.act(hidden)).collect(),
            attention: (0..segments.length()).map(|_| Attention::take(take, config, ranks)).collect(),
            feed_forward: (0..segments.feed_forward_buffers())
                .map(|_| FeedForward::take(take, config, ranks))
                .collect(),
            normed: take.act(hidden),
            branch: take.act(hidden),
            ffn: take.act(config.intermediate_size),
            head_x: take.act(hidden),
            head_rstd: take.of(Dtype::F32, 1),
            head_normed: take.act(hidden),
            backward: training.then(|| Backward::take(take, config)),
            u: take.act(ranks.max()),
            segments,
            weights,
            dropped,
            cross_entropy,
        }
    }

    /// Bytes that [`Self::set_row`] copies for a row of `tokens` tokens.
    pub(super) fn staging_bytes(config: &ModelConfig, tokens: usize) -> usize {
        let angles = tokens * config.head_dim;
        6 * Staging::bytes_of(tokens, 4) + Staging::bytes_of(angles, 4) + Staging::bytes_of(tokens, 8)
    }

    /// Copies everything that depends on the row: index lists, angles of the rotation, bounds of noise.
    pub(super) fn set_row(
        &mut self,
        device: &CudaDevice,
        staging: &mut Staging,
        model: &Llama,
        row: &PackedRow,
        noise: Option<Noise>,
    ) -> Result<(), CudaError> {
        let tokens = row.tokens.len();
        assert!(tokens <= self.max_tokens, "a row of {tokens} tokens in a workspace for {}", self.max_tokens);
        self.index.set(row);
        let RowIndex { starts, positions, target_rows, targets } = &self.index;
        let (mut ends, mut places) = (Vec::with_capacity(tokens), vec![0_u32; tokens]);
        row.segments.iter().for_each(|segment| ends.extend(segment.clone().map(|_| segment.end as u32)));
        (1..).zip(target_rows).for_each(|(place, &row)| places[row as usize] = place);
        let Lists { tokens: ids, starts: s, ends: e, target_rows: r, targets: t, places: p, bounds } =
            &self.lists;
        let all: [(&[u32], &Buffer); 6] =
            [(&row.tokens, ids), (starts, s), (&ends, e), (target_rows, r), (targets, t), (&places, p)];
        staging.begin()?;
        for (list, buffer) in all {
            staging.put(device, list, buffer.rows(list.len()))?;
        }
        let (frequencies, magnitude) = (model.rope_frequencies(), model.rope_magnitude());
        let mut table = vec![0.0_f32; tokens * 2 * frequencies.len()];
        rope::fill_table(positions, frequencies, magnitude, &mut table);
        staging.put(device, &table, self.rope_table.rows(tokens))?;
        if let Some(alpha) = noise.map(|noise| noise.neftune_noise_alpha).filter(|&alpha| alpha > 0.0) {
            let width = model.config().hidden_size;
            let bound = |len: usize| alpha / ((len * width) as f64).sqrt();
            let list = row.segments.iter().flat_map(|segment| segment.clone().map(|_| bound(segment.len())));
            staging.put(device, &list.collect::<Vec<f64>>(), bounds.rows(tokens))?;
        }
        Ok(())
    }
}
