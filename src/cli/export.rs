//! `evol export`: a run directory makes training files.

use super::args::ExportArgs;
use super::config;
use super::error::{Context as _, Result};
use super::manifest;
use super::plan::{ExportPlan, Session};
use crate::dataset::{self, Collection, Contamination, ExportOptions, Exported, Mix, TestSet};
use crate::eval::{self, Suite};
use crate::store::Store;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Contaminated rows that are shown.
const SHOWN: usize = 5;

/// Where the journal keeps the run's seed.
const SEED_KEY: &str = "config.seed";

/// Runs the command.
///
/// # Errors
/// There is no run, nothing was kept, or the folder is somebody else's.
pub(crate) fn run(args: &ExportArgs, session: &Session) -> Result<()> {
    let plan = ExportPlan::new(args, session)?;
    let store = Store::open(&plan.run)?;
    // The run's own settings, so that the split is the one that its adapter was trained and measured on.
    let config = config::of_run(&plan.run)?;
    let suite = config.as_ref().map_or(Ok(None), |config| config.eval.suite())?;
    let section = config.map(|config| config.export).unwrap_or_default();
    let seed = plan.seed.map_or_else(|| run_seed(&store), Ok)?;
    let Mix { sample, max_per_root, shares } = plan.mix;
    let mix = Mix {
        sample: sample.or(section.mix.sample),
        max_per_root: max_per_root.or(section.mix.max_per_root),
        shares: if shares.is_empty() { section.mix.shares } else { shares },
    };
    let validation_fraction = plan.validation_fraction.unwrap_or(section.validation_fraction);
    let options = ExportOptions { format: plan.format, validation_fraction, seed, mix };
    let files = if plan.decontaminate.is_empty() { section.decontaminate } else { plan.decontaminate };
    let tests = Tests { files: &files, suite: suite.as_ref() };
    let exported = stage(&store, &plan.run, tests, &options, &plan.out)?;
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
        session.output.note(&format!("left out {id}: line {line} of `{source}` has \"{words}\" too"));
    }
    if !exported.contaminated.is_empty() || exported.near_duplicates > 0 || exported.left_out > 0 {
        session.output.note(&format!(
            "left out: {} that repeat a test, {} that nearly repeat another lineage, {} beyond the limits of \
             the mix; all are in `rejected.jsonl` or the run",
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

/// The seed that the run was evolved with, 0 if its journal does not say.
fn run_seed(store: &Store) -> Result<u64> {
    let fingerprint = store.fingerprint()?;
    let seed = fingerprint.iter().find(|(key, _)| key == SEED_KEY);
    Ok(seed.and_then(|(_, value)| value.parse().ok()).unwrap_or(0))
}

/// What nothing in an export may repeat.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tests<'a> {
    /// Test sets in any form.
    pub(crate) files: &'a [PathBuf],
    /// What the run is evaluated on.
    pub(crate) suite: Option<&'a Suite>,
}

/// Exports what the run in `dir` kept into `out`, without what repeats one of the `tests`. The same bytes
/// every time.
///
/// # Errors
/// As [`run`].
pub(crate) fn stage(
    store: &Store,
    dir: &Path,
    tests: Tests<'_>,
    options: &ExportOptions,
    out: &Path,
) -> Result<Exported> {
    let collection = collection(store, dir, tests)?;
    dataset::export(collection, options, out).context(|| format!("cannot export to `{}`", out.display()))
}

/// Everything that the run in `dir` has for an export.
///
/// # Errors
/// The journal or a test set cannot be read.
pub(crate) fn collection(store: &Store, dir: &Path, tests: Tests<'_>) -> Result<Collection> {
    let mut items = Vec::new();
    for file in tests.files {
        items.extend(dataset::read_test_items(file)?);
    }
    if let Some(suite) = tests.suite {
        let item = |item: &eval::Item| {
            let (source, text) = (format!("the suite {}", suite.name), item.instruction.clone());
            dataset::TestItem { source, line: item.line, text }
        };
        items.extend(suite.items.iter().map(item));
    }
    Ok(Collection {
        records: dataset::records(store)?,
        rejected: dataset::rejected(store)?,
        tests: TestSet::new(items),
        card: manifest::card(dir)?,
    })
}
