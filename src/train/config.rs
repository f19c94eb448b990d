//! The settings of a training run, named as in PEFT and Hugging Face's `TrainingArguments`.
//!
//! Where in the flow: `cli` fills it from flags or TOML; [`super::train`] validates it once at the start, and
//! everything after that trusts it.
//!
//! **Invariant:** after [`TrainConfig::validate`] every number is finite and in the range that its comment
//! gives, so no later division, logarithm or cast can fail.

use super::Error;
use crate::device::cuda::MixedPrecision;
use crate::lora::{LoraConfig, TargetModule};
use crate::model::GradientCheckpointing;
use std::collections::BTreeMap;

/// The course of the learning rate after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Half a cosine from the peak to 0 at the last step.
    Cosine,
    /// A straight line from the peak to 0 at the last step.
    Linear,
    /// The peak until the end.
    ConstantWithWarmup,
}

/// Settings of a run. The defaults are those of common LoRA recipes (2e-4, three epochs, cosine, 3 %
/// warm-up).
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "settings, each a switch of its own")]
pub struct TrainConfig {
    /// Rank of the adapter, at least 1.
    pub r: usize,
    /// Ranks of projections that differ from `r`, at least 1.
    pub rank_pattern: BTreeMap<TargetModule, usize>,
    /// The adapter's output is scaled by `lora_alpha / r`; positive.
    pub lora_alpha: f32,
    /// Whether it is scaled by `lora_alpha / √r` instead (Kalajdzievski 2023, arXiv:2312.03732).
    pub use_rslora: bool,
    /// Dropout on the input of the LoRA branch, in [0, 1).
    pub lora_dropout: f32,
    /// Projections that get an adapter; at least one.
    pub target_modules: Vec<TargetModule>,
    /// The precision of `AdamW`'s moments.
    pub optim: Optim,
    /// Peak learning rate, positive.
    pub learning_rate: f64,
    /// Ratio of B's learning rate to A's, positive (`LoRA+`: Hayou et al. 2024, arXiv:2402.12354).
    pub loraplus_lr_ratio: f64,
    /// Noise on embeddings in training, uniform over ±alpha / √(tokens · width) of a sample; 0 is none (Jain
    /// et al. 2023, arXiv:2310.05914).
    pub neftune_noise_alpha: f64,
    /// Passes over the data, at least 1. Ignored when `max_steps` is set.
    pub num_train_epochs: u64,
    /// Exact number of optimiser steps; passes are repeated or cut to reach it.
    pub max_steps: Option<u64>,
    /// Packed rows per forward pass, at least 1. The CPU backend runs them one after the other, so only
    /// `micro_batch_size * gradient_accumulation_steps` matters there.
    pub micro_batch_size: usize,
    /// Forward passes per optimiser step and device, at least 1.
    pub gradient_accumulation_steps: usize,
    /// Tokens in a packed row and the limit for one sample, at least 2.
    pub max_seq_len: usize,
    /// Whether every pass has the samples in another random order.
    pub shuffle: bool,
    /// Whether samples share rows.
    pub packing: bool,
    /// What happens to a sample that is longer than a row.
    pub overlong: Overlong,
    /// Share of all steps spent warming up, in [0, 1].
    pub warmup_ratio: f64,
    /// Steps spent warming up; replaces `warmup_ratio`.
    pub warmup_steps: Option<u64>,
    /// The course of the learning rate after the warm-up.
    pub lr_scheduler_type: Schedule,
    /// Decoupled weight decay, not negative.
    pub weight_decay: f64,
    /// Decay of the first moment, in [0, 1).
    pub adam_beta1: f64,
    /// Decay of the second moment, in [0, 1).
    pub adam_beta2: f64,
    /// Added to the root of the second moment, positive.
    pub adam_epsilon: f64,
    /// Gradients with a larger global norm are scaled down to it; 0 turns clipping off.
    pub max_grad_norm: f64,
    /// Seeds the adapter's initial weights, the order of samples, dropout and noise.
    pub seed: u64,
    /// Steps between checkpoints, at least 1. It does not affect the result and may differ on resume.
    pub save_steps: u64,
    /// What backward recomputes instead of keeping it. It does not affect the result and may differ on
    /// resume.
    pub gradient_checkpointing: GradientCheckpointing,
    /// Type of activations on a GPU; the CPU computes in f32.
    pub mixed_precision: MixedPrecision,
    /// Steps between validation passes; there is always one at the start and one at the end.
    pub eval_steps: Option<u64>,
    /// Ends the run after this many validation passes in a row without a better loss, at least 1; needs
    /// `eval_steps`.
    pub early_stopping_patience: Option<u64>,
    /// How much lower a loss must be to count as better, not negative.
    pub early_stopping_threshold: f64,
    /// Whether the result is the adapter of the best validation pass; implied by `early_stopping_patience`.
    pub load_best_model_at_end: bool,
    /// Ends the run if a loss is this many standard deviations above the last 128; `None`: never.
    pub max_loss_z_score: Option<f64>,
}

/// The optimiser, under Hugging Face's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum Optim {
    /// `AdamW` with moments in f32.
    #[default]
    #[serde(rename = "adamw_torch", alias = "adamw")]
    Adamw,
    /// `AdamW` with moments in 8 bits: a quarter of the memory.
    #[serde(rename = "adamw_8bit")]
    Adamw8bit,
}

/// What happens to a sample that is longer than a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlong {
    /// It is left out: a truncated answer would teach the model to stop in the middle.
    #[default]
    Drop,
    /// It is truncated, or left out if no answer has started by then.
    Truncate,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            r: 16,
            rank_pattern: BTreeMap::new(),
            lora_alpha: 32.0,
            use_rslora: false,
            lora_dropout: 0.0,
            target_modules: TargetModule::ALL.to_vec(),
            optim: Optim::Adamw,
            learning_rate: 2e-4,
            loraplus_lr_ratio: 1.0,
            neftune_noise_alpha: 0.0,
            num_train_epochs: 3,
            max_steps: None,
            micro_batch_size: 1,
            gradient_accumulation_steps: 8,
            max_seq_len: 1024,
            shuffle: true,
            packing: true,
            overlong: Overlong::Drop,
            warmup_ratio: 0.03,
            warmup_steps: None,
            lr_scheduler_type: Schedule::Cosine,
            weight_decay: 0.0,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            max_grad_norm: 1.0,
            seed: 0,
            save_steps: 1,
            gradient_checkpointing: GradientCheckpointing::None,
            mixed_precision: MixedPrecision::Bf16,
            eval_steps: None,
            early_stopping_patience: None,
            early_stopping_threshold: 0.0,
            load_best_model_at_end: false,
            max_loss_z_score: None,
        }
    }
}

impl TrainConfig {
    /// Names of the settings that do not affect the result, so that they may differ when a run resumes.
    pub const DECIDES_NOTHING: [&str; 3] = ["save_steps", "gradient_checkpointing", "max_loss_z_score"];

    /// The adapter's configuration, with target modules in their order, each once.
    pub fn lora(&self) -> LoraConfig {
        let mut target_modules = self.target_modules.clone();
        target_modules.sort_unstable();
        target_modules.dedup();
        // Rank-stabilised scaling is written as the alpha with the same effect, which tools without rsLoRA
        // read correctly too.
        let alpha = |rank: usize| {
            if self.use_rslora { self.lora_alpha * (rank as f32).sqrt() } else { self.lora_alpha }
        };
        let differs = |rank: usize| self.use_rslora && rank != self.r;
        let own = self.rank_pattern.iter().filter(|&(_, &rank)| differs(rank));
        LoraConfig {
            r: self.r,
            lora_alpha: alpha(self.r),
            rank_pattern: self.rank_pattern.clone(),
            alpha_pattern: own.map(|(&module, &rank)| (module, alpha(rank))).collect(),
            lora_dropout: self.lora_dropout,
            target_modules,
        }
    }

    /// Whether the adapter of the best validation pass is the result.
    pub fn keeps_best(&self) -> bool {
        self.load_best_model_at_end || self.early_stopping_patience.is_some()
    }

    /// Packed rows per optimiser step and device.
    pub fn window_rows(&self) -> usize {
        self.micro_batch_size * self.gradient_accumulation_steps
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] (or [`Error::Lora`] for the adapter's shape) names the first field that is out of
    /// range, its value and the range.
    pub fn validate(&self) -> Result<(), Error> {
        let at_least_1 = "at least 1";
        self.lora().check()?;
        check("learning_rate", &self.learning_rate, finite_positive(self.learning_rate), POSITIVE)?;
        let ratio = self.loraplus_lr_ratio;
        check("loraplus_lr_ratio", &ratio, finite_positive(ratio), POSITIVE)?;
        let noise = self.neftune_noise_alpha;
        check("neftune_noise_alpha", &noise, noise.is_finite() && noise >= 0.0, NOT_NEGATIVE)?;
        check("num_train_epochs", &self.num_train_epochs, self.num_train_epochs >= 1, at_least_1)?;
        if let Some(steps) = self.max_steps {
            check("max_steps", &steps, steps >= 1, at_least_1)?;
        }
        check("micro_batch_size", &self.micro_batch_size, self.micro_batch_size >= 1, at_least_1)?;
        let accumulation = self.gradient_accumulation_steps;
        check("gradient_accumulation_steps", &accumulation, accumulation >= 1, at_least_1)?;
        let fits = self.micro_batch_size.checked_mul(accumulation).is_some();
        check("gradient_accumulation_steps", &accumulation, fits, "small enough to multiply")?;
        check("max_seq_len", &self.max_seq_len, self.max_seq_len >= 2, "at least 2")?;
        check("warmup_ratio", &self.warmup_ratio, (0.0..=1.0).contains(&self.warmup_ratio), "in [0, 1]")?;
        let decay = self.weight_decay;
        check("weight_decay", &decay, decay.is_finite() && decay >= 0.0, NOT_NEGATIVE)?;
        check("adam_beta1", &self.adam_beta1, (0.0..1.0).contains(&self.adam_beta1), "in [0, 1)")?;
        check("adam_beta2", &self.adam_beta2, (0.0..1.0).contains(&self.adam_beta2), "in [0, 1)")?;
        check("adam_epsilon", &self.adam_epsilon, finite_positive(self.adam_epsilon), POSITIVE)?;
        let norm = self.max_grad_norm;
        check("max_grad_norm", &norm, norm.is_finite() && norm >= 0.0, NOT_NEGATIVE)?;
        check("save_steps", &self.save_steps, self.save_steps >= 1, at_least_1)?;
        if let Some(steps) = self.eval_steps {
            check("eval_steps", &steps, steps >= 1, at_least_1)?;
        }
        self.validate_stopping()
    }

    fn validate_stopping(&self) -> Result<(), Error> {
        if let Some(patience) = self.early_stopping_patience {
            check("early_stopping_patience", &patience, patience >= 1, "at least 1")?;
            let expected = "a number of steps, which early stopping needs";
            check("eval_steps", &"none", self.eval_steps.is_some(), expected)?;
        }
        let threshold = self.early_stopping_threshold;
        check(
            "early_stopping_threshold",
            &threshold,
            threshold.is_finite() && threshold >= 0.0,
            NOT_NEGATIVE,
        )?;
        if let Some(z) = self.max_loss_z_score {
            check("max_loss_z_score", &z, finite_positive(z), POSITIVE)?;
        }
        Ok(())
    }
}

const POSITIVE: &str = "a finite number above 0";
const NOT_NEGATIVE: &str = "a finite number, 0 or more";

fn finite_positive(x: f64) -> bool {
    x.is_finite() && x > 0.0
}

fn check(field: &'static str, found: &impl ToString, ok: bool, expected: &'static str) -> Result<(), Error> {
    if ok { Ok(()) } else { Err(Error::Config { field, found: found.to_string(), expected }) }
}
