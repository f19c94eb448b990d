//! The forward pass: embedding, layers, head.
//!
//! Per layer, with x the residual stream:
//! `middle = x + W_o · attention(rope(W_q · n), rope(W_k · n), W_v · n)` with `n = rms_norm(x)`, and
//! `next = middle + W_down · (silu(W_gate · m) ⊙ W_up · m)` with `m = rms_norm(middle)`;
//! every W has its adapter's branch added, and a bias if the file has one.
//! Source: Touvron et al. 2023, arXiv:2302.13971, section 2.2; llama.cpp's `llm_build_llama`.
//!
//! **Invariant:** no arithmetic here: only ops, in order.
//! **Invariant:** with B = 0 the adapter adds exact zeros, so the logits are those of the base, bit for bit.

use super::Llama;
use super::adapter::Adapter;
use super::row::{LossSum, PackedRow, RowIndex};
use super::workspace::{
    AttentionBuffers, Buffer, FeedForwardBuffers, GroupRanks, HeadBuffers, SharedBuffers, Workspace,
};
use crate::device::CpuPool;
use crate::lora::{LoraWeights, TargetModule};
use crate::ops::{
    attention, bias, cross_entropy, embedding, linear, lora, residual, rms_norm, rope, rows, swiglu,
};
use crate::tensor::Real;

impl Llama {
    /// Logits of all positions, (T, V). For tests and small inputs.
    ///
    /// # Panics
    /// If the row is longer than the workspace allows, its lists differ in length, a token is not in the
    /// vocabulary, or the workspace was made for an adapter of other ranks.
    pub fn logits(
        &self,
        pool: &CpuPool,
        ws: &mut Workspace,
        adapter: Option<&LoraWeights>,
        row: &PackedRow,
    ) -> Vec<f32> {
        let adapter = adapter.map(|weights| Adapter::new(weights, None));
        pool.run(|| {
            let pass = Pass::new(pool, self, adapter, ws, row);
            pass.embed(ws, &row.tokens);
            pass.run_layers(ws);
            pass.all_logits(ws)
        })
    }

    /// Loss without gradients, and without dropout.
    ///
    /// # Panics
    /// As [`Self::logits`].
    pub fn loss(
        &self,
        pool: &CpuPool,
        ws: &mut Workspace,
        adapter: Option<&LoraWeights>,
        row: &PackedRow,
    ) -> LossSum {
        let adapter = adapter.map(|weights| Adapter::new(weights, None));
        pool.run(|| {
            let pass = Pass::new(pool, self, adapter, ws, row);
            if ws.index.targets.is_empty() {
                return LossSum::default();
            }
            pass.embed(ws, &row.tokens);
            pass.run_layers(ws);
            pass.normed_head(ws);
            let (normed, targets) = (&ws.head.normed, &ws.index.targets);
            let nll = cross_entropy::forward(pool, &self.head(), normed, targets, &mut ws.scratch);
            LossSum { nll, n_targets: targets.len() }
        })
    }
}

/// A pass over one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass<'a, T> {
    pub(super) pool: &'a CpuPool,
    pub(super) model: &'a Llama,
    pub(super) adapter: Option<Adapter<'a, T>>,
    pub(super) tokens: usize,
}

impl<'a, T: Real> Pass<'a, T> {
    /// Prepares `ws` for `row`.
    pub(super) fn new(
        pool: &'a CpuPool,
        model: &'a Llama,
        adapter: Option<Adapter<'a, T>>,
        ws: &mut Workspace<T>,
        row: &PackedRow,
    ) -> Self {
        if let Some(adapter) = &adapter {
            let ranks = GroupRanks::new(Some(adapter.layout));
            assert_eq!(ranks, ws.ranks, "ranks of the adapter (left) and of the workspace");
        }
        ws.set_row(model, row);
        Self { pool, model, adapter, tokens: row.tokens.len() }
    }

    /// Fills the stream before the first layer.
    pub(super) fn embed(&self, ws: &mut Workspace<T>, tokens: &[u32]) {
        embedding::forward(self.pool, &self.model.embedding(), tokens, &mut ws.stream[0]);
    }

    /// Computes all layers, from the first stream to the last.
    pub(super) fn run_layers(&self, ws: &mut Workspace<T>) {
        for layer in 0..self.model.config().num_hidden_layers {
            self.run_layer(ws, layer, true);
        }
    }

    /// Computes one layer. Without `writes_output` it stops before the last product, which backward does not
    /// need, and leaves the stream after the layer unchanged.
    pub(super) fn run_layer(&self, ws: &mut Workspace<T>, layer: usize, writes_output: bool) {
        let (slot, x) = (ws.segments.slot(layer), ws.segments.places(layer).input);
        let Workspace { index, rope_table, stream, attention, shared, scratch, .. } = &mut *ws;
        self.attention_block(layer, index, rope_table, &stream[x], &mut attention[slot], shared, scratch);
        self.run_feed_forward(ws, layer, writes_output);
    }

    /// Computes the second half of a layer.
    pub(super) fn run_feed_forward(&self, ws: &mut Workspace<T>, layer: usize, writes_output: bool) {
        let Workspace { segments, stream, attention, feed_forward, shared, scratch, .. } = &mut *ws;
        let (middle, next) = (&attention[segments.slot(layer)].middle, segments.places(layer).output);
        let saved = &mut feed_forward[segments.feed_forward_slot(layer)];
        let next = writes_output.then_some(&mut stream[next]);
        self.feed_forward_block(layer, middle, saved, shared, scratch, next);
    }

    /// `saved.middle = x + attention block(x)`.
    fn attention_block(
        &self,
        layer: usize,
        index: &RowIndex,
        rope_table: &[T],
        x: &[T],
        saved: &mut AttentionBuffers<T>,
        shared: &mut SharedBuffers<T>,
        scratch: &mut [T],
    ) {
        use TargetModule::{KProj, OProj, QProj, VProj};
        let (pool, model, config) = (self.pool, self.model, self.model.config());
        let AttentionBuffers { rstd, q, k, v, attn, lse, middle, t_qkv, t_o } = saved;
        let SharedBuffers { normed, branch, .. } = shared;
        rms_norm::forward(pool, x, model.attn_norm(layer), config.rms_norm_eps, normed, rstd);
        self.project(layer, [QProj, KProj, VProj], normed, [&mut *q, &mut *k, v], t_qkv, scratch);
        let heads = config.heads();
        rope::forward(pool, rope_table, heads.heads, heads.head_dim, q);
        rope::forward(pool, rope_table, heads.kv_heads, heads.head_dim, k);
        let inputs = attention::Inputs { heads, starts: &index.starts, q, k, v };
        attention::forward(pool, inputs, attn, lse);
        self.project(layer, [OProj], attn, [&mut *branch], t_o, scratch);
        residual::forward(pool, x, branch, middle);
    }

    /// `next = middle + feed-forward block(middle)`; without `next` only fills `saved`.
    fn feed_forward_block(
        &self,
        layer: usize,
        middle: &[T],
        saved: &mut FeedForwardBuffers<T>,
        shared: &mut SharedBuffers<T>,
        scratch: &mut [T],
        next: Option<&mut Buffer<T>>,
    ) {
        use TargetModule::{DownProj, GateProj, UpProj};
        let (pool, model, eps) = (self.pool, self.model, self.model.config().rms_norm_eps);
        let FeedForwardBuffers { rstd, gate, up, t_gate_up, t_down } = saved;
        let SharedBuffers { normed, branch, ffn } = shared;
        rms_norm::forward(pool, middle, model.ffn_norm(layer), eps, normed, rstd);
        self.project(layer, [GateProj, UpProj], normed, [&mut *gate, &mut *up], t_gate_up, scratch);
        swiglu::forward(pool, gate, up, ffn);
        if let Some(next) = next {
            self.project(layer, [DownProj], ffn, [&mut *branch], t_down, scratch);
            residual::forward(pool, middle, branch, next);
        } else {
            let branches = self.branches(layer, [DownProj]);
            lora::down(pool, &branches, self.tokens, ffn, t_down, scratch);
        }
    }

    /// Linear layers with the same input `x`, with their branches and biases.
    fn project<const N: usize>(
        &self,
        layer: usize,
        modules: [TargetModule; N],
        x: &[T],
        ys: [&mut Buffer<T>; N],
        t: &mut [T],
        scratch: &mut [T],
    ) {
        let branches = self.branches(layer, modules);
        lora::down(self.pool, &branches, self.tokens, x, t, scratch);
        for (i, (module, y)) in modules.into_iter().zip(ys).enumerate() {
            let plus = lora::up(&branches, i, self.tokens, t);
            linear::forward(self.pool, &self.model.linear(layer, module), self.tokens, x, plus, y, scratch);
            if let Some(bias) = self.model.bias(layer, module) {
                bias::forward(self.pool, bias, y);
            }
        }
    }

    /// The branches of projections; `None` for one that is not adapted.
    pub(super) fn branches<const N: usize>(
        &self,
        layer: usize,
        modules: [TargetModule; N],
    ) -> [Option<lora::Branch<'a, T>>; N] {
        modules.map(|module| self.adapter.and_then(|adapter| adapter.branch(layer, module)))
    }

    /// Normalises the stream at the positions that have a target: the head computes no others.
    pub(super) fn normed_head(&self, ws: &mut Workspace<T>) {
        let config = self.model.config();
        let HeadBuffers { x, rstd, normed } = &mut ws.head;
        let last = &ws.stream[ws.segments.output()];
        rows::forward(last, config.hidden_size, &ws.index.target_rows, x);
        rms_norm::forward(self.pool, x, self.model.output_norm(), config.rms_norm_eps, normed, rstd);
    }

    /// Logits (T, V) of all positions, with a target or without.
    fn all_logits(&self, ws: &mut Workspace<T>) -> Vec<T> {
        let config = self.model.config();
        let Workspace { segments, stream, shared, feed_forward, scratch, .. } = ws;
        let last = &stream[segments.output()];
        // The op writes `rstd`, which nothing reads here: any buffer of the finished layers will do.
        let rstd = &mut feed_forward[0].rstd;
        let normed = &mut shared.normed;
        rms_norm::forward(self.pool, last, self.model.output_norm(), config.rms_norm_eps, normed, rstd);
        let mut logits = vec![T::ZERO; self.tokens * config.vocab_size];
        linear::forward(self.pool, &self.model.head(), self.tokens, normed, None, &mut logits, scratch);
        logits
    }
}
