//! One interface over the backends of a run: the CPU, which works on the loop's own adapter and moments, and
//! GPUs, which work on copies.
//!
//! Where in the flow: the loop asks for gradients, norms and steps, and before it writes adapter or moments
//! to a file, for their current values ([`Engine::collect`]).
//!
//! **Invariant:** between two steps, adapter and moments are the whole state: a new engine that is given
//! their collected values continues the same run, bit for bit.

use super::moments::{CudaMoments, Moments, Update};
use super::ranks::Ranks;
use super::{Backend, Error, Job, TrainConfig};
use crate::device::CpuPool;
use crate::device::cuda::{Arena, Dtype};
use crate::lora::LoraWeights;
use crate::model::{LossSum, Noise, PackedRow, Purpose, Workspace};
use crate::ops::global_norm;

/// What computes the steps.
pub(super) enum Engine<'a> {
    Cpu { pool: &'a CpuPool, workspace: Box<Workspace>, grads: LoraWeights },
    Cuda(Ranks<'a>),
}

/// Bytes of the optimiser's state and scratch on a GPU.
pub(super) fn optimizer_bytes(config: &TrainConfig, layout: &LoraWeights) -> u64 {
    let mut arena = Arena::default();
    CudaMoments::plan(&mut arena, config, layout);
    arena.take(Dtype::F64, global_norm::cuda::scratch_len(layout.parameters()));
    arena.used()
}

impl<'a> Engine<'a> {
    /// Allocates all memory, and copies everything to the GPUs. If `on_upload` stops that (see
    /// [`CudaModel::new`](crate::model::CudaModel::new)), adapter and moments can be collected, but no row
    /// may be computed.
    pub(super) fn new(
        job: &Job<'a>,
        adapter: &LoraWeights,
        moments: &Moments,
        longest_row: usize,
        on_upload: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<Self, Error> {
        match job.backend {
            Backend::Cpu(pool) => {
                let purpose = Purpose::Training(job.config.gradient_checkpointing);
                let workspace = Box::new(job.model.workspace(longest_row, Some(adapter), purpose));
                let grads = LoraWeights::zeros(&adapter.config, &job.model.config().base_shape());
                Ok(Self::Cpu { pool, workspace, grads })
            }
            Backend::Cuda { gpus, precision } => {
                Ranks::new(job, gpus, precision, adapter, moments, longest_row, on_upload).map(Self::Cuda)
            }
        }
    }

    /// How many rows are computed at the same time.
    pub(super) fn rows_at_once(&self) -> usize {
        match self {
            Self::Cpu { .. } => 1,
            Self::Cuda(ranks) => ranks.len(),
        }
    }

    /// Computes the gradient of `scale` times the loss of all rows, which are added in order. `on_row` is
    /// called after every row.
    pub(super) fn accumulate(
        &mut self,
        job: &Job<'_>,
        adapter: &LoraWeights,
        rows: &[(PackedRow, Noise)],
        scale: f32,
        on_row: &mut dyn FnMut(),
    ) -> Result<LossSum, Error> {
        let mut sum = LossSum::default();
        let mut add = |row: LossSum| {
            sum.nll += row.nll;
            sum.n_targets += row.n_targets;
        };
        match self {
            Self::Cpu { pool, workspace, grads } => {
                grads.data.fill(0.0);
                for (row, noise) in rows {
                    add(job.model.forward_backward(pool, workspace, adapter, row, scale, *noise, grads));
                    on_row();
                }
            }
            Self::Cuda(ranks) => {
                let losses = ranks.accumulate(
                    rows,
                    |model, (row, noise)| model.forward_backward(row, scale, *noise),
                    on_row,
                )?;
                losses.into_iter().for_each(add);
            }
        }
        Ok(sum)
    }

    /// The losses of rows, without gradients.
    pub(super) fn losses(
        &mut self,
        job: &Job<'_>,
        adapter: &LoraWeights,
        rows: &[(PackedRow, Noise)],
    ) -> Result<Vec<LossSum>, Error> {
        match self {
            Self::Cpu { pool, workspace, .. } => {
                let loss = |row| job.model.loss(pool, workspace, Some(adapter), row);
                Ok(rows.iter().map(|(row, _)| row).map(loss).collect())
            }
            Self::Cuda(ranks) => ranks.each(rows, |model, (row, _)| model.loss(row), &mut || ()),
        }
    }

    /// The norm of the gradient.
    pub(super) fn gradient_norm(&mut self) -> Result<f64, Error> {
        match self {
            Self::Cpu { pool, grads, .. } => Ok(global_norm::global_norm(pool, &grads.data)),
            Self::Cuda(ranks) => ranks.gradient_norm(),
        }
    }

    /// Makes a step; see [`Moments::step`].
    pub(super) fn step(
        &mut self,
        update: &Update,
        adapter: &mut LoraWeights,
        moments: &mut Moments,
    ) -> Result<(), Error> {
        match self {
            Self::Cpu { pool, grads, .. } => {
                moments.step(pool, update, &grads.data, &mut adapter.data);
                Ok(())
            }
            Self::Cuda(ranks) => ranks.step(moments, update),
        }
    }

    /// Copies the current values to adapter and moments.
    pub(super) fn collect(&mut self, adapter: &mut LoraWeights, moments: &mut Moments) -> Result<(), Error> {
        match self {
            Self::Cpu { .. } => Ok(()),
            Self::Cuda(ranks) => ranks.collect(adapter, moments),
        }
    }
}
