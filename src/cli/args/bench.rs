//! `evol bench` as typed.

use super::EngineArgs;
use crate::device::cuda::MixedPrecision;
use crate::evolve::MaxTokens;
use crate::model::GradientCheckpointing;
use crate::train::TrainConfig;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Throughput of a model on this machine, and how it changed
///
/// `evol bench evolve` measures: a real evolution over built-in seeds, the model's rates by batch width, and
/// what reproducible bytes cost. It appends a record to a history file, of which `evol bench compare` puts
/// two side by side.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol bench evolve --model base.gguf
  evol bench compare"
)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    Evolve(BenchEvolveArgs),
    Train(BenchTrainArgs),
    Compare(BenchCompareArgs),
}

/// Measure how fast a model evolves instructions here
///
/// Prints a table, or with --json the record that is appended to the history: instructions kept per hour,
/// tokens per kept instruction, shares of time by stage, share of prompt tokens that were not computed again,
/// peak memory; prefill and decode rates by batch width; and the time of a token at `exact` reproducibility
/// beside the engine's fastest level, on the same requests, by turns. Nothing of the run is kept.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "The journal of the run is made in the folder for temporary files ($TMPDIR): if that is in \
    memory, \
the share of the store is smaller than on a disk.

Examples:
  evol bench evolve --model base.gguf
  evol bench evolve --model smollm2-135m-instruct --seeds 175 --compute-format auto
  evol bench evolve --model base.gguf --json --history speeds.jsonl"
)]
pub(crate) struct BenchEvolveArgs {
    /// Model to measure: a GGUF file, or the name of a fetched model
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,
    /// Built-in seeds to evolve
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub(crate) seeds: usize,
    /// Rounds of evolution
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) rounds: u32,
    /// Batch widths to measure rates at, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,8,32")]
    pub(crate) widths: Vec<usize>,
    /// Times that rates and levels are measured; medians are reported
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) repeats: usize,
    /// Longest answer, in tokens
    #[arg(long, value_name = "N", default_value_t = MaxTokens::default().answer)]
    pub(crate) max_answer_tokens: usize,
    /// File to append the record to [default: `evol/bench.jsonl` under `$XDG_STATE_HOME` or ~/.local/state]
    #[arg(long, value_name = "FILE")]
    pub(crate) history: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// Measure how fast a model is trained here
///
/// Trains an adapter on random tokens, as `evol train` does, and prints tokens per second, processor time,
/// memory beside what was planned, and how much of the speed of bare matrix products (the `gemm` crate, or
/// cuBLAS with `--device cuda`, on the same shapes, in the same process) a step reaches. Nothing of the run
/// is kept.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol bench train --model base.gguf
  evol bench train --model base.gguf --tokens 2048 --masked 0.7
  evol bench train --model base.gguf --threads 1 --json
  evol bench train --model base.gguf --device cuda --tokens 2048 --gradient-checkpointing layer"
)]
pub(crate) struct BenchTrainArgs {
    /// Model to train on: a GGUF file, or the name of a fetched model
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,
    /// Positions of a row
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub(crate) tokens: usize,
    /// Optimiser steps that are timed, after one that is not
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) steps: u64,
    /// Share of every row, from its start, that carries no loss, as a prompt does
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) masked: f64,
    /// What is computed again instead of kept: `none`, `layer`, or `every-K` layers
    #[arg(long, value_name = "WHICH", default_value_t = GradientCheckpointing::None)]
    pub(crate) gradient_checkpointing: GradientCheckpointing,
    /// Rows per optimiser step
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) rows: usize,
    /// Rank of the adapter, which is on all seven projections
    #[arg(long, value_name = "N", default_value_t = TrainConfig::default().r)]
    pub(crate) r: usize,
    /// Dropout on the input of the adapter, 0 or more and below 1
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub(crate) lora_dropout: f32,
    /// Type of activations with `--device cuda`: `bf16`, `fp16`, or `no` for f32
    #[arg(long, value_name = "WHAT", default_value = "bf16", value_parser = super::train::parse_precision)]
    pub(crate) mixed_precision: MixedPrecision,
}

/// Two measurements side by side, with ratios
///
/// Without numbers: the last record, and the one before it of the same model. Says what else differs
/// (machine, version, settings), because then the ratios are due to that too. A ratio is the second in times
/// of the first.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol bench compare
  evol bench compare 3 7                    the third and the seventh line of the history"
)]
pub(crate) struct BenchCompareArgs {
    /// Number of the first record, from 1, the oldest
    #[arg(value_name = "A", requires = "second")]
    pub(crate) first: Option<usize>,
    /// Number of the second record
    #[arg(value_name = "B")]
    pub(crate) second: Option<usize>,
    /// History file [default: `evol/bench.jsonl` under `$XDG_STATE_HOME` or ~/.local/state]
    #[arg(long, value_name = "FILE")]
    pub(crate) history: Option<PathBuf>,
}
