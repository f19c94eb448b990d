//! Wins, ties and losses, in all and by what items have in common.
//!
//! Where in the flow: `compare` counts verdicts with it, `judge` preferences.
//!
//! **Invariant:** every scored item is counted once in all, and once in each kind of slice that it belongs
//! to.

use super::result::{Generation, NamedOutcomes, Outcomes};
use std::collections::BTreeMap;

/// An item as either contestant answered it, and how it came out: 1 won, 0.5 tied, 0 lost.
pub(super) type Scored<'a> = (&'a Generation, f64);

/// Counts of all.
pub(super) fn outcomes(scores: impl Iterator<Item = f64>) -> Outcomes {
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
pub(super) fn by_skill(scored: &[Scored<'_>]) -> Vec<NamedOutcomes> {
    let named = |(skill, outcomes): (String, Outcomes)| NamedOutcomes { name: skill, outcomes };
    by(scored, |response| response.skill.clone()).map(named).collect()
}

/// Counts by difficulty, ascending.
pub(super) fn by_difficulty(scored: &[Scored<'_>]) -> Vec<NamedOutcomes> {
    let named = |(level, outcomes): (u8, Outcomes)| NamedOutcomes { name: level.to_string(), outcomes };
    by(scored, |response| response.difficulty).map(named).collect()
}

fn by<K: Ord>(
    scored: &[Scored<'_>],
    key: impl Fn(&Generation) -> Option<K>,
) -> impl Iterator<Item = (K, Outcomes)> {
    let mut groups: BTreeMap<K, Vec<f64>> = BTreeMap::new();
    for &(response, score) in scored {
        if let Some(key) = key(response) {
            groups.entry(key).or_default().push(score);
        }
    }
    groups.into_iter().map(|(key, scores)| (key, outcomes(scores.into_iter())))
}
