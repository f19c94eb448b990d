//! Arguments of `evol bench`.

use super::engine::EngineArgs;
use crate::device::cuda::MixedPrecision;
use crate::model::GradientCheckpointing;
use crate::train::TrainConfig;
use clap::{Args, Subcommand};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

/// Measure throughput on this machine, and compare measurements
///
/// `evol bench evolve` measures generation, `evol bench train` measures training. Generation results are
/// appended to a history file; `evol bench compare` shows two of them side by side.
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

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    Evolve(BenchEvolveArgs),
    Prompts(BenchPromptsArgs),
    Questions(BenchQuestionsArgs),
    Train(BenchTrainArgs),
    Compare(BenchCompareArgs),
}

/// Measure how fast a model evolves instructions on this machine
///
/// Evolves built-in seeds and reports kept instructions per hour, tokens per kept instruction, time by stage,
/// reuse of prompt prefixes, and peak memory. Then measures prefill and decode rates at each batch width, and
/// the cost of `exact` determinism: `exact` and `scheduled` take turns on the same requests. The result is a
/// table, or with --json the record that is appended to the history. The run itself is discarded.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "The run is written to the temporary directory ($TMPDIR). If that is in memory, the journal \
takes a smaller share of the time than it would on a disk.

Examples:
  evol bench evolve --model base.gguf
  evol bench evolve --model smollm2-135m-instruct --seeds 175 --compute-format auto
  evol bench evolve --model base.gguf --json --history speeds.jsonl"
)]
pub(crate) struct BenchEvolveArgs {
    /// Model to measure: a GGUF file, or the name of a fetched model
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,
    /// Number of built-in seeds to evolve
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub(crate) seeds: usize,
    /// Rounds of evolution
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) rounds: u32,
    /// Batch widths to measure rates at, comma-separated
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,8,32")]
    pub(crate) widths: Vec<usize>,
    /// Repetitions of each rate measurement; the median is reported
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) repeats: usize,
    /// Maximum length of an answer, in tokens
    #[arg(long, value_name = "N", default_value = "256")]
    pub(crate) max_answer_tokens: Option<usize>,
    /// History file to append to [default: `evol/bench.jsonl` in `$XDG_STATE_HOME` or ~/.local/state]
    #[arg(long, value_name = "FILE")]
    pub(crate) history: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// Compare wordings of the operators' prompts on a model
///
/// Each wording makes a child of each seed, and the children meet the rules and guards of a run. The table
/// shows how many pass, what the others were rejected for, and how many tokens a passing child cost. Rules do
/// not see everything: read the children (--out) before you choose.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "The folder of --prompts has a folder for each operator and in it a file for each wording, \
such as `deepening/short.txt`; docs/evolution.md describes the files. Without it, the wordings that runs use \
are tried.

Examples:
  evol bench prompts --model qwen2.5-coder-1.5b-instruct --out children.jsonl
  evol bench prompts --model my.gguf --prompts my-prompts --seeds my-seeds.jsonl --samples 3"
)]
pub(crate) struct BenchPromptsArgs {
    /// Model to try them on: a GGUF file, or the name of a fetched model
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,
    /// Folder with wordings: OPERATOR/NAME.txt
    #[arg(long, value_name = "DIR")]
    pub(crate) prompts: Option<PathBuf>,
    /// Operators to try, comma-separated [default: all that have the model write]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) operators: Vec<String>,
    /// Seeds to make children of [default: built-in seeds]
    #[arg(long, value_name = "FILE")]
    pub(crate) seeds: Option<PathBuf>,
    /// The most seeds to use, from the start of the file
    #[arg(long, value_name = "N", default_value = "60")]
    pub(crate) max_seeds: NonZeroUsize,
    /// Children of each seed, each hotter than the one before
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) samples: NonZeroU32,
    /// Style of the prompts: how requests and material are cut, and which wordings are embedded
    #[arg(long, value_enum, default_value_t = super::evolve::StyleArg::Chat)]
    pub(crate) style: super::evolve::StyleArg,
    /// File to write the children to, as JSON lines
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Replace the file of --out
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// Compare wordings of a question to the judge on labelled tasks
///
/// A question has two labels, and a task's margin says how much likelier the first one is. The table shows
/// how well margins tell tasks of the two labels apart: the area under the curve, and the share of the second
/// label that is found at the price of a twentieth of the first.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol bench questions --model my.gguf --labelled benches/prompts/labelled/answerable.jsonl \
benches/prompts/questions/answerable_*.txt"
)]
pub(crate) struct BenchQuestionsArgs {
    /// Prompt files with two labels
    #[arg(value_name = "FILE", required = true)]
    pub(crate) wordings: Vec<PathBuf>,
    /// Model to ask: a GGUF file, or the name of a fetched model
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,
    /// Labelled tasks: JSON lines with `child` (or `task`), `parent`, `label` and `kind`
    #[arg(long, value_name = "FILE")]
    pub(crate) labelled: PathBuf,
}

/// Measure how fast a model trains on this machine
///
/// Trains an adapter on random tokens and reports tokens per second, CPU time, and actual against planned
/// memory. It also compares a step with bare matrix products of the same shapes (the `gemm` crate, or cuBLAS
/// with `--device cuda`). The adapter is discarded.
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
    /// Base model: a GGUF file, or the name of a fetched model
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,
    /// Tokens per row
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub(crate) tokens: usize,
    /// Optimiser steps to time, after one warm-up step
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) steps: u64,
    /// Share of each row, from its start, without loss, like a prompt; at least 0 and below 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) masked: f64,
    /// Activations to recompute instead of storing: `none`, `feed-forward`, `layer`, or `every-K` layers
    #[arg(long, value_name = "WHICH", default_value_t = GradientCheckpointing::None)]
    pub(crate) gradient_checkpointing: GradientCheckpointing,
    /// Rows per optimiser step
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) rows: usize,
    /// Rank of the adapter, which covers all seven projections
    #[arg(long, value_name = "N", default_value_t = TrainConfig::default().r)]
    pub(crate) r: usize,
    /// Dropout on the adapter's input, at least 0 and below 1
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub(crate) lora_dropout: f32,
    /// Number type of activations with `--device cuda`: `bf16`, `fp16`, or `no` for f32
    #[arg(long, value_name = "WHAT", default_value = "bf16", value_parser = super::train::parse_precision)]
    pub(crate) mixed_precision: MixedPrecision,
}

/// Compare two measurements from the history
///
/// Without numbers, compares the last record with the one before it of the same model. A ratio is the second
/// value divided by the first. Warns if anything else differs (machine, version, settings), since that also
/// affects the ratios.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol bench compare
  evol bench compare 3 7                    records 3 and 7 of the history"
)]
pub(crate) struct BenchCompareArgs {
    /// Number of the first record; 1 is the oldest
    #[arg(value_name = "A", requires = "second")]
    pub(crate) first: Option<usize>,
    /// Number of the second record
    #[arg(value_name = "B")]
    pub(crate) second: Option<usize>,
    /// History file [default: `evol/bench.jsonl` in `$XDG_STATE_HOME` or ~/.local/state]
    #[arg(long, value_name = "FILE")]
    pub(crate) history: Option<PathBuf>,
}
