//! Records, seeds, import and export formats, splitting by root.

use crate::llm::Message;

/// One instruction with its answer: where evolve and train meet.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Record {
    /// Node id in the run journal.
    pub id: u64,
    /// Seed it descends from (equals `id` for a seed).
    pub root_id: u64,
    /// What is asked.
    pub instruction: String,
    /// Material that belongs to it, may be empty.
    #[serde(default)]
    pub input: String,
    /// The answer.
    pub output: String,
    /// 0 for seeds.
    pub round: u32,
    /// Evolution operator, `None` for seeds.
    pub operator: Option<String>,
    /// One of the 29 skills, if known.
    pub skill: Option<String>,
    /// 1..=10, if known.
    pub difficulty: Option<u8>,
}

/// A seed instruction.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Seed {
    /// What is asked.
    pub instruction: String,
    /// Material that belongs to it, may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub input: String,
    /// One of the 29 skills, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skill: Option<String>,
    /// 1..=10, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difficulty: Option<u8>,
}

/// A training example: a conversation whose assistant turns carry the loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Alternating turns, the last one by the assistant.
    pub messages: Vec<Message>,
}
