//! Reading for `evolve`: lists of nodes in pages, and counts.
//!
//! In the flow: `evolve` works through each list of a round page by page, so that its memory does not grow
//! with the run.
//!
//! **Invariant:** a query here reads one page, one root or one round, never the whole journal; and `evolve`
//! reads a whole round only once.

use super::read::NODE;
use super::{Error, Node, Status, Store};
use rusqlite::Row;

/// How many nodes of a round share (attempt, status, reason).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundCount {
    /// The attempt within the round.
    pub attempt: u32,
    /// How far they came.
    pub status: Status,
    /// Why they were eliminated.
    pub reason: Option<String>,
    /// How many.
    pub count: u64,
    /// The smallest id among them.
    pub first_id: u64,
}

/// The text of a node, and why the node was eliminated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownText {
    /// The node.
    pub id: u64,
    /// What is asked.
    pub instruction: String,
    /// Material that belongs to it, may be empty.
    pub input: String,
    /// Name of the rule that eliminated it.
    pub reason: Option<String>,
}

impl KnownText {
    fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            id: row.get::<_, i64>(0)? as u64,
            instruction: row.get(1)?,
            input: row.get(2)?,
            reason: row.get(3)?,
        })
    }
}

/// The newest node of a root before a round from which its lineage continues: one that was kept, or
/// eliminated for the reason `?5`; else the seed itself, whatever became of its answer. Ids grow with the
/// round within a root (see [`super::NodeId`]), so the largest is the newest. Roots that have such a node in
/// an earlier attempt of the round are left out.
const PARENTS: &str = "SELECT
        (SELECT max(id) FROM nodes WHERE root_id = seed.id AND round < ?1
            AND (round = 0 OR status = 'kept' OR reason = ?5))
    FROM nodes AS seed
    WHERE seed.round = 0 AND seed.attempt = 0 AND seed.id > ?3 AND NOT EXISTS
        (SELECT 1 FROM nodes WHERE root_id = seed.id AND round = ?1 AND attempt < ?2
            AND (status = 'kept' OR reason = ?5))
    ORDER BY seed.id LIMIT ?4";

impl Store {
    /// Whether there is a node of that id.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn has_node(&self, id: u64) -> Result<bool, Error> {
        let found =
            self.rows("SELECT 1 FROM nodes WHERE id = ?1", [id as i64], |row| row.get::<_, i64>(0))?;
        Ok(!found.is_empty())
    }

    /// At most `limit` nodes of one attempt of one round whose ids are above `after`, by id.
    ///
    /// # Errors
    /// [`Error::Sqlite`] or [`Error::BadCell`].
    pub fn attempt_page(
        &self,
        round: u32,
        attempt: u32,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Node>, Error> {
        self.nodes(
            &format!("{NODE} WHERE round = ?1 AND attempt = ?2 AND id > ?3 ORDER BY id LIMIT ?4"),
            [i64::from(round), i64::from(attempt), after as i64, limit as i64],
        )
    }

    /// What `attempt` of `round` evolves: the newest node from which the lineage continues, or the seed, of
    /// each root that no earlier attempt of the round gave such a node. A lineage continues from a kept node,
    /// and from one that was eliminated for the reason `continues`. At most `limit`, of the roots whose ids
    /// are above `after_root`, by root.
    ///
    /// # Errors
    /// [`Error::Sqlite`] or [`Error::BadCell`].
    pub fn parents_page(
        &self,
        round: u32,
        attempt: u32,
        after_root: u64,
        limit: usize,
        continues: &str,
    ) -> Result<Vec<Node>, Error> {
        self.nodes(
            &format!("{NODE} WHERE id IN ({PARENTS}) ORDER BY root_id"),
            (round, attempt, after_root as i64, limit as i64, continues),
        )
    }

    /// At most `limit` kept nodes of one attempt of one round whose ids are above `after`, by id.
    ///
    /// # Errors
    /// [`Error::Sqlite`] or [`Error::BadCell`].
    pub fn kept_page(&self, round: u32, attempt: u32, after: u64, limit: usize) -> Result<Vec<Node>, Error> {
        self.nodes(
            &format!(
                "{NODE} WHERE round = ?1 AND attempt = ?2 AND id > ?3 AND status = 'kept'
                 ORDER BY id LIMIT ?4"
            ),
            [i64::from(round), i64::from(attempt), after as i64, limit as i64],
        )
    }

    /// The texts of a seed and of all its descendants, by id.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn known_texts(&self, root_id: u64) -> Result<Vec<KnownText>, Error> {
        self.rows(
            "SELECT id, instruction, input, reason FROM nodes WHERE root_id = ?1
             ORDER BY round, attempt",
            [root_id as i64],
            KnownText::read,
        )
    }

    /// Counts of every (attempt, status, reason) of a round. Reads the whole round.
    ///
    /// # Errors
    /// [`Error::Sqlite`] or [`Error::BadCell`].
    pub fn round_counts(&self, round: u32) -> Result<Vec<RoundCount>, Error> {
        let rows = self.rows(
            "SELECT attempt, status, reason, count(*), min(id) FROM nodes WHERE round = ?1
             GROUP BY attempt, status, reason",
            [round],
            |row| {
                let count = RoundCount {
                    attempt: row.get(0)?,
                    status: Status::Evolved,
                    reason: row.get(2)?,
                    count: row.get::<_, i64>(3)? as u64,
                    first_id: row.get::<_, i64>(4)? as u64,
                };
                Ok((row.get::<_, String>(1)?, count))
            },
        )?;
        rows.into_iter()
            .map(|(status, count)| match Status::parse(&status) {
                Some(status) => Ok(RoundCount { status, ..count }),
                None => Err(self.bad_cell(count.first_id, "status", status)),
            })
            .collect()
    }

    /// The first node of a round that was eliminated for `reason`, by attempt and id. May read the
    /// whole round.
    ///
    /// # Errors
    /// [`Error::Sqlite`].
    pub fn first_eliminated(&self, round: u32, reason: &str) -> Result<Option<KnownText>, Error> {
        let sql = "SELECT id, instruction, input, reason FROM nodes WHERE round = ?1 AND reason = ?2
             ORDER BY attempt, id LIMIT 1";
        Ok(self.rows(sql, (round, reason), KnownText::read)?.pop())
    }
}
