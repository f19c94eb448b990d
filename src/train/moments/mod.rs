//! The moments of `AdamW` in the form that was asked for: f32, or 8 bits.
//!
//! Where in the flow: the loop applies gradients through it, the checkpoint stores what it lists.
//!
//! **Invariant:** parts of the adapter with a learning rate of their own have blocks of their own, so that
//! the state is a function of the configuration and the gradients.

mod cuda;

pub(super) use cuda::CudaMoments;

use super::checkpoint::{elements, numbers};
use super::{Optim, TrainConfig};
use crate::device::CpuPool;
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

/// The whole adapter, or every matrix by itself if B learns at another rate.
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

/// Of all parts.
fn blocks(parts: &[Part]) -> usize {
    parts.last().map_or(0, |part| part.blocks.end)
}

impl Moments {
    /// As they start.
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

    /// Bytes of the moments of an adapter, without making them.
    pub(super) fn bytes(config: &TrainConfig, adapter: &LoraWeights) -> u64 {
        let len = adapter.parameters();
        let bytes = match config.optim {
            Optim::Adamw => 2 * len * size_of::<f32>(),
            Optim::Adamw8bit => 2 * (len + blocks(&parts(config, adapter)) * size_of::<f32>()),
        };
        bytes as u64
    }

    /// Parameters.
    pub(super) fn parameters(&self) -> usize {
        self.parts.last().map_or(0, |part| part.range.end)
    }

    /// Makes a step of the whole adapter; B with `ratio` times the learning rate.
    pub(super) fn step(
        &mut self,
        pool: &CpuPool,
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
                    adamw::step(pool, settings, step, gradients, clip, adamw::State { params, m, v });
                }
                State::EightBits { codes: [m, v], scales: [m_scales, v_scales] } => {
                    let moments = [(m, m_scales), (v, v_scales)].map(|(codes, scales)| Moment {
                        codes: &mut codes[range.clone()],
                        scales: &mut scales[blocks.clone()],
                    });
                    adamw_8bit::step(pool, settings, step, gradients, clip, params, moments);
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
