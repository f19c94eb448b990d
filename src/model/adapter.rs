//! An adapter as the passes see it: branches by (layer, projection), in any number type.
//!
//! Where in the flow: a pass starts by making one from [`LoraWeights`]; gradients have the same layout.
//!
//! **Invariant:** the dropout mask of a branch is a function of (the row's key, layer, projection), so that
//! backward and a recomputed forward see the same one.

use crate::lora::{LoraWeights, TargetModule};
use crate::ops::lora::{Branch, Gradient};
use crate::rng;
use crate::tensor::Real;

/// Projections that read the same input, in the order in which a layer computes them.
pub(super) const GROUPS: [&[TargetModule]; 4] = [
    &[TargetModule::QProj, TargetModule::KProj, TargetModule::VProj],
    &[TargetModule::OProj],
    &[TargetModule::GateProj, TargetModule::UpProj],
    &[TargetModule::DownProj],
];

/// The numbers of an adapter and where they lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Adapter<'a, T> {
    pub(super) layout: &'a LoraWeights,
    /// `layout.data`, or its copy in f64 where tests check gradients.
    pub(super) data: &'a [T],
    /// Seeds the dropout of this row; `None` in evaluation, where nothing is dropped.
    pub(super) dropout_key: Option<u64>,
}

impl<'a> Adapter<'a, f32> {
    pub(super) fn new(weights: &'a LoraWeights, dropout_key: Option<u64>) -> Self {
        Self { layout: weights, data: &weights.data, dropout_key }
    }
}

impl<'a, T: Real> Adapter<'a, T> {
    /// The branch beside a projection, if it is adapted.
    pub(super) fn branch(&self, layer: usize, module: TargetModule) -> Option<Branch<'a, T>> {
        let pair = self.layout.pair(layer, module)?;
        let key = |key| rng::key(key, "lora.dropout", &[layer as u64, module as u64]);
        Some(Branch {
            a: &self.data[pair.a.clone()],
            b: &self.data[pair.b.clone()],
            rank: pair.rank,
            in_features: pair.in_features,
            out_features: pair.out_features,
            scaling: T::from_f32(self.layout.config.scaling(module)),
            dropout: self.dropout_key.map_or(0.0, |_| self.layout.config.lora_dropout),
            dropout_key: self.dropout_key.map_or(0, key),
        })
    }

    /// Where dA and dB of `modules` lie in a flat buffer of gradients. The modules must be in their order.
    pub(super) fn gradients_of<'g, const N: usize>(
        &self,
        layer: usize,
        modules: [TargetModule; N],
        gradients: &'g mut [T],
    ) -> [Option<Gradient<'g, T>>; N] {
        let (mut rest, mut at) = (gradients, 0);
        modules.map(|module| {
            let pair = self.layout.pair(layer, module)?;
            let (_, from) = std::mem::take(&mut rest).split_at_mut(pair.a.start - at);
            // `lora_a` lies directly before `lora_b`: an invariant of `LoraWeights`.
            let (here, behind) = from.split_at_mut(pair.b.end - pair.a.start);
            (rest, at) = (behind, pair.b.end);
            let (da, db) = here.split_at_mut(pair.a.len());
            Some(Gradient { da, db })
        })
    }

    /// Whether the input of `module` depends on trained parameters, so that its gradient is needed. Above the
    /// lowest layer it always does, because an adapter has the same projections in every layer.
    pub(super) fn trains_below(&self, layer: usize, module: TargetModule) -> bool {
        trains_below(self.layout, layer, module)
    }
}

/// See [`Adapter::trains_below`].
pub(super) fn trains_below(layout: &LoraWeights, layer: usize, module: TargetModule) -> bool {
    let adapted = &layout.config.target_modules;
    layer > 0 || adapted.iter().any(|&other| depth(other) < depth(module))
}

/// How many projections of its layer the input of `module` has passed through.
fn depth(module: TargetModule) -> usize {
    match module {
        TargetModule::QProj | TargetModule::KProj | TargetModule::VProj => 0,
        TargetModule::OProj => 1,
        TargetModule::GateProj | TargetModule::UpProj => 2,
        TargetModule::DownProj => 3,
    }
}
