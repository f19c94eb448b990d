//! `evol merge-runs`: merges the shards of a run into one run.
//!
//! Where in the flow: after all `evol evolve --shard I/N`; `evol export`, or `evol run` with the shards'
//! configuration, continues from the merged run.
//!
//! **Invariant:** the shards are not changed. Rerunning the command repeats a merge that was killed, and does
//! nothing after one that finished.

use super::args::MergeRunsArgs;
use super::session::Session;
use super::table::funnel_table;
use crate::evolve;
use crate::run::{
    ErrorContext as _, Host as _, Manifest, Result, RunDir, files, funnel_cells, runs_in, shell,
};
use crate::store::{self, Store};
use serde_json::json;
use std::path::PathBuf;

/// Runs the command.
///
/// # Errors
/// The shards do not form a run, one of them is in use, or OUT has other files.
pub(crate) fn run(args: &MergeRunsArgs, session: &Session) -> Result<()> {
    let parts = parts(&args.runs)?;
    let dir = RunDir::claim(&args.out)?;
    let mut on_rows = |rows| session.report_progress("merge", rows, 0, &format!("{rows} rows"));
    let merged = evolve::merge(dir.path(), &parts, &mut on_rows)
        .context(|| format!("cannot merge into `{}`", dir.path().display()))?;
    session.progress_done();
    let store = Store::open(dir.path())?;
    if Manifest::read(dir.path())?.is_none()
        && let Some(manifest) = parts.iter().find_map(|part| Manifest::read(part).ok().flatten())
    {
        manifest.write(&dir)?;
    }
    Manifest::complete(&dir, &store)?;
    let cells = funnel_cells(&store.funnel()?);
    if session.output.is_json() {
        let document = json!({ "shards": parts.len(), "rows": merged, "funnel": cells });
        return session.output.document(&document);
    }
    let what = match merged {
        None => "merged before".to_owned(),
        Some(rows) => {
            format!("{} instructions, {} answers, {} verdicts", rows.nodes, rows.answers, rows.verdicts)
        }
    };
    session.output.data(&format!(
        "{}\n{}: {} shards, {what}\n",
        funnel_table(&cells),
        dir.path().display(),
        parts.len()
    ))?;
    let next = shell::evol(&["export", &shell::word(dir.path()), "--out", "data"]);
    session.output.note(&format!("\nNext: {next}"));
    Ok(())
}

/// The run directories that were named, and those in the folders that were named. Checks that none is in use.
fn parts(named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut parts = Vec::new();
    for path in named {
        if path.join(store::FILE_NAME).is_file() {
            parts.push(path.clone());
            continue;
        }
        let mut found = runs_in(path)?;
        if found.is_empty() {
            // OUT itself may be named, which stands for its shards.
            found = runs_in(&path.join(files::SHARDS))?;
        }
        if found.is_empty() {
            return Err(store::Error::Missing { dir: path.clone() }.into());
        }
        parts.append(&mut found);
    }
    for part in &parts {
        drop(RunDir::claim(part)?);
    }
    Ok(parts)
}
