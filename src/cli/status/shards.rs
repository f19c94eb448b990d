//! The state of all shards of a run.
//!
//! **Invariant:** the journal of a running shard is not opened; its last reported progress is shown. A shard
//! that cannot be read is shown as stopped and does not stop the command.

use super::{RunStatus, State, look as look_at, progress_line};
use crate::cli::slurm;
use crate::cli::table::funnel_table;
use crate::evolve::Shard;
use crate::report::FunnelCell;
use crate::run::{LastProgress, Result, files, runs_in, unix_seconds};
use crate::store;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Unfinished shards to list: more do not fit on a screen.
const SHOWN: usize = 20;

/// All shards of a run.
#[derive(Debug, Serialize)]
pub(super) struct ShardsStatus {
    run: PathBuf,
    /// Number of shards in the run; `None` if no journal could be read.
    count: Option<u32>,
    finished: usize,
    running: usize,
    stopped: usize,
    /// In the order of their folders.
    shards: Vec<RunStatus>,
    /// Summed over the shards whose journals can be read.
    funnel: Vec<FunnelCell>,
}

/// The shards in `dir`, or in its folder of shards; `None` if it is a run itself, or has no shards.
///
/// # Errors
/// A journal cannot be read.
pub(super) fn look(dir: &Path) -> Result<Option<ShardsStatus>> {
    if dir.join(store::FILE_NAME).is_file() {
        return Ok(None);
    }
    let planned = slurm::shards_of(dir);
    let own = runs_in(dir)?;
    let is_own = !own.is_empty();
    let runs = if is_own { own } else { runs_in(&dir.join(files::SHARDS))? };
    if runs.is_empty() && planned.is_none() {
        return Ok(None);
    }
    let shards: Vec<RunStatus> =
        runs.iter().map(|run| look_at(run).unwrap_or_else(|_| unreadable(run))).collect();
    // A folder of unrelated runs is not a run in shards.
    if is_own && shards.iter().any(|run| run.shard.is_none() && run.state != State::Running) {
        return Ok(None);
    }
    let number = |state| shards.iter().filter(|shard| shard.state == state).count();
    let count = shards.iter().find_map(|shard| shard.shard.as_deref()?.parse::<Shard>().ok());
    Ok(Some(ShardsStatus {
        run: dir.to_owned(),
        count: count.map(Shard::count).or(planned),
        finished: number(State::Finished),
        running: number(State::Running),
        stopped: number(State::Stopped),
        funnel: sum(shards.iter().filter_map(|shard| shard.funnel.as_ref()).flatten()),
        shards,
    }))
}

/// The status of a shard whose journal cannot be read, because its process was killed while creating it.
fn unreadable(run: &Path) -> RunStatus {
    RunStatus {
        run: run.to_owned(),
        state: State::Stopped,
        shard: None,
        progress: LastProgress::read(run),
        seconds: Vec::new(),
        funnel: None,
        evaluation: None,
        report: None,
    }
}

/// Sums the cells of several funnels by round and operator.
fn sum<'a>(cells: impl Iterator<Item = &'a FunnelCell>) -> Vec<FunnelCell> {
    let mut sums: BTreeMap<(u32, Option<String>), FunnelCell> = BTreeMap::new();
    for cell in cells {
        let empty = || FunnelCell { attempts: 0, kept: 0, eliminated: BTreeMap::new(), ..cell.clone() };
        let sum = sums.entry((cell.round, cell.operator.clone())).or_insert_with(empty);
        sum.attempts += cell.attempts;
        sum.kept += cell.kept;
        for (reason, count) in &cell.eliminated {
            *sum.eliminated.entry(reason.clone()).or_default() += count;
        }
    }
    sums.into_values().collect()
}

/// Formats the status for a terminal.
pub(super) fn screen(all: &ShardsStatus) -> String {
    let ShardsStatus { run, finished, running, stopped, .. } = all;
    let started = all.shards.len();
    let of = all.count.map(|count| format!(" of {count}")).unwrap_or_default();
    let mut text = format!(
        "{}: {started}{of} shards started: {finished} finished, {running} running, {stopped} stopped\n",
        run.display()
    );
    let unfinished: Vec<&RunStatus> =
        all.shards.iter().filter(|shard| shard.state != State::Finished).collect();
    for shard in unfinished.iter().take(SHOWN) {
        let name = shard.run.file_name().unwrap_or_default().to_string_lossy();
        let state = if shard.state == State::Running { "running" } else { "stopped" };
        let progress = shard.progress.as_ref().map(|progress| progress_line(progress, unix_seconds()));
        let _ = writeln!(text, "  {name:<6}{state:<9}{}", progress.unwrap_or_default());
    }
    if unfinished.len() > SHOWN {
        let _ = writeln!(text, "  and {} more; `--json` lists all", unfinished.len() - SHOWN);
    }
    if !all.funnel.is_empty() {
        let _ = write!(text, "\n{}", funnel_table(&all.funnel));
    }
    if all.count.is_some_and(|count| count as usize == *finished) {
        text.push_str("\nall shards are finished; merge them with `evol merge-runs`\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn funnels_add_up_by_round_and_operator() {
        let cell = |round, operator: Option<&str>, kept, reason: &str| FunnelCell {
            round,
            operator: operator.map(str::to_owned),
            attempts: kept + 1,
            kept,
            eliminated: BTreeMap::from([(reason.to_owned(), 1)]),
        };
        let cells = [
            cell(1, Some("mutation"), 2, "empty"),
            cell(0, None, 3, "refused"),
            cell(1, Some("mutation"), 4, "copied"),
        ];
        let found = sum(cells.iter());
        let kept: Vec<(u32, u64, u64)> = found.iter().map(|c| (c.round, c.attempts, c.kept)).collect();
        assert_eq!(kept, [(0, 4, 3), (1, 8, 6)]);
        assert_eq!(found[1].eliminated.len(), 2);
    }

    #[test]
    fn a_folder_without_runs_has_no_shards() {
        let folder = tempfile::tempdir().unwrap();
        assert!(look(folder.path()).unwrap().is_none());
    }
}
