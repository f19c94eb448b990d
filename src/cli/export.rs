//! `evol export`: a run directory makes training files.

use super::args::ExportArgs;
use super::config;
use super::plan::{ExportPlan, Session};
use crate::dataset::{self, ExportOptions, Exported};
use crate::store::Store;
use anyhow::{Context, Result};
use serde_json::json;
use std::path::Path;

/// Where the journal keeps the run's seed.
const SEED_KEY: &str = "config.seed";

/// Runs the command.
///
/// # Errors
/// There is no run, nothing was kept, or the folder is somebody else's.
pub(crate) fn run(args: &ExportArgs, session: &Session) -> Result<()> {
    let plan = ExportPlan::new(args, session)?;
    let store = Store::open(&plan.run)?;
    // The run's own seed and share, so that the split is the one that its adapter was trained and measured on.
    let seed = plan.seed.map_or_else(|| run_seed(&store), Ok)?;
    let validation_fraction = plan.validation_fraction.map_or_else(|| run_share(&plan.run), Ok)?;
    let options = ExportOptions { format: plan.format, validation_fraction, seed };
    let exported = stage(&store, &options, &plan.out)?;
    if session.output.is_json() {
        return session.output.document(&json!({
            "train": exported.train,
            "validation": exported.validation,
            "train_records": exported.train_records,
            "validation_records": exported.validation_records,
        }));
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

/// The share that the run held out, the default for one that trained nothing.
fn run_share(run: &Path) -> Result<f64> {
    let config = config::of_run(run)?;
    Ok(config.map_or(dataset::VALIDATION_FRACTION, |config| config.export.validation_fraction))
}

/// Exports what `store` kept into `out`. The same bytes every time.
///
/// # Errors
/// As [`run`].
pub(crate) fn stage(store: &Store, options: &ExportOptions, out: &Path) -> Result<Exported> {
    let records = dataset::records(store)?;
    dataset::export(records, options, out).with_context(|| format!("cannot export to `{}`", out.display()))
}
