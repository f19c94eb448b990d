//! Data sets: what goes into a run, and what comes out of it as training data.
//!
//! Where in the flow: `evolve` starts from [`Seed`]s; what it kept comes back from the journal as
//! [`Record`]s ([`records`]), which [`split()`] divides and [`export()`] writes; `train` reads
//! [`Example`]s from such files or from anybody else's ([`read_examples`]). `evolve` and `train` never
//! name each other: they meet here.
//!
//! - `seeds`: the built-in seeds, and reading other people's
//! - `import`: reading training data
//! - `lines`, `shape`: what the two readers share: numbered lines, and the JSON shapes in use
//! - `split`: train and validation by root, and the order of rows
//! - `export`, `folder`: training files, and the folder that holds them
//!
//! **Invariant:** no bytes in a file can make a reader panic or hold more than one over-long line.
//! **Invariant:** all descendants of a seed are on the same side of a split.
//! **Invariant:** an exported file is a function of the records, the options and the seed: not of the
//! order in which records come, and not of what was exported before.

mod error;
mod export;
mod folder;
mod import;
mod lines;
mod seeds;
mod shape;
mod split;
#[cfg(test)]
mod tests;

pub use error::{BadLine, Error, Reason};
pub use export::{ExportOptions, Exported, Format, VALIDATION_FRACTION, export};
pub use import::{Examples, parse_examples, read_examples};
pub use seeds::{BUILTIN_SEEDS, Duplicate, OnBadInput, Seeds, builtin_seeds, parse_seeds, read_seeds};
pub use split::{Split, split};

use crate::llm::Message;
use crate::store::{self, Store};

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
    /// An optional system message, then user and assistant in turn, the last one by the assistant.
    pub messages: Vec<Message>,
}

/// What the user says when an instruction has an `input`: the instruction, an empty line, the input.
/// Answering, export and training all use this one form, so that a model is trained on the prompt that
/// its data was generated from.
pub fn user_turn(instruction: &str, input: &str) -> String {
    if input.is_empty() { instruction.to_owned() } else { format!("{instruction}\n\n{input}") }
}

/// Everything a run kept, seeds included, by id.
///
/// # Errors
/// The journal cannot be read.
pub fn records(store: &Store) -> Result<Vec<Record>, store::Error> {
    let rows = store.training_rows()?;
    Ok(rows
        .into_iter()
        .map(|row| Record {
            id: row.node.id,
            root_id: row.node.root_id,
            instruction: row.node.instruction,
            input: row.node.input,
            output: row.output,
            round: row.node.round,
            operator: row.node.operator,
            skill: row.node.skill,
            difficulty: row.node.difficulty,
        })
        .collect())
}
