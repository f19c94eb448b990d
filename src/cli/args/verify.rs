//! Arguments of `evol verify`.

use clap::Args;
use std::path::PathBuf;

/// Default of `--sample`: about a minute with a small model.
pub(crate) const SAMPLE: usize = 32;

/// Replay a run's generations and compare every byte with its journal
///
/// Generates instructions and answers again from the same requests, with the run's model, weight format and
/// determinism. Exits with 1 if any differs. With `scheduled`, results depend on the requests generated
/// together, so whole chunks are replayed, as many as contain the sample.
///
/// Identical bytes are only guaranteed on the kind of machine and with the build that made the run. Warns if
/// they differ.
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
    /// Model of the run, if its file has moved: a GGUF file, or the name of a fetched model
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Number of nodes to replay, drawn with `--seed`
    #[arg(long, value_name = "N", default_value_t = SAMPLE)]
    pub(crate) sample: usize,
    /// Replay everything
    #[arg(long, conflicts_with = "sample")]
    pub(crate) all: bool,
}
