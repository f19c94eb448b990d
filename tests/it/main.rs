//! The one integration test binary (a second one would link llama.cpp a second time).
//!
//! One module per subject. Tests that need the model take it from [`model_path`] and fail without it: a
//! test that skips itself is a test that passes for nothing.

#![expect(
    clippy::unwrap_used,
    reason = "in a test, `unwrap` is a check; clippy sees that only inside test functions"
)]

mod after_run;
mod bench;
mod browser;
mod cli_files;
mod cli_usage;
mod compute_format;
mod counted_step;
mod dataset_export;
mod dataset_seeds;
mod determinism;
mod device_memory;
mod eval;
mod faults;
mod fuzz_corpus;
mod fuzz_input;
mod gguf_engine;
mod gguf_model;
mod golden;
mod guards;
mod judge_pairs;
mod kernel_limits;
mod kills;
mod layout;
mod llama_cpp;
mod llm_engine;
mod llm_files;
mod llm_tokens;
mod logits;
mod lora_engine;
mod measure;
mod merge;
mod models;
mod report;
mod report_sample;
mod run_inputs;
mod run_loop;
mod runs;
mod shards;
mod sparse_model;
mod train_cli;
mod train_cuda;
mod train_encode;
mod train_gpus;
mod train_model;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The model that `models/fetch` puts in the cache folder, or what `EVOL_TEST_MODEL` names.
///
/// # Panics
/// The file is not there.
fn model_path() -> PathBuf {
    let path = std::env::var_os("EVOL_TEST_MODEL").map_or_else(
        || {
            let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
                || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache"),
                PathBuf::from,
            );
            cache.join("evol/models/SmolLM2-135M-Instruct.Q4_1.gguf")
        },
        PathBuf::from,
    );
    assert!(path.is_file(), "no model at `{}`: run models/fetch", path.display());
    path
}

/// Whoever has it uses the device of this process alone: settings and counters of the simulated one are
/// shared.
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

/// What `evol` says on stderr when it refuses `arguments` (exit code 2, nothing on stdout), with the paths
/// that differ from machine to machine replaced.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = evol().current_dir(folder).args(arguments).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    stderr
        .replace(&folder.canonicalize().unwrap().display().to_string(), "[FOLDER]")
        .replace(&folder.display().to_string(), "[FOLDER]")
        .replace(&model_path().display().to_string(), "[MODEL]")
        .replace(env!("CARGO_BIN_EXE_evol"), "[EVOL]")
}
