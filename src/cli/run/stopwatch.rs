//! Wall time by stage, over all processes that worked on a run.
//!
//! **Invariant:** times are for people: no result depends on them, and a file of them that is lost costs
//! nothing but the sum.

use super::summary::STAGES;
use crate::cli::error::Error;
use crate::cli::run_dir::RunDir;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// File name in the run directory.
const FILE_NAME: &str = "seconds.json";

/// What `kill -9` costs of the sum, at most.
const SAVE_INTERVAL: Duration = Duration::from_secs(2);

/// A stopwatch that remembers what earlier processes took.
#[derive(Debug)]
pub(crate) struct Stopwatch<'a> {
    dir: &'a RunDir,
    seconds: BTreeMap<String, f64>,
    running: Option<&'static str>,
    /// Up to here the running stage's time is in `seconds`.
    counted: Instant,
}

impl<'a> Stopwatch<'a> {
    /// Goes on from what `dir` has.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub(crate) fn new(dir: &'a RunDir) -> Result<Self, Error> {
        let seconds = dir.read_json(FILE_NAME)?.unwrap_or_default();
        Ok(Self { dir, seconds, running: None, counted: Instant::now() })
    }

    /// Ends the running stage and starts `stage`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn start(&mut self, stage: &'static str) -> Result<(), Error> {
        self.save()?;
        self.running = Some(stage);
        Ok(())
    }

    /// To be called now and then while a stage runs, so that a killed process leaves its time.
    pub(crate) fn tick(&mut self) {
        if self.counted.elapsed() >= SAVE_INTERVAL {
            // A disk that is full shows where results are written; a time that is lost is no reason to stop.
            let _ = self.save();
        }
    }

    /// Ends the running stage; seconds by stage.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn stop(mut self) -> Result<BTreeMap<String, f64>, Error> {
        self.save()?;
        Ok(self.seconds)
    }

    fn save(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        let passed = now.duration_since(self.counted).as_secs_f64();
        self.counted = now;
        let Some(stage) = self.running else { return Ok(()) };
        *self.seconds.entry(stage.to_owned()).or_default() += passed;
        self.dir.write_json(FILE_NAME, &self.seconds)
    }
}

/// What the stages of the run in `dir` took, in their order.
pub(crate) fn seconds(dir: &Path) -> Vec<(String, f64)> {
    let text = std::fs::read(dir.join(FILE_NAME)).unwrap_or_default();
    let seconds: BTreeMap<String, f64> = serde_json::from_slice(&text).unwrap_or_default();
    STAGES.iter().filter_map(|stage| Some(((*stage).to_owned(), *seconds.get(*stage)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_adds_up_over_processes_and_stages() {
        let folder = tempfile::tempdir().unwrap();
        let dir = RunDir::claim(folder.path()).unwrap();
        dir.write_json(FILE_NAME, &BTreeMap::from([("evolve", 100.0)])).unwrap();
        let mut stopwatch = Stopwatch::new(&dir).unwrap();
        stopwatch.start("evolve").unwrap();
        std::thread::sleep(Duration::from_millis(20));
        stopwatch.start("train").unwrap();
        let seconds = stopwatch.stop().unwrap();
        assert!(seconds["evolve"] >= 100.02 && seconds["train"] >= 0.0, "{seconds:?}");
        assert_eq!(dir.read_json::<BTreeMap<String, f64>>(FILE_NAME).unwrap(), Some(seconds));
    }
}
