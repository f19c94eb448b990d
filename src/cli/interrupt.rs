//! Ctrl-C: the first press asks the work to stop, the second ends the process at once.
//!
//! The engine and the trainer watch the flag and stop between two units of work, so that the run can be
//! resumed. `SIGTERM` and `SIGHUP` do the same as Ctrl-C.
//!
//! **Invariant:** nothing on disk depends on this: `kill -9` is as safe.

use super::ending::EXIT_INTERRUPTED;
use super::output::Output;
use crate::run::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether Ctrl-C was pressed, and what the next press does.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt {
    requested: Arc<AtomicBool>,
    /// No work is in progress, so Ctrl-C ends the process at once.
    idle: Arc<AtomicBool>,
}

impl Interrupt {
    /// Installs the handler for Ctrl-C, `SIGTERM` and `SIGHUP`.
    ///
    /// # Errors
    /// The signal handler cannot be installed.
    pub(crate) fn install(output: Output) -> Result<Self> {
        let this = Self { requested: Arc::default(), idle: Arc::default() };
        let Self { requested, idle } = this.clone();
        ctrlc::set_handler(move || {
            if requested.swap(true, Ordering::SeqCst) || idle.load(Ordering::SeqCst) {
                // No work to wait for, or the second press.
                std::process::exit(i32::from(EXIT_INTERRUPTED));
            }
            output
                .note("interrupted: finishing the current unit of work (press Ctrl-C again to stop at once)");
        })
        .map_err(|error| Error::io("cannot install the handler for Ctrl-C")(std::io::Error::other(error)))?;
        Ok(this)
    }

    /// The flag that the engine and the trainer watch: true once they should stop.
    pub(crate) fn flag(&self) -> &Arc<AtomicBool> {
        &self.requested
    }

    /// Whether Ctrl-C was pressed.
    pub(crate) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }

    /// Clears the flag after the work has stopped, so that the next Ctrl-C asks again.
    pub(crate) fn acknowledge(&self) {
        self.requested.store(false, Ordering::SeqCst);
    }

    /// Sets whether the program is waiting for input, so that a single Ctrl-C ends it.
    pub(crate) fn set_idle(&self, idle: bool) {
        self.idle.store(idle, Ordering::SeqCst);
    }
}
