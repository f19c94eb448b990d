//! Adapter tensors in one flat buffer.
//!
//! Where in the flow: one buffer of this layout holds the parameters, another the gradients, two more the
//! moments of `AdamW`; clipping and checkpoints run over them without knowing about layers.
//!
//! **Invariant:** the layout is a function of (configuration, base shape) alone: layer-major, then
//! [`TargetModule`] order, `lora_a` directly before `lora_b`, no gaps.

use std::collections::BTreeMap;
use std::ops::Range;

use rand::Rng;

use super::{BaseShape, Error, TargetModule};
use crate::rng;

/// PEFT's words.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct LoraConfig {
    /// Rank.
    pub r: usize,
    /// scaling = `lora_alpha / r`, with the rank and alpha of the projection.
    pub lora_alpha: f32,
    /// Ranks of projections that have another than `r`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rank_pattern: BTreeMap<TargetModule, usize>,
    /// Alphas of projections that have another than `lora_alpha`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alpha_pattern: BTreeMap<TargetModule, f32>,
    /// Dropout on the input of the adapter's branch.
    pub lora_dropout: f32,
    /// Which projections.
    pub target_modules: Vec<TargetModule>,
}

impl LoraConfig {
    /// Rank of a projection.
    pub fn rank(&self, module: TargetModule) -> usize {
        self.rank_pattern.get(&module).copied().unwrap_or(self.r)
    }

    /// Alpha of a projection.
    pub fn alpha(&self, module: TargetModule) -> f32 {
        self.alpha_pattern.get(&module).copied().unwrap_or(self.lora_alpha)
    }

    /// What the output of a projection's branch is multiplied by: alpha / rank.
    pub fn scaling(&self, module: TargetModule) -> f32 {
        self.alpha(module) / self.rank(module) as f32
    }

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
        if let Some((module, _)) = self.rank_pattern.iter().find(|&(_, &rank)| rank == 0) {
            return refuse("rank_pattern", &format!("{module}=0"), "ranks of 1 or more");
        }
        let patterns = self.rank_pattern.keys().chain(self.alpha_pattern.keys());
        if let Some(module) = patterns.into_iter().find(|module| !self.target_modules.contains(module)) {
            return refuse("rank_pattern", module, "projections that are among the target modules");
        }
        if let Some((module, alpha)) = self.alpha_pattern.iter().find(|&(_, a)| !(*a > 0.0 && a.is_finite()))
        {
            return refuse("alpha_pattern", &format!("{module}={alpha}"), "finite numbers above 0");
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
    /// R.
    pub rank: usize,
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
        let layout = Self::layout(config, base);
        Self { data: vec![0.0; layout.parameters()], ..layout }
    }

    /// Numbers of the whole adapter, whether `data` holds them or this is only a layout.
    pub fn parameters(&self) -> usize {
        self.pairs.last().map_or(0, |pair| pair.b.end)
    }

    /// Where everything lies, without numbers.
    ///
    /// # Panics
    /// The configuration does not pass [`LoraConfig::check`].
    pub fn layout(config: &LoraConfig, base: &BaseShape) -> Self {
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
                let rank = config.rank(module);
                let (a, b) = (take(rank * in_features), take(out_features * rank));
                pairs.push(LoraPair { layer, module, rank, in_features, out_features, a, b });
            }
        }
        Self { config, pairs, data: Vec::new() }
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
