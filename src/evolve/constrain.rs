//! Constraints that code adds to an instruction, and reading them back.
//!
//! In the flow: the operators `verifiable_constraints`, `derived_constraints` and `imposed_constraints` of
//! `rounds`; what they add is stored beside the instruction, and `guard` checks answers against it.
//!
//! **Invariant:** the child's text is its parent's, unchanged but for a colon at its end, and one sentence or
//! more for each constraint.

use super::{Error, Operator};
use crate::constraint::{self, Constraint};
use crate::rng;
use crate::store::Node;
use rand::RngExt;
use serde_json::Value;

/// Constraints that an instruction has in the end, at most: more than four at once are hardly ever met, by
/// anyone.
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

/// What an operator adds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Chosen {
    /// Empty: nothing suits.
    pub(super) constraints: Vec<Constraint>,
    /// The answer in the form that they ask for, where code gave it one.
    pub(super) answer: Option<String>,
}

impl Chosen {
    fn only(constraints: Vec<Constraint>) -> Self {
        Self { constraints, answer: None }
    }
}

/// New constraints for the child `id` of `parent`, at most `most`: drawn, derived from `answer`, or imposed
/// on it.
pub(super) fn choose(
    (seed, id): (u64, u64),
    operator: Operator,
    parent: &str,
    have: &[Constraint],
    answer: &str,
    most: usize,
) -> Chosen {
    let most = most.min(MOST.saturating_sub(have.len()));
    if most == 0 {
        return Chosen::default();
    }
    // What an earlier step added says nothing about the task.
    let parent = &constraint::without(parent, have);
    let mut stream = rng::stream(seed, "evolve.constraints", &[id]);
    let count = stream.random_range(1..=most);
    let ids = &[id];
    match operator {
        Operator::DerivedConstraints => {
            Chosen::only(constraint::derive(seed, ids, parent, answer, have, count))
        }
        Operator::ImposedConstraints => {
            let forms = stream.random_range(1..=count);
            let Some((answer, mut chosen)) = constraint::impose(seed, ids, parent, answer, have, forms)
            else {
                return Chosen::default();
            };
            // The rest is said of the answer as it is now.
            let all = [have, &chosen].concat();
            chosen.extend(constraint::derive(seed, ids, parent, &answer, &all, count - chosen.len()));
            Chosen { constraints: chosen, answer: Some(answer) }
        }
        _ => Chosen::only(constraint::draw(seed, ids, parent, have, count)),
    }
}

/// The instruction with the constraints in words. What ends in code or a list gets them in a paragraph of
/// their own.
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
    use crate::constraint::kinds::{LowerCase, NoDigits, Title, TwoAnswers, WordCount};
    use crate::constraint::{Bound, Kind};

    #[test]
    fn what_is_added_follows_the_instruction_in_the_form_that_it_has() {
        let constraints =
            [Constraint::from(WordCount { bound: Bound::AtMost { n: 50 } }), Constraint::from(NoDigits)];
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
        let have = [Constraint::from(NoDigits), Constraint::from(Title), Constraint::from(TwoAnswers)];
        for id in 0..200 {
            let chosen = choose((1, id), Operator::VerifiableConstraints, "Explain fog.", &have, "", 3);
            assert!(chosen.constraints.len() <= 1, "{chosen:?}");
        }
        assert!((0..200).any(|id| {
            choose((1, id), Operator::VerifiableConstraints, "Explain fog.", &[], "", 3).constraints.len()
                == 3
        }));
        let full = [have.as_slice(), &[Constraint::from(LowerCase)]].concat();
        assert_eq!(
            choose((1, 1), Operator::VerifiableConstraints, "Explain fog.", &full, "", 3),
            Chosen::default()
        );
    }

    #[test]
    fn imposed_constraints_come_with_the_answer_that_meets_them() {
        let answer = "Fog is a cloud that touches the ground. It forms when moist air cools at night. Drivers should \
             slow down in it, and look for the lights of others. The morning sun usually clears it by noon.";
        let mut derived_too = 0;
        for id in 0..100 {
            let chosen = choose((1, id), Operator::ImposedConstraints, "Explain fog.", &[], answer, 2);
            let formed = chosen.answer.unwrap();
            assert!((1..=2).contains(&chosen.constraints.len()));
            for constraint in &chosen.constraints {
                assert!(constraint.check(&formed).passed, "{constraint:?}: {formed}");
            }
            derived_too += usize::from(chosen.constraints.iter().any(|one| one.kind() == Kind::Keywords));
        }
        assert!(derived_too > 0);
    }
}
