//! `RUN/summary.json` and the table that a run ends with.
//!
//! Where in the flow: made from the journal, the trainer's summary and the check, once all stages are done;
//! its presence is what makes a run finished.
//!
//! **Invariant:** everything but `seconds` and `train_tokens_per_second` is a function of model,
//! configuration and seeds.

use super::funnel::{self, FunnelCell};
use crate::cli::output::duration;
use crate::cli::shell;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// File name in the run directory.
pub(crate) const FILE_NAME: &str = "summary.json";

/// The stages in their order.
pub(crate) const STAGES: [&str; 7] = ["evolve", "export", "train", "baselines", "eval", "check", "report"];

/// A finished run in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    /// Version of the program.
    pub(crate) evol_version: String,
    /// Seed of the run.
    pub(crate) seed: u64,
    /// Seeds evolved from.
    pub(crate) seeds: u64,
    /// Attempts at evolving an instruction, over all rounds.
    pub(crate) attempts: u64,
    /// Attempts that passed every rule and have an answer.
    pub(crate) kept: u64,
    /// Attempts that did not, by rule.
    pub(crate) eliminated: BTreeMap<String, u64>,
    /// Instructions with an answer that passed: what was kept, and the seeds that were answered.
    pub(crate) answers: u64,
    /// The same numbers by round and operator.
    pub(crate) funnel: Vec<FunnelCell>,
    /// Tokens generated for instructions and answers.
    pub(crate) generated_tokens: u64,
    /// Rows trained on.
    pub(crate) train_records: usize,
    /// Rows held out.
    pub(crate) validation_records: usize,
    /// Optimiser steps.
    pub(crate) train_steps: u64,
    /// Tokens fed to the trainer.
    pub(crate) train_tokens: u64,
    /// Of the training steps.
    pub(crate) train_tokens_per_second: f64,
    /// Mean negative log-likelihood of the held-out answers with the base, nats per token.
    pub(crate) validation_loss_before: Option<f64>,
    /// The same with the adapter.
    pub(crate) validation_loss_after: Option<f64>,
    /// Wall time by stage, over all processes that worked on the run.
    pub(crate) seconds: BTreeMap<String, f64>,
    /// The base.
    pub(crate) model: PathBuf,
    /// Its bytes.
    pub(crate) model_sha256: String,
    /// The adapter for llama.cpp.
    pub(crate) adapter: PathBuf,
    /// The adapter for Python.
    pub(crate) adapter_peft: PathBuf,
    /// The page about it.
    #[serde(default)]
    pub(crate) report: Option<PathBuf>,
    /// Held-out instructions, answered by llama.cpp without and with the adapter.
    pub(crate) check: Vec<CheckedAnswer>,
}

/// One instruction answered twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CheckedAnswer {
    /// The user's turn.
    pub(crate) instruction: String,
    /// What the base says.
    pub(crate) base: String,
    /// What it says with the adapter.
    pub(crate) adapted: String,
}

impl Summary {
    /// The whole run for a reader.
    pub(crate) fn table(&self) -> String {
        let mut text = funnel::table(&self.funnel);
        let loss = match (self.validation_loss_before, self.validation_loss_after) {
            (Some(before), Some(after)) => format!("{before:.4} → {after:.4} nats per token"),
            _ => "not measured: nothing was held out".to_owned(),
        };
        let seconds: Vec<String> = STAGES
            .iter()
            .filter_map(|stage| Some(format!("{stage} {}", duration(*self.seconds.get(*stage)?))))
            .collect();
        let _ = write!(
            text,
            "\n{:<17}{} of {} attempts, from {} seeds; {} instructions with answers\n\
             {:<17}{} rows to train on, {} held out\n\
             {:<17}{} steps, {} tokens ({:.0} per second)\n\
             {:<17}{loss}\n{:<17}{} tokens\n{:<17}{}\n{:<17}{}\n",
            "kept",
            self.kept,
            self.attempts,
            self.seeds,
            self.answers,
            "exported",
            self.train_records,
            self.validation_records,
            "trained",
            self.train_steps,
            self.train_tokens,
            self.train_tokens_per_second,
            "validation loss",
            "generated",
            self.generated_tokens,
            "time",
            seconds.join(", "),
            "adapter",
            self.adapter.display(),
        );
        if let Some(report) = &self.report {
            let _ = writeln!(text, "{:<17}{}", "report", report.display());
        }
        for checked in &self.check {
            let _ = write!(
                text,
                "\nheld out: {}\n{}{}",
                one_line(&checked.instruction),
                indented("base", &checked.base),
                indented("adapted", &checked.adapted),
            );
        }
        text
    }

    /// What to do with the result.
    pub(crate) fn next_steps(&self, run: &Path) -> String {
        let [run, model, adapter] = [run, &self.model, &self.adapter].map(shell::word);
        let chat = shell::evol(&["chat", "--model", &model, "--adapter", &adapter]);
        let tree = shell::evol(&["tree", &run]);
        let export = shell::evol(&["export", &run, "--format", "sharegpt", "--out", "data"]);
        format!(
            "\nWhat to try next:\n  {chat}\n  \
             {tree} | less              # every attempt, and why it was kept or not\n  {export}\n"
        )
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `  label: text`, its further lines below the text.
fn indented(label: &str, text: &str) -> String {
    let margin = format!("\n{:11}", "");
    format!("  {:<9}{}\n", format!("{label}:"), text.trim().replace('\n', &margin))
}
