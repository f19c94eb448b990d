//! The history of measurements: a file with one JSON record per line.
//!
//! Where in the flow: `cli` appends a [`Record`] with the results; [`super::compare()`] compares two records.
//!
//! **Invariant:** a record is appended in a single write, and existing lines are never rewritten.

use super::{Error, Figures};
use crate::dataset::builtin_seeds;
use crate::evolve::MaxTokens;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Version of the format; it increases whenever a field of [`Record`] changes its meaning.
pub const FORMAT: u32 = 1;

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The version of the format, [`FORMAT`].
    pub format: u32,
    /// The time at its end by the system clock, as RFC 3339 in UTC.
    pub time: String,
    /// The version of evol.
    pub evol_version: String,
    /// The model.
    pub model: ModelEntry,
    /// The machine.
    pub machine: MachineEntry,
    /// The settings.
    pub settings: Settings,
    /// The results.
    pub figures: Figures,
}

/// The model of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// The name of the file, without its folder.
    pub file: String,
    /// SHA-256 of the file, in lowercase hex.
    pub sha256: String,
}

/// The machine of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineEntry {
    /// Architecture and operating system, such as `x86_64 linux`.
    pub platform: String,
    /// The name of the processor; `None` if the system does not provide it.
    pub cpu: Option<String>,
    /// Number of threads that a process may use.
    pub available_threads: usize,
    /// The instruction sets that llama.cpp was built with.
    pub llama_cpp: Vec<String>,
}

/// The settings of a measurement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Number of built-in seeds.
    pub seeds: usize,
    /// Number of rounds of evolution.
    pub rounds: u32,
    /// The seed of the run.
    pub seed: u64,
    /// The limits on generated tokens.
    pub max_tokens: MaxTokens,
    /// Number of sequences decoded in one batch.
    pub batch_width: usize,
    /// The weight format that was computed with, as `--compute-format` names it.
    pub compute_format: String,
    /// Number of layers on a GPU.
    pub gpu_layers: u32,
    /// Number of threads of the engine.
    pub threads: usize,
    /// The batch widths at which rates are measured.
    pub widths: Vec<usize>,
    /// Number of repetitions of the rates and of the determinism levels.
    pub repeats: usize,
}

impl Settings {
    /// Checks that every setting is in range.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<(), Error> {
        let &Self { seeds, rounds, repeats, ref widths, .. } = self;
        let limit = builtin_seeds().len();
        let in_range = [
            (
                "seeds",
                (1..=limit).contains(&seeds),
                seeds.to_string(),
                format!("1 to {limit} built-in seeds"),
            ),
            ("rounds", rounds >= 1, rounds.to_string(), "at least 1".to_owned()),
            ("repeats", repeats >= 1, repeats.to_string(), "at least 1".to_owned()),
            (
                "widths",
                !widths.is_empty() && widths.iter().all(|&width| width >= 1),
                format!("{widths:?}"),
                "at least one width, each 1 or more".to_owned(),
            ),
        ];
        match in_range.into_iter().find(|(_, ok, ..)| !ok) {
            Some((field, _, found, expected)) => Err(Error::Setting { field, found, expected }),
            None => Ok(()),
        }
    }
}

/// A history file that is open for appending.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    file: File,
}

impl History {
    /// Opens the file, and creates it and its folder if they do not exist. Called before a measurement, so
    /// that a path that cannot be written fails early.
    ///
    /// # Errors
    /// [`Error::History`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::History { action: "open", path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends a record.
    ///
    /// # Errors
    /// [`Error::History`].
    pub fn append(&mut self, record: &Record) -> Result<(), Error> {
        let failed = |source| Error::History { action: "write", path: self.path.clone(), source };
        let line = serde_json::to_string(record).map_err(|error| failed(error.into()))? + "\n";
        // A single write, so that two programs that append at the same time do not mix their lines.
        self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data()).map_err(failed)
    }

    /// Reads all records of a file, oldest first.
    ///
    /// # Errors
    /// [`Error::History`] if it cannot be read; [`Error::BadRecord`] for the first line that is not a record.
    pub fn read(path: &Path) -> Result<Vec<Record>, Error> {
        let failed = |source| Error::History { action: "read", path: path.to_owned(), source };
        let text = fs::read_to_string(path).map_err(failed)?;
        let bad = |line, reason| Error::BadRecord { path: path.to_owned(), line, reason };
        let parse = |(index, line): (usize, &str)| {
            let line_number = index + 1;
            let record: Record =
                serde_json::from_str(line).map_err(|error| bad(line_number, error.to_string()))?;
            if record.format == FORMAT {
                Ok(record)
            } else {
                let reason = format!("its format is {}, this version reads {FORMAT}", record.format);
                Err(bad(line_number, reason))
            }
        };
        text.lines().enumerate().map(parse).collect()
    }
}
