//! Measurements over time: a file with a JSON record per line.
//!
//! Where in the flow: `cli` makes a [`Record`] of the figures and appends it; [`super::compare()`] reads two.
//!
//! **Invariant:** a record is appended whole or not at all, and nothing that is in the file is ever
//! rewritten.

use super::{Error, Figures};
use crate::dataset::builtin_seeds;
use crate::evolve::MaxTokens;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Raised whenever a field of [`Record`] changes its meaning.
pub const FORMAT: u32 = 1;

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// [`FORMAT`].
    pub format: u32,
    /// When it ended, RFC 3339 in UTC, by the clock of the system.
    pub time: String,
    /// Version of the program.
    pub evol_version: String,
    /// What was measured.
    pub model: ModelEntry,
    /// Where.
    pub machine: MachineEntry,
    /// How.
    pub settings: Settings,
    /// What came out.
    pub figures: Figures,
}

/// The model of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelEntry {
    /// Name of the file, without its folder.
    pub file: String,
    /// Lowercase hexadecimal.
    pub sha256: String,
}

/// The machine of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineEntry {
    /// Such as `x86_64 linux`.
    pub platform: String,
    /// Name of the processor, if the system tells.
    pub cpu: Option<String>,
    /// Threads that a process may use.
    pub available_threads: usize,
    /// What llama.cpp was built with.
    pub llama_cpp: Vec<String>,
}

/// What was chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Built-in seeds.
    pub seeds: usize,
    /// Rounds of evolution.
    pub rounds: u32,
    /// Seed of the run.
    pub seed: u64,
    /// Limits on generated tokens.
    pub max_tokens: MaxTokens,
    /// Sequences decoded in one batch.
    pub batch_width: usize,
    /// Format of the weights that were computed with, as `--compute-format` names it.
    pub compute_format: String,
    /// Layers on a GPU.
    pub gpu_layers: u32,
    /// Threads of the engine.
    pub threads: usize,
    /// Widths that rates are measured at.
    pub widths: Vec<usize>,
    /// Times that rates and levels are measured.
    pub repeats: usize,
}

impl Settings {
    /// Says which setting is out of range.
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
                "at least one width, none 0".to_owned(),
            ),
        ];
        match in_range.into_iter().find(|(_, ok, ..)| !ok) {
            Some((field, _, found, expected)) => Err(Error::Setting { field, found, expected }),
            None => Ok(()),
        }
    }
}

/// The file, open for appending.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    file: File,
}

impl History {
    /// Opens or makes it, with its folder: before a measurement, so that none is made that cannot be kept.
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

    /// Adds a record.
    ///
    /// # Errors
    /// [`Error::History`].
    pub fn append(&mut self, record: &Record) -> Result<(), Error> {
        let failed = |source| Error::History { action: "write", path: self.path.clone(), source };
        let line = serde_json::to_string(record).map_err(|error| failed(error.into()))? + "\n";
        // One call, so that two programs that append at once do not mix their lines.
        self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data()).map_err(failed)
    }

    /// All records of the file, oldest first.
    ///
    /// # Errors
    /// [`Error::History`] if it cannot be read, [`Error::BadRecord`] for the first line that is no record.
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
