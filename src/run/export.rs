//! The second stage: writes what a run kept as training files.
//!
//! Where in the flow: `evol export` runs this stage with its own options. In `evol run`, later stages take
//! what they need from [`RunExport`], because reading and comparing a large journal again is slow.
//!
//! **Invariant:** the same journal and options give the same bytes.

use super::error::{ErrorContext as _, Result};
use super::manifest::{self, Manifest};
use crate::dataset::{self, Collection, ExportOptions, Exported, Record, Split, TestSet};
use crate::eval::{self, Suite};
use crate::store::Store;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Held-out records that are kept for [`super::check`].
const HELD_OUT_SHOWN: usize = 2;

/// Name of the run's seed in its identity.
const SEED: &str = "config.seed";

/// The seed that a run was evolved with, 0 if its journal recorded none.
///
/// # Errors
/// The journal cannot be read.
pub fn run_seed(store: &Store) -> Result<u64> {
    let identity = store.identity()?;
    Ok(identity.get(SEED).and_then(|seed| seed.parse().ok()).unwrap_or(0))
}

/// Test sets that no row of an export may overlap with.
#[derive(Debug, Clone, Copy)]
pub struct TestTexts<'a> {
    /// Files, in any form that [`dataset::read_test_items`] reads.
    pub files: &'a [PathBuf],
    /// The suite that the run is evaluated on.
    pub suite: Option<&'a Suite>,
}

/// The results of an export that later stages need.
#[derive(Debug)]
pub struct RunExport {
    /// The written files.
    pub exported: Exported,
    /// The first held-out records, or the first training records if none are held out.
    pub held_out: Vec<Record>,
    /// The seeds that are not held out, with their answers and the same test sets.
    pub seeds: Collection,
}

/// Exports what the run in `dir` kept to `out`, without rows that overlap with `tests`.
///
/// # Errors
/// The journal or a test set cannot be read, nothing was kept, or `out` has other files.
pub fn run(
    store: &Store,
    dir: &Path,
    tests: TestTexts<'_>,
    options: &ExportOptions,
    out: &Path,
) -> Result<RunExport> {
    let collection = collection(store, dir, tests)?;
    let mut seeds = Collection {
        records: collection.records.iter().filter(|record| record.round == 0).cloned().collect(),
        rejected: Vec::new(),
        tests: collection.tests.clone(),
        card: collection.card.clone(),
    };
    let selection = collection.select(options)?;
    let Split { train, validation } = &selection.split;
    let held_out_roots: BTreeSet<u64> = validation.iter().map(|record| record.root_id).collect();
    seeds.records.retain(|record| !held_out_roots.contains(&record.root_id));
    let held_out = if validation.is_empty() { train } else { validation };
    let held_out = held_out.iter().take(HELD_OUT_SHOWN).cloned().collect();
    let exported =
        selection.write(options, out).context(|| format!("cannot export to `{}`", out.display()))?;
    Ok(RunExport { exported, held_out, seeds })
}

/// Collects the records of the run in `dir`, and what the export needs besides.
///
/// # Errors
/// The journal, the manifest or a test set cannot be read.
fn collection(store: &Store, dir: &Path, tests: TestTexts<'_>) -> Result<Collection> {
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
        card: manifest::card(Manifest::read(dir)?.as_ref()),
    })
}
