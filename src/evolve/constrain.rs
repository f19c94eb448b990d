//! Constraints that code adds to an instruction, and reading them back.
//!
//! In the flow: the operators `verifiable_constraints` and `derived_constraints` of `rounds`; what they add is stored
//! beside the instruction, and `guard` checks answers against it.
//!
//! **Invariant:** the child's text is its parent's, unchanged but for a colon at its end, and one sentence or more for
//! each constraint.

use super::{Error, Operator};
use crate::constraint::{self, Constraint};
use crate::rng;
use crate::store::Node;
use rand::RngExt;
use serde_json::Value;

/// Constraints that an instruction has in the end, at most: more than four at once are hardly ever met, by anyone.
pub(super) const MOST: usize = 4;

/// What a node's answer has to meet.
///
/// # Errors
/// [`Error::BadConstraint`]: the journal was written by another version, or by hand.
pub(super) fn of(node: &Node) -> Result<Vec<Constraint>, Error> {
    let parse = |value: &Value| {
        serde_json::from_value(value.clone())
            .map_err(|error| Error::BadConstraint { id: node.id, reason: error.to_string() })
    };
    node.constraints.iter().map(parse).collect()
}

/// As [`of`] reads them.
pub(super) fn to_json(constraints: &[Constraint]) -> Vec<Value> {
    constraints.iter().map(|constraint| serde_json::to_value(constraint).expect("plain data")).collect()
}

/// New constraints for the child `id` of `parent`, at most `most`: drawn, or derived from `answer`.
pub(super) fn choose(
    (seed, id): (u64, u64),
    operator: Operator,
    parent: &str,
    have: &[Constraint],
    answer: &str,
    most: usize,
) -> Vec<Constraint> {
    let most = most.min(MOST.saturating_sub(have.len()));
    if most == 0 {
        return Vec::new();
    }
    // What an earlier step added says nothing about the task.
    let parent = &constraint::without(parent, have);
    let count = rng::stream(seed, "evolve.constraints", &[id]).random_range(1..=most);
    match operator {
        Operator::DerivedConstraints => constraint::derive(seed, &[id], parent, answer, have, count),
        _ => constraint::draw(seed, &[id], parent, have, count),
    }
}

/// The instruction with the constraints in words. What ends in code or a list gets them in a paragraph of their own.
pub(super) fn add(seed: u64, id: u64, instruction: &str, constraints: &[Constraint]) -> String {
    let mut wording = rng::stream(seed, "evolve.wording", &[id]);
    let sentences: Vec<String> = constraints
        .iter()
        .map(|constraint| constraint.text(wording.random_range(0..constraint.wordings())))
        .collect();
    let instruction = instruction.trim_end();
    // A colon announces the material, which now comes after the constraints.
    let instruction = instruction.strip_suffix(':').unwrap_or(instruction);
    let ends = instruction.ends_with(['.', '!', '?', '"', '\u{201D}', '\u{3002}']);
    let between = match (instruction.contains('\n'), ends) {
        (true, _) => "\n\n",
        (false, true) => " ",
        (false, false) => ". ",
    };
    format!("{instruction}{between}{}", sentences.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constraint::Bound;

    #[test]
    fn what_is_added_follows_the_instruction_in_the_form_that_it_has() {
        let constraints = [Constraint::WordCount { bound: Bound::AtMost { n: 50 } }, Constraint::NoDigits];
        for (instruction, between) in
            [("Name a river.", " "), ("Name a river", ". "), ("Name a river:", ". "), ("Run:\nx = 1", "\n\n")]
        {
            let child = add(1, 10_100, instruction, &constraints);
            let added =
                child.strip_prefix(&format!("{}{between}", instruction.trim_end_matches(':'))).unwrap();
            assert!(added.contains("50") && added.ends_with('.'), "{child}");
        }
        let wordings: std::collections::BTreeSet<String> =
            (0..50).map(|id| add(1, id, "Name a river.", &constraints)).collect();
        assert!(wordings.len() > 5, "{wordings:?}");
    }

    #[test]
    fn there_are_never_more_than_four() {
        let have = [Constraint::NoDigits, Constraint::Title, Constraint::TwoAnswers];
        for id in 0..200 {
            let chosen = choose((1, id), Operator::VerifiableConstraints, "Explain fog.", &have, "", 3);
            assert!(chosen.len() <= 1, "{chosen:?}");
        }
        assert!((0..200).any(|id| {
            choose((1, id), Operator::VerifiableConstraints, "Explain fog.", &[], "", 3).len() == 3
        }));
        let full = [have.as_slice(), &[Constraint::LowerCase]].concat();
        assert_eq!(choose((1, 1), Operator::VerifiableConstraints, "Explain fog.", &full, "", 3), []);
    }
}
