//! Writing: a unit of work is one transaction.
//!
//! In the flow: `evolve` writes a chunk as one unit.
//!
//! **Invariant:** rows become visible and durable at commit, all together or not at all.

use super::{Answer, Error, Generation, Node, Status, Verdict};
use crate::llm::FinishReason;
use rusqlite::{Transaction, named_params, params};
use serde_json::json;
use std::path::Path;

/// Rows that become durable together. Dropped without [`Unit::commit`], it leaves no trace.
#[derive(Debug)]
pub struct Unit<'a> {
    transaction: Transaction<'a>,
    path: &'a Path,
}

impl<'a> Unit<'a> {
    pub(super) fn new(transaction: Transaction<'a>, path: &'a Path) -> Self {
        Self { transaction, path }
    }

    /// Makes the rows durable.
    ///
    /// # Errors
    /// [`Error::Sqlite`] if the disk refuses. Then nothing is written.
    pub fn commit(self) -> Result<(), Error> {
        let path = self.path;
        self.transaction.commit().map_err(|e| Error::sqlite(path, e))
    }

    /// Writes an entry of `meta`, and replaces an earlier one.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn set_meta(&self, key: &str, value: &str) -> Result<(), Error> {
        self.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)", params![key, value])
    }

    /// Adds a node.
    ///
    /// # Errors
    /// [`Error::Sqlite`], also when the node exists already or its parent does not.
    pub fn insert_node(&self, node: &Node) -> Result<(), Error> {
        let generation = node.generation.as_ref().map(GenerationColumns::new);
        let generation = generation.as_ref();
        self.execute(
            "INSERT INTO nodes VALUES (:id, :parent_id, :root_id, :round, :attempt, :operator, :instruction,
                :input, :skill, :difficulty, :prompt_hash, :sampling, :key, :prompt_tokens,
                :completion_tokens, :finish_reason, :status, :reason, :constraints)",
            named_params! {
                ":id": node.id as i64,
                ":parent_id": node.parent_id.map(|id| id as i64),
                ":root_id": node.root_id as i64,
                ":round": node.round,
                ":attempt": node.attempt,
                ":operator": node.operator,
                ":instruction": node.instruction,
                ":input": node.input,
                ":skill": node.skill,
                ":difficulty": node.difficulty,
                ":prompt_hash": generation.map(|g| g.prompt_hash),
                ":sampling": generation.map(|g| &g.sampling),
                ":key": generation.map(|g| &g.key),
                ":prompt_tokens": generation.map(|g| g.prompt_tokens),
                ":completion_tokens": generation.map(|g| g.completion_tokens),
                ":finish_reason": generation.map(|g| g.finish_reason),
                ":status": node.status.name(),
                ":reason": node.reason,
                ":constraints": (!node.constraints.is_empty()).then(|| json!(node.constraints).to_string()),
            },
        )
    }

    /// Sets the status of a node. `reason` is given exactly when `status` is [`Status::Eliminated`].
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn set_status(&self, id: u64, status: Status, reason: Option<&str>) -> Result<(), Error> {
        self.execute(
            "UPDATE nodes SET status = ?2, reason = ?3 WHERE id = ?1",
            params![id as i64, status.name(), reason],
        )
    }

    /// Sets how hard a node's instruction is, 1 to 10.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn set_difficulty(&self, id: u64, difficulty: u8) -> Result<(), Error> {
        self.execute("UPDATE nodes SET difficulty = ?2 WHERE id = ?1", params![id as i64, difficulty])
    }

    /// Adds what a rule said about a node.
    ///
    /// # Errors
    /// [`Error::Sqlite`], also when the node has a verdict of this rule already.
    pub fn insert_verdict(&self, node_id: u64, verdict: &Verdict) -> Result<(), Error> {
        self.execute(
            "INSERT INTO verdicts (node_id, rule, passed, detail) VALUES (?1, ?2, ?3, ?4)",
            params![node_id as i64, verdict.rule, verdict.passed, verdict.detail.to_string()],
        )
    }

    /// Adds the answer of a node.
    ///
    /// # Errors
    /// [`Error::Sqlite`], also when the node has an answer already.
    pub fn insert_answer(&self, node_id: u64, answer: &Answer) -> Result<(), Error> {
        let g = GenerationColumns::new(&answer.generation);
        self.execute(
            "INSERT INTO answers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                node_id as i64,
                answer.text,
                g.prompt_hash,
                g.sampling,
                g.key,
                g.prompt_tokens,
                g.completion_tokens,
                g.finish_reason,
                answer.sample,
            ],
        )
    }

    fn execute(&self, sql: &str, values: impl rusqlite::Params) -> Result<(), Error> {
        self.transaction
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(values))
            .map(|_rows| ())
            .map_err(|e| Error::sqlite(self.path, e))
    }
}

/// A [`Generation`] as columns of a row.
struct GenerationColumns<'a> {
    prompt_hash: &'a str,
    sampling: String,
    key: String,
    prompt_tokens: i64,
    completion_tokens: i64,
    finish_reason: &'static str,
}

impl<'a> GenerationColumns<'a> {
    fn new(generation: &'a Generation) -> Self {
        Self {
            prompt_hash: &generation.prompt_hash,
            sampling: serde_json::to_string(&generation.sampling).expect("plain numbers serialise"),
            key: format!("{:016x}", generation.key),
            prompt_tokens: generation.prompt_tokens as i64,
            completion_tokens: generation.completion_tokens as i64,
            finish_reason: finish_reason_name(generation.finish_reason),
        }
    }
}

/// The word in the journal, which is the same as in JSON.
pub(super) fn finish_reason_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::EndOfText => "end_of_text",
        FinishReason::Length => "length",
        FinishReason::PromptTooLong => "prompt_too_long",
    }
}
