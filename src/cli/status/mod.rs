//! `evol status`: where a run is, on one screen, while it goes on and afterwards; or where all of its shards
//! are.
//!
//! Where in the flow: whoever works on a run has its journal alone, so while that goes on only the files
//! beside it are read (`live`); afterwards the journal's counts are shown, too.
//!
//! **Invariant:** the lock of the run is looked at and given back at once, and a journal that somebody has is
//! not waited for.

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

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// A process works on it.
    Running,
    /// It was begun, and nobody works on it.
    Stopped,
    /// All stages are done.
    Finished,
}

#[derive(Debug, Serialize)]
struct RunStatus {
    run: PathBuf,
    state: State,
    /// Which part of a run it is, as `I/N`; `None`: not divided, or somebody works on it.
    shard: Option<String>,
    /// The last that was said of its progress.
    progress: Option<LastProgress>,
    /// By stage, in their order.
    seconds: Vec<(String, f64)>,
    /// While somebody works on it the journal cannot be read.
    funnel: Option<Vec<FunnelCell>>,
    evaluation: Option<Evaluation>,
    report: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// There is no run.
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
        Err(other) => return Err(other.into()),
        Ok(_) => false,
    };
    // A journal that somebody writes is not to be opened, whether its lock is seen or not.
    let journal = if is_locked || is_at_work_elsewhere { None } else { read_journal(dir)? };
    // What `evol evolve` made has no stages after the journal's.
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

/// What is read of a journal that nobody works on.
struct Journal {
    shard: Option<String>,
    is_finished: bool,
    funnel: Vec<FunnelCell>,
}

/// `None`: somebody else reads it just now.
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
            format!("{}: begun, and nobody works on it; the same command goes on", status.run.display())
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
    fn a_line_says_what_is_known() {
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
    fn what_is_no_run_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(look(folder.path()).is_err());
    }
}
