//! Ctrl-C: the first asks, the second insists.
//!
//! The flag is handed to the engine and to the trainer, which stop between two units of work and leave
//! something that resumes; `SIGTERM` and `SIGHUP` do the same.
//!
//! **Invariant:** nothing that is on disk needs this to be consistent: `kill -9` is as good, only less
//! polite.

use super::output::Output;
use crate::run::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit code of an interrupted run: 128 + SIGINT, as shells have it.
pub(crate) const EXIT_INTERRUPTED: u8 = 130;

/// What Ctrl-C has said so far.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt {
    requested: Arc<AtomicBool>,
    /// There is no work to be ended: Ctrl-C ends the program.
    idle: Arc<AtomicBool>,
}

impl Interrupt {
    /// Takes over Ctrl-C.
    ///
    /// # Errors
    /// The signal handler cannot be installed.
    pub(crate) fn install(output: Output) -> Result<Self> {
        let this = Self { requested: Arc::default(), idle: Arc::default() };
        let Self { requested, idle } = this.clone();
        ctrlc::set_handler(move || {
            if requested.swap(true, Ordering::SeqCst) || idle.load(Ordering::SeqCst) {
                // Nothing to wait for, or the user asked twice.
                std::process::exit(i32::from(EXIT_INTERRUPTED));
            }
            output.note("interrupted: ending the work at hand (Ctrl-C again to stop at once)");
        })
        .map_err(|error| Error::io("cannot take over Ctrl-C")(std::io::Error::other(error)))?;
        Ok(this)
    }

    /// The flag for those who work: true once they are to stop.
    pub(crate) fn flag(&self) -> &Arc<AtomicBool> {
        &self.requested
    }

    /// Whether Ctrl-C was pressed.
    pub(crate) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }

    /// The work that was to stop has stopped; the next Ctrl-C asks again.
    pub(crate) fn acknowledge(&self) {
        self.requested.store(false, Ordering::SeqCst);
    }

    /// Whether the program waits for its user, so that one Ctrl-C ends it.
    pub(crate) fn set_idle(&self, idle: bool) {
        self.idle.store(idle, Ordering::SeqCst);
    }
}
