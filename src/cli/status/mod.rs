//! `evol status`: shows the state of a run, or of all its shards, on one screen.
//!
//! Where in the flow: a running process has exclusive access to its journal. So for a running run only the
//! files beside the journal are read; otherwise the journal's counts are shown too.
//!
//! **Invariant:** the lock on the run is released at once, and a journal in use is not waited for.

mod shards;

use crate::cli::args::StatusArgs;
use crate::cli::session::Session;
use crate::cli::table::{evaluation_table, funnel_table};
use crate::eval::Evaluation;
use crate::evolve::{self, Shard};
use crate::report::FunnelCell;
use crate::run::{
    Error, LastProgress, Result, RunDir, duration, eval, files, funnel_cells, read_seconds, unix_seconds,
};
use crate::store::{self, Store};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// A process is working on it.
    Running,
    /// Unfinished, and no process is working on it.
    Stopped,
    Finished,
}

#[derive(Debug, Serialize)]
struct RunStatus {
    run: PathBuf,
    state: State,
    /// The shard, as `I/N`; `None` for an undivided or running run.
    shard: Option<String>,
    /// The last reported progress.
    progress: Option<LastProgress>,
    /// Wall time of each stage, in order.
    seconds: Vec<(String, f64)>,
    /// `None` while the run is running, because the journal cannot be read.
    funnel: Option<Vec<FunnelCell>>,
    evaluation: Option<Evaluation>,
    report: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// The run does not exist.
pub(crate) fn run(args: &StatusArgs, session: &Session) -> Result<()> {
    if let Some(all) = shards::look(&args.run)? {
        if session.output.is_json() {
            return session.output.document(&all);
        }
        return session.output.data(&shards::screen(&all));
    }
    let status = look(&args.run)?;
    if session.output.is_json() {
        return session.output.document(&status);
    }
    session.output.data(&screen(&status))
}

fn look(dir: &Path) -> Result<RunStatus> {
    if !dir.join(store::FILE_NAME).is_file() {
        return Err(store::Error::Missing { dir: dir.to_owned() }.into());
    }
    let progress = LastProgress::read(dir);
    let is_at_work_elsewhere = progress.as_ref().is_some_and(LastProgress::is_at_work_elsewhere);
    let is_locked = match RunDir::claim(dir) {
        Err(Error::InUse { .. }) => true,
        Err(other) => return Err(other),
        Ok(_) => false,
    };
    // Never open a journal in use, even if its lock is not visible here.
    let journal = if is_locked || is_at_work_elsewhere { None } else { read_journal(dir)? };
    // A run made by `evol evolve` has no stages after the journal.
    let is_all = !dir.join(files::CONFIG).is_file();
    let state = match &journal {
        None => State::Running,
        Some(journal) if is_all && journal.is_finished => State::Finished,
        Some(_) if dir.join(files::SUMMARY).is_file() => State::Finished,
        Some(_) => State::Stopped,
    };
    let report = dir.join(files::REPORT);
    Ok(RunStatus {
        run: dir.to_owned(),
        state,
        shard: journal.as_ref().and_then(|journal| journal.shard.clone()),
        progress,
        seconds: read_seconds(dir),
        funnel: journal.map(|journal| journal.funnel),
        evaluation: eval::read(&dir.join(files::EVAL)),
        report: report.is_file().then_some(report),
    })
}

/// What is read from a journal that is not in use.
struct Journal {
    shard: Option<String>,
    is_finished: bool,
    funnel: Vec<FunnelCell>,
}

/// Reads the journal; `None` if another process has it open.
fn read_journal(dir: &Path) -> Result<Option<Journal>> {
    let store = match Store::open(dir) {
        Err(store::Error::Busy { .. }) => return Ok(None),
        store => store?,
    };
    let shard = evolve::shard_of(&store)?;
    Ok(Some(Journal {
        shard: (shard != Shard::WHOLE).then(|| shard.to_string()),
        is_finished: evolve::is_finished(&store)?,
        funnel: funnel_cells(&store.funnel()?),
    }))
}

fn screen(status: &RunStatus) -> String {
    let mut text = match status.state {
        State::Running => format!("{}: running", status.run.display()),
        State::Stopped => {
            format!("{}: stopped; rerun the command that started it to resume", status.run.display())
        }
        State::Finished => format!("{}: finished", status.run.display()),
    };
    text.push('\n');
    if let Some(progress) = status.progress.as_ref().filter(|_| status.state != State::Finished) {
        let _ = writeln!(text, "{}", progress_line(progress, unix_seconds()));
    }
    if let Some(cells) = &status.funnel {
        let _ = write!(text, "\n{}", funnel_table(cells));
    }
    if let Some(evaluation) = &status.evaluation {
        let _ = write!(text, "\n{}", evaluation_table(evaluation));
    }
    let seconds: Vec<String> =
        status.seconds.iter().map(|(stage, seconds)| format!("{stage} {}", duration(*seconds))).collect();
    if !seconds.is_empty() {
        let _ = writeln!(text, "\n{:<17}{}", "time", seconds.join(", "));
    }
    if let Some(report) = &status.report {
        let _ = writeln!(text, "{:<17}{}", "report", report.display());
    }
    text
}

fn progress_line(progress: &LastProgress, now: u64) -> String {
    let LastProgress { host, pid, stage, done, total, detail, eta_seconds, unix_seconds } = progress;
    let mut parts = Vec::new();
    if *total > 0 {
        parts.push(format!("{done} of {total}"));
    }
    if !detail.is_empty() {
        parts.push(detail.clone());
    }
    if let Some(eta) = eta_seconds {
        parts.push(format!("about {} left", duration(*eta as f64)));
    }
    let age = duration(now.saturating_sub(*unix_seconds) as f64);
    let of_host = if host.is_empty() { String::new() } else { format!(" of {host}") };
    format!("{stage}: {} (process {pid}{of_host}, {age} ago)", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_progress_line_shows_only_what_is_known() {
        let progress = LastProgress {
            host: String::new(),
            pid: 7,
            stage: "round 1 answer".to_owned(),
            done: 3,
            total: 9,
            detail: "81 tokens/s".to_owned(),
            eta_seconds: Some(61),
            unix_seconds: 100,
        };
        let line = progress_line(&progress, 102);
        assert_eq!(line, "round 1 answer: 3 of 9, 81 tokens/s, about 1 min 1 s left (process 7, 2 s ago)");
        let little = LastProgress { total: 0, detail: String::new(), eta_seconds: None, ..progress };
        assert_eq!(progress_line(&little, 50), "round 1 answer:  (process 7, 0 s ago)");
        let far = LastProgress { host: "node3".to_owned(), ..little };
        assert_eq!(progress_line(&far, 101), "round 1 answer:  (process 7 of node3, 1 s ago)");
        assert!(!far.is_at_work_elsewhere(), "that was in 1970");
        assert!(LastProgress { unix_seconds: unix_seconds(), ..far }.is_at_work_elsewhere());
    }

    #[test]
    fn a_directory_without_a_journal_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(look(folder.path()).is_err());
    }
}
