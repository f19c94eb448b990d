//! `evol export`: writes a run as training files.

use super::args::ExportArgs;
use super::session::Session;
use crate::dataset::{Contamination, ExportOptions, Mix};
use crate::run::export::{self, TestTexts};
use crate::run::{Error, Result, config_of_run};
use crate::store::Store;
use serde_json::json;

/// Contaminated rows to show; `--json` has all.
const SHOWN: usize = 5;

/// Runs the command. Settings that are not given are the run's, so that the split is the one that its adapter
/// was trained and evaluated on.
///
/// # Errors
/// A share is out of range, the run does not exist, nothing was kept, or the folder has other files.
pub(crate) fn run(args: &ExportArgs, session: &Session) -> Result<()> {
    if let Some(share) = args.validation_fraction
        && !(0.0..1.0).contains(&share)
    {
        let (flag, expected) = ("--validation-fraction", "at least 0 and below 1");
        return Err(Error::Flag { flag, found: share.to_string(), expected });
    }
    let shares = args.shares.iter().cloned().collect();
    let typed = Mix { sample: args.sample, max_per_root: args.max_per_root, shares };
    typed.validate()?;
    let store = Store::open(&args.run)?;
    let config = config_of_run(&args.run)?;
    let suite = config.as_ref().map_or(Ok(None), |config| config.eval.suite())?;
    let section = config.map(|config| config.export).unwrap_or_default();
    let options = ExportOptions {
        format: args.format.into(),
        validation_fraction: args.validation_fraction.unwrap_or(section.validation_fraction),
        seed: session.seed.map_or_else(|| export::run_seed(&store), Ok)?,
        mix: Mix {
            sample: typed.sample.or(section.mix.sample),
            max_per_root: typed.max_per_root.or(section.mix.max_per_root),
            shares: if typed.shares.is_empty() { section.mix.shares } else { typed.shares },
        },
    };
    let files = if args.decontaminate.is_empty() { &section.decontaminate } else { &args.decontaminate };
    let tests = TestTexts { files, suite: suite.as_ref() };
    let exported = export::run(&store, &args.run, tests, &options, &args.out)?.exported;
    if session.output.is_json() {
        return session.output.document(&json!({
            "train": exported.train,
            "validation": exported.validation,
            "train_records": exported.train_records,
            "validation_records": exported.validation_records,
            "contaminated": exported.contaminated,
            "near_duplicates": exported.near_duplicates,
            "left_out": exported.left_out,
        }));
    }
    for Contamination { id, source, line, words } in exported.contaminated.iter().take(SHOWN) {
        session
            .output
            .note(&format!("left out row {id}: line {line} of `{source}` also contains \"{words}\""));
    }
    if !exported.contaminated.is_empty() || exported.near_duplicates > 0 || exported.left_out > 0 {
        session.output.note(&format!(
            "left out: {} rows that overlap with a test set, {} near duplicates of another lineage, {} rows \
             beyond the limits of the mix; they are in `rejected.jsonl` or in the run",
            exported.contaminated.len(),
            exported.near_duplicates,
            exported.left_out
        ));
    }
    session.output.data(&format!("{}: {} rows\n", exported.train.display(), exported.train_records))?;
    match &exported.validation {
        Some(path) => {
            session.output.data(&format!("{}: {} rows\n", path.display(), exported.validation_records))
        }
        None => Ok(()),
    }
}
