//! Arguments of `evol train`, named as in PEFT and Hugging Face's `TrainingArguments`.

use crate::device::cuda::MixedPrecision;
use crate::lora::TargetModule;
use crate::model::GradientCheckpointing;
use crate::train::{Optim, Overlong, Schedule, TrainConfig};
use clap::Args;
use std::path::PathBuf;

/// Train a LoRA adapter on a dataset
///
/// Only the adapter is trained; the base stays quantized and unchanged. Samples use the model's chat
/// template, with loss on the answers only. The plan (steps, tokens, memory) is printed first, and training
/// is refused if it does not fit into memory. The output folder contains `adapter.gguf` for llama.cpp, a PEFT
/// folder for Python, `metrics.jsonl` and a checkpoint.
///
/// Ctrl-C saves a checkpoint. Rerun the same command to resume; the result is byte-identical to an
/// uninterrupted run.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Data files are JSONL in any format that `evol export` writes.

Examples:
  evol train --base base.gguf --data data/train.jsonl --out adapter --dry-run
  evol train --base base.gguf --data data/train.jsonl --validation data/validation.jsonl --out adapter
  evol train --base base.gguf --data data/train.jsonl --out adapter --r 8 --target-modules q_proj,v_proj
  evol train --base base.gguf --data more.jsonl --out adapter2 --init-adapter adapter/adapter.gguf
  evol train --base base.gguf --data data/train.jsonl --validation data/validation.jsonl --out adapter \\
      --eval-steps 50 --early-stopping-patience 3 --gradient-checkpointing layer"
)]
pub(crate) struct TrainArgs {
    /// Base model: a GGUF file, or the name of a fetched model
    #[arg(long, alias = "model", value_name = "MODEL")]
    pub(crate) base: String,
    /// Training data, JSONL
    #[arg(long, value_name = "FILE")]
    pub(crate) data: PathBuf,
    /// Validation data, JSONL; its loss is measured before and after training
    #[arg(long, value_name = "FILE")]
    pub(crate) validation: Option<PathBuf>,
    /// Output folder: new, or from an earlier `evol train` with the same settings
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Print the plan (data, steps, packing, memory, time) without training
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Also write metrics for `TensorBoard`, to `DIR/tensorboard`
    #[arg(long)]
    pub(crate) tensorboard: bool,
    #[command(flatten)]
    pub(crate) settings: TrainSettings,
}

const ADAPTER: &str = "Adapter";
const OPTIMISER: &str = "Optimiser";
const BATCHES: &str = "Rows and steps";
const VALIDATION: &str = "Validation, stopping and checkpoints";

/// Settings of a training run. Defaults are [`TrainConfig`]'s.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags, each a switch of its own")]
pub(crate) struct TrainSettings {
    /// Rank of the adapter [default: 16, or the initial adapter's]
    #[arg(long, value_name = "N", help_heading = ADAPTER)]
    pub(crate) r: Option<usize>,
    /// Ranks of individual projections, such as `q_proj=8,down_proj=32`
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        value_parser = parse_rank,
        help_heading = ADAPTER
    )]
    pub(crate) rank_pattern: Vec<(TargetModule, usize)>,
    /// Scaling of the adapter: its output is multiplied by `lora_alpha / r` [default: 32, or the initial
    /// adapter's]
    #[arg(long, value_name = "X", help_heading = ADAPTER)]
    pub(crate) lora_alpha: Option<f32>,
    /// Scale by `lora_alpha / √r` instead; files store the alpha that gives this scaling, for tools without
    /// rsLoRA
    #[arg(long, help_heading = ADAPTER)]
    pub(crate) use_rslora: bool,
    /// Dropout on the adapter's input, at least 0 and below 1
    #[arg(
        long,
        value_name = "P",
        default_value_t = TrainConfig::default().lora_dropout,
        help_heading = ADAPTER
    )]
    pub(crate) lora_dropout: f32,
    /// Projections to adapt, comma-separated, or `all-linear` [default: all seven]
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        value_parser = parse_target_modules,
        help_heading = ADAPTER
    )]
    pub(crate) target_modules: Vec<Targets>,
    /// Start from this adapter: a GGUF file, or a PEFT folder
    #[arg(long, value_name = "PATH", help_heading = ADAPTER)]
    pub(crate) init_adapter: Option<PathBuf>,
    /// Optimiser: `adamw`, or `adamw_8bit`, whose moments take a quarter of the memory
    #[arg(
        long,
        value_name = "NAME",
        default_value = "adamw",
        value_parser = parse_optim,
        help_heading = OPTIMISER
    )]
    pub(crate) optim: Optim,
    /// Peak learning rate
    #[arg(
        long,
        value_name = "X",
        default_value_t = TrainConfig::default().learning_rate,
        help_heading = OPTIMISER
    )]
    pub(crate) learning_rate: f64,
    /// Ratio of B's learning rate to A's (LoRA+)
    #[arg(
        long,
        value_name = "X",
        default_value_t = TrainConfig::default().loraplus_lr_ratio,
        help_heading = OPTIMISER
    )]
    pub(crate) loraplus_lr_ratio: f64,
    /// Learning rate schedule after warm-up: `cosine`, `linear`, or `constant`
    #[arg(
        long,
        alias = "lr-scheduler-type",
        value_name = "NAME",
        default_value = "cosine",
        value_parser = parse_schedule,
        help_heading = OPTIMISER
    )]
    pub(crate) lr_scheduler: Schedule,
    /// Share of steps for warm-up, 0 to 1
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = TrainConfig::default().warmup_ratio,
        help_heading = OPTIMISER
    )]
    pub(crate) warmup_ratio: f64,
    /// Number of warm-up steps, instead of a share
    #[arg(long, value_name = "N", conflicts_with = "warmup_ratio", help_heading = OPTIMISER)]
    pub(crate) warmup_steps: Option<u64>,
    /// Decoupled weight decay
    #[arg(
        long,
        value_name = "X",
        default_value_t = TrainConfig::default().weight_decay,
        help_heading = OPTIMISER
    )]
    pub(crate) weight_decay: f64,
    /// Decay rate of `AdamW`'s first moment
    #[arg(
        long,
        value_name = "X",
        default_value_t = TrainConfig::default().adam_beta1,
        help_heading = OPTIMISER
    )]
    pub(crate) adam_beta1: f64,
    /// Decay rate of `AdamW`'s second moment
    #[arg(
        long,
        value_name = "X",
        default_value_t = TrainConfig::default().adam_beta2,
        help_heading = OPTIMISER
    )]
    pub(crate) adam_beta2: f64,
    /// `AdamW`'s epsilon, added to the root of the second moment
    #[arg(
        long,
        value_name = "X",
        default_value_t = TrainConfig::default().adam_epsilon,
        help_heading = OPTIMISER
    )]
    pub(crate) adam_epsilon: f64,
    /// Maximum global norm of the gradients, for clipping; 0 disables it
    #[arg(
        long,
        value_name = "X",
        default_value_t = TrainConfig::default().max_grad_norm,
        help_heading = OPTIMISER
    )]
    pub(crate) max_grad_norm: f64,
    /// Noise on the embeddings (`NEFTune`), such as 5; 0 disables it
    #[arg(
        long,
        value_name = "X",
        default_value_t = TrainConfig::default().neftune_noise_alpha,
        help_heading = OPTIMISER
    )]
    pub(crate) neftune_noise_alpha: f64,
    /// Passes over the data
    #[arg(
        long,
        alias = "num-train-epochs",
        value_name = "N",
        default_value_t = TrainConfig::default().num_train_epochs,
        help_heading = BATCHES
    )]
    pub(crate) epochs: u64,
    /// Number of optimiser steps, instead of passes
    #[arg(long, value_name = "N", help_heading = BATCHES)]
    pub(crate) max_steps: Option<u64>,
    /// Rows per forward pass
    #[arg(
        long,
        value_name = "N",
        default_value_t = TrainConfig::default().micro_batch_size,
        help_heading = BATCHES
    )]
    pub(crate) micro_batch_size: usize,
    /// Forward passes per optimiser step, on each device
    #[arg(long, value_name = "N", default_value_t = TrainConfig::default().gradient_accumulation_steps,
          help_heading = BATCHES)]
    pub(crate) gradient_accumulation_steps: usize,
    /// Maximum tokens per row
    #[arg(
        long,
        value_name = "N",
        default_value_t = TrainConfig::default().max_seq_len,
        help_heading = BATCHES
    )]
    pub(crate) max_seq_len: usize,
    /// What to do with samples longer than a row: `drop` (and count), or `truncate`
    #[arg(
        long,
        value_name = "WHAT",
        default_value = "drop",
        value_parser = parse_overlong,
        help_heading = BATCHES
    )]
    pub(crate) overlong: Overlong,
    /// Do not shuffle the data
    #[arg(long, help_heading = BATCHES)]
    pub(crate) no_shuffle: bool,
    /// Put only one sample in each row
    #[arg(long, help_heading = BATCHES)]
    pub(crate) no_packing: bool,
    /// Activations to recompute instead of storing: `none`, `feed-forward`, `layer` or `every-K` layers;
    /// saves memory and does not change the result
    #[arg(long, value_name = "WHICH", default_value_t = TrainConfig::default().gradient_checkpointing,
          help_heading = BATCHES)]
    pub(crate) gradient_checkpointing: GradientCheckpointing,
    /// Number type of activations with `--device cuda`: `bf16`, `fp16` (with loss scaling, for compute
    /// capability below 8.0), or `no` for f32; the CPU always uses f32
    #[arg(
        long,
        value_name = "WHAT",
        default_value = "bf16",
        value_parser = parse_precision,
        help_heading = BATCHES
    )]
    pub(crate) mixed_precision: MixedPrecision,
    /// Save a checkpoint every N steps
    #[arg(
        long,
        value_name = "N",
        default_value_t = TrainConfig::default().save_steps,
        help_heading = VALIDATION
    )]
    pub(crate) save_steps: u64,
    /// Run validation every N steps, in addition to the start and the end
    #[arg(long, value_name = "N", help_heading = VALIDATION)]
    pub(crate) eval_steps: Option<u64>,
    /// Stop after N validation passes in a row without improvement, and keep the best adapter
    #[arg(long, value_name = "N", requires = "eval_steps", help_heading = VALIDATION)]
    pub(crate) early_stopping_patience: Option<u64>,
    /// Minimum decrease of the validation loss that counts as an improvement
    #[arg(long, value_name = "X", default_value_t = TrainConfig::default().early_stopping_threshold,
          help_heading = VALIDATION)]
    pub(crate) early_stopping_threshold: f64,
    /// Keep the adapter of the best validation pass instead of the last
    #[arg(long, help_heading = VALIDATION)]
    pub(crate) load_best_model_at_end: bool,
    /// Stop if a loss is Z standard deviations above the mean of the last 128; losses from 6 are always noted
    #[arg(long, value_name = "Z", help_heading = VALIDATION)]
    pub(crate) max_loss_z_score: Option<f64>,
}

/// One value of `--target-modules`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Targets {
    /// PEFT's `all-linear`.
    All,
    Module(TargetModule),
}

impl TrainSettings {
    /// Converts to the trainer's configuration, which checks the ranges.
    pub(crate) fn config(&self, seed: u64) -> TrainConfig {
        let defaults = TrainConfig::default();
        TrainConfig {
            r: self.r.unwrap_or(defaults.r),
            rank_pattern: self.rank_pattern.iter().copied().collect(),
            lora_alpha: self.lora_alpha.unwrap_or(defaults.lora_alpha),
            use_rslora: self.use_rslora,
            lora_dropout: self.lora_dropout,
            target_modules: self.modules().unwrap_or(defaults.target_modules),
            optim: self.optim,
            learning_rate: self.learning_rate,
            loraplus_lr_ratio: self.loraplus_lr_ratio,
            neftune_noise_alpha: self.neftune_noise_alpha,
            num_train_epochs: self.epochs,
            max_steps: self.max_steps,
            micro_batch_size: self.micro_batch_size,
            gradient_accumulation_steps: self.gradient_accumulation_steps,
            max_seq_len: self.max_seq_len,
            shuffle: !self.no_shuffle,
            packing: !self.no_packing,
            overlong: self.overlong,
            warmup_ratio: self.warmup_ratio,
            warmup_steps: self.warmup_steps,
            lr_scheduler_type: self.lr_scheduler,
            weight_decay: self.weight_decay,
            adam_beta1: self.adam_beta1,
            adam_beta2: self.adam_beta2,
            adam_epsilon: self.adam_epsilon,
            max_grad_norm: self.max_grad_norm,
            seed,
            save_steps: self.save_steps,
            gradient_checkpointing: self.gradient_checkpointing,
            mixed_precision: self.mixed_precision,
            eval_steps: self.eval_steps,
            early_stopping_patience: self.early_stopping_patience,
            early_stopping_threshold: self.early_stopping_threshold,
            load_best_model_at_end: self.load_best_model_at_end,
            max_loss_z_score: self.max_loss_z_score,
        }
    }

    /// The projections of `--target-modules`; `None` if it was not given.
    pub(crate) fn modules(&self) -> Option<Vec<TargetModule>> {
        let typed = self.target_modules.iter();
        let modules = typed.flat_map(|target| match target {
            Targets::All => TargetModule::ALL.to_vec(),
            Targets::Module(module) => vec![*module],
        });
        Some(modules.collect()).filter(|modules: &Vec<_>| !modules.is_empty())
    }
}

/// Parses the names of the configuration file, so that both always accept the same words.
fn parse_target_modules(text: &str) -> Result<Targets, String> {
    if text == "all-linear" {
        return Ok(Targets::All);
    }
    // PEFT adapts these too, so say why evol does not.
    if ["lm_head", "embed_tokens"].contains(&text) {
        return Err(format!(
            "`{text}` cannot be adapted: where the head and the embedding share one matrix, llama.cpp \
             rejects such an adapter, and for other models evol does not support it"
        ));
    }
    by_name(text).map(Targets::Module)
}

/// Parses `q_proj=8`.
fn parse_rank(text: &str) -> Result<(TargetModule, usize), String> {
    let (module, rank) =
        text.split_once('=').ok_or_else(|| format!("`{text}` is not of the form PROJECTION=RANK"))?;
    let rank = rank.parse().map_err(|_| format!("`{rank}` in `{text}` is not a whole number"))?;
    Ok((by_name(module)?, rank))
}

fn parse_schedule(text: &str) -> Result<Schedule, String> {
    if text == "constant" { Ok(Schedule::ConstantWithWarmup) } else { by_name(text) }
}

fn parse_optim(text: &str) -> Result<Optim, String> {
    by_name(text)
}

pub(super) fn parse_precision(text: &str) -> Result<MixedPrecision, String> {
    by_name(text)
}

fn parse_overlong(text: &str) -> Result<Overlong, String> {
    by_name(text)
}

fn by_name<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::from(text)).map_err(|e| e.to_string())
}
