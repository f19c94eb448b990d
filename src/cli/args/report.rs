//! `evol report`, `evol status` and `evol compare` as typed.

use clap::Args;
use std::path::PathBuf;

/// A run as one HTML page that needs no network
///
/// What was run and the command that runs it again, the funnel with the reason of every elimination, every
/// lineage from its seed to its leaves, lengths and difficulty, a map of the instructions, speed, memory,
/// loss curves, and the evaluation with intervals and responses side by side. Texts of models are shown as
/// text, never as markup.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol report runs/quickstart
  evol report runs/quickstart --out /tmp/quickstart.html --no-map"
)]
pub(crate) struct ReportArgs {
    /// Run directory that `evol run` or `evol evolve` made
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// The page [default: RUN/report.html]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Draw no map of the instructions, for which the run's model has to read them all
    #[arg(long)]
    pub(crate) no_map: bool,
}

/// Where a run is, also from another terminal while it goes on
///
/// A run that is worked on shows what its process said last; one that is not shows what was kept and why the
/// rest was not, the evaluation, and the time of each stage. Of a run that is divided all shards are shown.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  evol status runs/quickstart
  evol status runs/quickstart --json")]
pub(crate) struct StatusArgs {
    /// Run directory, or a folder of shards
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
}

/// Two runs side by side: settings that differ, what was kept, losses, evaluation
///
/// Where both were evaluated on the same items, their evolved adapters are compared item by item with the
/// exact tests of `evol eval`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  evol compare runs/a runs/b
  evol compare runs/a runs/b --json")]
pub(crate) struct CompareArgs {
    /// A run directory
    #[arg(value_name = "RUN_A")]
    pub(crate) a: PathBuf,
    /// Another
    #[arg(value_name = "RUN_B")]
    pub(crate) b: PathBuf,
}
