//! What was typed, checked and completed: the second of three steps (see [`super::args`]).
//!
//! **Invariant:** what a plan holds is valid on its own terms: numbers in range, model and data files present.
//! Whether their content is usable shows when they are read.

use super::args::{DeviceArg, ExportArgs, GlobalArgs, TrainArgs};
use super::error::Error;
use super::output::Output;
use super::{interrupt, known_models, machine};
use crate::dataset::ExportOptions;
use crate::train::TrainConfig;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What every command has.
#[derive(Debug)]
pub(crate) struct Session {
    /// How to speak.
    pub(crate) output: Output,
    /// `--seed`, if it was typed.
    pub(crate) seed: Option<u64>,
    /// Threads for generation and training.
    pub(crate) threads: usize,
    /// True once Ctrl-C was pressed.
    pub(crate) interrupt: Arc<AtomicBool>,
}

impl Session {
    /// Checks the global flags and takes over Ctrl-C.
    ///
    /// # Errors
    /// A flag is out of range, or the signal handler cannot be installed.
    pub(crate) fn new(global: &GlobalArgs, output: Output) -> Result<Self> {
        if global.device == DeviceArg::Cuda {
            return Err(Error::NoCuda.into());
        }
        let threads = machine::threads(global.threads)?;
        let available = machine::available_threads();
        if threads > available {
            output.warn(&format!("{threads} threads on {available} cores are slower than {available}"));
        }
        Ok(Self { output, seed: global.seed, threads, interrupt: interrupt::install(output)? })
    }
}

/// A model file that is there.
///
/// # Errors
/// See [`known_models::resolve`].
pub(crate) fn model(typed: &str) -> Result<PathBuf, Error> {
    known_models::resolve(typed, Path::new(""))
}

/// Makes sure that a directory may be written to: it is absent, empty, or holds `mark`, which only this command
/// leaves.
///
/// # Errors
/// [`Error::NotOurs`], or [`Error::Read`] if it cannot be listed.
pub(crate) fn writable_directory(dir: &Path, mark: &str) -> Result<(), Error> {
    let mut entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(Error::Read { path: dir.to_owned(), source }),
    };
    if entries.next().is_none() || dir.join(mark).is_file() {
        Ok(())
    } else {
        Err(Error::NotOurs { dir: dir.to_owned() })
    }
}

/// A training run.
#[derive(Debug)]
pub(crate) struct TrainPlan {
    /// The base.
    pub(crate) model: PathBuf,
    /// JSONL to learn.
    pub(crate) data: PathBuf,
    /// JSONL to measure on.
    pub(crate) validation: Option<PathBuf>,
    /// Folder of the adapter.
    pub(crate) out: PathBuf,
    /// Settings, in range.
    pub(crate) config: TrainConfig,
}

impl TrainPlan {
    /// Checks `evol train`.
    ///
    /// # Errors
    /// A setting is out of range, a file is absent, or the folder is somebody else's.
    pub(crate) fn new(args: &TrainArgs, session: &Session) -> Result<Self> {
        let config = args.settings.config(session.seed.unwrap_or(0));
        config.validate()?;
        writable_directory(&args.out, TRAIN_MARK)?;
        Ok(Self {
            model: model(&args.model)?,
            data: args.data.clone(),
            validation: args.validation.clone(),
            out: args.out.clone(),
            config,
        })
    }
}

/// The trainer makes it first and keeps it.
const TRAIN_MARK: &str = "metrics.jsonl";

/// An export.
#[derive(Debug)]
pub(crate) struct ExportPlan {
    /// The run directory.
    pub(crate) run: PathBuf,
    /// Folder for the files; the export itself refuses files that it did not make.
    pub(crate) out: PathBuf,
    /// Form, split and seed.
    pub(crate) options: ExportOptions,
}

impl ExportPlan {
    /// Checks `evol export`.
    ///
    /// # Errors
    /// The share is out of range.
    pub(crate) fn new(args: &ExportArgs, session: &Session) -> Result<Self, Error> {
        let share = args.validation_fraction;
        if !(0.0..1.0).contains(&share) {
            return Err(Error::Flag {
                flag: "--validation-fraction",
                found: share.to_string(),
                expected: "at least 0 and below 1",
            });
        }
        let options = ExportOptions {
            format: args.format.into(),
            validation_fraction: share,
            seed: session.seed.unwrap_or(0),
        };
        Ok(Self { run: args.run.clone(), out: args.out.clone(), options })
    }
}
