//! All adapter tensors in one flat buffer.
//!
//! Where in the flow: in training, one buffer of this layout holds the parameters, one the gradients and two
//! the moments of `AdamW`. Clipping and checkpoints process them without knowing about layers.
//!
//! **Invariant:** the layout depends only on the configuration and the base shape: layer-major, then
//! [`TargetModule`] order, `lora_a` directly before `lora_b`, no gaps.

use std::collections::BTreeMap;
use std::ops::Range;

use rand::Rng;

use super::{BaseShape, Error, TargetModule};
use crate::rng;

/// Configuration of an adapter. Fields have the names that PEFT uses.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct LoraConfig {
    /// Rank of the projections that `rank_pattern` does not list.
    pub r: usize,
    /// Alpha of the projections that `alpha_pattern` does not list. A branch is scaled by alpha / rank.
    pub lora_alpha: f32,
    /// Ranks of the projections whose rank is not `r`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rank_pattern: BTreeMap<TargetModule, usize>,
    /// Alphas of the projections whose alpha is not `lora_alpha`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alpha_pattern: BTreeMap<TargetModule, f32>,
    /// Probability of dropping an element of the adapter branch's input, in `0.0..1.0`.
    pub lora_dropout: f32,
    /// The projections that get an adapter.
    pub target_modules: Vec<TargetModule>,
}

impl LoraConfig {
    /// The rank of a projection.
    pub fn rank(&self, module: TargetModule) -> usize {
        self.rank_pattern.get(&module).copied().unwrap_or(self.r)
    }

    /// The alpha of a projection.
    pub fn alpha(&self, module: TargetModule) -> f32 {
        self.alpha_pattern.get(&module).copied().unwrap_or(self.lora_alpha)
    }

    /// The factor on the output of a projection's adapter branch: alpha / rank.
    pub fn scaling(&self, module: TargetModule) -> f32 {
        self.alpha(module) / self.rank(module) as f32
    }

    /// Checks that an adapter can be created from this configuration.
    ///
    /// # Errors
    /// A value is out of range; the error names the field, its value and the accepted values.
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
        // llama.cpp reads an alpha of 0 as "no scaling" (a factor of 1), where it should mean a factor of 0.
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

/// Location of the two tensors of one (layer, module) in [`LoraWeights::data`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoraPair {
    /// Index of the decoder layer.
    pub layer: usize,
    /// The projection.
    pub module: TargetModule,
    /// The rank R.
    pub rank: usize,
    /// Number of columns of the base weight.
    pub in_features: usize,
    /// Number of rows of the base weight.
    pub out_features: usize,
    /// Range of `lora_a` (R, in), row-major.
    pub a: Range<usize>,
    /// Range of `lora_b` (out, R), row-major, with rows in GGUF order (see `peft.rs` for the permutation).
    pub b: Range<usize>,
}

/// All adapter tensors in one flat buffer, with their layout.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraWeights {
    /// The configuration, with `target_modules` sorted and without duplicates.
    pub config: LoraConfig,
    /// The locations of all tensors, layer-major, then in [`TargetModule`] order.
    pub pairs: Vec<LoraPair>,
    /// The numbers of all tensors; empty in a mere [`Self::layout`].
    pub data: Vec<f32>,
}

impl LoraWeights {
    /// An adapter of zeros, which also serves as a gradient buffer.
    ///
    /// # Panics
    /// If the configuration does not pass [`LoraConfig::check`].
    pub fn zeros(config: &LoraConfig, base: &BaseShape) -> Self {
        let layout = Self::layout(config, base);
        Self { data: vec![0.0; layout.parameters()], ..layout }
    }

    /// Numbers of the whole adapter, whether `data` holds them or this is only a layout.
    pub fn parameters(&self) -> usize {
        self.pairs.last().map_or(0, |pair| pair.b.end)
    }

    /// The layout alone, with an empty buffer.
    ///
    /// # Panics
    /// If the configuration does not pass [`LoraConfig::check`].
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

    /// PEFT's initialisation: A ~ U(-1/sqrt(in), 1/sqrt(in)) (Kaiming uniform, a = sqrt 5) and B = 0.
    ///
    /// Each (seed, layer, module) has its own stream, so an adapter on fewer modules starts with the same
    /// numbers in the ones it has.
    ///
    /// # Panics
    /// If the configuration does not pass [`LoraConfig::check`].
    pub fn init(config: &LoraConfig, base: &BaseShape, seed: u64) -> Self {
        let mut weights = Self::zeros(config, base);
        for pair in &weights.pairs {
            let mut stream = rng::stream(seed, "lora.init", &[pair.layer as u64, pair.module as u64]);
            let bound = 1.0 / (pair.in_features as f64).sqrt();
            for weight in &mut weights.data[pair.a.clone()] {
                // 53 random bits select the midpoint of one of 2^53 bins of (0, 1).
                let unit = ((stream.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
                *weight = (bound * (2.0 * unit - 1.0)) as f32;
            }
        }
        weights
    }

    /// The location of (layer, module), if it is adapted. O(1).
    pub fn pair(&self, layer: usize, module: TargetModule) -> Option<&LoraPair> {
        let modules = &self.config.target_modules;
        let position = modules.iter().position(|&adapted| adapted == module)?;
        self.pairs.get(layer * modules.len() + position)
    }

    /// `lora_a` (R, in) of (layer, module), if it is adapted.
    pub fn pair_a(&self, layer: usize, module: TargetModule) -> Option<&[f32]> {
        self.pair(layer, module).map(|pair| &self.data[pair.a.clone()])
    }

    /// `lora_b` (out, R) of (layer, module), if it is adapted.
    pub fn pair_b(&self, layer: usize, module: TargetModule) -> Option<&[f32]> {
        self.pair(layer, module).map(|pair| &self.data[pair.b.clone()])
    }

    /// `lora_a` (R, in) and `lora_b` (out, R) of (layer, module), writable, if it is adapted.
    pub fn pair_mut(&mut self, layer: usize, module: TargetModule) -> Option<(&mut [f32], &mut [f32])> {
        let pair = self.pair(layer, module)?;
        let (range, middle) = (pair.a.start..pair.b.end, pair.a.len());
        Some(self.data[range].split_at_mut(middle))
    }
}
