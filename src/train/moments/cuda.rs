//! The moments on a GPU: a copy of [`Moments`], with the same parts.
//!
//! Where in the flow: each rank of a run has one.

use super::{BLOCK, Moments, Optim, Part, State, TrainConfig, Update};
use crate::device::cuda::{Arena, CudaDevice, CudaError, Dtype, Tensor};
use crate::lora::LoraWeights;
use crate::ops::adamw::{self, cuda::CudaState};
use crate::ops::adamw_8bit::{self, cuda::CudaMoment};

/// Tensors of the moments, in one of the two forms.
#[derive(Debug)]
pub(crate) enum CudaMoments {
    Full([Tensor; 2]),
    /// 8-bit moments, and the code books.
    EightBits {
        moments: [CudaMoment; 2],
        books: Tensor,
    },
}

impl CudaMoments {
    /// Takes room for the moments of `of`.
    pub(crate) fn take(arena: &mut Arena, of: &Moments) -> Self {
        let is_full = matches!(of.state, State::Full(_));
        Self::room(arena, is_full, of.parameters(), super::blocks(&of.parts))
    }

    /// Takes the room that the moments of a run will need.
    pub(crate) fn plan(arena: &mut Arena, config: &TrainConfig, adapter: &LoraWeights) {
        let parts = super::parts(config, adapter);
        let len = parts.last().map_or(0, |part| part.range.end);
        Self::room(arena, config.optim == Optim::Adamw, len, super::blocks(&parts));
    }

    fn room(arena: &mut Arena, is_full: bool, len: usize, blocks: usize) -> Self {
        if is_full {
            return Self::Full([0; 2].map(|_| arena.take(Dtype::F32, len)));
        }
        let mut moment =
            || CudaMoment { codes: arena.take(Dtype::U8, len), scales: arena.take(Dtype::F32, blocks) };
        Self::EightBits {
            moments: [moment(), moment()],
            books: arena.take(Dtype::F32, adamw_8bit::cuda::BOOKS),
        }
    }

    pub(crate) fn upload(&self, device: &CudaDevice, from: &Moments) -> Result<(), CudaError> {
        match (self, &from.state) {
            (Self::Full(tensors), State::Full(moments)) => {
                moments.iter().zip(tensors).try_for_each(|(moment, &tensor)| device.upload(moment, tensor))
            }
            (Self::EightBits { moments, books }, State::EightBits { codes, scales }) => {
                for (to, (codes, scales)) in moments.iter().zip(codes.iter().zip(scales)) {
                    device.upload(codes, to.codes)?;
                    device.upload(scales, to.scales)?;
                }
                device.upload(&adamw_8bit::cuda::books(), *books)
            }
            _ => unreachable!("made for these moments"),
        }
    }

    pub(crate) fn download(&self, device: &CudaDevice, to: &mut Moments) -> Result<(), CudaError> {
        match (self, &mut to.state) {
            (Self::Full(tensors), State::Full(moments)) => moments
                .iter_mut()
                .zip(tensors)
                .try_for_each(|(moment, &tensor)| device.download(tensor, moment)),
            (Self::EightBits { moments, .. }, State::EightBits { codes, scales }) => {
                for (from, (codes, scales)) in moments.iter().zip(codes.iter_mut().zip(scales)) {
                    device.download(from.codes, codes)?;
                    device.download(from.scales, scales)?;
                }
                Ok(())
            }
            _ => unreachable!("made for these moments"),
        }
    }

    /// As [`Moments::step`]; `layout` has the same parts.
    pub(crate) fn step(
        &self,
        device: &CudaDevice,
        layout: &Moments,
        update: &Update,
        gradients: Tensor,
        params: Tensor,
    ) -> Result<(), CudaError> {
        let &Update { step, gradient_scale, .. } = update;
        for Part { range, is_b, blocks } in &layout.parts {
            let settings = &update.settings(*is_b);
            let part = |tensor: Tensor| tensor.slice(range.clone());
            match self {
                Self::Full([m, v]) => {
                    let state = CudaState { params: part(params), m: part(*m), v: part(*v) };
                    adamw::cuda::step(device, settings, step, part(gradients), gradient_scale, state)?;
                }
                Self::EightBits { moments, books } => {
                    debug_assert_eq!(blocks.len(), range.len().div_ceil(BLOCK), "blocks of a part");
                    let moments = moments.map(|CudaMoment { codes, scales }| CudaMoment {
                        codes: part(codes),
                        scales: scales.slice(blocks.clone()),
                    });
                    let (gradients, params) = (part(gradients), part(params));
                    adamw_8bit::cuda::step(
                        device,
                        settings,
                        step,
                        gradients,
                        gradient_scale,
                        params,
                        moments,
                        *books,
                    )?;
                }
            }
        }
        Ok(())
    }
}
