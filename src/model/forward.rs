//! The forward pass: embedding, layers, head.
//!
//! Per layer, with x the residual stream:
//! `middle = x + W_o · attention(rope(W_q · n), rope(W_k · n), W_v · n)` with `n = rms_norm(x)`, and
//! `next = middle + W_down · (silu(W_gate · m) ⊙ W_up · m)` with `m = rms_norm(middle)`;
//! every W has its adapter's branch beside it.
//! Source: Touvron et al. 2023, arXiv:2302.13971, section 2.2; llama.cpp's `llm_build_llama`.
//!
//! **Invariant:** no arithmetic here: only ops, in order.
//! **Invariant:** with B = 0 the adapter adds exact zeros, so logits are those of the base, bit for bit.

use super::adapter::Adapter;
use super::row::{LossSum, PackedRow, RowIndex};
use super::workspace::{HeadBuffers, LayerBuffers, SharedBuffers, Workspace};
use super::{Llama, backward};
use crate::device::Device;
use crate::lora::{LoraWeights, TargetModule};
use crate::ops::{attention, cross_entropy, embedding, linear, lora, residual, rms_norm, rope, rows, swiglu};
use crate::tensor::Real;

impl Llama {
    /// Logits of all positions, (T, V). For tests and small inputs.
    ///
    /// # Panics
    /// If the row is longer than the workspace, its lists do not fit together, a token is not in the
    /// vocabulary, or the workspace was made for another adapter. So do the other passes.
    pub fn logits(
        &self,
        device: &Device,
        ws: &mut Workspace,
        adapter: Option<&LoraWeights>,
        row: &PackedRow,
    ) -> Vec<f32> {
        let adapter = adapter.map(|weights| Adapter::new(weights, None));
        on_threads_of(device, || {
            let pass = Pass::new(device, self, adapter, ws, row);
            pass.run_layers(ws, &row.tokens);
            pass.all_logits(ws)
        })
    }

    /// Loss without gradients, and without dropout.
    pub fn loss(
        &self,
        device: &Device,
        ws: &mut Workspace,
        adapter: Option<&LoraWeights>,
        row: &PackedRow,
    ) -> LossSum {
        let adapter = adapter.map(|weights| Adapter::new(weights, None));
        on_threads_of(device, || {
            let pass = Pass::new(device, self, adapter, ws, row);
            if ws.index.targets.is_empty() {
                return LossSum::default();
            }
            pass.run_layers(ws, &row.tokens);
            pass.normed_head(ws);
            let (normed, targets) = (&ws.head.normed, &ws.index.targets);
            let nll = cross_entropy::forward(device, &self.head(), normed, targets, &mut ws.scratch);
            LossSum { nll, n_targets: targets.len() }
        })
    }

    /// Adds the gradient of `loss_scale * nll` to `grads.data` (same layout as `adapter`); returns the
    /// unscaled loss. `dropout_key` seeds the counter-based dropout of this row (ignored when
    /// `lora_dropout` is 0).
    ///
    /// # Panics
    /// Also if the workspace was not made for training.
    pub fn forward_backward(
        &self,
        device: &Device,
        ws: &mut Workspace,
        adapter: &LoraWeights,
        row: &PackedRow,
        loss_scale: f32,
        dropout_key: u64,
        grads: &mut LoraWeights,
    ) -> LossSum {
        assert_eq!(grads.pairs, adapter.pairs, "layout of gradients (left) and adapter (right)");
        let adapter = Adapter::new(adapter, Some(dropout_key));
        let gradients = &mut grads.data;
        on_threads_of(device, || {
            backward::forward_backward(device, self, ws, adapter, row, loss_scale, gradients)
        })
    }
}

/// Runs a whole pass where its ops run: handing each of them over to the pool takes 3 % of a pass over 512
/// tokens with two threads.
fn on_threads_of<R: Send>(device: &Device, pass: impl FnOnce() -> R + Send) -> R {
    match device {
        Device::Cpu(cpu) => cpu.run(pass),
    }
}

/// What stays the same during a pass over one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass<'a, T> {
    pub(super) device: &'a Device,
    pub(super) model: &'a Llama,
    pub(super) adapter: Option<Adapter<'a, T>>,
    pub(super) tokens: usize,
}

impl<'a, T: Real> Pass<'a, T> {
    /// Prepares `ws` for `row`.
    pub(super) fn new(
        device: &'a Device,
        model: &'a Llama,
        adapter: Option<Adapter<'a, T>>,
        ws: &mut Workspace<T>,
        row: &PackedRow,
    ) -> Self {
        if let Some(adapter) = &adapter {
            assert_eq!(adapter.layout.config.r, ws.rank, "rank of the adapter (left) and of the workspace");
        }
        ws.set_row(model, row);
        Self { device, model, adapter, tokens: row.tokens.len() }
    }

    /// From the tokens to the stream after the last layer.
    pub(super) fn run_layers(&self, ws: &mut Workspace<T>, tokens: &[u32]) {
        embedding::forward(self.device, &self.model.embedding(), tokens, &mut ws.stream[0]);
        for layer in 0..self.model.config().num_hidden_layers {
            let Workspace { index, rope_table, stream, layers, shared, scratch, .. } = &mut *ws;
            let saved_layers = layers.len();
            let saved = &mut layers[layer % saved_layers];
            let streams = stream.len();
            let [x, next] = stream
                .get_disjoint_mut([layer % streams, (layer + 1) % streams])
                .expect("there are at least two streams");
            self.attention_block(layer, index, rope_table, x, saved, shared, scratch);
            self.feed_forward_block(layer, saved, shared, scratch, next);
        }
    }

    /// `saved.middle = x + attention block(x)`.
    fn attention_block(
        &self,
        layer: usize,
        index: &RowIndex,
        rope_table: &[T],
        x: &[T],
        saved: &mut LayerBuffers<T>,
        shared: &mut SharedBuffers<T>,
        scratch: &mut [T],
    ) {
        let (device, model, config) = (self.device, self.model, self.model.config());
        let LayerBuffers { attn_rstd, q, k, v, attn, lse, middle, t, .. } = saved;
        let SharedBuffers { normed, branch, .. } = shared;
        let [t_q, t_k, t_v, t_o, ..] = t;
        rms_norm::forward(device, x, model.attn_norm(layer), config.rms_norm_eps, normed, attn_rstd);
        self.project(layer, TargetModule::QProj, normed, q, t_q, scratch);
        self.project(layer, TargetModule::KProj, normed, k, t_k, scratch);
        self.project(layer, TargetModule::VProj, normed, v, t_v, scratch);
        let heads = config.heads();
        rope::forward(device, rope_table, heads.heads, heads.head_dim, q);
        rope::forward(device, rope_table, heads.kv_heads, heads.head_dim, k);
        let inputs = attention::Inputs { heads, starts: &index.starts, q, k, v };
        attention::forward(device, inputs, attn, lse);
        self.project(layer, TargetModule::OProj, attn, branch, t_o, scratch);
        residual::forward(device, x, branch, middle);
    }

    /// `next = saved.middle + feed-forward block(saved.middle)`.
    fn feed_forward_block(
        &self,
        layer: usize,
        saved: &mut LayerBuffers<T>,
        shared: &mut SharedBuffers<T>,
        scratch: &mut [T],
        next: &mut [T],
    ) {
        let (device, model, eps) = (self.device, self.model, self.model.config().rms_norm_eps);
        let LayerBuffers { middle, ffn_rstd, gate, up, t, .. } = saved;
        let SharedBuffers { normed, branch, ffn } = shared;
        let [.., t_gate, t_up, t_down] = t;
        rms_norm::forward(device, middle, model.ffn_norm(layer), eps, normed, ffn_rstd);
        self.project(layer, TargetModule::GateProj, normed, gate, t_gate, scratch);
        self.project(layer, TargetModule::UpProj, normed, up, t_up, scratch);
        swiglu::forward(device, gate, up, ffn);
        self.project(layer, TargetModule::DownProj, ffn, branch, t_down, scratch);
        residual::forward(device, middle, branch, next);
    }

    /// A linear layer and the branch beside it.
    fn project(
        &self,
        layer: usize,
        module: TargetModule,
        x: &[T],
        y: &mut [T],
        t: &mut [T],
        scratch: &mut [T],
    ) {
        linear::forward(self.device, &self.model.linear(layer, module), self.tokens, x, y, scratch);
        if let Some(branch) = self.adapter.and_then(|adapter| adapter.branch(layer, module)) {
            lora::forward(self.device, &branch, self.tokens, x, t, y, scratch);
        }
    }

    /// The normalised stream of the positions that have a target: the others never meet the vocabulary.
    pub(super) fn normed_head(&self, ws: &mut Workspace<T>) {
        let config = self.model.config();
        let HeadBuffers { x, rstd, normed } = &mut ws.head;
        let last = &ws.stream[config.num_hidden_layers % ws.stream.len()];
        rows::forward(self.device, last, config.hidden_size, &ws.index.target_rows, x);
        rms_norm::forward(self.device, x, self.model.output_norm(), config.rms_norm_eps, normed, rstd);
    }

    /// (T, V), whether a position has a target or not.
    fn all_logits(&self, ws: &mut Workspace<T>) -> Vec<T> {
        let config = self.model.config();
        let Workspace { stream, shared, layers, scratch, .. } = ws;
        let last = &stream[config.num_hidden_layers % stream.len()];
        // The layers are done: any column of their buffers may take what nobody needs.
        let rstd = &mut layers[0].ffn_rstd;
        let normed = &mut shared.normed;
        rms_norm::forward(self.device, last, self.model.output_norm(), config.rms_norm_eps, normed, rstd);
        let mut logits = vec![T::ZERO; self.tokens * config.vocab_size];
        linear::forward(self.device, &self.model.head(), self.tokens, normed, &mut logits, scratch);
        logits
    }
}
