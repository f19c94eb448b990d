//! The forward pass on a GPU, op for op that of [`model::forward`](crate::model::forward).
//!
//! **Invariant:** no arithmetic here: only ops, in order.

use super::CudaModel;
use super::workspace::{Attention, FeedForward};
use crate::device::cuda::{CudaError, Tensor};
use crate::lora::TargetModule;
use crate::model::Noise;
use crate::model::row::{LossSum, PackedRow};
use crate::ops::attention::cuda as attention;
use crate::ops::bias::cuda as bias;
use crate::ops::cross_entropy::cuda as cross_entropy;
use crate::ops::embedding::cuda as embedding;
use crate::ops::linear::cuda as linear;
use crate::ops::lora::cuda as lora;
use crate::ops::residual::cuda as residual;
use crate::ops::rms_norm::cuda as rms_norm;
use crate::ops::rope::cuda as rope;
use crate::ops::rows::cuda as rows;
use crate::ops::swiglu::cuda as swiglu;

pub(super) fn loss(model: &mut CudaModel<'_>, row: &PackedRow) -> Result<LossSum, CudaError> {
    model.set_row(row, None)?;
    let pass = Pass { model, tokens: row.tokens.len(), key: None };
    let n_targets = pass.targets();
    if n_targets == 0 {
        return Ok(LossSum::default());
    }
    pass.embed(None)?;
    pass.run_layers()?;
    let nll = pass.head(None)?;
    Ok(LossSum { nll, n_targets })
}

/// A pass over one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass<'p, 'a> {
    pub(super) model: &'p CudaModel<'a>,
    pub(super) tokens: usize,
    /// Seeds the dropout of this row; `None` in evaluation.
    pub(super) key: Option<u64>,
}

impl Pass<'_, '_> {
    pub(super) fn targets(&self) -> usize {
        self.model.workspace.index.targets.len()
    }

    /// Fills the stream before the first layer.
    pub(super) fn embed(&self, noise: Option<(u64, Noise)>) -> Result<(), CudaError> {
        let CudaModel { device, weights, workspace, .. } = self.model;
        let x = workspace.stream[0].rows(self.tokens);
        embedding::forward(device, &weights.embedding, workspace.lists.tokens.rows(self.tokens), x)?;
        match noise {
            Some((key, noise)) if noise.neftune_noise_alpha > 0.0 => {
                embedding::add_noise(device, key, workspace.lists.bounds.rows(self.tokens), x)
            }
            _ => Ok(()),
        }
    }

    /// Computes all layers, from the first stream to the last.
    pub(super) fn run_layers(&self) -> Result<(), CudaError> {
        (0..self.model.weights.layers.len()).try_for_each(|layer| self.run_layer(layer, true))
    }

    /// Computes one layer; without `writes_output` the stream after it stays unchanged.
    pub(super) fn run_layer(&self, layer: usize, writes_output: bool) -> Result<(), CudaError> {
        self.attention_block(layer)?;
        self.feed_forward_block(layer, writes_output)
    }

    /// Recomputes the second half of a layer; see [`Self::run_layer`].
    pub(super) fn run_feed_forward(&self, layer: usize, writes_output: bool) -> Result<(), CudaError> {
        let (CudaModel { device, workspace, weights, .. }, n) = (self.model, self.tokens);
        let (weight, eps) = (weights.layers[layer].ffn_norm, self.model.model.config().rms_norm_eps);
        let [middle, rstd] = [&self.attended(layer).middle, &self.fed(layer).rstd].map(|b| b.rows(n));
        rms_norm::forward(device, middle, weight, eps, workspace.normed.rows(n), rstd)?;
        self.feed_forward_block(layer, writes_output)
    }

    /// The buffers that the attention of a layer leaves.
    pub(super) fn attended(&self, layer: usize) -> &Attention {
        let workspace = &self.model.workspace;
        &workspace.attention[workspace.segments.slot(layer)]
    }

    /// The buffers that its feed-forward block leaves.
    pub(super) fn fed(&self, layer: usize) -> &FeedForward {
        let workspace = &self.model.workspace;
        &workspace.feed_forward[workspace.segments.feed_forward_slot(layer)]
    }

    /// The stream before a layer.
    pub(super) fn input(&self, layer: usize) -> Tensor {
        let workspace = &self.model.workspace;
        workspace.stream[workspace.segments.places(layer).input].rows(self.tokens)
    }

    /// The stream after a layer.
    fn output(&self, layer: usize) -> Tensor {
        let workspace = &self.model.workspace;
        workspace.stream[workspace.segments.places(layer).output].rows(self.tokens)
    }

    /// The inputs of a layer's attention.
    pub(super) fn attention_inputs(&self, layer: usize) -> attention::CudaInputs {
        let (lists, saved) = (&self.model.workspace.lists, self.attended(layer));
        let [starts, ends] = [&lists.starts, &lists.ends].map(|list| list.rows(self.tokens));
        let [q, k, v] = [&saved.q, &saved.k, &saved.v].map(|buffer| buffer.rows(self.tokens));
        attention::CudaInputs { heads: self.model.model.config().heads(), starts, ends, q, k, v }
    }

    /// Computes `middle` from the stream before a layer, and `normed` from `middle`.
    fn attention_block(&self, layer: usize) -> Result<(), CudaError> {
        use TargetModule::{KProj, OProj, QProj, VProj};
        let (CudaModel { device, workspace, weights, .. }, n) = (self.model, self.tokens);
        let (saved, eps) = (self.attended(layer), self.model.model.config().rms_norm_eps);
        let (x, normed, branch) = (self.input(layer), workspace.normed.rows(n), workspace.branch.rows(n));
        rms_norm::forward(device, x, weights.layers[layer].attn_norm, eps, normed, saved.rstd.rows(n))?;
        let inputs = self.attention_inputs(layer);
        let projected = [inputs.q, inputs.k, inputs.v];
        self.project(layer, [QProj, KProj, VProj], normed, projected, saved.t_qkv.rows(n))?;
        self.rotate(1.0, inputs.q, inputs.k)?;
        let attn = saved.attn.rows(n);
        attention::forward(device, inputs, attn, saved.lse.rows(n))?;
        self.project(layer, [OProj], attn, [branch], saved.t_o.rows(n))?;
        let residual = rms_norm::Residual { x, branch, out: saved.middle.rows(n) };
        let (weight, rstd) = (weights.layers[layer].ffn_norm, self.fed(layer).rstd.rows(n));
        rms_norm::forward_after_residual(device, residual, weight, eps, normed, rstd)
    }

    /// Rotates queries and keys, or with -1 rotates their gradients back.
    pub(super) fn rotate(&self, direction: f32, q: Tensor, k: Tensor) -> Result<(), CudaError> {
        let (table, heads) =
            (self.model.workspace.rope_table.rows(self.tokens), self.model.model.config().heads());
        rope::rotate(self.model.device, table, heads.heads, heads.head_dim, direction, q)?;
        rope::rotate(self.model.device, table, heads.kv_heads, heads.head_dim, direction, k)
    }

    /// Computes the stream after the layer from `middle` and `normed`.
    fn feed_forward_block(&self, layer: usize, writes_output: bool) -> Result<(), CudaError> {
        use TargetModule::{DownProj, GateProj, UpProj};
        let (CudaModel { device, workspace, .. }, n) = (self.model, self.tokens);
        let saved = self.fed(layer);
        let (middle, next) = (self.attended(layer).middle.rows(n), self.output(layer));
        let [normed, branch, ffn] = [&workspace.normed, &workspace.branch, &workspace.ffn].map(|b| b.rows(n));
        let [gate, up] = [&saved.gate, &saved.up].map(|buffer| buffer.rows(n));
        self.project(layer, [GateProj, UpProj], normed, [gate, up], saved.t_gate_up.rows(n))?;
        swiglu::forward(device, gate, up, ffn)?;
        if writes_output {
            self.project(layer, [DownProj], ffn, [branch], saved.t_down.rows(n))?;
            return residual::forward(device, middle, branch, next);
        }
        let branches = self.model.branches(layer, [DownProj], self.key);
        lora::down(device, &branches, n, ffn, saved.t_down.rows(n), workspace.dropped)
    }

    /// Linear layers with the same input `x`, with their branches and biases.
    fn project<const N: usize>(
        &self,
        layer: usize,
        modules: [TargetModule; N],
        x: Tensor,
        ys: [Tensor; N],
        t: Tensor,
    ) -> Result<(), CudaError> {
        let (CudaModel { device, workspace, weights, .. }, n) = (self.model, self.tokens);
        let branches = self.model.branches(layer, modules, self.key);
        lora::down(device, &branches, n, x, t, workspace.dropped)?;
        for (i, (module, y)) in modules.into_iter().zip(ys).enumerate() {
            let layer = &weights.layers[layer];
            let beta = lora::up(device, &branches, i, n, t, y)?;
            linear::forward(device, layer.linear(module), n, x, beta, y, workspace.weights)?;
            if let Some(b) = layer.bias(module) {
                bias::forward(device, b, y)?;
            }
        }
        Ok(())
    }

    /// The loss over the positions that have a target. With a scale, also writes the scaled gradient of their
    /// normalised stream to `d_head_normed`.
    pub(super) fn head(&self, scale: Option<f32>) -> Result<f64, CudaError> {
        let (CudaModel { device, workspace, weights, model, .. }, n) = (self.model, self.targets());
        let config = model.config();
        let last = workspace.stream[workspace.segments.output()].rows(self.tokens);
        let [x, normed] = [&workspace.head_x, &workspace.head_normed].map(|buffer| buffer.rows(n));
        let lists = &workspace.lists;
        rows::forward(device, last, config.hidden_size, lists.target_rows.rows(n), x)?;
        let rstd = workspace.head_rstd.rows(n);
        rms_norm::forward(device, x, weights.output_norm, config.rms_norm_eps, normed, rstd)?;
        let gradient = scale.map(|scale| {
            let backward = workspace.backward.as_ref().expect("made for training");
            cross_entropy::ScaledGradient { scale, dh: backward.d_head_normed.rows(n) }
        });
        let (head, scratch) = (&weights.head, &workspace.cross_entropy);
        cross_entropy::run(device, head, normed, lists.targets.rows(n), gradient, scratch)
    }
}
