//! Everything that the page shows, as plain data.
//!
//! Where in the flow: the command fills it from the journal, the manifest, `metrics.jsonl` and `eval.json`;
//! `render` reads it. It can be written and read as JSON, so that a page can be made again without the run.
//!
//! **Invariant:** nothing here is trusted: texts may hold markup, numbers may be NaN, lists may be empty,
//! parents may be missing. What is empty is reported as missing, never drawn.

use crate::eval::result::{Evaluation, Generation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A whole run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReportData {
    /// What was run.
    pub manifest: RunManifest,
    /// Counts by round and operator, in that order.
    pub funnel: Vec<FunnelCell>,
    /// Every instruction of the run, seeds and eliminated ones included.
    pub nodes: Vec<ReportNode>,
    /// Kept instructions as points of a plane where close means alike; empty: no map was computed.
    pub map: Vec<MapPoint>,
    /// How the plane was computed, one sentence for the caption.
    pub map_method: Option<String>,
    /// Speed of generating over time.
    pub speed: Vec<SpeedPoint>,
    /// What the trainer measured, for each adapter.
    pub training: Vec<TrainingCurve>,
    /// Memory by purpose or stage, in the order to show.
    pub memory: Vec<MemoryFigure>,
    /// What the evaluation found.
    pub evaluation: Option<Evaluation>,
    /// Responses of each contestant, by its name in the evaluation, the base first.
    pub generations: Vec<(String, Vec<Generation>)>,
}

/// What was run, and where.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunManifest {
    /// Heading of the page, such as the name of the run directory.
    pub title: String,
    /// Version of the program.
    pub evol_version: String,
    /// The command that makes the run again.
    pub reproduce: String,
    /// Name of the model.
    pub model_name: String,
    /// SHA-256 of its file.
    pub model_sha256: String,
    /// Seed of the run.
    pub seed: u64,
    /// The configuration as resolved.
    pub config_toml: String,
    /// Further hashes (seeds, prompts, adapters), by what they are of.
    pub hashes: Vec<(String, String)>,
    /// Processor, memory, system, by name.
    pub machine: Vec<(String, String)>,
    /// Licences, by what they are of.
    pub licences: Vec<(String, String)>,
    /// Wall time of each stage in seconds, in their order.
    pub seconds: Vec<(String, f64)>,
}

/// What became of the attempts of one operator in one round.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunnelCell {
    /// 0 for seeds.
    pub round: u32,
    /// `None` for seeds.
    pub operator: Option<String>,
    /// How many.
    pub attempts: u64,
    /// How many passed every rule.
    pub kept: u64,
    /// The others, by rule.
    pub eliminated: BTreeMap<String, u64>,
}

/// How far a node has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeStatus {
    /// It passed every rule and has an answer.
    Kept,
    /// A rule eliminated it.
    Eliminated,
    /// The run ended before that was settled.
    #[default]
    Other,
}

/// One instruction: a seed, or an attempt at evolving one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReportNode {
    /// Its number in the journal. Descendants have higher ones than their ancestors.
    pub id: u64,
    /// What it was evolved from; `None` for a seed.
    pub parent_id: Option<u64>,
    /// The seed that it descends from.
    pub root_id: u64,
    /// 0 for seeds.
    pub round: u32,
    /// Number of the attempt within the round, from 0.
    pub attempt: u32,
    /// `None` for seeds.
    pub operator: Option<String>,
    /// What is asked.
    pub instruction: String,
    /// Material that belongs to it, may be empty.
    pub input: String,
    /// What it is about, if known.
    pub skill: Option<String>,
    /// 1 to 10, if known.
    pub difficulty: Option<u8>,
    /// How far it has come.
    pub status: NodeStatus,
    /// The rule that eliminated it.
    pub reason: Option<String>,
    /// What rules said about it. Those that it passed may be left out.
    pub verdicts: Vec<RuleVerdict>,
    /// Its answer, if it got one.
    pub answer: Option<String>,
    /// What the answer has to meet, in words.
    pub constraints: Vec<String>,
    /// Tokens of all prompts for it and its answer.
    pub prompt_tokens: u64,
    /// Tokens generated for it and its answer.
    pub completion_tokens: u64,
}

/// What one rule said about one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleVerdict {
    /// Name of the rule.
    pub rule: String,
    /// Whether the node may live on.
    pub passed: bool,
    /// What the rule saw; may be empty.
    pub detail: String,
}

/// A kept instruction in the plane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct MapPoint {
    /// The node.
    pub id: u64,
    /// To the right.
    pub x: f64,
    /// Upwards.
    pub y: f64,
}

/// Speed of generating at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct SpeedPoint {
    /// Seconds since the stage began, over all processes that worked on it.
    pub seconds: f64,
    /// Tokens generated in a second.
    pub tokens_per_second: f64,
}

/// What the trainer measured for one adapter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingCurve {
    /// Name of the adapter.
    pub name: String,
    /// Optimiser steps, ascending.
    pub steps: Vec<StepPoint>,
    /// Passes over held-out records, ascending.
    pub validation: Vec<ValidationPoint>,
}

/// One optimiser step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct StepPoint {
    /// From 1.
    pub step: u64,
    /// Nats per token.
    pub loss: f64,
    /// Of this update.
    pub learning_rate: f64,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Tokens trained on in a second.
    pub tokens_per_second: f64,
    /// Largest memory of the process so far; absent where the system does not tell.
    pub peak_memory_bytes: Option<u64>,
}

/// One pass over held-out records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ValidationPoint {
    /// Steps done before it.
    pub step: u64,
    /// Nats per token.
    pub loss: f64,
}

/// Memory for one purpose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryFigure {
    /// What for.
    pub name: String,
    /// How much.
    pub bytes: u64,
}
