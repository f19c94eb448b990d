//! Tests that need files that this repository does not hold: the default model (`models/fetch`), NVRTC
//! (`scripts/fetch-cuda-tools`) or a browser. `make test` runs them, `make check` does not.
//!
//! Tests take the model from [`model_path`] and fail without it: a test that skips itself passes for nothing.

// `evol status`, `evol compare` and `evol report`.
mod after_run;
// `evol bench` and its history.
mod bench;
// Helper: a client of Chromium.
mod browser;
// Models converted to the format that runs fastest.
mod compute_format;
// Output does not depend on batch, order or threads.
mod determinism;
// `evol eval`.
mod eval;
// Signals, full disks and hostile seeds during a run.
mod faults;
// The default model through our reader.
mod gguf_model;
// Losses and gradients against PyTorch and PEFT.
mod golden;
// The guards in a real run, and the commands that show what they did.
mod guards;
// `kill -9` at random instants.
mod kills;
// Helper: llama.cpp as a reference.
mod llama_cpp;
// Completions of the real model.
mod llm_engine;
// Tokens, templates and label probabilities.
mod llm_tokens;
// Logits against llama.cpp.
mod logits;
// Adapters of the default model's size in llama.cpp.
mod lora_engine;
// The choice of compute format and batch width.
mod measure;
// `evol merge`.
mod merge;
// Helper: models of few layers.
mod models;
// The report in Chromium.
mod report;
// Helper: a made-up run.
mod report_sample;
// What may change between a run and its resumption.
mod run_inputs;
// `evol run` from start to end.
mod run_loop;
// Helper: small runs of `evol evolve`.
mod runs;
// Shards and Slurm scripts.
mod shards;
// A run that is called as a function.
mod stages;
// `evol train` as a process.
mod train_cli;
// Training on a GPU against the CPU.
mod train_cuda;
// Training samples with the real vocabulary.
mod train_encode;
// Training on two GPUs.
mod train_gpus;
// A few steps on the real model.
mod train_model;
// `evol verify`.
mod verify;

use std::path::{Path, PathBuf};

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

/// As [`crate::refused`], with the path of the model replaced too.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    crate::refused(folder, arguments).replace(&model_path().display().to_string(), "[MODEL]")
}
