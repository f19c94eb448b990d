//! `evol train` as typed, in the words of PEFT and of Hugging Face's `TrainingArguments`.

use crate::lora::TargetModule;
use crate::model::GradientCheckpointing;
use crate::train::{Schedule, TrainConfig};
use clap::Args;
use std::path::PathBuf;

/// A LoRA adapter (GGUF and PEFT) from a dataset and a base model
///
/// The base stays quantized and untouched; only the adapter is trained, with the model's own chat template and
/// the loss on the answers alone. The folder gets `adapter.gguf` for llama.cpp, a PEFT folder for Python,
/// `metrics.jsonl` and a checkpoint. Ctrl-C leaves the checkpoint; the same command goes on from it.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Data files are JSONL in any of the forms that `evol export` writes.

Examples:
  evol train --model base.gguf --data data/train.jsonl --validation data/validation.jsonl --out adapter
  evol train --model base.gguf --data data/train.jsonl --out adapter --r 8 --target-modules q_proj,v_proj"
)]
pub(crate) struct TrainArgs {
    /// Base model: a GGUF file, or the name of a fetched model
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,
    /// Training data, JSONL
    #[arg(long, value_name = "FILE")]
    pub(crate) data: PathBuf,
    /// Validation data, JSONL: its loss is measured before and after
    #[arg(long, value_name = "FILE")]
    pub(crate) validation: Option<PathBuf>,
    /// Folder for the adapter; new, or made by an earlier `evol train` with the same settings
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) settings: TrainSettings,
}

/// What shapes the result. Defaults are [`TrainConfig`]'s.
#[derive(Debug, Clone, Args)]
pub(crate) struct TrainSettings {
    /// Rank of the adapter
    #[arg(long, value_name = "N", default_value_t = TrainConfig::default().r)]
    pub(crate) r: usize,
    /// The adapter's output is scaled by `lora_alpha / r`
    #[arg(long, value_name = "X", default_value_t = TrainConfig::default().lora_alpha)]
    pub(crate) lora_alpha: f32,
    /// Dropout on the input of the adapter, 0 or more and below 1
    #[arg(long, value_name = "P", default_value_t = TrainConfig::default().lora_dropout)]
    pub(crate) lora_dropout: f32,
    /// Projections that get an adapter, separated by commas [default: all seven]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse_target_module)]
    pub(crate) target_modules: Vec<TargetModule>,
    /// Peak learning rate
    #[arg(long, value_name = "X", default_value_t = TrainConfig::default().learning_rate)]
    pub(crate) learning_rate: f64,
    /// What follows the warm-up: cosine, linear or `constant_with_warmup`
    #[arg(long, value_name = "NAME", default_value = "cosine", value_parser = parse_schedule)]
    pub(crate) lr_scheduler_type: Schedule,
    /// Share of all steps spent warming up, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = TrainConfig::default().warmup_ratio)]
    pub(crate) warmup_ratio: f64,
    /// Passes over the data
    #[arg(long, value_name = "N", default_value_t = TrainConfig::default().num_train_epochs)]
    pub(crate) num_train_epochs: u64,
    /// Exact number of optimiser steps, instead of passes
    #[arg(long, value_name = "N")]
    pub(crate) max_steps: Option<u64>,
    /// Packed rows per forward pass
    #[arg(long, value_name = "N", default_value_t = TrainConfig::default().micro_batch_size)]
    pub(crate) micro_batch_size: usize,
    /// Forward passes per optimiser step
    #[arg(long, value_name = "N", default_value_t = TrainConfig::default().gradient_accumulation_steps)]
    pub(crate) gradient_accumulation_steps: usize,
    /// Tokens in a packed row; longer samples are left out, never cut
    #[arg(long, value_name = "N", default_value_t = TrainConfig::default().max_seq_len)]
    pub(crate) max_seq_len: usize,
    /// Decoupled weight decay
    #[arg(long, value_name = "X", default_value_t = TrainConfig::default().weight_decay)]
    pub(crate) weight_decay: f64,
    /// Decay of `AdamW`'s first moment
    #[arg(long, value_name = "X", default_value_t = TrainConfig::default().adam_beta1)]
    pub(crate) adam_beta1: f64,
    /// Decay of `AdamW`'s second moment
    #[arg(long, value_name = "X", default_value_t = TrainConfig::default().adam_beta2)]
    pub(crate) adam_beta2: f64,
    /// Added to the root of the second moment
    #[arg(long, value_name = "X", default_value_t = TrainConfig::default().adam_epsilon)]
    pub(crate) adam_epsilon: f64,
    /// Gradients with a larger global norm are scaled down to it; 0 turns clipping off
    #[arg(long, value_name = "X", default_value_t = TrainConfig::default().max_grad_norm)]
    pub(crate) max_grad_norm: f64,
    /// A checkpoint after every so many steps
    #[arg(long, value_name = "N", default_value_t = TrainConfig::default().save_steps)]
    pub(crate) save_steps: u64,
    /// What is computed again instead of kept: `none`, `layer`, or `every-K` layers; less memory, the same result
    #[arg(long, value_name = "WHICH", default_value_t = TrainConfig::default().gradient_checkpointing)]
    pub(crate) gradient_checkpointing: GradientCheckpointing,
    /// A validation pass after every so many steps, besides those at the start and the end
    #[arg(long, value_name = "N")]
    pub(crate) eval_steps: Option<u64>,
}

impl TrainSettings {
    /// As the trainer's configuration; ranges are the trainer's to check.
    pub(crate) fn config(&self, seed: u64) -> TrainConfig {
        let target_modules = match self.target_modules.as_slice() {
            [] => TrainConfig::default().target_modules,
            some => some.to_vec(),
        };
        TrainConfig {
            r: self.r,
            lora_alpha: self.lora_alpha,
            lora_dropout: self.lora_dropout,
            target_modules,
            learning_rate: self.learning_rate,
            num_train_epochs: self.num_train_epochs,
            max_steps: self.max_steps,
            micro_batch_size: self.micro_batch_size,
            gradient_accumulation_steps: self.gradient_accumulation_steps,
            max_seq_len: self.max_seq_len,
            warmup_ratio: self.warmup_ratio,
            lr_scheduler_type: self.lr_scheduler_type,
            weight_decay: self.weight_decay,
            adam_beta1: self.adam_beta1,
            adam_beta2: self.adam_beta2,
            adam_epsilon: self.adam_epsilon,
            max_grad_norm: self.max_grad_norm,
            seed,
            save_steps: self.save_steps,
            gradient_checkpointing: self.gradient_checkpointing,
            eval_steps: self.eval_steps,
        }
    }
}

/// By the names that the configuration file uses, so that both always accept the same words.
fn parse_target_module(text: &str) -> Result<TargetModule, String> {
    by_name(text)
}

fn parse_schedule(text: &str) -> Result<Schedule, String> {
    by_name(text)
}

fn by_name<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::from(text)).map_err(|e| e.to_string())
}
