//! What was typed, checked and completed: the second of three steps (see [`super::args`]).
//!
//! **Invariant:** what a plan holds is valid on its own terms: numbers in range, model and data files
//! present. Whether their content is usable shows when they are read.

use super::args::{ChatArgs, DeviceArg, ExportArgs, GlobalArgs, TrainArgs, TrainSettings};
use super::error::{Error, Result};
use super::interrupt::Interrupt;
use super::output::Output;
use super::{known_models, machine};
use crate::dataset::{Format, Mix};
use crate::llm::Sampling;
use crate::train::TrainConfig;
use std::path::{Path, PathBuf};

/// What every command has.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// How to speak.
    pub(crate) output: Output,
    /// `--seed`, if it was typed.
    pub(crate) seed: Option<u64>,
    /// Threads for generation and training.
    pub(crate) threads: usize,
    /// Where the trainer runs.
    pub(crate) device: DeviceArg,
    /// What Ctrl-C has said.
    pub(crate) interrupt: Interrupt,
}

impl Session {
    /// Checks the global flags and takes over Ctrl-C.
    ///
    /// # Errors
    /// A flag is out of range, or the signal handler cannot be installed.
    pub(crate) fn new(global: &GlobalArgs, output: Output) -> Result<Self> {
        // Paths end up in JSON and TOML, which hold no other bytes.
        if let Some(found) = std::env::args_os().find(|argument| argument.to_str().is_none()) {
            return Err(Error::Argument { found });
        }
        let threads = machine::threads(global.threads)?;
        let available = machine::available_threads();
        if threads > available {
            output.warn(&format!("{threads} threads on {available} cores are slower than {available}"));
        }
        Ok(Self {
            output,
            seed: global.seed,
            threads,
            device: global.device.clone(),
            interrupt: Interrupt::install(output)?,
        })
    }

    /// [`Error::Interrupted`] once Ctrl-C was pressed: asked between stages.
    ///
    /// # Errors
    /// That one.
    pub(crate) fn check_interrupt(&self) -> Result<(), Error> {
        if self.interrupt.is_requested() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// A path that can be recorded: those that are not typed come from the environment and from where the user
/// is.
///
/// # Errors
/// [`Error::Path`].
pub(crate) fn recordable(path: &Path) -> Result<(), Error> {
    if path.to_str().is_some() { Ok(()) } else { Err(Error::Path { path: path.to_owned() }) }
}

/// A model file that is there.
///
/// # Errors
/// See [`known_models::resolve`].
pub(crate) fn model(typed: &str) -> Result<PathBuf, Error> {
    known_models::resolve(typed, Path::new(""))
}

/// Makes sure that a directory may be written to: it is absent, empty, or holds `mark`, which only this
/// command leaves.
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
    /// Settings, in range; what shapes the adapter is the initial one's if there is one.
    pub(crate) config: TrainConfig,
    /// What the adapter starts as, and what was typed about its shape.
    pub(crate) init: Option<InitAdapter>,
    /// Whether the metrics are written for `TensorBoard` too.
    pub(crate) tensorboard: bool,
}

/// An adapter to go on from.
#[derive(Debug)]
pub(crate) struct InitAdapter {
    /// GGUF file or PEFT folder.
    pub(crate) path: PathBuf,
    /// What was typed, as opposed to what is a default.
    pub(crate) typed: TrainSettings,
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
        let init = args.settings.init_adapter.clone();
        Ok(Self {
            model: model(&args.base)?,
            init: init.map(|path| InitAdapter { path, typed: args.settings.clone() }),
            tensorboard: args.tensorboard,
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
    /// How a line looks.
    pub(crate) format: Format,
    /// Share that is held out; without it the run's.
    pub(crate) validation_fraction: Option<f64>,
    /// Decides order and sides; without it the run's.
    pub(crate) seed: Option<u64>,
    /// Test sets; without any the run's.
    pub(crate) decontaminate: Vec<PathBuf>,
    /// How much of what goes in; a limit that is not set is the run's.
    pub(crate) mix: Mix,
}

impl ExportPlan {
    /// Checks `evol export`.
    ///
    /// # Errors
    /// The share is out of range.
    pub(crate) fn new(args: &ExportArgs, session: &Session) -> Result<Self> {
        if let Some(share) = args.validation_fraction
            && !(0.0..1.0).contains(&share)
        {
            return Err(Error::Flag {
                flag: "--validation-fraction",
                found: share.to_string(),
                expected: "at least 0 and below 1",
            });
        }
        let shares = args.shares.iter().cloned().collect();
        let mix = Mix { sample: args.sample, max_per_root: args.max_per_root, shares };
        mix.validate()?;
        Ok(Self {
            run: args.run.clone(),
            out: args.out.clone(),
            format: args.format.into(),
            validation_fraction: args.validation_fraction,
            seed: session.seed,
            decontaminate: args.decontaminate.clone(),
            mix,
        })
    }
}

/// A conversation.
#[derive(Debug)]
pub(crate) struct ChatPlan {
    /// The base.
    pub(crate) model: PathBuf,
    /// The adapter on it.
    pub(crate) adapter: Option<PathBuf>,
    /// What the system says.
    pub(crate) system: Option<String>,
    /// How answers are drawn.
    pub(crate) sampling: Sampling,
    /// Longest answer.
    pub(crate) max_tokens: usize,
    /// Longest conversation, the answer at hand included.
    pub(crate) context: usize,
}

impl ChatPlan {
    /// Checks `evol chat`.
    ///
    /// # Errors
    /// A number is out of range, or the model is not there.
    pub(crate) fn new(args: &ChatArgs) -> Result<Self, Error> {
        let temperature = args.temperature;
        let out_of_range = |flag, found: String, expected| Err(Error::Flag { flag, found, expected });
        if !(temperature.is_finite() && temperature >= 0.0) {
            return out_of_range("--temperature", temperature.to_string(), "a finite number, 0 or more");
        }
        if args.max_tokens == 0 {
            return out_of_range("--max-tokens", args.max_tokens.to_string(), "at least 1");
        }
        if args.context <= args.max_tokens {
            return out_of_range("--context", args.context.to_string(), "more than `--max-tokens`");
        }
        Ok(Self {
            model: model(&args.model)?,
            adapter: args.adapter.clone(),
            system: args.system.clone(),
            // The tail of a small model's distribution is noise; both cuts only take it off.
            sampling: Sampling {
                temperature,
                top_k: 0,
                top_p: 0.95,
                min_p: 0.05,
                repetition_penalty: 1.1,
                ..Sampling::default()
            },
            max_tokens: args.max_tokens,
            context: args.context,
        })
    }
}
