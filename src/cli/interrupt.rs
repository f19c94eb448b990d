//! Ctrl-C: the first asks, the second insists.
//!
//! The flag is handed to the engine and to the trainer, which stop between two units of work and leave
//! something that resumes; `SIGTERM` and `SIGHUP` do the same.
//!
//! **Invariant:** nothing that is on disk needs this to be consistent: `kill -9` is as good, only less polite.

use super::output::Output;
use anyhow::{Context, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit code of an interrupted run: 128 + SIGINT, as shells have it.
pub(crate) const EXIT_INTERRUPTED: u8 = 130;

/// Takes over Ctrl-C; the flag becomes true with the first one.
///
/// # Errors
/// The signal handler cannot be installed.
pub(crate) fn install(output: Output) -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let shared = Arc::clone(&flag);
    ctrlc::set_handler(move || {
        if shared.swap(true, Ordering::SeqCst) {
            #[expect(
                clippy::exit,
                reason = "the user asked twice; what is on disk is consistent at any time"
            )]
            std::process::exit(i32::from(EXIT_INTERRUPTED));
        }
        output.note("interrupted: finishing the unit of work at hand (Ctrl-C again to stop at once)");
    })
    .context("cannot take over Ctrl-C")?;
    Ok(flag)
}
