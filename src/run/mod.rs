//! A run: its directory, its files, its identity and its stages.
//!
//! Where in the flow: above all engines, below `cli`, which turns arguments into plans of this module, runs a
//! stage and prints its result. A stage gets a plan and a [`Context`], and returns a result or an [`Error`]
//! with a hint and a blame.
//!
//! - stages, in order: `evolve`, `export`, `train`, `baselines`, `eval`, `check`, `report`; `experiment` runs
//!   all of them for `evol run`
//! - `host`: what a stage needs from its caller; `monitor`: progress that other processes can see
//! - `identity`: what decides whether a run may be resumed; `settings`, `compute`: how the engine runs
//! - `config`: an experiment file; `manifest`: what a run was made from; `summary`: a finished run in
//!   numbers; `funnel`: counts of its attempts
//! - `dir`, `files`: the directory and the names in it
//! - `known_models`, `machine`, `vectors`: models, hardware and embeddings; `shell`: commands to paste
//!
//! **Invariant:** nothing here prints or uses `anyhow`. A stage that is killed at any instant resumes and
//! ends with the same bytes.

mod baselines;
mod check;
mod compute;
mod config;
mod dir;
mod error;
pub mod eval;
pub mod evolve;
mod experiment;
pub mod export;
pub mod files;
mod funnel;
mod host;
mod identity;
mod known_models;
mod machine;
mod manifest;
mod monitor;
pub mod report;
mod settings;
pub mod shell;
mod summary;
#[cfg(test)]
mod tests;
pub mod train;
mod vectors;

pub use baselines::{EVOLVED, NamedAdapter, SEEDS};
pub use compute::{Compute, ComputeEntry};
pub use config::{
    EvalSection, ExportSection, Overrides, RunConfig, SeedsSection, check_eval_options, load as load_config,
    of_run as config_of_run,
};
pub use dir::{RunDir, check_recordable, check_writable, runs_in};
pub use error::{Error, ErrorContext, Result};
pub use experiment::{Stage, run};
pub use funnel::cells as funnel_cells;
pub use host::{Context, Estimate, Host, Progress, duration};
pub use identity::{Recipe, take_build};
pub use known_models::{cache_root, resolve as resolve_model};
pub use machine::{Machine, available_threads, threads};
pub use manifest::{Manifest, ModelEntry, SeedsEntry};
pub use monitor::{LastProgress, Monitor, read_seconds, unix_seconds};
pub use settings::{EngineSettings, FormatChoice};
pub use summary::{CheckedAnswer, STAGES, Summary};
pub use vectors::vectors;
