//! Arguments of `evol report`, `evol status` and `evol compare`.

use clap::Args;
use std::path::PathBuf;

/// Write a self-contained HTML report of a run
///
/// The page shows the configuration and the command that reproduces the run, the funnel with the reason for
/// each elimination, every lineage, lengths and difficulty, a map of the instructions, speed, memory, loss
/// curves, and the evaluation with intervals and responses side by side. It needs no network. Model output is
/// always escaped.
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
    /// Output file [default: RUN/report.html]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Leave out the map of the instructions, for which the run's model must read up to 600 of them
    #[arg(long)]
    pub(crate) no_map: bool,
}

/// Show the state of a run, even while it is running
///
/// For a running run, shows the last progress that its process reported. Otherwise, shows what was kept, why
/// the rest was eliminated, the evaluation, and the time of each stage. For a run in shards, shows every
/// shard.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  evol status runs/quickstart
  evol status runs/quickstart --json")]
pub(crate) struct StatusArgs {
    /// Run directory, or a folder that contains shards
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
}

/// Compare two runs: settings, kept instructions, losses and evaluation
///
/// If both runs were evaluated on the same items, their evolved adapters are compared item by item with the
/// exact tests of `evol eval`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  evol compare runs/a runs/b
  evol compare runs/a runs/b --json")]
pub(crate) struct CompareArgs {
    /// First run directory
    #[arg(value_name = "RUN_A")]
    pub(crate) a: PathBuf,
    /// Second run directory
    #[arg(value_name = "RUN_B")]
    pub(crate) b: PathBuf,
}
