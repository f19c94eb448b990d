//! The passes on a GPU: the same sequences of ops as on the CPU, over tensors instead of slices.
//!
//! Where in the flow: `train` makes a [`CudaModel`] for each GPU of a run, and calls it as it calls [`Llama`]
//! on the CPU. Segments of checkpointing, index lists and the layout of adapters come from the same modules.
//!
//! - `weights`: the base, in its blocks, copied from the mapped file
//! - `workspace`: all other memory, and the upload of a row's lists
//! - `forward`, `backward`: the passes
//!
//! **Invariant:** nothing is allocated after [`CudaModel::new`].
//! **Invariant:** a pass is a function of (file, adapter, row, noise): the same bits from run to run on one
//! kind of device.

mod backward;
mod forward;
mod weights;
mod workspace;

use super::row::{LossSum, PackedRow};
use super::workspace::Purpose;
use super::{Llama, Noise};
use crate::device::cuda::{Arena, CudaDevice, CudaError, Dtype, Memory, MixedPrecision, Staging, Tensor};
use crate::lora::{LoraWeights, TargetModule};
use crate::ops::lora::LoraSlot;
use crate::ops::lora::cuda::{self as lora, CudaBranch};
use crate::rng;
use weights::Weights;
use workspace::Workspace;

/// A base, an adapter and the memory for their passes on a GPU.
#[derive(Debug)]
pub struct CudaModel<'a> {
    device: &'a CudaDevice,
    model: &'a Llama,
    /// Without numbers, which are on the device.
    layout: LoraWeights,
    weights: Weights,
    adapter: AdapterTensors,
    workspace: Workspace,
    staging: Staging,
    _memory: Memory,
}

/// The adapter on the device.
#[derive(Debug, Clone, Copy)]
struct AdapterTensors {
    params: Tensor,
    gradients: Tensor,
    /// `params` in the type of activations, which passes read; `params` itself if that is f32.
    shadow: Tensor,
}

impl AdapterTensors {
    fn take(arena: &mut Arena, len: usize, act: Dtype) -> Self {
        let [params, gradients] = [0; 2].map(|_| arena.take(Dtype::F32, len));
        let shadow = if act == Dtype::F32 { params } else { arena.take(act, len) };
        Self { params, gradients, shadow }
    }
}

/// Bytes on a GPU, by what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct CudaBytes {
    /// The base: blocks, norms and biases.
    pub base: u64,
    /// The adapter, its gradient, and its copy in the type of activations.
    pub adapter: u64,
    /// Activations and scratch.
    pub activations: u64,
}

struct Plan {
    arena: Arena,
    weights: Weights,
    adapter: AdapterTensors,
    workspace: Workspace,
    bytes: CudaBytes,
}

fn plan(
    mut arena: Arena,
    model: &Llama,
    layout: &LoraWeights,
    max_tokens: usize,
    purpose: Purpose,
    act: Dtype,
) -> Plan {
    let parameters = layout.parameters();
    let weights = Weights::take(&mut arena, model);
    let base = arena.used();
    let adapter = AdapterTensors::take(&mut arena, parameters, act);
    let with_adapter = arena.used();
    let workspace = Workspace::take(&mut arena, model.config(), layout, max_tokens, purpose, act);
    let bytes = CudaBytes { base, adapter: with_adapter - base, activations: arena.used() - with_adapter };
    Plan { arena, weights, adapter, workspace, bytes }
}

impl<'a> CudaModel<'a> {
    /// Bytes that [`CudaModel::new`] will allocate.
    pub fn bytes(
        model: &Llama,
        layout: &LoraWeights,
        max_tokens: usize,
        purpose: Purpose,
        precision: MixedPrecision,
    ) -> CudaBytes {
        plan(Arena::default(), model, layout, max_tokens, purpose, precision.dtype()).bytes
    }

    /// Allocates all memory for rows of at most `max_tokens`, and copies the base and the adapter to the
    /// device. `on_upload` gets the bytes of the base that are copied, and the total. Once it returns false,
    /// the rest of the base is left out: the adapter can still be read back, but no pass may run.
    ///
    /// # Errors
    /// It does not fit, or the device has failed.
    pub fn new(
        device: &'a CudaDevice,
        model: &'a Llama,
        adapter: &LoraWeights,
        max_tokens: usize,
        purpose: Purpose,
        precision: MixedPrecision,
        on_upload: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<Self, CudaError> {
        let make = |arena| plan(arena, model, adapter, max_tokens, purpose, precision.dtype());
        let memory = device.allocate(&make(Arena::default()).arena)?;
        let Plan { weights, adapter: tensors, workspace, .. } = make(memory.arena());
        let staging = Staging::new(device, Workspace::staging_bytes(model.config(), max_tokens))?;
        weights.fill(device, model, on_upload)?;
        let layout = LoraWeights { data: Vec::new(), ..adapter.clone() };
        let mut this =
            Self { device, model, layout, weights, adapter: tensors, workspace, staging, _memory: memory };
        device.upload(&adapter.data, tensors.params)?;
        device.clear(tensors.gradients)?;
        this.refresh()?;
        Ok(this)
    }

    fn set_row(&mut self, row: &PackedRow, noise: Option<Noise>) -> Result<(), CudaError> {
        self.workspace.set_row(self.device, &mut self.staging, self.model, row, noise)
    }

    /// The adapter's parameters, in f32; [`Self::refresh`] after they have changed.
    pub fn params(&self) -> Tensor {
        self.adapter.params
    }

    /// The gradient of the parameters, in f32.
    pub fn gradients(&self) -> Tensor {
        self.adapter.gradients
    }

    /// Brings the copy of the parameters that passes read up to date.
    ///
    /// # Errors
    /// The device has failed.
    pub fn refresh(&mut self) -> Result<(), CudaError> {
        let AdapterTensors { params, shadow, .. } = self.adapter;
        if shadow == params { Ok(()) } else { lora::cast(self.device, params, shadow) }
    }

    /// Sets the gradient to zero.
    ///
    /// # Errors
    /// The device has failed.
    pub fn clear_gradients(&self) -> Result<(), CudaError> {
        self.device.clear(self.adapter.gradients)
    }

    /// As [`Llama::loss`].
    ///
    /// # Errors
    /// The device has failed.
    ///
    /// # Panics
    /// As the passes on the CPU.
    pub fn loss(&mut self, row: &PackedRow) -> Result<LossSum, CudaError> {
        forward::loss(self, row)
    }

    /// As [`Llama::forward_backward`].
    ///
    /// # Errors
    /// The device has failed.
    ///
    /// # Panics
    /// As the passes on the CPU.
    pub fn forward_backward(
        &mut self,
        row: &PackedRow,
        loss_scale: f32,
        noise: impl Into<Noise>,
    ) -> Result<LossSum, CudaError> {
        backward::forward_backward(self, row, loss_scale, noise.into())
    }

    /// The branches of projections; `key` seeds the dropout of the row, and without it there is none.
    fn branches<const N: usize>(
        &self,
        layer: usize,
        modules: [TargetModule; N],
        key: Option<u64>,
    ) -> [Option<CudaBranch>; N] {
        let AdapterTensors { gradients, shadow, .. } = self.adapter;
        modules.map(|module| {
            let pair = self.layout.pair(layer, module)?;
            let config = &self.layout.config;
            let dropout_key = |key| rng::key(key, "lora.dropout", &[layer as u64, module as u64]);
            let slot = LoraSlot {
                rank: pair.rank,
                in_features: pair.in_features,
                out_features: pair.out_features,
                scaling: config.scaling(module),
                dropout: key.map_or(0.0, |_| config.lora_dropout),
                dropout_key: key.map_or(0, dropout_key),
            };
            let [a, b] = [&pair.a, &pair.b].map(|range| shadow.slice(range.clone()));
            let [da, db] = [&pair.a, &pair.b].map(|range| gradients.slice(range.clone()));
            Some(CudaBranch { a, b, da, db, slot })
        })
    }
}
