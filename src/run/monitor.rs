//! Progress that other processes can see: `status.json`, `speed.jsonl` and `seconds.json`.
//!
//! Where in the flow: a [`Monitor`] is a [`Host`] that wraps another one. It also writes reported progress to
//! the run directory, for `evol status` and `evol report`, because the journal cannot be read while a process
//! is writing it.
//!
//! **Invariant:** no result depends on these files, and failing to write progress does not stop a run.

use super::dir::RunDir;
use super::error::Result;
use super::files;
use super::host::{Estimate, Host, Progress};
use super::machine::host_name;
use super::summary;
use crate::report::SpeedPoint;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time between two writes of the status.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// Time between two points of the speed curve.
const SPEED_INTERVAL: Duration = Duration::from_secs(10);

/// Time between two writes of the stages' times; `kill -9` loses at most this much.
const TIMES_INTERVAL: Duration = Duration::from_secs(2);

/// Age up to which a status counts as current. It is written every second, but a network file system may show
/// it late.
const FRESH_SECONDS: u64 = 60;

/// The last progress of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastProgress {
    /// Host name of the machine that is working on the run.
    #[serde(default)]
    pub host: String,
    /// Id of the process that is working on the run.
    pub pid: u32,
    /// The current stage, such as `round 1 answer`.
    pub stage: String,
    /// Units done.
    pub done: u64,
    /// Total units; 0 if not known.
    pub total: u64,
    /// A short text, such as `412 tokens/s`.
    pub detail: String,
    /// Estimated seconds left, if known.
    pub eta_seconds: Option<u64>,
    /// When this was written, in seconds since 1970.
    pub unix_seconds: u64,
}

impl LastProgress {
    /// Reads the last progress of the run in `dir`; `None` if there is none or it cannot be read.
    pub fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(dir.join(files::STATUS)).ok()?).ok()
    }

    /// Whether another machine worked on the run within the last minute. Its locks may not be visible here.
    pub fn is_at_work_elsewhere(&self) -> bool {
        let is_elsewhere = !self.host.is_empty() && self.host != host_name();
        is_elsewhere && unix_seconds().saturating_sub(self.unix_seconds) <= FRESH_SECONDS
    }
}

/// Seconds since 1970.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A host that also writes the progress of a run to its directory.
pub struct Monitor<'a> {
    host: &'a dyn Host,
    dir: &'a RunDir,
    state: Mutex<State>,
}

struct State {
    /// The last reported stage, which the estimate is for.
    reported: String,
    estimate: Estimate,
    status_at: Option<Instant>,
    /// Time of the last point of the speed curve, and the token count then.
    speed_at: Option<(Instant, u64)>,
    /// Seconds of generation up to the last point, over all processes.
    speed_seconds: f64,
    times: Times,
}

/// Wall time of each stage, summed over all processes.
struct Times {
    seconds: BTreeMap<String, f64>,
    running: Option<&'static str>,
    /// The running stage's time is in `seconds` up to this instant.
    counted: Instant,
}

impl<'a> Monitor<'a> {
    /// Continues the times and the speed curve of earlier processes in `dir`.
    ///
    /// # Errors
    /// [`super::Error::Read`] if `seconds.json` exists and cannot be read.
    pub fn new(dir: &'a RunDir, host: &'a dyn Host) -> Result<Self> {
        let seconds = dir.read_json(files::SECONDS)?.unwrap_or_default();
        let state = State {
            reported: String::new(),
            estimate: Estimate::start(),
            status_at: None,
            speed_at: None,
            speed_seconds: read_speed(dir.path()).last().map_or(0.0, |point| point.seconds),
            times: Times { seconds, running: None, counted: Instant::now() },
        };
        Ok(Self { host, dir, state: Mutex::new(state) })
    }

    /// Ends the running stage and starts the clock of `stage`.
    ///
    /// # Errors
    /// [`super::Error::Write`]: if this file cannot be written, neither can results.
    pub fn start_stage(&self, stage: &'static str) -> Result<()> {
        let mut state = self.state();
        state.times.save(self.dir)?;
        state.times.running = Some(stage);
        Ok(())
    }

    /// Ends the running stage and returns the seconds of each stage by name.
    ///
    /// # Errors
    /// As [`Self::start_stage`].
    pub fn stop(self) -> Result<BTreeMap<String, f64>> {
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.times.save(self.dir)?;
        Ok(state.times.seconds)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Times {
    fn save(&mut self, dir: &RunDir) -> Result<()> {
        let now = Instant::now();
        let passed = now.duration_since(self.counted).as_secs_f64();
        self.counted = now;
        let Some(stage) = self.running else { return Ok(()) };
        *self.seconds.entry(stage.to_owned()).or_default() += passed;
        dir.write_json(files::SECONDS, &self.seconds)
    }
}

impl State {
    fn write_status(&mut self, dir: &RunDir, progress: &Progress<'_>) {
        if self.reported != progress.stage {
            progress.stage.clone_into(&mut self.reported);
            self.estimate = Estimate::start();
        }
        let eta_seconds = self.estimate.seconds_left(progress.done, progress.total);
        if self.status_at.is_some_and(|at| at.elapsed() < STATUS_INTERVAL) {
            return;
        }
        self.status_at = Some(Instant::now());
        let last = LastProgress {
            host: host_name(),
            pid: std::process::id(),
            stage: progress.stage.to_owned(),
            done: progress.done,
            total: progress.total,
            detail: progress.detail.to_owned(),
            eta_seconds,
            unix_seconds: unix_seconds(),
        };
        // One line, so that a script can search it without a JSON parser.
        let line = serde_json::to_string(&last).unwrap_or_default() + "\n";
        let _ = dir.write(files::STATUS, &line);
    }

    /// Appends a point to `speed.jsonl` if the interval has passed.
    fn write_speed(&mut self, dir: &RunDir, generated: u64) {
        let Some((at, before)) = self.speed_at else {
            self.speed_at = Some((Instant::now(), generated));
            return;
        };
        let passed = at.elapsed();
        if passed < SPEED_INTERVAL {
            return;
        }
        self.speed_at = Some((Instant::now(), generated));
        self.speed_seconds += passed.as_secs_f64();
        let tokens_per_second = generated.saturating_sub(before) as f64 / passed.as_secs_f64();
        let point = SpeedPoint { seconds: self.speed_seconds, tokens_per_second };
        let line = serde_json::to_string(&point).unwrap_or_default() + "\n";
        if let Ok(mut file) = File::options().create(true).append(true).open(dir.path().join(files::SPEED)) {
            let _ = file.write_all(line.as_bytes());
        }
    }
}

impl Host for Monitor<'_> {
    fn note(&self, text: &str) {
        self.host.note(text);
    }

    fn detail(&self, text: &str) {
        self.host.detail(text);
    }

    fn warn(&self, text: &str) {
        self.host.warn(text);
    }

    fn progress(&self, progress: &Progress<'_>) {
        let mut state = self.state();
        state.write_status(self.dir, progress);
        if let Some(generated) = progress.generated_tokens {
            state.write_speed(self.dir, generated);
        }
        if state.times.counted.elapsed() >= TIMES_INTERVAL {
            // Ignore errors: losing a time is no reason to stop, and a full disk fails when results are
            // written.
            let _ = state.times.save(self.dir);
        }
        drop(state);
        self.host.progress(progress);
    }

    fn progress_done(&self) {
        self.host.progress_done();
    }

    fn interrupt(&self) -> &Arc<AtomicBool> {
        self.host.interrupt()
    }
}

/// The speed curve of the run in `dir`. Skips broken lines.
pub(super) fn read_speed(dir: &Path) -> Vec<SpeedPoint> {
    let text = std::fs::read_to_string(dir.join(files::SPEED)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Wall time in seconds of each stage of the run in `dir`, in order.
pub fn read_seconds(dir: &Path) -> Vec<(String, f64)> {
    let text = std::fs::read(dir.join(files::SECONDS)).unwrap_or_default();
    let seconds: BTreeMap<String, f64> = serde_json::from_slice(&text).unwrap_or_default();
    summary::STAGES.iter().filter_map(|stage| Some(((*stage).to_owned(), *seconds.get(*stage)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::host::tests::Recorder;
    use super::*;

    fn at(stage: &str, done: u64) -> Progress<'_> {
        Progress { stage, done, total: 2, detail: "9 tokens/s", generated_tokens: None }
    }

    #[test]
    fn progress_reaches_the_host_and_the_run_directory() {
        let folder = tempfile::tempdir().unwrap();
        let dir = RunDir::claim(folder.path()).unwrap();
        let host = Recorder::default();
        let monitor = Monitor::new(&dir, &host).unwrap();
        assert_eq!(LastProgress::read(folder.path()), None);
        monitor.progress(&at("train", 1));
        monitor.progress(&at("train", 2));
        assert_eq!(host.lines(), ["train: 1 of 2", "train: 2 of 2"]);
        let found = LastProgress::read(folder.path()).unwrap();
        assert_eq!((found.stage.as_str(), found.done, found.total), ("train", 1, 2), "one write a second");
        assert_eq!(found.detail, "9 tokens/s");
        let line = std::fs::read_to_string(folder.path().join(files::STATUS)).unwrap();
        assert!(line.contains("\"stage\":\"train\"") && line.lines().count() == 1, "{line}");
        std::fs::write(folder.path().join(files::STATUS), "{ cut").unwrap();
        assert_eq!(LastProgress::read(folder.path()), None);
    }

    #[test]
    fn time_adds_up_over_processes_and_stages() {
        let folder = tempfile::tempdir().unwrap();
        let dir = RunDir::claim(folder.path()).unwrap();
        dir.write_json(files::SECONDS, &BTreeMap::from([("evolve", 100.0)])).unwrap();
        let host = Recorder::default();
        let monitor = Monitor::new(&dir, &host).unwrap();
        monitor.start_stage("evolve").unwrap();
        std::thread::sleep(Duration::from_millis(20));
        monitor.start_stage("train").unwrap();
        let seconds = monitor.stop().unwrap();
        assert!(seconds["evolve"] >= 100.02 && seconds["train"] >= 0.0, "{seconds:?}");
        assert_eq!(read_seconds(folder.path())[0].0, "evolve");
        assert_eq!(dir.read_json::<BTreeMap<String, f64>>(files::SECONDS).unwrap(), Some(seconds));
    }

    #[test]
    fn speed_continues_where_an_earlier_process_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let dir = RunDir::claim(folder.path()).unwrap();
        let earlier = "{\"seconds\":40.0,\"tokens_per_second\":9.0}\n{ cut";
        std::fs::write(folder.path().join(files::SPEED), earlier).unwrap();
        let host = Recorder::default();
        let monitor = Monitor::new(&dir, &host).unwrap();
        assert!(monitor.state().speed_seconds >= 40.0 && monitor.state().speed_seconds <= 40.0);
        monitor.progress(&Progress { generated_tokens: Some(5), ..at("evolve", 1) });
        monitor.progress(&Progress { generated_tokens: Some(9), ..at("evolve", 1) });
        assert_eq!(read_speed(folder.path()).len(), 1, "no ten seconds have passed");
    }

    #[test]
    fn a_machine_that_worked_long_ago_is_not_at_work() {
        let progress = LastProgress {
            host: "node3".to_owned(),
            pid: 7,
            stage: "evolve".to_owned(),
            done: 3,
            total: 9,
            detail: String::new(),
            eta_seconds: None,
            unix_seconds: 100,
        };
        assert!(!progress.is_at_work_elsewhere(), "that was in 1970");
        assert!(LastProgress { unix_seconds: unix_seconds(), ..progress.clone() }.is_at_work_elsewhere());
        let here = LastProgress { host: String::new(), unix_seconds: unix_seconds(), ..progress };
        assert!(!here.is_at_work_elsewhere());
    }
}
