//! All memory of the passes besides the base and the adapter, and what a row puts there.
//!
//! The buffers are those of the CPU's [`workspace`](crate::model::workspace), with the same places for what checkpointing keeps.

use crate::device::cuda::{Arena, CudaDevice, CudaError, Dtype, Tensor};
use crate::lora::{LoraWeights, TargetModule};
use crate::model::row::{PackedRow, RowIndex};
use crate::model::workspace::{Purpose, Segments, group_ranks};
use crate::model::{Llama, ModelConfig, Noise};
use crate::ops::{cross_entropy, rope};

/// Memory for the longest row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Buffer {
    tensor: Tensor,
    columns: usize,
}

impl Buffer {
    /// So many rows of it.
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
#[expect(clippy::struct_field_names, reason = "`d_x` is the gradient of `x`, as everywhere in ops")]
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
    /// For every token one more than its place among the targets, or 0.
    pub(super) places: Buffer,
    /// For every token the bound of its noise.
    pub(super) bounds: Buffer,
}

/// See the module.
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
    /// A decoded matrix.
    pub(super) weights: Tensor,
    /// Inputs of branches that drop.
    pub(super) dropped: Tensor,
    pub(super) cross_entropy: cross_entropy::cuda::Scratch,
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
        let (hidden, ffn, vocab) = (config.hidden_size, config.intermediate_size, config.vocab_size);
        let (heads, head_dim) = (config.num_attention_heads, config.head_dim);
        let (q, kv) = (heads * head_dim, config.num_key_value_heads * head_dim);
        let ([t_qkv, t_o, t_gate_up, t_down], training) =
            (group_ranks(Some(adapter)), purpose != Purpose::Inference);
        let segments = Segments::new(config.num_hidden_layers, purpose);
        let mut take = |dtype, columns| Buffer { tensor: arena.take(dtype, max_tokens * columns), columns };
        let mut lists = || Lists {
            tokens: take(Dtype::U32, 1),
            starts: take(Dtype::U32, 1),
            ends: take(Dtype::U32, 1),
            target_rows: take(Dtype::U32, 1),
            targets: take(Dtype::U32, 1),
            places: take(Dtype::U32, 1),
            bounds: take(Dtype::F64, 1),
        };
        let lists = lists();
        let attention = (0..segments.length()).map(|_| Attention {
            rstd: take(Dtype::F32, 1),
            q: take(act, q),
            k: take(act, kv),
            v: take(act, kv),
            attn: take(act, q),
            lse: take(Dtype::F32, heads),
            middle: take(act, hidden),
            t_qkv: take(act, t_qkv),
            t_o: take(act, t_o),
        });
        let attention = attention.collect();
        let feed_forward = (0..segments.feed_forward_buffers()).map(|_| FeedForward {
            rstd: take(Dtype::F32, 1),
            gate: take(act, ffn),
            up: take(act, ffn),
            t_gate_up: take(act, t_gate_up),
            t_down: take(act, t_down),
        });
        let feed_forward = feed_forward.collect();
        let backward = training.then(|| Backward {
            d_head_x: take(act, hidden),
            d_head_normed: take(act, hidden),
            d_stream: take(act, hidden),
            d_normed: take(act, hidden),
            d_ffn: take(act, ffn),
            d_attn: take(act, q),
            d_q: take(act, q),
            d_k: take(act, kv),
            d_v: take(act, kv),
            deltas: take(Dtype::F32, heads),
        });
        let rank = [t_qkv, t_o, t_gate_up, t_down].into_iter().max().unwrap_or(0);
        let [rope_table, normed, branch, ffn_out, head_x, head_rstd, head_normed, u] = [
            (Dtype::F32, head_dim),
            (act, hidden),
            (act, hidden),
            (act, ffn),
            (act, hidden),
            (Dtype::F32, 1),
            (act, hidden),
            (act, rank),
        ]
        .map(|(dtype, columns)| take(dtype, columns));
        let stream = (0..segments.places_needed()).map(|_| take(act, hidden)).collect();
        let base = config.base_shape();
        let largest = TargetModule::ALL.map(|module| base.in_features(module) * base.out_features(module));
        let largest = largest.into_iter().max().unwrap_or(0);
        let weights = arena.take(act, largest.max(cross_entropy::cuda::weights_len(hidden, vocab)));
        let drops = training && adapter.config.lora_dropout > 0.0;
        let widest = TargetModule::ALL.map(|module| base.in_features(module)).into_iter().max().unwrap_or(0);
        let dropped = arena.take(act, if drops { max_tokens * widest } else { 0 });
        let cross_entropy =
            cross_entropy::cuda::Scratch::take(arena, act, weights, max_tokens, hidden, vocab);
        Self {
            max_tokens,
            training,
            segments,
            index: RowIndex::default(),
            lists,
            rope_table,
            stream,
            attention,
            feed_forward,
            normed,
            branch,
            ffn: ffn_out,
            head_x,
            head_rstd,
            head_normed,
            backward,
            u,
            weights,
            dropped,
            cross_entropy,
        }
    }

    /// Copies what a row decides: lists, angles, bounds of noise.
    pub(super) fn set_row(
        &mut self,
        device: &CudaDevice,
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
        for (list, buffer) in all {
            device.upload(list, buffer.rows(list.len()))?;
        }
        let (frequencies, magnitude) = (model.rope_frequencies(), model.rope_magnitude());
        let mut table = vec![0.0_f32; tokens * 2 * frequencies.len()];
        rope::fill_table(positions, frequencies, magnitude, &mut table);
        device.upload(&table, self.rope_table.rows(tokens))?;
        if let Some(alpha) = noise.map(|noise| noise.neftune_noise_alpha).filter(|&alpha| alpha > 0.0) {
            let width = model.config().hidden_size;
            let bound = |len: usize| alpha / ((len * width) as f64).sqrt();
            let list = row.segments.iter().flat_map(|segment| segment.clone().map(|_| bound(segment.len())));
            device.upload(&list.collect::<Vec<f64>>(), bounds.rows(tokens))?;
        }
        Ok(())
    }
}
