//! Arguments of `evol export`.

use crate::dataset::Format;
use crate::evolve::Operator;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Export a run as training and validation files (JSONL)
///
/// Merges the seeds and all rounds, and shuffles them with `--seed`. A seed and all its descendants are on
/// the same side of the split, so no validation row is a rewording of a training row.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:
  evol export runs/quickstart --out data
  evol export runs/quickstart --out data --format sharegpt --validation-fraction 0.05"
)]
pub(crate) struct ExportArgs {
    /// Run directory that `evol evolve` or `evol run` made
    #[arg(value_name = "RUN")]
    pub(crate) run: PathBuf,
    /// Output folder for `train.jsonl` and `validation.jsonl`: new, or from an earlier export
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Format of a row
    #[arg(long, value_enum, default_value_t = FormatArg::Messages)]
    pub(crate) format: FormatArg,
    /// Share of seeds that go to validation with their descendants, at least 0 and below 1 [default: the
    /// run's; 0.1 for a run made by `evol evolve`]
    #[arg(long, value_name = "SHARE")]
    pub(crate) validation_fraction: Option<f64>,
    /// Leave out rows that overlap with a test set in these files (JSONL of any form, or text): a common
    /// 13-gram of words, or half of a test item's 8-grams [default: the run's]
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) decontaminate: Vec<PathBuf>,
    /// Number of rows to draw, with the seed [default: the run's, or all]
    #[arg(long, value_name = "N")]
    pub(crate) sample: Option<usize>,
    /// Maximum rows per seed, the seed's own included [default: the run's, or all]
    #[arg(long, value_name = "N")]
    pub(crate) max_per_root: Option<usize>,
    /// Maximum shares of groups of rows: comma-separated GROUP=SHARE, where GROUP is `seeds`, `round.N` or an
    /// operator [default: the run's, or none]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse_share)]
    pub(crate) shares: Vec<(String, f64)>,
}

/// Parses `mutation=0.2`.
fn parse_share(text: &str) -> Result<(String, f64), String> {
    let (group, share) =
        text.split_once('=').ok_or_else(|| format!("`{text}` is not of the form GROUP=SHARE"))?;
    let is_round = group.strip_prefix("round.").is_some_and(|round| round.parse::<u32>().is_ok());
    if group != "seeds" && !is_round && Operator::parse(group).is_none() {
        let names = Operator::ALL.map(Operator::name).join(", ");
        return Err(format!("unknown group `{group}`, expected `seeds`, `round.N` or one of: {names}"));
    }
    let share: f64 = share.parse().map_err(|_| format!("the share `{share}` is not a number"))?;
    Ok((group.to_owned(), share))
}

/// Values of `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    /// `{"instruction", "input", "output"}`
    Alpaca,
    /// `{"conversations": [{"from": "human", "value"}, {"from": "gpt", "value"}]}`
    Sharegpt,
    /// `{"messages": [{"role", "content"}]}`
    Messages,
}

impl From<FormatArg> for Format {
    fn from(typed: FormatArg) -> Self {
        match typed {
            FormatArg::Alpaca => Self::Alpaca,
            FormatArg::Sharegpt => Self::Sharegpt,
            FormatArg::Messages => Self::Messages,
        }
    }
}
