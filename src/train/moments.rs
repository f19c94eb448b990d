//! The moments of `AdamW` in the form that was asked for: f32, or 8 bits.
//!
//! Where in the flow: the loop applies gradients through it, the checkpoint stores what it lists.
//!
//! **Invariant:** parts of the adapter with a learning rate of their own have blocks of their own, so that the state is a function
//! of the configuration and the gradients.

use super::{Optim, TrainConfig};
use crate::device::Device;
use crate::lora::LoraWeights;
use crate::ops::adamw::{self, AdamW};
use crate::ops::adamw_8bit::{self, BLOCK, Moment, SIGNED, UNSIGNED};
use safetensors::tensor::{Dtype, SafeTensors};
use std::ops::Range;

/// Names of the tensors in a checkpoint, in f32 and of the codes.
const NAMES: [&str; 2] = ["exp_avg", "exp_avg_sq"];
/// Of the scales in 8 bits.
const SCALES: [&str; 2] = ["exp_avg.absmax", "exp_avg_sq.absmax"];

/// Both moments of all parameters.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Moments {
    /// What is updated at once: all, or every matrix by itself.
    parts: Vec<Part>,
    state: State,
}

#[derive(Debug, Clone, PartialEq)]
struct Part {
    /// Of the adapter.
    range: Range<usize>,
    /// Whether it is a `lora_b`, whose learning rate may be another.
    is_b: bool,
    /// Its blocks.
    blocks: Range<usize>,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Full([Vec<f32>; 2]),
    EightBits { codes: [Vec<u8>; 2], scales: [Vec<f32>; 2] },
}

impl Moments {
    /// As they start.
    pub(super) fn new(config: &TrainConfig, adapter: &LoraWeights) -> Self {
        let len = adapter.data.len();
        let ranges: Vec<(Range<usize>, bool)> = if (config.loraplus_lr_ratio - 1.0).abs() <= 0.0 {
            vec![(0..len, false)]
        } else {
            adapter.pairs.iter().flat_map(|pair| [(pair.a.clone(), false), (pair.b.clone(), true)]).collect()
        };
        let mut blocks = 0;
        let part = |(range, is_b): (Range<usize>, bool)| {
            let start = blocks;
            blocks += range.len().div_ceil(BLOCK);
            Part { range, is_b, blocks: start..blocks }
        };
        let parts: Vec<Part> = ranges.into_iter().map(part).collect();
        let state = match config.optim {
            Optim::Adamw => State::Full([vec![0.0; len], vec![0.0; len]]),
            Optim::Adamw8bit => State::EightBits {
                codes: [vec![SIGNED.zero(); len], vec![UNSIGNED.zero(); len]],
                scales: [vec![0.0; blocks], vec![0.0; blocks]],
            },
        };
        Self { parts, state }
    }

    /// Bytes of the moments of so many parameters, about: parts end in blocks that are not full.
    pub(super) fn bytes(optim: Optim, parameters: u64) -> u64 {
        match optim {
            Optim::Adamw => 8 * parameters,
            Optim::Adamw8bit => 2 * parameters + 8 * parameters.div_ceil(BLOCK as u64),
        }
    }

    /// Makes a step of the whole adapter; B with `ratio` times the learning rate.
    pub(super) fn step(
        &mut self,
        device: &Device,
        settings: &AdamW,
        ratio: f64,
        (step, clip): (u64, f64),
        gradients: &[f32],
        params: &mut [f32],
    ) {
        let faster = AdamW { learning_rate: ratio * settings.learning_rate, ..*settings };
        for Part { range, is_b, blocks } in &self.parts {
            let settings = if *is_b { &faster } else { settings };
            let (gradients, params) = (&gradients[range.clone()], &mut params[range.clone()]);
            match &mut self.state {
                State::Full([m, v]) => {
                    let (m, v) = (&mut m[range.clone()], &mut v[range.clone()]);
                    adamw::step(device, settings, step, gradients, clip, adamw::State { params, m, v });
                }
                State::EightBits { codes: [m, v], scales: [m_scales, v_scales] } => {
                    let moments = [(m, m_scales), (v, v_scales)].map(|(codes, scales)| Moment {
                        codes: &mut codes[range.clone()],
                        scales: &mut scales[blocks.clone()],
                    });
                    adamw_8bit::step(device, settings, step, gradients, clip, params, moments);
                }
            }
        }
    }

    /// What a checkpoint holds: name, type, length and bytes.
    pub(super) fn tensors(&self) -> Vec<(&'static str, Dtype, usize, &[u8])> {
        match &self.state {
            State::Full(moments) => NAMES
                .into_iter()
                .zip(moments)
                .map(|(name, moment)| (name, Dtype::F32, moment.len(), bytemuck::cast_slice(moment)))
                .collect(),
            State::EightBits { codes, scales } => {
                let codes = NAMES.into_iter().zip(codes).map(|(name, c)| (name, Dtype::U8, c.len(), &c[..]));
                let scales = SCALES.into_iter().zip(scales);
                let scales = scales.map(|(name, s)| (name, Dtype::F32, s.len(), bytemuck::cast_slice(s)));
                codes.chain(scales).collect()
            }
        }
    }

    /// Takes the state from a checkpoint.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(&mut self, tensors: &SafeTensors<'_>) -> Result<(), String> {
        let data = |name, dtype, len: usize| {
            let tensor = tensors.tensor(name).map_err(|error| error.to_string())?;
            if tensor.dtype() == dtype && tensor.shape() == [len] {
                return Ok(tensor.data().to_vec());
            }
            let (found, shape) = (tensor.dtype(), tensor.shape());
            Err(format!("tensor `{name}` is {found:?} {shape:?}, expected {dtype:?} [{len}]"))
        };
        let fill = |numbers: &mut Vec<f32>, name| {
            let bytes = data(name, Dtype::F32, numbers.len())?;
            for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *number = f32::from_le_bytes(*bytes);
            }
            Ok::<_, String>(())
        };
        match &mut self.state {
            State::Full([m, v]) => {
                fill(m, NAMES[0])?;
                fill(v, NAMES[1])
            }
            State::EightBits { codes, scales } => {
                for (codes, name) in codes.iter_mut().zip(NAMES) {
                    *codes = data(name, Dtype::U8, codes.len())?;
                }
                for (scales, name) in scales.iter_mut().zip(SCALES) {
                    fill(scales, name)?;
                }
                Ok(())
            }
        }
    }
}
