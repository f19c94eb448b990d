//! `RUN/summary.json`: a finished run in numbers.
//!
//! Where in the flow: made from the journal, the trainer's summary and the check, once all stages are done;
//! its presence makes a run finished.
//!
//! **Invariant:** everything but `seconds` and `train_tokens_per_second` is a function of model,
//! configuration and seeds.

use crate::report::FunnelCell;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The stages in their order.
pub const STAGES: [&str; 7] = ["evolve", "export", "train", "baselines", "eval", "check", "report"];

/// A finished run in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Version of the program.
    pub evol_version: String,
    /// Seed of the run.
    pub seed: u64,
    /// Seeds evolved from.
    pub seeds: u64,
    /// Attempts at evolving an instruction, over all rounds.
    pub attempts: u64,
    /// Attempts that passed every rule and have an answer.
    pub kept: u64,
    /// Attempts that were eliminated, by reason.
    pub eliminated: BTreeMap<String, u64>,
    /// Instructions with an answer that passed: those that were kept, and the seeds that were answered.
    pub answers: u64,
    /// Attempts, kept and eliminated ones, by round and operator.
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
    /// Speed of the training steps.
    pub train_tokens_per_second: f64,
    /// Mean negative log-likelihood of the held-out answers with the base, nats per token.
    pub validation_loss_before: Option<f64>,
    /// Mean negative log-likelihood of the held-out answers with the adapter, nats per token.
    pub validation_loss_after: Option<f64>,
    /// Wall time by stage, over all processes that worked on the run.
    pub seconds: BTreeMap<String, f64>,
    /// The base.
    pub model: PathBuf,
    /// Lowercase hex SHA-256 of its file.
    pub model_sha256: String,
    /// The adapter for llama.cpp.
    pub adapter: PathBuf,
    /// The adapter for Python.
    pub adapter_peft: PathBuf,
    /// The page about the run.
    #[serde(default)]
    pub report: Option<PathBuf>,
    /// Held-out instructions, answered by llama.cpp without and with the adapter.
    pub check: Vec<CheckedAnswer>,
}

/// One instruction answered twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedAnswer {
    /// Text of the user's turn.
    pub instruction: String,
    /// The base's answer.
    pub base: String,
    /// The answer with the adapter.
    pub adapted: String,
}
