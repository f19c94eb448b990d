//! The moments on a GPU: copies of [`Moments`], of the same parts.

use super::{BLOCK, Moments, Optim, Part, State, TrainConfig};
use crate::device::cuda::{Arena, CudaDevice, CudaError, Dtype, Tensor};
use crate::lora::LoraWeights;
use crate::ops::adamw::{self, AdamW};
use crate::ops::adamw_8bit;

/// See the module.
#[derive(Debug)]
pub(crate) enum CudaMoments {
    Full([Tensor; 2]),
    /// Codes and scales of each, and the values of codes.
    EightBits {
        moments: [[Tensor; 2]; 2],
        books: Tensor,
    },
}

impl CudaMoments {
    /// Room for moments.
    pub(crate) fn take(arena: &mut Arena, of: &Moments) -> Self {
        let is_full = matches!(of.state, State::Full(_));
        Self::room(arena, is_full, of.parameters(), super::blocks(&of.parts))
    }

    /// The same for those that a run will have.
    pub(crate) fn plan(arena: &mut Arena, config: &TrainConfig, adapter: &LoraWeights) {
        let parts = super::parts(config, adapter);
        let len = parts.last().map_or(0, |part| part.range.end);
        Self::room(arena, config.optim == Optim::Adamw, len, super::blocks(&parts));
    }

    fn room(arena: &mut Arena, is_full: bool, len: usize, blocks: usize) -> Self {
        if is_full {
            return Self::Full([0; 2].map(|_| arena.take(Dtype::F32, len)));
        }
        let mut moment = || [arena.take(Dtype::U8, len), arena.take(Dtype::F32, blocks)];
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
                for ([to_codes, to_scales], (codes, scales)) in moments.iter().zip(codes.iter().zip(scales)) {
                    device.upload(codes, *to_codes)?;
                    device.upload(scales, *to_scales)?;
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
                for ([from_codes, from_scales], (codes, scales)) in
                    moments.iter().zip(codes.iter_mut().zip(scales))
                {
                    device.download(*from_codes, codes)?;
                    device.download(*from_scales, scales)?;
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
        settings: &AdamW,
        ratio: f64,
        (step, clip): (u64, f64),
        [params, gradients]: [Tensor; 2],
    ) -> Result<(), CudaError> {
        let faster = AdamW { learning_rate: ratio * settings.learning_rate, ..*settings };
        for Part { range, is_b, blocks } in &layout.parts {
            let settings = if *is_b { &faster } else { settings };
            let part = |tensor: Tensor| tensor.slice(range.clone());
            match self {
                Self::Full([m, v]) => {
                    let state = [part(params), part(*m), part(*v)];
                    adamw::cuda::step(device, settings, step, part(gradients), clip, state)?;
                }
                Self::EightBits { moments, books } => {
                    debug_assert_eq!(blocks.len(), range.len().div_ceil(BLOCK), "blocks of a part");
                    let moments = moments.map(|[codes, scales]| [part(codes), scales.slice(blocks.clone())]);
                    let (gradients, params) = (part(gradients), part(params));
                    adamw_8bit::cuda::step(device, settings, step, gradients, clip, params, moments, *books)?;
                }
            }
        }
        Ok(())
    }
}
