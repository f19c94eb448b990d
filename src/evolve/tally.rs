//! Counts of the current round, and whether it is worth continuing.
//!
//! In the flow: `rounds` loads the tally at the start of a round, the stages add what they commit, and
//! `evolving` checks it after every chunk. Rows are counted in the journal only once per round, so that a
//! chunk costs the same however long the run is.
//!
//! **Invariant:** a tally equals the counts of the round's rows in the journal, whether they were written by
//! this process or before it.

use super::eliminate::Outcome;
use super::{Error, EvolveConfig, Reason, Stage};
use crate::store::{KnownText, Status, Store};
use std::collections::BTreeMap;

/// Attempts of a round before its yield is judged.
const YIELD_WINDOW: u64 = 50;

/// Counts of one attempt number of a round.
#[derive(Debug, Default, PartialEq, Eq)]
struct AttemptTally {
    nodes: u64,
    kept: u64,
    eliminated: BTreeMap<Reason, u64>,
}

/// Counts of one round.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    round: u32,
    attempts: BTreeMap<u32, AttemptTally>,
}

impl Tally {
    /// Counts what the journal has of `round`.
    ///
    /// # Errors
    /// [`Error::UnknownReason`], [`Error::Store`].
    pub(super) fn load(store: &Store, round: u32) -> Result<Self, Error> {
        let mut tally = Self { round, attempts: BTreeMap::new() };
        for row in store.round_counts(round)? {
            let attempt = tally.attempts.entry(row.attempt).or_default();
            attempt.nodes += row.count;
            if row.status == Status::Kept {
                attempt.kept += row.count;
            }
            if let Some(name) = row.reason {
                let Some(reason) = Reason::parse(&name) else {
                    return Err(Error::UnknownReason { id: row.first_id, reason: name });
                };
                *attempt.eliminated.entry(reason).or_default() += row.count;
            }
        }
        Ok(tally)
    }

    /// Counts a node that was written.
    pub(super) fn add_node(&mut self, attempt: u32) {
        self.attempts.entry(attempt).or_default().nodes += 1;
    }

    /// Counts what a stage decided about a node; `passed` is the status of a node that nothing objects to.
    pub(super) fn record(&mut self, attempt: u32, outcome: &Outcome, passed: Status) {
        let attempt = self.attempts.entry(attempt).or_default();
        match outcome.reason {
            Some(reason) => *attempt.eliminated.entry(reason).or_default() += 1,
            None if passed == Status::Kept => attempt.kept += 1,
            None => {}
        }
    }

    /// Nodes of an attempt.
    pub(super) fn nodes(&self, attempt: u32) -> u64 {
        self.attempts.get(&attempt).map_or(0, |attempt| attempt.nodes)
    }

    /// Nodes of an attempt that no stage before `stage` eliminated.
    pub(super) fn reached(&self, attempt: u32, stage: Stage) -> u64 {
        let Some(attempt) = self.attempts.get(&attempt) else { return 0 };
        let earlier = attempt.eliminated.iter().filter(|(reason, _)| reason.stage() < stage);
        attempt.nodes - earlier.map(|(_, count)| count).sum::<u64>()
    }

    /// Nodes of the attempts before `attempt` from which their lineages continue: each of another root.
    pub(super) fn continued_before(&self, attempt: u32) -> u64 {
        let continued = |tally: &AttemptTally| {
            tally.kept + tally.eliminated.get(&Reason::CONTINUES).copied().unwrap_or_default()
        };
        self.attempts.range(..attempt).map(|(_, attempt)| continued(attempt)).sum()
    }

    /// Kept nodes.
    pub(super) fn kept(&self) -> u64 {
        self.attempts.values().map(|attempt| attempt.kept).sum()
    }

    /// Gives up when nearly all attempts of the round so far are eliminated, or too many of them are no text
    /// at all.
    ///
    /// # Errors
    /// [`Error::Failing`], [`Error::Hopeless`].
    pub(super) fn check(&self, store: &Store, config: &EvolveConfig) -> Result<(), Error> {
        let attempts: u64 = self.attempts.values().map(|attempt| attempt.nodes).sum();
        if attempts < YIELD_WINDOW {
            return Ok(());
        }
        let (round, shown) = (self.round, attempts as usize);
        let mut eliminated: BTreeMap<Reason, u64> = BTreeMap::new();
        for (&reason, &count) in self.attempts.values().flat_map(|attempt| &attempt.eliminated) {
            *eliminated.entry(reason).or_default() += count;
        }
        let errors = || eliminated.iter().filter(|(reason, _)| reason.is_an_error());
        let failed: u64 = errors().map(|(_, count)| count).sum();
        let limit = config.max_errors;
        if failed as f64 > limit * attempts as f64 {
            let Frequent { reason, first } = most_frequent(store, round, errors())?;
            let (example_id, example) = (first.id, first.instruction);
            let failed = failed as usize;
            return Err(Error::Failing {
                round,
                attempts: shown,
                failed,
                limit,
                reason,
                example_id,
                example,
            });
        }
        // A root that is tried again counts once: it is alive if its last attempt is. Every root of the round
        // has a first attempt. What has no usable answer is not alive, also where its lineage continues: a
        // run that exports nothing has no use.
        let roots = self.nodes(0);
        let alive = attempts - eliminated.values().sum::<u64>();
        let limit = config.min_yield;
        if alive as f64 >= limit * roots as f64 {
            return Ok(());
        }
        let Frequent { reason, first } = most_frequent(store, round, eliminated.iter())?;
        let (example_id, example) = (first.id, first.instruction);
        let alive = alive as usize;
        Err(Error::Hopeless { round, attempts: shown, alive, limit, reason, example_id, example })
    }
}

/// The most frequent reason, and the first node that was eliminated for it.
struct Frequent {
    reason: String,
    first: KnownText,
}

fn most_frequent<'a>(
    store: &Store,
    round: u32,
    counts: impl Iterator<Item = (&'a Reason, &'a u64)>,
) -> Result<Frequent, Error> {
    // By name, so that of equal counts the one whose name comes last is reported.
    let by_name: BTreeMap<&str, u64> = counts.map(|(reason, &count)| (reason.name(), count)).collect();
    let most = by_name.into_iter().max_by_key(|(_, count)| *count);
    let (reason, _) = most.expect("some attempt was eliminated");
    let first = store.first_eliminated(round, reason)?.expect("the tally equals the journal");
    Ok(Frequent { reason: reason.to_owned(), first })
}
