//! The backward pass on a GPU, op for op that of [`model::backward`](crate::model::backward).
//!
//! **Invariant:** no arithmetic here: only ops, in order.

use super::CudaModel;
use super::forward::Pass;
use super::workspace::Backward;
use crate::device::cuda::{CudaError, Tensor};
use crate::lora::TargetModule;
use crate::model::Noise;
use crate::model::adapter::trains_below;
use crate::model::row::{LossSum, PackedRow};
use crate::ops::attention::cuda as attention;
use crate::ops::linear::cuda as linear;
use crate::ops::lora::cuda as lora;
use crate::ops::rms_norm::cuda as rms_norm;
use crate::ops::rows::cuda as rows;
use crate::ops::swiglu::cuda as swiglu;
use crate::rng;

pub(super) fn forward_backward(
    model: &mut CudaModel<'_>,
    row: &PackedRow,
    loss_scale: f32,
    noise: Noise,
) -> Result<LossSum, CudaError> {
    assert!(model.workspace.training, "the workspace was made without training");
    model.set_row(row, Some(noise))?;
    let pass = Pass { model, tokens: row.tokens.len(), key: Some(noise.key) };
    let n_targets = pass.targets();
    if n_targets == 0 {
        return Ok(LossSum::default());
    }
    pass.embed(Some((rng::key(noise.key, "model.neftune", &[]), noise)))?;
    pass.run_layers()?;
    let nll = pass.head(Some(loss_scale))?;
    pass.head_backward()?;
    for layer in (0..model.weights.layers.len()).rev() {
        let is_fresh = pass.recompute(layer)?;
        if pass.feed_forward_backward(layer, is_fresh)? {
            pass.attention_backward(layer)?;
        }
    }
    Ok(LossSum { nll, n_targets })
}

impl Pass<'_, '_> {
    fn gradients(&self) -> &Backward {
        self.model.workspace.backward.as_ref().expect("made for training")
    }

    /// Turns `d_head_normed` into the gradient of the stream after the last layer.
    fn head_backward(&self) -> Result<(), CudaError> {
        let (CudaModel { device, workspace, weights, model, .. }, n) = (self.model, self.targets());
        let Backward { d_head_x, d_head_normed, d_stream, .. } = self.gradients();
        let (x, rstd, d_x) = (workspace.head_x.rows(n), workspace.head_rstd.rows(n), d_head_x.rows(n));
        rms_norm::backward(device, x, weights.output_norm, rstd, d_head_normed.rows(n), 0.0, d_x)?;
        let places = workspace.lists.places.rows(self.tokens);
        rows::backward(device, d_x, model.config().hidden_size, places, d_stream.rows(self.tokens))
    }

    /// Recomputes what later layers have overwritten of `layer`, as the pass on the CPU does.
    fn recompute(&self, layer: usize) -> Result<bool, CudaError> {
        let segments = &self.model.workspace.segments;
        if layer + 1 == self.model.weights.layers.len() {
            return Ok(true);
        }
        if segments.slot(layer + 1) == 0 {
            for again in layer - segments.slot(layer)..=layer {
                self.run_layer(again, again != layer)?;
            }
            return Ok(true);
        }
        let is_overwritten = segments.feed_forward_slot(layer + 1) == 0;
        if is_overwritten {
            self.run_feed_forward(layer, false)?;
        }
        Ok(is_overwritten)
    }

    /// Turns the gradient of the layer's output into that of `middle`. Returns false if nothing further down
    /// is trained.
    fn feed_forward_backward(&self, layer: usize, is_fresh: bool) -> Result<bool, CudaError> {
        use TargetModule::{DownProj, GateProj, UpProj};
        let (CudaModel { device, workspace, weights, model, .. }, n) = (self.model, self.tokens);
        let saved = self.fed(layer);
        let [gate, up, rstd] = [&saved.gate, &saved.up, &saved.rstd].map(|buffer| buffer.rows(n));
        let [normed, ffn] = [&workspace.normed, &workspace.ffn].map(|buffer| buffer.rows(n));
        let Backward { d_stream, d_normed, d_ffn, .. } = self.gradients();
        let [d_stream, d_normed, d_ffn] = [d_stream, d_normed, d_ffn].map(|buffer| buffer.rows(n));
        if !is_fresh {
            swiglu::forward(device, gate, up, ffn)?;
        }
        if !self.project_backward(layer, [DownProj], ffn, saved.t_down.rows(n), [d_stream], d_ffn)? {
            return Ok(false);
        }
        swiglu::backward(device, d_ffn, gate, up)?;
        let (middle, weight) = (self.attended(layer).middle.rows(n), weights.layers[layer].ffn_norm);
        if !is_fresh {
            rms_norm::forward(device, middle, weight, model.config().rms_norm_eps, normed, rstd)?;
        }
        let t = saved.t_gate_up.rows(n);
        if !self.project_backward(layer, [GateProj, UpProj], normed, t, [gate, up], d_normed)? {
            return Ok(false);
        }
        rms_norm::backward(device, middle, weight, rstd, d_normed, 1.0, d_stream)?;
        Ok(true)
    }

    /// Turns the gradient of `middle` into that of the layer's input.
    fn attention_backward(&self, layer: usize) -> Result<(), CudaError> {
        use TargetModule::{KProj, OProj, QProj, VProj};
        let (CudaModel { device, workspace, weights, model, .. }, n) = (self.model, self.tokens);
        let (saved, gradients) = (self.attended(layer), self.gradients());
        let [attn, lse, rstd] = [&saved.attn, &saved.lse, &saved.rstd].map(|buffer| buffer.rows(n));
        let Backward { d_stream, d_normed, d_attn, d_q, d_k, d_v, deltas, .. } = gradients;
        let [d_stream, d_normed, d_attn] = [d_stream, d_normed, d_attn].map(|buffer| buffer.rows(n));
        let [d_q, d_k, d_v] = [d_q, d_k, d_v].map(|buffer| buffer.rows(n));
        if !self.project_backward(layer, [OProj], attn, saved.t_o.rows(n), [d_stream], d_attn)? {
            return Ok(());
        }
        let attended = attention::CudaSaved { out: attn, lse, d_out: d_attn };
        let gradients = attention::CudaGradients { d_q, d_k, d_v };
        attention::backward(device, self.attention_inputs(layer), attended, gradients, deltas.rows(n))?;
        self.rotate(-1.0, d_q, d_k)?;
        let (x, normed, weight) =
            (self.input(layer), workspace.normed.rows(n), weights.layers[layer].attn_norm);
        rms_norm::forward(device, x, weight, model.config().rms_norm_eps, normed, rstd)?;
        let t = saved.t_qkv.rows(n);
        if self.project_backward(layer, [QProj, KProj, VProj], normed, t, [d_q, d_k, d_v], d_normed)? {
            rms_norm::backward(device, x, weight, rstd, d_normed, 1.0, d_stream)?;
        }
        Ok(())
    }

    /// Backward through linear layers with the same input `x`, and their branches. Returns whether `dx` was
    /// needed and written.
    fn project_backward<const N: usize>(
        &self,
        layer: usize,
        modules: [TargetModule; N],
        x: Tensor,
        t: Tensor,
        dys: [Tensor; N],
        dx: Tensor,
    ) -> Result<bool, CudaError> {
        let (CudaModel { device, workspace, weights, layout, .. }, n) = (self.model, self.tokens);
        let branches = self.model.branches(layer, modules, self.key);
        let (u, dropped) = (workspace.u.rows(n).first(t.len()), workspace.dropped);
        lora::backward(device, &branches, n, x, t, &dys, u, dropped)?;
        if !trains_below(layout, layer, modules[0]) {
            return Ok(false);
        }
        let mut beta = lora::input(device, &branches, n, u, dx, dropped)?;
        for (module, dy) in modules.into_iter().zip(dys) {
            let weight = weights.layers[layer].linear(module);
            linear::backward(device, weight, n, dy, beta, dx, workspace.weights)?;
            beta = 1.0;
        }
        Ok(true)
    }
}
