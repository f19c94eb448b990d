//! Reading: nodes, lineage, the funnel, what is exported.
//!
//! In the flow: `dataset`, `report` and the commands read here; `evolve` mostly reads `pages`.
//!
//! **Invariant:** every list has a defined order.

use super::write::finish_reason_name;
use super::{Answer, Error, Generation, Node, Status, Store, Verdict, schema};
use crate::identity::Identity;
use crate::llm::FinishReason;
use rusqlite::{OptionalExtension, Params, Row};

/// How many nodes share (round, operator, status, reason).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FunnelRow {
    /// 0 for seeds.
    pub round: u32,
    /// `None` for seeds.
    pub operator: Option<String>,
    /// How far they came.
    pub status: Status,
    /// Why they were eliminated.
    pub reason: Option<String>,
    /// How many.
    pub count: u64,
}

/// An instruction with the answer that passed: what becomes training data.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingRow {
    /// The instruction and its lineage; its status is [`Status::Kept`].
    pub node: Node,
    /// Text of the answer.
    pub output: String,
}

/// A node with its verdicts and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// The node.
    pub node: Node,
    /// What the rules said, ordered by rule name.
    pub verdicts: Vec<Verdict>,
    /// Its answer, if it has one.
    pub answer: Option<Answer>,
}

/// Tokens of all generations of the journal (judgements generate nothing and are not counted).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct TokenTotals {
    /// Read for instructions and answers, shared prefixes counted each time.
    pub prompt_tokens: u64,
    /// Generated for instructions.
    pub evolve_tokens: u64,
    /// Generated for answers.
    pub answer_tokens: u64,
}

/// Every column of a node, as `RawNode::read` expects them.
pub(super) const NODE: &str =
    "SELECT id, parent_id, root_id, round, attempt, operator, instruction, input, skill, difficulty,
    prompt_hash, sampling, key, prompt_tokens, completion_tokens, finish_reason, status, reason, constraints
    FROM nodes";

impl Store {
    /// An entry of `meta`.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn meta(&self, key: &str) -> Result<Option<String>, Error> {
        self.connection
            .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))
            .optional()
            .map_err(|e| Error::sqlite(&self.path, e))
    }

    /// What the run was started with, by name; empty before [`Store::bind`].
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn identity(&self) -> Result<Identity, Error> {
        let values: Vec<(String, String)> = self.rows(
            "SELECT substr(key, length(?1) + 1), value FROM meta
             WHERE substr(key, 1, length(?1)) = ?1 ORDER BY key",
            [schema::IDENTITY],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok(values.into_iter().collect())
    }

    /// One node.
    ///
    /// # Errors
    /// [`Error::Sqlite`] or [`Error::BadCell`].
    pub fn node(&self, id: u64) -> Result<Option<Node>, Error> {
        Ok(self.nodes(&format!("{NODE} WHERE id = ?1"), [id as i64])?.pop())
    }

    /// The nodes of one attempt of one round, by id.
    ///
    /// # Errors
    /// [`Error::Sqlite`] or [`Error::BadCell`].
    pub fn attempts(&self, round: u32, attempt: u32) -> Result<Vec<Node>, Error> {
        self.nodes(&format!("{NODE} WHERE round = ?1 AND attempt = ?2 ORDER BY id"), [round, attempt])
    }

    /// Seeds and evolved instructions that were kept, each with its answer, by id.
    ///
    /// # Errors
    /// [`Error::Sqlite`] or [`Error::BadCell`].
    pub fn training_rows(&self) -> Result<Vec<TrainingRow>, Error> {
        self.nodes(&format!("{NODE} WHERE status = 'kept' ORDER BY id"), [])?
            .into_iter()
            .map(|node| match self.answer(node.id)? {
                Some(answer) => Ok(TrainingRow { node, output: answer.text }),
                None => Err(self.bad_cell(node.id, "status", "kept, without an answer".to_owned())),
            })
            .collect()
    }

    /// The eliminated nodes, by id.
    ///
    /// # Errors
    /// [`Error::Sqlite`] or [`Error::BadCell`].
    pub fn eliminated(&self) -> Result<Vec<Node>, Error> {
        self.nodes(&format!("{NODE} WHERE status = 'eliminated' ORDER BY id"), [])
    }

    /// The seed `root_id` and all its descendants, by id.
    ///
    /// # Errors
    /// [`Error::Sqlite`] or [`Error::BadCell`].
    pub fn family(&self, root_id: u64) -> Result<Vec<History>, Error> {
        self.nodes(&format!("{NODE} WHERE root_id = ?1 ORDER BY id"), [root_id as i64])?
            .into_iter()
            .map(|node| {
                Ok(History { verdicts: self.verdicts(node.id)?, answer: self.answer(node.id)?, node })
            })
            .collect()
    }

    /// The nodes from the seed to the node `id`, both included; empty if there is no such node.
    ///
    /// # Errors
    /// [`Error::Sqlite`] or [`Error::BadCell`].
    pub fn lineage(&self, id: u64) -> Result<Vec<History>, Error> {
        let mut way = Vec::new();
        let mut next = Some(id);
        while let Some(id) = next {
            let Some(node) = self.node(id)? else { break };
            // A parent's id is smaller. Insisting on it ends the loop in a damaged file too.
            next = node.parent_id.filter(|&parent| parent < id);
            way.push(History { verdicts: self.verdicts(id)?, answer: self.answer(id)?, node });
        }
        way.reverse();
        Ok(way)
    }

    /// What the rules said about a node, by rule name.
    ///
    /// # Errors
    /// [`Error::Sqlite`] or [`Error::BadCell`].
    pub fn verdicts(&self, node_id: u64) -> Result<Vec<Verdict>, Error> {
        let rows: Vec<(String, bool, String)> = self.rows(
            "SELECT rule, passed, detail FROM verdicts WHERE node_id = ?1 ORDER BY rule",
            [node_id as i64],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        rows.into_iter()
            .map(|(rule, passed, detail)| match serde_json::from_str(&detail) {
                Ok(detail) => Ok(Verdict { rule, passed, detail }),
                Err(_) => Err(self.bad_cell(node_id, "detail", detail)),
            })
            .collect()
    }

    /// The answer of a node.
    ///
    /// # Errors
    /// [`Error::Sqlite`] or [`Error::BadCell`].
    pub fn answer(&self, node_id: u64) -> Result<Option<Answer>, Error> {
        let row = self
            .rows(
                "SELECT text, prompt_hash, sampling, key, prompt_tokens, completion_tokens, finish_reason,
                 sample FROM answers WHERE node_id = ?1",
                [node_id as i64],
                |row| Ok((row.get::<_, String>(0)?, RawGeneration::read(row, 1)?, row.get(7)?)),
            )?
            .pop();
        row.map(|(text, raw, sample)| Ok(Answer { text, generation: self.generation(node_id, raw)?, sample }))
            .transpose()
    }

    /// Counts of every (round, operator, status, reason), in that order.
    ///
    /// # Errors
    /// [`Error::Sqlite`] or [`Error::BadCell`].
    pub fn funnel(&self) -> Result<Vec<FunnelRow>, Error> {
        let rows = self.rows(
            "SELECT round, operator, reason, count(*), status FROM nodes
             GROUP BY round, operator, status, reason ORDER BY round, operator, status, reason",
            [],
            |row| {
                let count = row.get::<_, i64>(3)? as u64;
                let (round, operator, reason) = (row.get(0)?, row.get(1)?, row.get(2)?);
                let funnel = FunnelRow { round, operator, status: Status::Evolved, reason, count };
                Ok((funnel, row.get::<_, String>(4)?))
            },
        )?;
        rows.into_iter()
            .map(|(row, status)| match Status::parse(&status) {
                Some(status) => Ok(FunnelRow { status, ..row }),
                None => Err(self.bad_cell(0, "status", status)),
            })
            .collect()
    }

    /// Sums over all generations.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn token_totals(&self) -> Result<TokenTotals, Error> {
        let sums = |table: &str| {
            let sql = format!("SELECT total(prompt_tokens), total(completion_tokens) FROM {table}");
            self.connection
                .query_row(&sql, [], |row| Ok((row.get::<_, f64>(0)? as u64, row.get::<_, f64>(1)? as u64)))
                .map_err(|e| Error::sqlite(&self.path, e))
        };
        let (nodes, answers) = (sums("nodes")?, sums("answers")?);
        Ok(TokenTotals {
            prompt_tokens: nodes.0 + answers.0,
            evolve_tokens: nodes.1,
            answer_tokens: answers.1,
        })
    }

    pub(super) fn nodes(&self, sql: &str, values: impl Params) -> Result<Vec<Node>, Error> {
        self.rows(sql, values, RawNode::read)?.into_iter().map(|raw| self.finish_node(raw)).collect()
    }

    pub(super) fn rows<T>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl FnMut(&Row<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<Vec<T>, Error> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_map(values, read)?.collect())
            .map_err(|e| Error::sqlite(&self.path, e))
    }

    fn finish_node(&self, raw: RawNode) -> Result<Node, Error> {
        let RawNode { mut node, status, generation, constraints } = raw;
        if let Some(constraints) = constraints {
            node.constraints = serde_json::from_str(&constraints)
                .map_err(|_| self.bad_cell(node.id, "constraints", constraints))?;
        }
        node.status = Status::parse(&status).ok_or_else(|| self.bad_cell(node.id, "status", status))?;
        node.generation = generation.map(|raw| self.generation(node.id, raw)).transpose()?;
        Ok(node)
    }

    fn generation(&self, id: u64, raw: RawGeneration) -> Result<Generation, Error> {
        let names =
            [FinishReason::Stop, FinishReason::EndOfText, FinishReason::Length, FinishReason::PromptTooLong];
        Ok(Generation {
            sampling: serde_json::from_str(&raw.sampling)
                .map_err(|_| self.bad_cell(id, "sampling", raw.sampling))?,
            key: u64::from_str_radix(&raw.key, 16).map_err(|_| self.bad_cell(id, "key", raw.key))?,
            finish_reason: names
                .into_iter()
                .find(|&name| finish_reason_name(name) == raw.finish_reason)
                .ok_or_else(|| self.bad_cell(id, "finish_reason", raw.finish_reason))?,
            prompt_hash: raw.prompt_hash,
            prompt_tokens: raw.prompt_tokens as usize,
            completion_tokens: raw.completion_tokens as usize,
        })
    }

    pub(super) fn bad_cell(&self, id: u64, column: &'static str, value: String) -> Error {
        Error::BadCell { path: self.path.clone(), id, column, value }
    }
}

/// A node whose cells have the right type, but whose words are not checked yet.
struct RawNode {
    node: Node,
    status: String,
    generation: Option<RawGeneration>,
    constraints: Option<String>,
}

impl RawNode {
    fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        let generation = if row.get::<_, Option<String>>(10)?.is_some() {
            Some(RawGeneration::read(row, 10)?)
        } else {
            None
        };
        let node = Node {
            id: row.get::<_, i64>(0)? as u64,
            parent_id: row.get::<_, Option<i64>>(1)?.map(|id| id as u64),
            root_id: row.get::<_, i64>(2)? as u64,
            round: row.get(3)?,
            attempt: row.get(4)?,
            operator: row.get(5)?,
            instruction: row.get(6)?,
            input: row.get(7)?,
            skill: row.get(8)?,
            difficulty: row.get(9)?,
            generation: None,
            status: Status::Evolved,
            reason: row.get(17)?,
            constraints: Vec::new(),
        };
        Ok(Self { node, status: row.get(16)?, generation, constraints: row.get(18)? })
    }
}

struct RawGeneration {
    prompt_hash: String,
    sampling: String,
    key: String,
    prompt_tokens: i64,
    completion_tokens: i64,
    finish_reason: String,
}

impl RawGeneration {
    /// Six columns from `first` on, in the order of the tables.
    fn read(row: &Row<'_>, first: usize) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            prompt_hash: row.get(first)?,
            sampling: row.get(first + 1)?,
            key: row.get(first + 2)?,
            prompt_tokens: row.get(first + 3)?,
            completion_tokens: row.get(first + 4)?,
            finish_reason: row.get(first + 5)?,
        })
    }
}
