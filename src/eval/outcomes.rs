//! Counts of wins, ties and losses, in total and by skill and difficulty.
//!
//! Where in the flow: `compare` counts verdicts with it, `judge` preferences.
//!
//! **Invariant:** every scored item is counted once in the total, and at most once by skill and once by
//! difficulty.

use super::result::{Generation, NamedOutcomes, Outcomes};
use std::collections::BTreeMap;

/// An item of a comparison with its result.
#[derive(Clone, Copy)]
pub(super) struct ScoredItem<'a> {
    /// The response of one contestant, for the skill and difficulty of the item.
    pub(super) response: &'a Generation,
    /// 1 for a win, 0.5 for a tie, 0 for a loss.
    pub(super) score: f64,
}

/// Counts wins, ties and losses.
pub(super) fn count_outcomes(scores: impl Iterator<Item = f64>) -> Outcomes {
    let mut outcomes = Outcomes::default();
    for score in scores {
        match score {
            score if score > 0.75 => outcomes.wins += 1,
            score if score < 0.25 => outcomes.losses += 1,
            _ => outcomes.ties += 1,
        }
    }
    outcomes
}

/// Counts by skill, in alphabetical order.
pub(super) fn by_skill(scored: &[ScoredItem<'_>]) -> Vec<NamedOutcomes> {
    let named = |(skill, outcomes): (String, Outcomes)| NamedOutcomes { name: skill, outcomes };
    group_outcomes(scored, |response| response.skill.clone()).map(named).collect()
}

/// Counts by difficulty, in ascending order.
pub(super) fn by_difficulty(scored: &[ScoredItem<'_>]) -> Vec<NamedOutcomes> {
    let named = |(level, outcomes): (u8, Outcomes)| NamedOutcomes { name: level.to_string(), outcomes };
    group_outcomes(scored, |response| response.difficulty).map(named).collect()
}

fn group_outcomes<K: Ord>(
    scored: &[ScoredItem<'_>],
    key: impl Fn(&Generation) -> Option<K>,
) -> impl Iterator<Item = (K, Outcomes)> {
    let mut groups: BTreeMap<K, Vec<f64>> = BTreeMap::new();
    for &ScoredItem { response, score } in scored {
        if let Some(key) = key(response) {
            groups.entry(key).or_default().push(score);
        }
    }
    groups.into_iter().map(|(key, scores)| (key, count_outcomes(scores.into_iter())))
}
