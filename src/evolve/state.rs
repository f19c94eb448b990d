//! What a run carries from stage to stage, and the chunks that a stage works through.
//!
//! In the flow: `rounds` makes the [`Run`]; the stages (`evolving`, `judging`, `answering`) work on it.
//!
//! **Invariant:** a stage's list and its chunks are the same whether the run was interrupted or not. A chunk
//! is done if its rows exist, and it is never done twice.
//! **Invariant:** a run holds one chunk of nodes and the counts of one round, however long it is.

use super::eliminate::{ChildRules, Outcome};
use super::library::JudgePrompts;
use super::requests::{Requests, reaches};
use super::tally::Tally;
use super::times::Stopwatch;
use super::{Chunk, Error, Event, EvolveConfig, Policy, Stage};
use crate::llm::Generate;
use crate::store::{Node, Status, Store, Unit};

/// A run while it works.
pub(super) struct Run<'a, 'm> {
    pub(super) model: &'m mut dyn Generate,
    /// The model that judges, if it is another one.
    pub(super) judge: Option<&'m mut dyn Generate>,
    pub(super) judge_prompts: JudgePrompts,
    pub(super) store: &'a mut Store,
    pub(super) config: &'a EvolveConfig,
    pub(super) policy: Policy,
    pub(super) requests: Requests,
    pub(super) rules: ChildRules,
    /// Seeds of the run, or of the shard.
    pub(super) seeds: u64,
    /// Counts of the current round.
    pub(super) tally: Tally,
    pub(super) progress: &'a mut dyn FnMut(&Event),
    pub(super) watch: Stopwatch,
}

/// A stage of an attempt of a round.
#[derive(Debug, Clone, Copy)]
pub(super) struct StageId {
    pub(super) round: u32,
    pub(super) attempt: u32,
    pub(super) stage: Stage,
}

impl Run<'_, '_> {
    /// Works through the list of a stage, which has `total` items: `next` reads the chunk that comes after an
    /// item, `is_done` says of the first item of a chunk whether the journal has its result (a chunk is
    /// committed whole, so its first item speaks for it), `work` does a chunk and commits it.
    pub(super) fn in_chunks<T>(
        &mut self,
        StageId { round, attempt, stage }: StageId,
        total: u64,
        next: impl Fn(&Self, Option<&T>) -> Result<Vec<T>, Error>,
        is_done: impl Fn(&Self, &T) -> Result<bool, Error>,
        work: impl Fn(&mut Self, &[T]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let total = total as usize;
        let mut done = 0;
        let mut chunk = next(self, None)?;
        while let Some(first) = chunk.first() {
            let replayed = is_done(self, first)?;
            if !replayed {
                work(self, &chunk)?;
            }
            done += chunk.len();
            (self.progress)(&Event::Chunk(Chunk { round, attempt, stage, done, total, replayed }));
            chunk = next(self, chunk.last())?;
        }
        Ok(())
    }

    /// The chunk of nodes after `after` that a stage works on: those that no stage before it eliminated.
    pub(super) fn reached_chunk(&self, id: StageId, after: Option<&Node>) -> Result<Vec<Node>, Error> {
        let size = self.config.chunk_size;
        let mut after = after.map_or(0, |node| node.id);
        let mut chunk = Vec::new();
        while chunk.len() < size {
            let wanted = size - chunk.len();
            let page = self.watch.store(|| self.store.attempt_page(id.round, id.attempt, after, wanted))?;
            let Some(last) = page.last() else { break };
            after = last.id;
            for node in page {
                if reaches(&node, id.stage)? {
                    chunk.push(node);
                }
            }
        }
        Ok(chunk)
    }

    /// Commits what a stage decided about nodes of an attempt, and whatever else `also` writes. `passed` is
    /// the status of a node that nothing objects to.
    pub(super) fn commit_outcomes(
        &mut self,
        nodes: &[Node],
        outcomes: &[Outcome],
        passed: Status,
        also: impl FnOnce(&Unit<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Self { store, watch, .. } = self;
        watch.store(|| {
            let unit = store.begin()?;
            also(&unit)?;
            for (node, outcome) in nodes.iter().zip(outcomes) {
                write_outcome(&unit, node.id, outcome, passed)?;
            }
            Ok::<_, Error>(unit.commit()?)
        })?;
        for (node, outcome) in nodes.iter().zip(outcomes) {
            self.tally.record(node.attempt, outcome, passed);
        }
        Ok(())
    }
}

/// Writes what a stage decided about a node: its verdicts, and its status, which is `passed` if nothing
/// objects.
pub(super) fn write_outcome(
    unit: &Unit<'_>,
    id: u64,
    outcome: &Outcome,
    passed: Status,
) -> Result<(), Error> {
    for verdict in &outcome.verdicts {
        unit.insert_verdict(id, verdict)?;
    }
    match outcome.reason {
        Some(reason) => unit.set_status(id, Status::Eliminated, Some(reason.name()))?,
        None => unit.set_status(id, passed, None)?,
    }
    Ok(())
}
