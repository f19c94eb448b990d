//! What every command has: the global flags, checked, and the way to report.
//!
//! Where in the flow: between [`super::args`] and the commands. A [`Session`] is the [`Host`] of every stage
//! that a command calls.
//!
//! **Invariant:** flags are in range and arguments are text before a command starts.

use super::args::{DeviceArg, GlobalArgs};
use super::interrupt::Interrupt;
use super::output::Output;
use crate::run::{Context, Error, Host, Progress, Result, available_threads, threads};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What every command has.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// The terminal.
    pub(crate) output: Output,
    /// `--seed`, if it was typed.
    pub(crate) seed: Option<u64>,
    /// Threads for generation and training.
    pub(crate) threads: usize,
    /// Where the trainer runs.
    pub(crate) device: DeviceArg,
    /// Ctrl-C.
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
        let threads = threads(global.threads)?;
        let available = available_threads();
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

    /// Shows how far a command is that is no stage of a run.
    pub(crate) fn report_progress(&self, stage: &str, done: u64, total: u64, detail: &str) {
        self.output.progress(&Progress { stage, done, total, detail, generated_tokens: None });
    }

    /// For the stages of a run.
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
