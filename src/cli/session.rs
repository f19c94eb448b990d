//! The context of every command: the checked global flags, the terminal, and Ctrl-C.
//!
//! Where in the flow: between [`super::args`] and the commands. A [`Session`] is the [`Host`] of every stage
//! that a command runs.
//!
//! **Invariant:** before a command starts, flags are in range and arguments are valid UTF-8.

use super::args::{DeviceArg, GlobalArgs};
use super::interrupt::Interrupt;
use super::output::Output;
use crate::run::{Context, Error, Host, Progress, Result, available_threads, threads};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The context of a command.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) output: Output,
    /// `--seed`, if it was given.
    pub(crate) seed: Option<u64>,
    /// Threads for generation and training.
    pub(crate) threads: usize,
    /// Device to train on.
    pub(crate) device: DeviceArg,
    pub(crate) interrupt: Interrupt,
}

impl Session {
    /// Checks the global flags and installs the handler for Ctrl-C.
    ///
    /// # Errors
    /// A flag is out of range, or the signal handler cannot be installed.
    pub(crate) fn new(global: &GlobalArgs, output: Output) -> Result<Self> {
        // Paths are recorded in JSON and TOML, which must be UTF-8.
        if let Some(found) = std::env::args_os().find(|argument| argument.to_str().is_none()) {
            return Err(Error::Argument { found });
        }
        let threads = threads(global.threads)?;
        let available = available_threads();
        if threads > available {
            output.warn(&format!("{threads} threads are slower than {available} on {available} cores"));
        }
        Ok(Self {
            output,
            seed: global.seed,
            threads,
            device: global.device.clone(),
            interrupt: Interrupt::install(output)?,
        })
    }

    /// Shows the progress of a command that is not a stage of a run.
    pub(crate) fn report_progress(&self, stage: &str, done: u64, total: u64, detail: &str) {
        self.output.progress(&Progress { stage, done, total, detail, generated_tokens: None });
    }

    /// The context for the stages of a run.
    pub(crate) fn context(&self) -> Context<'_> {
        Context { host: self, threads: self.threads, gpus: self.device.ordinals() }
    }
}

impl Host for Session {
    fn note(&self, text: &str) {
        self.output.note(text);
    }

    fn detail(&self, text: &str) {
        self.output.detail(text);
    }

    fn warn(&self, text: &str) {
        self.output.warn(text);
    }

    fn progress(&self, progress: &Progress<'_>) {
        self.output.progress(progress);
    }

    fn progress_done(&self) {
        self.output.progress_done();
    }

    fn interrupt(&self) -> &Arc<AtomicBool> {
        self.interrupt.flag()
    }
}
