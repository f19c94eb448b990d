//! Where a run computes: on the CPU, in the numbers that the loop holds, or on a GPU, in copies of them.
//!
//! Where in the flow: the loop asks for gradients, norms and steps, and before it writes something down for the numbers ([`Engine::collect`]).
//!
//! **Invariant:** between two steps adapter and moments are the whole state: collected and given back they make the same run, bit for bit.

use super::moments::{CudaMoments, Moments};
use super::{Error, Job, TrainConfig};
use crate::device::cuda::{Arena, CudaDevice, Dtype, Memory, MixedPrecision, Tensor};
use crate::lora::LoraWeights;
use crate::model::{CudaModel, LossSum, Noise, PackedRow, Purpose, Workspace};
use crate::ops::adamw::AdamW;
use crate::ops::global_norm;

/// A GPU to train on.
#[derive(Debug, Clone, Copy)]
pub struct Accelerator<'a> {
    /// Which.
    pub device: &'a CudaDevice,
    /// Type of activations.
    pub precision: MixedPrecision,
}

/// See the module.
pub(super) enum Engine<'a> {
    Cpu { workspace: Box<Workspace>, grads: LoraWeights },
    Cuda(Box<CudaEngine<'a>>),
}

/// Bytes on a GPU besides those of the model.
pub(super) fn optimizer_bytes(config: &TrainConfig, layout: &LoraWeights) -> u64 {
    let mut arena = Arena::default();
    let parameters = layout.pairs.last().map_or(0, |pair| pair.b.end);
    CudaMoments::plan(&mut arena, config, layout);
    arena.take(Dtype::F64, global_norm::cuda::scratch_len(parameters));
    arena.used()
}

/// The copies on a GPU.
pub(super) struct CudaEngine<'a> {
    device: &'a CudaDevice,
    model: CudaModel<'a>,
    moments: CudaMoments,
    scratch: Tensor,
    _memory: Memory,
}

impl<'a> CudaEngine<'a> {
    fn new(
        job: &Job<'a>,
        Accelerator { device, precision }: Accelerator<'a>,
        adapter: &LoraWeights,
        moments: &Moments,
        longest_row: usize,
        on_upload: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<Self, Error> {
        let purpose = Purpose::Training(job.config.gradient_checkpointing);
        let model = CudaModel::new(device, job.model, adapter, longest_row, purpose, precision, on_upload)?;
        let take = |mut arena: Arena| {
            let tensors = CudaMoments::take(&mut arena, moments);
            let scratch = arena.take(Dtype::F64, global_norm::cuda::scratch_len(adapter.data.len()));
            (tensors, scratch, arena)
        };
        let memory = device.allocate(&take(Arena::default()).2)?;
        let (tensors, scratch, _) = take(memory.arena());
        tensors.upload(device, moments)?;
        Ok(Self { device, model, moments: tensors, scratch, _memory: memory })
    }
}

impl<'a> Engine<'a> {
    /// Takes all memory, and on a GPU copies of everything. If `on_upload` stops that (see [`CudaModel::new`]), the state is whole, and no
    /// row may be computed.
    pub(super) fn new(
        job: &Job<'a>,
        adapter: &LoraWeights,
        moments: &Moments,
        longest_row: usize,
        on_upload: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<Self, Error> {
        if let Some(accelerator) = job.accelerator {
            let engine = CudaEngine::new(job, accelerator, adapter, moments, longest_row, on_upload)?;
            return Ok(Self::Cuda(Box::new(engine)));
        }
        let purpose = Purpose::Training(job.config.gradient_checkpointing);
        let workspace = Box::new(job.model.workspace(longest_row, Some(adapter), purpose));
        let grads = LoraWeights::zeros(&adapter.config, &job.model.config().base_shape());
        Ok(Self::Cpu { workspace, grads })
    }

    /// Makes the gradient zero.
    pub(super) fn clear(&mut self) -> Result<(), Error> {
        match self {
            Self::Cpu { grads, .. } => grads.data.fill(0.0),
            Self::Cuda(engine) => engine.model.clear_gradients()?,
        }
        Ok(())
    }

    /// Adds the gradient of `scale` times a row's loss.
    pub(super) fn add_row(
        &mut self,
        job: &Job<'_>,
        adapter: &LoraWeights,
        row: &PackedRow,
        scale: f32,
        noise: Noise,
    ) -> Result<LossSum, Error> {
        Ok(match self {
            Self::Cpu { workspace, grads } => {
                job.model.forward_backward(job.device, workspace, adapter, row, scale, noise, grads)
            }
            Self::Cuda(engine) => engine.model.forward_backward(row, scale, noise)?,
        })
    }

    /// The loss of a row alone.
    pub(super) fn loss(
        &mut self,
        job: &Job<'_>,
        adapter: &LoraWeights,
        row: &PackedRow,
    ) -> Result<LossSum, Error> {
        Ok(match self {
            Self::Cpu { workspace, .. } => job.model.loss(job.device, workspace, Some(adapter), row),
            Self::Cuda(engine) => engine.model.loss(row)?,
        })
    }

    /// The norm of the gradient.
    pub(super) fn gradient_norm(&mut self, job: &Job<'_>) -> Result<f64, Error> {
        Ok(match self {
            Self::Cpu { grads, .. } => global_norm::global_norm(job.device, &grads.data),
            Self::Cuda(engine) => {
                let [_, gradients] = engine.model.parameters();
                global_norm::cuda::global_norm(engine.device, gradients, engine.scratch)?
            }
        })
    }

    /// Makes a step; see [`Moments::step`].
    pub(super) fn step(
        &mut self,
        job: &Job<'_>,
        settings: &AdamW,
        step: (u64, f64),
        adapter: &mut LoraWeights,
        moments: &mut Moments,
    ) -> Result<(), Error> {
        let ratio = job.config.loraplus_lr_ratio;
        match self {
            Self::Cpu { grads, .. } => {
                moments.step(job.device, settings, ratio, step, &grads.data, &mut adapter.data);
            }
            Self::Cuda(engine) => {
                let parameters = engine.model.parameters();
                engine.moments.step(engine.device, moments, settings, ratio, step, parameters)?;
                engine.model.refresh()?;
            }
        }
        Ok(())
    }

    /// Brings adapter and moments up to date.
    pub(super) fn collect(&mut self, adapter: &mut LoraWeights, moments: &mut Moments) -> Result<(), Error> {
        if let Self::Cuda(engine) = self {
            engine.device.download(engine.model.parameters()[0], &mut adapter.data)?;
            engine.moments.download(engine.device, moments)?;
        }
        Ok(())
    }
}
