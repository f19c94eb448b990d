//! `evol verify` as typed.

use clap::Args;
use std::path::PathBuf;

/// Nodes that are replayed unless another number is asked for: a minute or so with a small model.
pub(crate) const SAMPLE: usize = 32;

/// Replay a run's generations and compare every byte with its journal
///
/// Rewritten instructions and answers are generated again, from the same requests, with the run's model,
/// weights format and level of determinism. Exit code 1 if any is not as recorded. Where results depend on
/// the list that a request stands in (`scheduled`), whole chunks of the run are replayed, as many as hold the
/// sample.
///
/// Equal bytes are promised for the machine type and build that made the run; what is different is said.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol verify runs/quickstart
  evol verify runs/quickstart --sample 200 --seed 7
  evol verify runs/quickstart --all --model ~/models/base.gguf --json"
)]
pub(crate) struct VerifyArgs {
    /// Run directory that `evol evolve` or `evol run` made
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// The run's model, if it is not where it was: a GGUF file, or the name of a fetched model
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Nodes to replay, drawn by `--seed`
    #[arg(long, value_name = "N", default_value_t = SAMPLE)]
    pub(crate) sample: usize,
    /// Replay everything
    #[arg(long, conflicts_with = "sample")]
    pub(crate) all: bool,
}
