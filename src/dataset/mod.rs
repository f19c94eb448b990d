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
//! - `normalise`, `near`, `repeats`: when texts are the same, finding near duplicates, and those of other
//!   lineages
//! - `decontaminate`: leaving out what repeats a test set; `mix`: how much of what
//! - `split`: train and validation by root, and the order of rows
//! - `export`, `card`, `folder`: training files, the card that describes them, the folder that holds them
//! - `stats`, `clusters`, `plane`: figures on a run's rows
//! - `read_back`: reading an export with its lineage
//!
//! **Invariant:** no bytes in a file can make a reader panic or hold more than one over-long line.
//! **Invariant:** all descendants of a seed are on the same side of a split.
//! **Invariant:** an exported file is a function of the records, the options and the seed: not of the
//! order in which records come, and not of what was exported before.

mod card;
mod clusters;
mod decontaminate;
mod error;
mod export;
mod folder;
mod import;
mod lines;
mod mix;
mod near;
mod normalise;
mod plane;
mod read_back;
mod repeats;
mod seeds;
mod shape;
mod split;
mod stats;
#[cfg(test)]
mod tests;

pub use card::Card;
pub use decontaminate::{Contamination, Item, TestSet, read_items};
pub use error::{BadLine, Error, Reason};
pub use export::{Collection, Divided, ExportOptions, Exported, Format, VALIDATION_FRACTION, export};
pub use import::{Examples, parse_examples, read_examples};
pub use mix::Mix;
pub use near::{NEAR, NearIndex};
pub use normalise::normalise;
pub use plane::plane;
pub use read_back::{ExportedRows, read_export};
pub use repeats::{NEAR_DUPLICATE, Repeat, near_repeats};
pub use seeds::{BUILTIN_SEEDS, Duplicate, OnBadInput, Seeds, builtin_seeds, parse_seeds, read_seeds};
pub use split::{Split, split};
pub use stats::{RoundStats, round_stats};

use crate::constraint::Constraint;
use crate::llm::Message;
use crate::store::{Node, Store};

/// One instruction with its answer: where evolve and train meet.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Record {
    /// Node id in the run journal.
    pub id: u64,
    /// What it was evolved from; `None` for a seed.
    pub parent_id: Option<u64>,
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
    /// Number of the attempt within the round.
    pub attempt: u32,
    /// Evolution operator, `None` for seeds.
    pub operator: Option<String>,
    /// One of the 29 skills, if known.
    pub skill: Option<String>,
    /// 1..=10, if known.
    pub difficulty: Option<u8>,
    /// Probability that it is harder than its parent, where a judge that can be trusted said so.
    pub harder: Option<f64>,
    /// What the answer meets, as checked by code.
    pub constraints: Vec<Constraint>,
}

impl Record {
    /// A record of nothing but an instruction, to be compared with others.
    pub fn asking(instruction: &str) -> Self {
        Self { instruction: instruction.to_owned(), ..Self::empty(0) }
    }

    /// A seed with nothing in it.
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
    /// Its lineage and texts; the output is empty where it came to no answer.
    #[serde(flatten)]
    pub record: Record,
    /// Name of the rule or guard that it failed.
    pub reason: String,
    /// What that found.
    pub detail: serde_json::Value,
}

/// Name of the verdict that says how hard an instruction is.
pub const DIFFICULTY: &str = "difficulty";

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
/// The journal cannot be read, or holds constraints that this program does not know.
pub fn records(store: &Store) -> Result<Vec<Record>, Error> {
    store.training_rows()?.into_iter().map(|row| record(store, row.node, row.output)).collect()
}

/// Everything that was eliminated, by id; seeds without a usable answer included.
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
