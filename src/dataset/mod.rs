//! Data sets: the seeds that go into a run, and the training data that comes out of it.
//!
//! Where in the flow: `evolve` starts from [`Seed`]s. The rows that it kept come back from the journal as
//! [`Record`]s ([`records`]); [`split()`] divides them and [`export()`] writes them. `train` reads
//! [`Example`]s from those files or from anyone else's ([`read_examples`]). `evolve` and `train` never name
//! each other; this module is their interface.
//!
//! - `seeds`: the built-in seeds, and the reader of seed files
//! - `import`: the reader of training data
//! - `lines`, `shape`: shared by both readers: numbered lines, and the common JSON shapes
//! - `normalise`, `min_hash`, `near_duplicates`: comparing texts, an index of similar texts, and rows that
//!   nearly repeat another lineage's
//! - `decontaminate`: removing rows that overlap with a test set
//! - `mix`: limits on the size of a data set and on the shares in it
//! - `split`: train and validation by root, and the order of rows
//! - `export`, `card`, `folder`: training files, the data set card, and the folder that holds them
//! - `stats`, `clusters`, `pca`: statistics of a run's rows
//! - `read_back`: the reader of an export with its lineage
//!
//! **Invariant:** no file content can make a reader panic or hold more than one over-long line in memory.
//! **Invariant:** all descendants of a seed are on the same side of a split.
//! **Invariant:** an exported file depends only on the records, the options and the seed, not on the order
//! of the records or on earlier exports.

mod card;
mod clusters;
mod decontaminate;
mod error;
mod export;
mod folder;
mod import;
mod lines;
mod min_hash;
mod mix;
mod near_duplicates;
mod normalise;
mod pca;
mod read_back;
mod seeds;
mod shape;
mod split;
mod stats;
#[cfg(test)]
mod tests;

pub use card::Card;
pub use decontaminate::{Contamination, TestItem, TestSet, read_test_items};
pub use error::{BadLine, Error, Reason};
pub use export::{Collection, ExportOptions, Exported, Format, Selection, VALIDATION_FRACTION, export};
pub use import::{Examples, parse_examples, read_examples};
pub use min_hash::{MinHashIndex, NEAR_DUPLICATE_SIMILARITY};
pub use mix::Mix;
pub use near_duplicates::{NEAR_DUPLICATE, NearDuplicate, near_duplicates};
pub use normalise::normalise;
pub use pca::pca_2d;
pub use read_back::{ExportedRows, read_export};
pub use seeds::{BUILTIN_SEEDS, Duplicate, OnBadInput, Seeds, builtin_seeds, parse_seeds, read_seeds};
pub use split::{Split, split};
pub use stats::{RoundStats, round_stats};

use crate::constraint::Constraint;
use crate::llm::Message;
use crate::store::{Node, Store};

/// One instruction with its answer and lineage: a row of the data set.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Record {
    /// The node id in the run journal.
    pub id: u64,
    /// The node that it was evolved from; `None` for a seed.
    pub parent_id: Option<u64>,
    /// The seed that it descends from; equals `id` for a seed.
    pub root_id: u64,
    /// The instruction.
    pub instruction: String,
    /// The text that the instruction works on; may be empty.
    #[serde(default)]
    pub input: String,
    /// The answer.
    pub output: String,
    /// The evolution round; 0 for seeds.
    pub round: u32,
    /// The number of the attempt within the round.
    pub attempt: u32,
    /// The name of the evolution operator; `None` for seeds.
    pub operator: Option<String>,
    /// One of the 29 skills, if known.
    pub skill: Option<String>,
    /// The difficulty from 1 to 10, if known.
    pub difficulty: Option<u8>,
    /// The probability that it is harder than its parent; `None` unless a calibrated judge rated it.
    pub harder: Option<f64>,
    /// The constraints that the answer meets, as checked by code.
    pub constraints: Vec<Constraint>,
}

impl Record {
    /// A record with only an instruction, for comparisons with other records.
    pub fn from_instruction(instruction: &str) -> Self {
        Self { instruction: instruction.to_owned(), ..Self::empty(0) }
    }

    /// A seed with empty texts.
    pub(crate) fn empty(id: u64) -> Self {
        Self {
            id,
            parent_id: None,
            root_id: id,
            instruction: String::new(),
            input: String::new(),
            output: String::new(),
            round: 0,
            attempt: 0,
            operator: None,
            skill: None,
            difficulty: None,
            harder: None,
            constraints: Vec::new(),
        }
    }
}

/// An instruction that was eliminated.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Rejected {
    /// Its lineage and texts; the output is empty if it was never answered.
    #[serde(flatten)]
    pub record: Record,
    /// The name of the rule or guard that it failed.
    pub reason: String,
    /// The evidence that the rule or guard recorded.
    pub detail: serde_json::Value,
}

/// Name of the journal's verdict that rates how difficult an instruction is.
pub const DIFFICULTY: &str = "difficulty";

/// A seed instruction.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Seed {
    /// The instruction.
    pub instruction: String,
    /// The text that the instruction works on; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub input: String,
    /// One of the 29 skills, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skill: Option<String>,
    /// The difficulty from 1 to 10, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difficulty: Option<u8>,
}

/// A training example: a conversation whose assistant turns carry the loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// An optional system message, then alternating user and assistant turns, ending with the assistant.
    pub messages: Vec<Message>,
}

/// Formats the user's turn of a conversation: the instruction, and after an empty line the input, if any.
///
/// Answering, export and training all use it, so a model is trained on the prompts that its data was
/// generated from.
pub fn user_turn(instruction: &str, input: &str) -> String {
    if input.is_empty() { instruction.to_owned() } else { format!("{instruction}\n\n{input}") }
}

/// Reads all records that a run kept, including seeds, ordered by id.
///
/// # Errors
/// The journal cannot be read, or holds constraints that this program does not know.
pub fn records(store: &Store) -> Result<Vec<Record>, Error> {
    store.training_rows()?.into_iter().map(|row| record(store, row.node, row.output)).collect()
}

/// Reads all instructions that were eliminated, including seeds without a usable answer, ordered by id.
///
/// # Errors
/// As [`records`].
pub fn rejected(store: &Store) -> Result<Vec<Rejected>, Error> {
    let read = |node: Node| {
        let reason = node.reason.clone().unwrap_or_default();
        let verdicts = store.verdicts(node.id)?;
        let detail =
            verdicts.into_iter().find(|verdict| verdict.rule == reason).map(|verdict| verdict.detail);
        let output = store.answer(node.id)?.map(|answer| answer.text).unwrap_or_default();
        Ok(Rejected { record: record(store, node, output)?, reason, detail: detail.unwrap_or_default() })
    };
    store.eliminated()?.into_iter().map(read).collect()
}

fn record(store: &Store, node: Node, output: String) -> Result<Record, Error> {
    let constraints = node
        .constraints
        .into_iter()
        .map(|value| {
            serde_json::from_value(value)
                .map_err(|error| Error::BadConstraint { id: node.id, reason: error.to_string() })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let verdicts = if node.parent_id.is_some() { store.verdicts(node.id)? } else { Vec::new() };
    let rating = verdicts.into_iter().find(|verdict| verdict.rule == DIFFICULTY);
    Ok(Record {
        id: node.id,
        parent_id: node.parent_id,
        root_id: node.root_id,
        instruction: node.instruction,
        input: node.input,
        output,
        round: node.round,
        attempt: node.attempt,
        operator: node.operator,
        skill: node.skill,
        difficulty: node.difficulty,
        harder: rating.and_then(|verdict| verdict.detail["harder"].as_f64()),
        constraints,
    })
}
