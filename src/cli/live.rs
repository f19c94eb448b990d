//! What others can see of a run while it goes on: `status.json` and `speed.jsonl` in its directory.
//!
//! Where in the flow: written by [`super::output::Progress`] and by evolve's ticks; `evol status` and
//! `evol report` read it. The journal itself cannot be read meanwhile: who writes it has it alone.
//!
//! **Invariant:** for people only: no result depends on these files, and one that cannot be written stops
//! nothing.

use crate::gguf::replace_file;
use crate::report::SpeedPoint;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where a run is.
pub(crate) const STATUS: &str = "status.json";

/// Tokens per second over time.
pub(crate) const SPEED: &str = "speed.jsonl";

/// Between two writes of the status.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// Between two points of the speed.
const SPEED_INTERVAL: Duration = Duration::from_secs(10);

/// The last progress of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LastProgress {
    /// Machine that works on it.
    #[serde(default)]
    pub(crate) host: String,
    /// Process that does.
    pub(crate) pid: u32,
    /// What it does.
    pub(crate) stage: String,
    /// Units done.
    pub(crate) done: u64,
    /// Units in all; 0: not known.
    pub(crate) total: u64,
    /// Such as `412 tokens/s`.
    pub(crate) detail: String,
    /// Seconds left, as far as it is known.
    pub(crate) eta_seconds: Option<u64>,
    /// When this was written, in seconds since 1970.
    pub(crate) unix_seconds: u64,
}

/// A process writes every second; a file system of several machines may show it later.
const FRESH_SECONDS: u64 = 60;

impl LastProgress {
    /// Whether another machine was at work just now: its locks may not be seen from here.
    pub(crate) fn is_at_work_elsewhere(&self) -> bool {
        let is_elsewhere = !self.host.is_empty() && self.host != super::machine::host_name();
        is_elsewhere && now().saturating_sub(self.unix_seconds) <= FRESH_SECONDS
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Writes for one run directory, once there is one.
#[derive(Debug, Default)]
pub(crate) struct Live(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    dir: Option<PathBuf>,
    status_at: Option<Instant>,
    /// When the last point of the speed was taken, and the tokens that there were.
    speed_at: Option<(Instant, u64)>,
    /// Of the last point.
    seconds: f64,
}

impl Live {
    /// From here on the run in `dir` is what is worked on.
    pub(crate) fn follow(&self, dir: &Path) {
        let earlier = read_speed(dir).last().map_or(0.0, |point| point.seconds);
        *self.state() = State { dir: Some(dir.to_owned()), seconds: earlier, ..State::default() };
    }

    /// Notes progress, if it is time to.
    pub(crate) fn progress(
        &self,
        stage: &str,
        (done, total): (u64, u64),
        detail: &str,
        eta_seconds: Option<u64>,
    ) {
        let mut state = self.state();
        let is_time = state.status_at.is_none_or(|at| at.elapsed() >= STATUS_INTERVAL);
        let Some(dir) = state.dir.clone().filter(|_| is_time) else { return };
        state.status_at = Some(Instant::now());
        let progress = LastProgress {
            host: super::machine::host_name(),
            pid: std::process::id(),
            stage: stage.to_owned(),
            done,
            total,
            detail: detail.to_owned(),
            eta_seconds,
            unix_seconds: now(),
        };
        let text = serde_json::to_string(&progress).unwrap_or_default() + "\n";
        let _ = replace_file(&dir.join(STATUS), |file| file.write_all(text.as_bytes()));
    }

    /// Notes the tokens that this process has generated in all, if it is time for a point.
    pub(crate) fn tokens(&self, generated: u64) {
        let mut state = self.state();
        let Some((at, before)) = state.speed_at else {
            state.speed_at = Some((Instant::now(), generated));
            return;
        };
        let passed = at.elapsed();
        if passed < SPEED_INTERVAL {
            return;
        }
        state.speed_at = Some((Instant::now(), generated));
        state.seconds += passed.as_secs_f64();
        let tokens_per_second = generated.saturating_sub(before) as f64 / passed.as_secs_f64();
        let point = SpeedPoint { seconds: state.seconds, tokens_per_second };
        let Some(dir) = &state.dir else { return };
        let line = serde_json::to_string(&point).unwrap_or_default() + "\n";
        if let Ok(mut file) = File::options().create(true).append(true).open(dir.join(SPEED)) {
            let _ = file.write_all(line.as_bytes());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The points of a run, those of broken lines left out.
pub(crate) fn read_speed(dir: &Path) -> Vec<SpeedPoint> {
    let text = std::fs::read_to_string(dir.join(SPEED)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The last progress of a run, if it left any.
pub(crate) fn read_status(dir: &Path) -> Option<LastProgress> {
    serde_json::from_slice(&std::fs::read(dir.join(STATUS)).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_written_for_the_run_that_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let live = Live::default();
        live.progress("train", (1, 2), "", None);
        assert_eq!(read_status(folder.path()), None);
        live.follow(folder.path());
        live.progress("train", (1, 2), "9 tokens/s", Some(3));
        live.progress("train", (2, 2), "too soon", None);
        let found = read_status(folder.path()).unwrap();
        assert_eq!(
            (found.stage.as_str(), found.done, found.total, found.eta_seconds),
            ("train", 1, 2, Some(3))
        );
        assert_eq!(found.detail, "9 tokens/s");
        std::fs::write(folder.path().join(STATUS), "{ cut").unwrap();
        assert_eq!(read_status(folder.path()), None);
    }

    #[test]
    fn speed_goes_on_where_an_earlier_process_stopped() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(SPEED), "{\"seconds\":40.0,\"tokens_per_second\":9.0}\n{ cut")
            .unwrap();
        let live = Live::default();
        live.follow(folder.path());
        assert!(live.state().seconds >= 40.0 && live.state().seconds <= 40.0);
        live.tokens(5);
        live.tokens(9);
        assert_eq!(read_speed(folder.path()).len(), 1, "no ten seconds have passed");
    }
}
