//! Adapter tensors in one flat buffer.
//!
//! Where in the flow: one buffer of this layout holds the parameters, another the gradients, two more the
//! moments of `AdamW`; clipping and checkpoints run over them without knowing about layers.
//!
//! **Invariant:** the layout is a function of (configuration, base shape) alone: layer-major, then
//! [`TargetModule`] order, `lora_a` directly before `lora_b`, no gaps.

use std::ops::Range;

use rand::Rng;

use super::{BaseShape, Error, TargetModule};
use crate::rng;

/// PEFT's words.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LoraConfig {
    /// Rank.
    pub r: usize,
    /// scaling = `lora_alpha / r`.
    pub lora_alpha: f32,
    /// Dropout on the input of the adapter's branch.
    pub lora_dropout: f32,
    /// Which projections.
    pub target_modules: Vec<TargetModule>,
}

impl LoraConfig {
    /// Whether an adapter can be made of this.
    ///
    /// # Errors
    /// Names the field, its value and what is accepted.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |field, found: &dyn ToString, expected| {
            Err(Error::Config { field, found: found.to_string(), expected })
        };
        if self.r == 0 {
            return refuse("r", &self.r, "1 or more");
        }
        // llama.cpp reads an alpha of 0 as "no scaling", which is not what 0 means here.
        if !(self.lora_alpha > 0.0 && self.lora_alpha.is_finite()) {
            return refuse("lora_alpha", &self.lora_alpha, "a finite number above 0");
        }
        if !(0.0..1.0).contains(&self.lora_dropout) {
            return refuse("lora_dropout", &self.lora_dropout, "0 or more and below 1");
        }
        if self.target_modules.is_empty() {
            return refuse("target_modules", &"[]", "at least one projection");
        }
        Ok(())
    }
}

/// Where one (layer, module) lies in [`LoraWeights::data`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoraPair {
    /// Decoder layer.
    pub layer: usize,
    /// Projection.
    pub module: TargetModule,
    /// Columns of the base weight.
    pub in_features: usize,
    /// Rows of the base weight.
    pub out_features: usize,
    /// `lora_a` (R, in), row-major.
    pub a: Range<usize>,
    /// `lora_b` (out, R), row-major, rows in GGUF order (see `peft.rs` for the q/k permutation).
    pub b: Range<usize>,
}

/// All adapter tensors in one flat buffer: what `AdamW`, clipping and checkpoints run over.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraWeights {
    /// Configuration; `target_modules` in their order, each once.
    pub config: LoraConfig,
    /// Layer-major, then [`TargetModule`] order.
    pub pairs: Vec<LoraPair>,
    /// The numbers.
    pub data: Vec<f32>,
}

impl LoraWeights {
    /// Zeros everywhere (also the shape of a gradient).
    ///
    /// # Panics
    /// The configuration does not pass [`LoraConfig::check`].
    pub fn zeros(config: &LoraConfig, base: &BaseShape) -> Self {
        if let Err(error) = config.check() {
            panic!("an unchecked configuration: {error}");
        }
        let mut config = config.clone();
        config.target_modules.sort_unstable();
        config.target_modules.dedup();
        let mut pairs = Vec::new();
        let mut end = 0;
        let mut take = |count: usize| {
            end += count;
            end - count..end
        };
        for layer in 0..base.num_hidden_layers {
            for &module in &config.target_modules {
                let (in_features, out_features) = (base.in_features(module), base.out_features(module));
                let (a, b) = (take(config.r * in_features), take(out_features * config.r));
                pairs.push(LoraPair { layer, module, in_features, out_features, a, b });
            }
        }
        Self { config, pairs, data: vec![0.0; end] }
    }

    /// PEFT's start: A ~ U(-1/sqrt(in), 1/sqrt(in)) (kaiming, a = sqrt 5), B = 0; one stream per (seed,
    /// layer, module), so that an adapter on fewer modules starts with the same numbers in those.
    ///
    /// # Panics
    /// The configuration does not pass [`LoraConfig::check`].
    pub fn init(config: &LoraConfig, base: &BaseShape, seed: u64) -> Self {
        let mut weights = Self::zeros(config, base);
        for pair in &weights.pairs {
            let mut stream = rng::stream(seed, "lora.init", &[pair.layer as u64, pair.module as u64]);
            let bound = 1.0 / (pair.in_features as f64).sqrt();
            for weight in &mut weights.data[pair.a.clone()] {
                // 53 random bits, the midpoints of as many bins of (0, 1).
                let unit = ((stream.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
                *weight = (bound * (2.0 * unit - 1.0)) as f32;
            }
        }
        weights
    }

    /// `lora_alpha / r`.
    pub fn scaling(&self) -> f32 {
        self.config.lora_alpha / self.config.r as f32
    }

    /// The pair of (layer, module), if adapted. O(1).
    pub fn pair(&self, layer: usize, module: TargetModule) -> Option<&LoraPair> {
        let modules = &self.config.target_modules;
        let position = modules.iter().position(|&adapted| adapted == module)?;
        self.pairs.get(layer * modules.len() + position)
    }

    /// `lora_a` (R, in) of (layer, module), if adapted.
    pub fn pair_a(&self, layer: usize, module: TargetModule) -> Option<&[f32]> {
        self.pair(layer, module).map(|pair| &self.data[pair.a.clone()])
    }

    /// `lora_b` (out, R) of (layer, module), if adapted.
    pub fn pair_b(&self, layer: usize, module: TargetModule) -> Option<&[f32]> {
        self.pair(layer, module).map(|pair| &self.data[pair.b.clone()])
    }

    /// `lora_a` and `lora_b` of (layer, module) together, to be written (gradients).
    pub fn pair_mut(&mut self, layer: usize, module: TargetModule) -> Option<(&mut [f32], &mut [f32])> {
        let pair = self.pair(layer, module)?;
        let (range, middle) = (pair.a.start..pair.b.end, pair.a.len());
        Some(self.data[range].split_at_mut(middle))
    }
}
