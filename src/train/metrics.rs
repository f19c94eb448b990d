//! `metrics.jsonl`: one line per optimiser step and per validation pass.
//!
//! Where in the flow: the loop appends a line after a step or a validation pass; the checkpoint records the
//! length of the file.
//!
//! **Invariant:** after any crash and resume every step has exactly one line: lines are on disk before the
//! checkpoint that counts them, and a resumed run truncates the file to the length in its checkpoint.
//! **Invariant:** everything but `seconds`, `tokens_per_second` and `peak_memory_bytes` is a function of the
//! run's inputs.

use super::Error;
use std::fs::{File, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// One optimiser step.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct StepMetrics {
    /// Number of the step, counted from 1.
    pub step: u64,
    /// Mean negative log-likelihood of the window's targets, in nats.
    pub loss: f64,
    /// Learning rate of this update.
    pub learning_rate: f64,
    /// Global L2 norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Factor on the loss in half precision; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub loss_scale: Option<f32>,
    /// Positions fed.
    pub tokens: u64,
    /// Positions with loss.
    pub targets: u64,
    /// `tokens / seconds`.
    pub tokens_per_second: f64,
    /// Wall time of the step, by the caller's clock.
    pub seconds: f64,
    /// Largest memory of the process so far; absent if the system does not report it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peak_memory_bytes: Option<u64>,
}

/// One pass over the validation samples.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct EvalMetrics {
    /// Optimiser steps done before it.
    pub step: u64,
    /// Mean negative log-likelihood of all targets, in nats.
    pub validation_loss: f64,
    /// Positions with loss.
    pub targets: u64,
    /// Wall time of the pass, by the caller's clock.
    pub seconds: f64,
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Metrics {
    /// An optimiser step.
    Step(StepMetrics),
    /// A validation pass.
    Eval(EvalMetrics),
}

/// The open file, locked against a second run in the same directory.
#[derive(Debug)]
pub(super) struct MetricsFile {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl MetricsFile {
    /// Opens or creates the file and locks it; its content does not change before [`Self::cut`].
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let file = File::options().create(true).truncate(false).read(true).write(true).open(path);
        let file = file.map_err(Error::io("open", path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path: path.to_path_buf(), file, bytes: 0 }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse { path: path.to_path_buf() }),
            Err(TryLockError::Error(source)) => Err(Error::io("lock", path)(source)),
        }
    }

    /// Truncates the file to `bytes` bytes; the next line follows them.
    pub(super) fn cut(&mut self, bytes: u64) -> Result<(), Error> {
        let found = self.file.metadata().map_err(Error::io("read", &self.path))?.len();
        if found < bytes {
            return Err(Error::MetricsLost { path: self.path.clone(), found, expected: bytes });
        }
        self.file.set_len(bytes).map_err(Error::io("truncate", &self.path))?;
        self.file.seek(SeekFrom::Start(bytes)).map_err(Error::io("seek", &self.path))?;
        self.bytes = bytes;
        Ok(())
    }

    /// The lines in the file, after [`Self::cut`].
    pub(super) fn read(&self) -> Result<Vec<Metrics>, Error> {
        let text = std::fs::read_to_string(&self.path).map_err(Error::io("read", &self.path))?;
        let bad = |error: serde_json::Error| std::io::Error::new(std::io::ErrorKind::InvalidData, error);
        let lines = text.lines().map(serde_json::from_str);
        lines.map(|line| line.map_err(|error| Error::io("read", &self.path)(bad(error)))).collect()
    }

    /// Appends a line. It survives a crash of the process at once, and a power cut after [`Self::sync`].
    pub(super) fn append(&mut self, metrics: &Metrics) -> Result<(), Error> {
        let mut line = serde_json::to_vec(metrics).expect("numbers and strings always serialise");
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::io("write", &self.path))?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Flushes the lines to disk. Returns the length of the file.
    pub(super) fn sync(&self) -> Result<u64, Error> {
        self.file.sync_data().map_err(Error::io("sync", &self.path))?;
        Ok(self.bytes)
    }
}
