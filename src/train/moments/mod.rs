//! The moments of `AdamW`, in f32 or in 8 bits, and the update of the adapter.
//!
//! Where in the flow: the loop applies gradients through it, and the checkpoint stores its tensors.
//!
//! **Invariant:** parts of the adapter with a learning rate of their own have quantisation blocks of their
//! own: no block spans two parts.

mod cuda;

pub(super) use cuda::CudaMoments;

use super::flat_tensors::{FlatTensor, elements, numbers};
use super::{Optim, TrainConfig};
use crate::device::CpuPool;
use crate::lora::LoraWeights;
use crate::ops::adamw::{self, AdamW};
use crate::ops::adamw_8bit::{self, BLOCK, Moment, SIGNED, UNSIGNED};
use safetensors::tensor::{Dtype, SafeTensors};
use std::ops::Range;

/// Names of the tensors in a checkpoint: of the moments in f32, or of their codes in 8 bits.
const NAMES: [&str; 2] = ["exp_avg", "exp_avg_sq"];
/// Names of the scales in 8 bits.
const SCALES: [&str; 2] = ["exp_avg.absmax", "exp_avg_sq.absmax"];

/// One update of the adapter: everything that an optimiser step needs beside gradients, parameters and
/// moments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Update {
    /// The number of the step, counted from 1.
    pub(super) step: u64,
    /// What the gradient is multiplied by: clipping, and the inverse of the loss scale.
    pub(super) gradient_scale: f64,
    pub(super) adamw: AdamW,
    /// How many times faster B learns than A (LoRA+).
    pub(super) loraplus_lr_ratio: f64,
}

impl Update {
    fn settings(&self, is_b: bool) -> AdamW {
        let ratio = if is_b { self.loraplus_lr_ratio } else { return self.adamw };
        AdamW { learning_rate: ratio * self.adamw.learning_rate, ..self.adamw }
    }
}

/// Both moments of all parameters.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Moments {
    /// The ranges that are updated with one learning rate.
    parts: Vec<Part>,
    state: State,
}

#[derive(Debug, Clone, PartialEq)]
struct Part {
    /// Of the adapter's numbers.
    range: Range<usize>,
    /// Whether it is a `lora_b`, which may have another learning rate.
    is_b: bool,
    /// Its quantisation blocks.
    blocks: Range<usize>,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Full([Vec<f32>; 2]),
    EightBits { codes: [Vec<u8>; 2], scales: [Vec<f32>; 2] },
}

/// The whole adapter as one part, or every matrix as one if B has another learning rate.
fn parts(config: &TrainConfig, adapter: &LoraWeights) -> Vec<Part> {
    let ranges: Vec<(Range<usize>, bool)> = if (config.loraplus_lr_ratio - 1.0).abs() <= 0.0 {
        vec![(0..adapter.parameters(), false)]
    } else {
        adapter.pairs.iter().flat_map(|pair| [(pair.a.clone(), false), (pair.b.clone(), true)]).collect()
    };
    let mut end = 0;
    let part = |(range, is_b): (Range<usize>, bool)| {
        let start = end;
        end += range.len().div_ceil(BLOCK);
        Part { range, is_b, blocks: start..end }
    };
    ranges.into_iter().map(part).collect()
}

/// Quantisation blocks of all parts.
fn blocks(parts: &[Part]) -> usize {
    parts.last().map_or(0, |part| part.blocks.end)
}

impl Moments {
    /// Zero moments.
    pub(super) fn new(config: &TrainConfig, adapter: &LoraWeights) -> Self {
        let (len, parts) = (adapter.parameters(), parts(config, adapter));
        let state = match config.optim {
            Optim::Adamw => State::Full([vec![0.0; len], vec![0.0; len]]),
            Optim::Adamw8bit => {
                let blocks = blocks(&parts);
                State::EightBits {
                    codes: [vec![SIGNED.zero(); len], vec![UNSIGNED.zero(); len]],
                    scales: [vec![0.0; blocks], vec![0.0; blocks]],
                }
            }
        };
        Self { parts, state }
    }

    /// Bytes that the moments of an adapter will take.
    pub(super) fn bytes(config: &TrainConfig, adapter: &LoraWeights) -> u64 {
        let len = adapter.parameters();
        let bytes = match config.optim {
            Optim::Adamw => 2 * len * size_of::<f32>(),
            Optim::Adamw8bit => 2 * (len + blocks(&parts(config, adapter)) * size_of::<f32>()),
        };
        bytes as u64
    }

    /// Number of adapter parameters.
    pub(super) fn parameters(&self) -> usize {
        self.parts.last().map_or(0, |part| part.range.end)
    }

    /// Makes a step of the whole adapter.
    pub(super) fn step(&mut self, pool: &CpuPool, update: &Update, gradients: &[f32], params: &mut [f32]) {
        let &Update { step, gradient_scale, .. } = update;
        for Part { range, is_b, blocks } in &self.parts {
            let settings = &update.settings(*is_b);
            let (gradients, params) = (&gradients[range.clone()], &mut params[range.clone()]);
            match &mut self.state {
                State::Full([m, v]) => {
                    let (m, v) = (&mut m[range.clone()], &mut v[range.clone()]);
                    adamw::step(
                        pool,
                        settings,
                        step,
                        gradients,
                        gradient_scale,
                        adamw::State { params, m, v },
                    );
                }
                State::EightBits { codes: [m, v], scales: [m_scales, v_scales] } => {
                    let moments = [(m, m_scales), (v, v_scales)].map(|(codes, scales)| Moment {
                        codes: &mut codes[range.clone()],
                        scales: &mut scales[blocks.clone()],
                    });
                    adamw_8bit::step(pool, settings, step, gradients, gradient_scale, params, moments);
                }
            }
        }
    }

    /// What a checkpoint holds of them.
    pub(super) fn tensors(&self) -> Vec<FlatTensor<'_>> {
        match &self.state {
            State::Full(moments) => {
                NAMES.into_iter().zip(moments).map(|(name, m)| FlatTensor::of_numbers(name, m)).collect()
            }
            State::EightBits { codes, scales } => {
                let codes = NAMES.into_iter().zip(codes).map(|(name, c)| FlatTensor::of_bytes(name, c));
                let scales = SCALES.into_iter().zip(scales).map(|(name, s)| FlatTensor::of_numbers(name, s));
                codes.chain(scales).collect()
            }
        }
    }

    /// Takes the state from a checkpoint.
    ///
    /// # Errors
    /// A tensor is missing, or has another type or length.
    pub(super) fn read(&mut self, tensors: &SafeTensors<'_>) -> Result<(), String> {
        match &mut self.state {
            State::Full(moments) => {
                for (moment, name) in moments.iter_mut().zip(NAMES) {
                    *moment = numbers(tensors, name, moment.len())?;
                }
            }
            State::EightBits { codes, scales } => {
                for (codes, name) in codes.iter_mut().zip(NAMES) {
                    *codes = elements(tensors, name, Dtype::U8, codes.len())?.to_vec();
                }
                for (scales, name) in scales.iter_mut().zip(SCALES) {
                    *scales = numbers(tensors, name, scales.len())?;
                }
            }
        }
        Ok(())
    }
}
