//! `RUN/summary.json`: the results of a finished run in numbers.
//!
//! Where in the flow: written after all stages, from the results of each; a run is finished if it exists.
//!
//! **Invariant:** all fields but `seconds` and `train_tokens_per_second` depend only on model, configuration
//! and seeds.

use crate::report::FunnelCell;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Names of the stages, in order.
pub const STAGES: [&str; 7] = ["evolve", "export", "train", "baselines", "eval", "check", "report"];

/// The results of a finished run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Version of the program.
    pub evol_version: String,
    /// Seed of the run.
    pub seed: u64,
    /// Number of seeds.
    pub seeds: u64,
    /// Attempts at evolving an instruction, over all rounds.
    pub attempts: u64,
    /// Attempts that passed every rule and have an answer.
    pub kept: u64,
    /// Attempts that were eliminated, by reason.
    pub eliminated: BTreeMap<String, u64>,
    /// Instructions with an answer that passed: kept ones, and seeds.
    pub answers: u64,
    /// Attempts, kept and eliminated, by round and operator.
    pub funnel: Vec<FunnelCell>,
    /// Tokens generated for instructions and answers.
    pub generated_tokens: u64,
    /// Rows trained on.
    pub train_records: usize,
    /// Rows held out.
    pub validation_records: usize,
    /// Optimiser steps.
    pub train_steps: u64,
    /// Tokens fed to the trainer.
    pub train_tokens: u64,
    /// Training speed, in tokens per second.
    pub train_tokens_per_second: f64,
    /// Mean negative log-likelihood of the held-out answers with the base, nats per token.
    pub validation_loss_before: Option<f64>,
    /// Mean negative log-likelihood of the held-out answers with the adapter, nats per token.
    pub validation_loss_after: Option<f64>,
    /// Wall time of each stage in seconds, summed over all processes.
    pub seconds: BTreeMap<String, f64>,
    /// The base model.
    pub model: PathBuf,
    /// Lowercase hex SHA-256 of its file.
    pub model_sha256: String,
    /// The adapter for llama.cpp, GGUF.
    pub adapter: PathBuf,
    /// The adapter for Python, a PEFT folder.
    pub adapter_peft: PathBuf,
    /// The HTML report.
    #[serde(default)]
    pub report: Option<PathBuf>,
    /// Held-out instructions with the answers of the base and of the adapter.
    pub check: Vec<CheckedAnswer>,
}

/// An instruction with the answers of the base and of the adapter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedAnswer {
    /// The instruction with its input.
    pub instruction: String,
    /// The base's answer.
    pub base: String,
    /// The base's answer with the adapter.
    pub adapted: String,
}
