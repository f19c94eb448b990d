//! The content of the page as plain data.
//!
//! Where in the flow: the caller fills it from the journal, the manifest, `metrics.jsonl` and `eval.json`;
//! `render` reads it. It can be stored as JSON to render a page without the run.
//!
//! **Invariant:** none of it is trusted: texts may contain markup, numbers may be NaN, lists may be empty,
//! parents may be missing. Empty parts are reported as missing, never drawn.

use crate::eval::result::{Evaluation, Generation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The data of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReportData {
    /// The configuration and environment of the run.
    pub manifest: RunManifest,
    /// Counts of attempts, sorted by round, then operator.
    pub funnel: Vec<FunnelCell>,
    /// Every instruction of the run, including seeds and eliminated ones.
    pub nodes: Vec<ReportNode>,
    /// The kept instructions on a map where similar ones are close; empty if no map was computed.
    pub map: Vec<MapPoint>,
    /// One sentence on how the map was computed, for its caption.
    pub map_method: Option<String>,
    /// Generation speed over time.
    pub speed: Vec<SpeedPoint>,
    /// The training curves of each adapter.
    pub training: Vec<TrainingCurve>,
    /// Memory by purpose or stage, in display order.
    pub memory: Vec<MemoryFigure>,
    /// The result of the evaluation, if there was one.
    pub evaluation: Option<Evaluation>,
    /// The responses of each contestant, with its name in the evaluation, the base first.
    pub generations: Vec<(String, Vec<Generation>)>,
}

/// The configuration and environment of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunManifest {
    /// The heading of the page, such as the name of the run directory.
    pub title: String,
    /// The version of evol.
    pub evol_version: String,
    /// The command that reproduces the run.
    pub reproduce: String,
    /// The name of the model.
    pub model_name: String,
    /// SHA-256 of the model file.
    pub model_sha256: String,
    /// The seed of the run.
    pub seed: u64,
    /// The resolved configuration in TOML.
    pub config_toml: String,
    /// Names and hashes of other inputs (seeds, prompts, adapters).
    pub hashes: Vec<(String, String)>,
    /// Names and values of machine properties (processor, memory, system).
    pub machine: Vec<(String, String)>,
    /// Names of inputs and their licences.
    pub licences: Vec<(String, String)>,
    /// Names of the stages and their wall time in seconds, in order.
    pub seconds: Vec<(String, f64)>,
}

/// Counts of the attempts with one operator in one round.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunnelCell {
    /// The round; 0 for seeds.
    pub round: u32,
    /// The operator; `None` for seeds.
    pub operator: Option<String>,
    /// Number of attempts.
    pub attempts: u64,
    /// Number of attempts that passed every rule.
    pub kept: u64,
    /// Number of eliminated attempts by the rule that they failed.
    pub eliminated: BTreeMap<String, u64>,
}

/// The fate of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeStatus {
    /// It passed every rule and has an answer.
    Kept,
    /// A rule eliminated it.
    Eliminated,
    /// The run has not decided about it.
    #[default]
    Other,
}

/// One instruction: a seed, or an attempt to evolve one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReportNode {
    /// The node id in the journal. Descendants have higher ids than their ancestors.
    pub id: u64,
    /// The node that it was evolved from; `None` for a seed.
    pub parent_id: Option<u64>,
    /// The seed that it descends from.
    pub root_id: u64,
    /// The evolution round; 0 for seeds.
    pub round: u32,
    /// The number of the attempt within the round, from 0.
    pub attempt: u32,
    /// The evolution operator; `None` for seeds.
    pub operator: Option<String>,
    /// The instruction.
    pub instruction: String,
    /// The text that the instruction works on; may be empty.
    pub input: String,
    /// The skill that it exercises, if known.
    pub skill: Option<String>,
    /// The difficulty from 1 to 10, if known.
    pub difficulty: Option<u8>,
    /// Its fate.
    pub status: NodeStatus,
    /// The rule that eliminated it.
    pub reason: Option<String>,
    /// The verdicts of rules. Passed rules may be left out.
    pub verdicts: Vec<RuleVerdict>,
    /// Its answer, if it has one.
    pub answer: Option<String>,
    /// Descriptions of the constraints on the answer.
    pub constraints: Vec<String>,
    /// Number of tokens of all prompts for it and its answer.
    pub prompt_tokens: u64,
    /// Number of tokens generated for it and its answer.
    pub completion_tokens: u64,
}

/// The verdict of one rule on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleVerdict {
    /// The name of the rule.
    pub rule: String,
    /// Whether the node passed.
    pub passed: bool,
    /// The evidence; may be empty.
    pub detail: String,
}

/// A kept instruction on the map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct MapPoint {
    /// The id of the node.
    pub id: u64,
    /// The horizontal coordinate; larger is further right.
    pub x: f64,
    /// The vertical coordinate; larger is higher.
    pub y: f64,
}

/// Generation speed at one point in time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct SpeedPoint {
    /// Seconds since the stage started, summed over all processes that worked on it.
    pub seconds: f64,
    /// Tokens generated per second.
    pub tokens_per_second: f64,
}

/// The measurements of training one adapter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingCurve {
    /// The name of the adapter.
    pub name: String,
    /// Optimiser steps, ascending.
    pub steps: Vec<StepPoint>,
    /// Passes over held-out records, ascending.
    pub validation: Vec<ValidationPoint>,
}

/// One optimiser step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct StepPoint {
    /// The number of the step, from 1.
    pub step: u64,
    /// The training loss in nats per token.
    pub loss: f64,
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// The norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Tokens trained on per second.
    pub tokens_per_second: f64,
    /// Peak memory of the process so far in bytes; `None` if the system does not provide it.
    pub peak_memory_bytes: Option<u64>,
}

/// One pass over held-out records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ValidationPoint {
    /// Number of steps before the pass.
    pub step: u64,
    /// The validation loss in nats per token.
    pub loss: f64,
}

/// Memory for one purpose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryFigure {
    /// The purpose.
    pub name: String,
    /// The amount in bytes.
    pub bytes: u64,
}
