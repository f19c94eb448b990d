//! The backward pass: from the loss down to the lowest adapted projection.
//!
//! `d_stream` starts as the gradient of the last layer's output; every block adds its part, layer by layer.
//! The inputs of a block's linear layers (norms, silu·up) are recomputed from what forward saved. Gradients
//! of `gate` and `up` replace their values, so a row's buffers are consumed by its backward pass. With
//! checkpointing, forward leaves only the last segment; the others are recomputed, one at a time.
//! Source: the chain rule over the formulas in `forward.rs`; each op's `mod.rs` has its own.
//!
//! **Invariant:** only adapter tensors have gradients, and nothing is computed below the lowest of them.
//! **Invariant:** no arithmetic here: only ops, in order.

use super::Llama;
use super::adapter::Adapter;
use super::forward::Pass;
use super::row::{LossSum, Noise, PackedRow, RowIndex};
use super::workspace::{AttentionBuffers, BackwardBuffers, FeedForwardBuffers, SharedBuffers, Workspace};
use crate::device::CpuPool;
use crate::lora::{LoraWeights, TargetModule};
use crate::ops::{attention, cross_entropy, embedding, linear, lora, rms_norm, rope, rows, swiglu};
use crate::rng;
use crate::tensor::Real;

impl Llama {
    /// Adds the gradient of `loss_scale * nll` to `grads.data` (same layout as `adapter`); returns the
    /// unscaled loss. `noise` is the randomness of this row; with no dropout and no noise on embeddings its
    /// key is ignored.
    ///
    /// # Panics
    /// As [`Self::logits`], and if the workspace was not made for training.
    pub fn forward_backward(
        &self,
        pool: &CpuPool,
        ws: &mut Workspace,
        adapter: &LoraWeights,
        row: &PackedRow,
        loss_scale: f32,
        noise: impl Into<Noise>,
        grads: &mut LoraWeights,
    ) -> LossSum {
        assert_eq!(grads.pairs, adapter.pairs, "layout of gradients (left) and adapter (right)");
        let noise = noise.into();
        let adapter = Adapter::new(adapter, Some(noise.key));
        let gradients = &mut grads.data;
        pool.run(|| forward_backward(pool, self, ws, adapter, row, loss_scale, noise, gradients))
    }
}

pub(super) fn forward_backward<T: Real>(
    pool: &CpuPool,
    model: &Llama,
    ws: &mut Workspace<T>,
    adapter: Adapter<'_, T>,
    row: &PackedRow,
    loss_scale: T,
    noise: Noise,
    gradients: &mut [T],
) -> LossSum {
    assert!(ws.training, "the workspace was made without training");
    let pass = Pass::new(pool, model, Some(adapter), ws, row);
    if ws.index.targets.is_empty() {
        return LossSum::default();
    }
    pass.embed(ws, &row.tokens);
    if noise.neftune_noise_alpha > 0.0 {
        let key = rng::key(noise.key, "model.neftune", &[]);
        embedding::add_noise(pool, key, noise.neftune_noise_alpha, &row.segments, &mut ws.stream[0]);
    }
    pass.run_layers(ws);
    let loss = head(&pass, ws, loss_scale);
    for layer in (0..model.config().num_hidden_layers).rev() {
        let is_fresh = recompute(&pass, ws, layer);
        let Workspace {
            segments,
            attention,
            feed_forward,
            index,
            rope_table,
            stream,
            shared,
            scratch,
            backward,
            u,
            ..
        } = &mut *ws;
        let x = segments.places(layer).input;
        let attended = &mut attention[segments.slot(layer)];
        let fed = &mut feed_forward[segments.feed_forward_slot(layer)];
        let buffers = backward.as_mut().expect("made for training");
        let mut sink = Sink { u, gradients: &mut *gradients, scratch };
        let step = Step { pass, adapter, layer };
        if step.feed_forward_block(&attended.middle, fed, is_fresh, shared, buffers, &mut sink) {
            step.attention_block(index, rope_table, &stream[x], attended, shared, buffers, &mut sink);
        }
    }
    loss
}

/// Recomputes what later layers have overwritten of `layer`; for the last layer of a segment that is the
/// whole segment, from the checkpoint before it. The same ops on the same numbers give the same bits. Returns
/// whether `layer` is the one that forward computed last, so that the shared buffers still hold its
/// feed-forward block.
fn recompute<T: Real>(pass: &Pass<'_, T>, ws: &mut Workspace<T>, layer: usize) -> bool {
    if layer + 1 == pass.model.config().num_hidden_layers {
        return true;
    }
    if ws.segments.slot(layer + 1) == 0 {
        for again in layer - ws.segments.slot(layer)..=layer {
            // The output of the segment is the next checkpoint, which still exists.
            pass.run_layer(ws, again, again != layer);
        }
        return true;
    }
    let is_overwritten = ws.segments.feed_forward_slot(layer + 1) == 0;
    if is_overwritten {
        pass.run_feed_forward(ws, layer, false);
    }
    is_overwritten
}

/// The loss, and its gradient with respect to the stream after the last layer.
fn head<T: Real>(pass: &Pass<'_, T>, ws: &mut Workspace<T>, loss_scale: T) -> LossSum {
    let (pool, model) = (pass.pool, pass.model);
    pass.normed_head(ws);
    let Workspace { index, head, scratch, backward, .. } = ws;
    let BackwardBuffers { d_head_x, d_head_normed, d_stream, .. } =
        backward.as_mut().expect("made for training");
    let nll = cross_entropy::forward_backward(
        pool,
        &model.head(),
        &head.normed,
        &index.targets,
        loss_scale,
        d_head_normed,
        scratch,
    );
    rms_norm::backward(pool, &head.x, model.output_norm(), &head.rstd, d_head_normed, T::ZERO, d_head_x);
    rows::backward(d_head_x, model.config().hidden_size, &index.target_rows, d_stream);
    LossSum { nll, n_targets: index.targets.len() }
}

/// The backward pass through one layer.
#[derive(Debug, Clone, Copy)]
struct Step<'a, T> {
    pass: Pass<'a, T>,
    adapter: Adapter<'a, T>,
    layer: usize,
}

/// Where the adapter's gradients go, and scratch for computing them.
struct Sink<'a, T> {
    u: &'a mut [T],
    gradients: &'a mut [T],
    scratch: &'a mut [T],
}

impl<T: Real> Step<'_, T> {
    /// Turns the gradient of the layer's output into that of `middle`. With `is_fresh`, `shared` still holds
    /// the block's norm and silu·up. Returns false if nothing further down is trained.
    fn feed_forward_block(
        &self,
        middle: &[T],
        saved: &mut FeedForwardBuffers<T>,
        is_fresh: bool,
        shared: &mut SharedBuffers<T>,
        buffers: &mut BackwardBuffers<T>,
        sink: &mut Sink<'_, T>,
    ) -> bool {
        use TargetModule::{DownProj, GateProj, UpProj};
        let Pass { pool, model, .. } = self.pass;
        let FeedForwardBuffers { rstd, gate, up, t_gate_up, t_down } = saved;
        let SharedBuffers { normed, ffn, .. } = shared;
        let BackwardBuffers { d_stream, d_normed, d_ffn, .. } = buffers;
        if !is_fresh {
            swiglu::forward(pool, gate, up, ffn);
        }
        if !self.project([DownProj], ffn, t_down, [d_stream], d_ffn, sink) {
            return false;
        }
        swiglu::backward(pool, d_ffn, gate, up);
        let (weight, eps) = (model.ffn_norm(self.layer), model.config().rms_norm_eps);
        if !is_fresh {
            rms_norm::forward(pool, middle, weight, eps, normed, rstd);
        }
        if !self.project([GateProj, UpProj], normed, t_gate_up, [gate, up], d_normed, sink) {
            return false;
        }
        rms_norm::backward(pool, middle, weight, rstd, d_normed, T::ONE, d_stream);
        true
    }

    /// Turns the gradient of `middle` into that of the layer's input `x`.
    fn attention_block(
        &self,
        index: &RowIndex,
        rope_table: &[T],
        x: &[T],
        saved: &mut AttentionBuffers<T>,
        shared: &mut SharedBuffers<T>,
        buffers: &mut BackwardBuffers<T>,
        sink: &mut Sink<'_, T>,
    ) {
        use TargetModule::{KProj, OProj, QProj, VProj};
        let Pass { pool, model, .. } = self.pass;
        let AttentionBuffers { rstd, q, k, v, attn, lse, t_qkv, t_o, .. } = saved;
        let normed = &mut shared.normed;
        let BackwardBuffers { d_stream, d_normed, d_attn, d_q, d_k, d_v, .. } = buffers;
        if !self.project([OProj], attn, t_o, [d_stream], d_attn, sink) {
            return;
        }
        let heads = model.config().heads();
        let inputs = attention::Inputs { heads, starts: &index.starts, q, k, v };
        let attended = attention::Saved { out: attn, lse, d_out: d_attn };
        let gradients = attention::Gradients { d_q, d_k, d_v };
        attention::backward(pool, inputs, attended, gradients, sink.scratch);
        rope::backward(pool, rope_table, heads.heads, heads.head_dim, d_q);
        rope::backward(pool, rope_table, heads.kv_heads, heads.head_dim, d_k);
        let (weight, eps) = (model.attn_norm(self.layer), model.config().rms_norm_eps);
        rms_norm::forward(pool, x, weight, eps, normed, rstd);
        if self.project([QProj, KProj, VProj], normed, t_qkv, [d_q, d_k, d_v], d_normed, sink) {
            rms_norm::backward(pool, x, weight, rstd, d_normed, T::ONE, d_stream);
        }
    }

    /// Backward through linear layers with the same input `x`, and through their branches: adds to the
    /// adapter's gradients, and overwrites `dx` if `x` depends on trained parameters; returns whether it
    /// does.
    fn project<const N: usize>(
        &self,
        modules: [TargetModule; N],
        x: &[T],
        t: &[T],
        dys: [&[T]; N],
        dx: &mut [T],
        sink: &mut Sink<'_, T>,
    ) -> bool {
        let Pass { pool, model, tokens, .. } = self.pass;
        let Sink { u, gradients, scratch } = sink;
        let branches = self.pass.branches(self.layer, modules);
        let u = &mut u[..t.len()];
        let mut gradients = self.adapter.gradients_of(self.layer, modules, gradients);
        lora::backward(pool, &branches, tokens, x, t, &dys, &mut gradients, u, scratch);
        if !self.adapter.trains_below(self.layer, modules[0]) {
            return false;
        }
        for (i, (module, dy)) in modules.into_iter().zip(dys).enumerate() {
            let (weight, beta) = (model.linear(self.layer, module), if i == 0 { T::ZERO } else { T::ONE });
            let plus = lora::down_input(&branches, i, tokens, u);
            linear::backward(pool, &weight, tokens, dy, plus, beta, dx, scratch);
            lora::add_dropped_input(pool, &branches, i, tokens, u, dx, scratch);
        }
        true
    }
}
