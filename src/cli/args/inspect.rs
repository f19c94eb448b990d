//! Arguments of the commands that inspect a run, an export, a model or the machine: `evol tree`,
//! `evol stats`, `evol check`, `evol calibrate` and `evol doctor`.

use super::evolve::StyleArg;
use clap::Args;
use std::path::PathBuf;

/// Show how an instruction evolved: its seed, every attempt and every verdict
///
/// Without an id, shows all families. With --json, prints one JSON object per node, with everything that is
/// recorded about it.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol tree runs/quickstart 420100          the family of node 420100
  evol tree runs/quickstart --json          one JSON object per node, all families"
)]
pub(crate) struct TreeArgs {
    /// Run directory that `evol evolve` or `evol run` made
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// Id of any node in the family, as in `run.db` [default: all families]
    #[arg(value_name = "ID")]
    pub(crate) id: Option<u64>,
}

/// Show statistics of a run, round by round
///
/// Shows how evolution changes the instructions: words, words added by in-depth operators, distinct n-grams,
/// the share with checked constraints, judged difficulty, repeats, and the most frequent opening. With
/// `--clusters`, a model embeds the instructions, and each round also has the number of clusters (of 20) that
/// it covers.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol stats runs/quickstart
  evol stats runs/quickstart --clusters smollm2-135m-instruct --json"
)]
pub(crate) struct StatsArgs {
    /// Run directory that `evol evolve` or `evol run` made
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// Model for the embeddings: a GGUF file, or the name of a fetched model [default: no clusters]
    #[arg(long, value_name = "MODEL")]
    pub(crate) clusters: Option<String>,
}

/// Rerun every check that needs no model on an export
///
/// Checks whether each answer meets its constraints, whether a row trips a guard when compared with its
/// parent, and whether rows are near duplicates. Exits with 1 if anything is found. Exports of runs with the
/// profiles `auto` and `verified` have no findings.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol check runs/quickstart/export
  evol check data/train.jsonl --json | jq .findings"
)]
pub(crate) struct CheckArgs {
    /// Folder of the export, or one of its JSONL files
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
}

/// Measure how well a model can judge whether two instructions are the same
///
/// Asks about 262 labelled pairs, in both orders. Prints the area under the ROC curve (0.5 is chance), the
/// calibration error, the threshold that a run would use, and the results for each kind of difference. Runs
/// do not use a judge with an area below 0.75; they compare words instead.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol calibrate --model smollm2-135m-instruct
  evol calibrate --model judge.gguf --json"
)]
pub(crate) struct CalibrateArgs {
    /// Model to test: a GGUF file, or the name of a fetched model
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: String,
    /// Prompt style
    #[arg(long, value_enum, default_value_t = StyleArg::Auto)]
    pub(crate) style: StyleArg,
}

/// Check the machine and a model file for problems
///
/// Checks the CPU's instruction sets against those of this build, threads, memory and GPUs. For a model,
/// checks the file, its architecture and chat template, and whether training fits into memory, and measures
/// the generation speed. With `--seeds`, also counts the seeds that are too long for the model. Exits with 1
/// if a check fails.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol doctor
  evol doctor --model base.gguf
  evol doctor --model base.gguf --seeds my.jsonl
  evol doctor --model base.gguf --determinism
  evol doctor --model smollm2-135m-instruct --json"
)]
pub(crate) struct DoctorArgs {
    /// Model to check: a GGUF file, or the name of a fetched model
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Also check with the model's tokenizer whether the seeds of this file, their rewritten versions and
    /// their answers fit into its context; unusable lines are skipped
    #[arg(long, value_name = "FILE", requires = "model")]
    pub(crate) seeds: Option<PathBuf>,
    /// Also generate repeatedly while changing threads, batch width, order, neighbours, restarts, …, and
    /// compare results bit by bit; takes minutes for a small model
    #[arg(long, requires = "model")]
    pub(crate) determinism: bool,
}
