//! The one integration test binary (a second one would link llama.cpp a second time).
//!
//! Modules here are hermetic: they need no model, no network, no fetched tool and no browser. The others are
//! in [`fetched`], so that `make check` can skip them by that name. They cannot leave it unnoticed: helpers
//! that find the model are private to `fetched`, and `make check` hides the folder that files are fetched to.
//!
//! The header of each module says what it would catch.

#![expect(
    clippy::unwrap_used,
    reason = "in a test, `unwrap` is a check; clippy sees that only inside test functions"
)]

// Commands refuse unusable files and other people's directories.
mod cli_files;
// Wrong command lines, and the documentation of the grammar.
mod cli_usage;
// Helper: one training step on the simulated GPU, counted.
mod counted_step;
// From a journal to training files and back.
mod dataset_export;
// The built-in seeds.
mod dataset_seeds;
// Memory that the planner expects for models too large to test with.
mod device_memory;
// Tests that need the model, NVRTC or a browser.
mod fetched;
// The corpus of the fuzz target.
mod fuzz_corpus;
// Helper: what is done with an input of the fuzz target.
mod fuzz_input;
// Our block formats against ggml's.
mod gguf_engine;
// The pairs that calibrate the judge.
mod judge_pairs;
// What kernels move and compute at most.
mod kernel_limits;
// The architecture.
mod layout;
// Model and adapter files that are damaged or foreign.
mod llm_files;
// The script that downloads models.
mod models_fetch;
// Helper: sizes of real models without their weights.
mod sparse_model;
// A run and its stages, called as functions on a tiny model.
mod stages;
// Helper: a model of two layers that llama.cpp loads and runs.
mod tiny_model;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by the test that uses this process's device: the simulated one has one configuration and one set of
/// counters.
static DEVICE: Mutex<()> = Mutex::new(());

/// Waits for a turn with [`DEVICE`].
fn device_turn() -> MutexGuard<'static, ()> {
    DEVICE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The binary under test, without colour.
fn evol() -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_evol"));
    command.env("NO_COLOR", "1");
    command
}

/// The stderr of `evol` when it refuses `arguments` (exit code 2, nothing on stdout). Paths that differ from
/// machine to machine are replaced.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = evol().current_dir(folder).args(arguments).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    stderr
        .replace(&folder.canonicalize().unwrap().display().to_string(), "[FOLDER]")
        .replace(&folder.display().to_string(), "[FOLDER]")
        .replace(env!("CARGO_BIN_EXE_evol"), "[EVOL]")
}
