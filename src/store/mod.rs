//! The run journal: `RUN/run.db`, which says what happened to every instruction.
//!
//! In the flow: `evolve` writes units of work into it and resumes from it; `dataset` and `cli` read it.
//! Everything else in a run directory (export, report) can be made again from this file, so this one must be
//! right.
//!
//! Durability: `SQLite` in WAL mode with `synchronous = FULL`, so a committed [`Unit`] survives `kill -9`
//! *and* a power cut (`NORMAL` would lose the last commits with the power, and a resumed run would then
//! contradict what was printed). A commit costs one fsync per chunk of generations, which take seconds.
//! Locking is exclusive: one process per run directory. A second one gets an error instead of interleaving
//! rows. The operating system releases the lock of a process that dies.
//!
//! **Invariant:** a row is a function of (model, prompts, config, seeds): no clock, no insertion order, no
//! autoincrement. Ids come from [`node_id`].
//! **Invariant:** every attempt is a row, eliminated ones too, and an eliminated row has a reason.
//! **Invariant:** no other module names `rusqlite`. The journal does not know the rules: reasons, rule and
//! operator names are text to it.

mod error;
mod id;
mod merge;
mod pages;
mod read;
mod schema;
#[cfg(test)]
mod tests;
mod write;

use crate::identity::Identity;
pub use error::Error;
pub use id::{MAX_ATTEMPTS, MAX_ROUNDS, NodeId, node_id};
pub use merge::{Heading, Merged, merge};
pub use pages::{KnownText, RoundCount};
pub use read::{FunnelRow, History, TokenTotals, TrainingRow};
pub use write::Unit;

use crate::llm::{FinishReason, Sampling};
use rusqlite::Connection;
use std::path::{Path, PathBuf};

/// File name of the journal within a run directory.
pub const FILE_NAME: &str = "run.db";

/// How far a node has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Passed the rules that need no model. A seed starts here.
    Evolved,
    /// Passed the judge; has no answer yet.
    Judged,
    /// Has an answer that passed every rule: it is exported, and the next round evolves it.
    Kept,
    /// Failed a rule. A seed in this state has no usable answer: it stays in the pool, but is not exported.
    Eliminated,
}

impl Status {
    /// The word in the journal.
    pub fn name(self) -> &'static str {
        match self {
            Self::Evolved => "evolved",
            Self::Judged => "judged",
            Self::Kept => "kept",
            Self::Eliminated => "eliminated",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Evolved, Self::Judged, Self::Kept, Self::Eliminated].into_iter().find(|s| s.name() == name)
    }
}

/// How a text was generated, in enough detail to generate it again.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// BLAKE3 of the prompt that the model saw, 32 hexadecimal digits.
    pub prompt_hash: String,
    /// How tokens were sampled.
    pub sampling: Sampling,
    /// Key of the noise (see `rng::uniform`).
    pub key: u64,
    /// Tokens of the prompt, shared ones included.
    pub prompt_tokens: usize,
    /// Tokens generated.
    pub completion_tokens: usize,
    /// Why generation ended.
    pub finish_reason: FinishReason,
}

/// One instruction of the run: a seed, or one attempt at evolving one.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// From [`node_id`].
    pub id: u64,
    /// What it was evolved from; `None` for a seed.
    pub parent_id: Option<u64>,
    /// The seed it descends from (equals `id` for a seed).
    pub root_id: u64,
    /// 0 for seeds.
    pub round: u32,
    /// Number of the attempt at this root within the round, from 0.
    pub attempt: u32,
    /// Evolution operator; `None` for seeds.
    pub operator: Option<String>,
    /// What is asked.
    pub instruction: String,
    /// Material that belongs to it, may be empty.
    pub input: String,
    /// One of the 29 skills, if known.
    pub skill: Option<String>,
    /// 1..=10, if known.
    pub difficulty: Option<u8>,
    /// How the instruction was generated; `None` for seeds.
    pub generation: Option<Generation>,
    /// How far it has come.
    pub status: Status,
    /// Name of the rule that eliminated it: present exactly when `status` is [`Status::Eliminated`].
    pub reason: Option<String>,
    /// What its answer has to meet, as far as code can check it. The items mean nothing to the journal.
    pub constraints: Vec<serde_json::Value>,
}

/// The answer to a node's instruction.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The text, trimmed.
    pub text: String,
    /// How it was generated.
    pub generation: Generation,
    /// Which of several answers this is, from 0. A brief one, for which the model was asked because others
    /// were cut, has the number after the last.
    pub sample: u32,
}

/// What one rule said about one node.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Name of the rule; a node has at most one verdict per rule.
    pub rule: String,
    /// Whether the node may stay.
    pub passed: bool,
    /// What the rule saw: the leaked words, the log-probabilities in both orders.
    pub detail: serde_json::Value,
}

/// An open journal.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
}

impl Store {
    /// The journal file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts a unit of work: its rows become durable together at [`Unit::commit`], or not at all.
    ///
    /// # Errors
    /// [`Error::Sqlite`] if no transaction can be started.
    pub fn begin(&mut self) -> Result<Unit<'_>, Error> {
        let transaction = self.connection.transaction().map_err(|e| Error::sqlite(&self.path, e))?;
        Ok(Unit::new(transaction, &self.path))
    }

    /// Ties the journal to what decides its rows: the first call records `identity`, later calls compare.
    ///
    /// # Errors
    /// [`Error::Changed`] names every value that is not what the journal recorded.
    pub fn bind(&mut self, identity: &Identity) -> Result<(), Error> {
        if self.identity()?.is_empty() {
            let unit = self.begin()?;
            for (name, value) in identity.iter() {
                unit.set_meta(&format!("{}{name}", schema::IDENTITY), value)?;
            }
            return unit.commit();
        }
        self.compare(identity)
    }

    /// As [`Self::bind`], but writes nothing. A journal that recorded no identity yet fits.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub fn compare(&self, identity: &Identity) -> Result<(), Error> {
        let recorded = self.identity()?;
        if recorded.is_empty() {
            return Ok(());
        }
        let differences = recorded.diff(identity);
        if differences.is_empty() {
            Ok(())
        } else {
            Err(Error::Changed { path: self.path.clone(), differences })
        }
    }
}
