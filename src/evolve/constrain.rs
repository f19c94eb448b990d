//! Constraints that code adds to an instruction, and reading them back.
//!
//! In the flow: `coded` and `trial` ask here for what an operator that works by code adds. It is stored
//! beside the instruction, and `guard` checks answers against it.
//!
//! **Invariant:** the child's text is its parent's, unchanged but for a colon at its end, and one sentence or
//! more for each constraint.

use super::Error;
use super::material::add_sentences;
use super::operator::Method;
use crate::constraint::{self, Constraint};
use crate::rng;
use crate::store::Node;
use rand::RngExt;
use serde_json::Value;

/// The most constraints that one instruction may have: hardly anyone ever meets more than four at once.
pub(super) const MOST: usize = 4;

/// The constraints that the answer to a node has to meet.
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

/// Constraints as a node has them, which [`of`] reads.
pub(super) fn to_json(constraints: &[Constraint]) -> Vec<Value> {
    constraints.iter().map(|constraint| serde_json::to_value(constraint).expect("plain data")).collect()
}

/// A step of an operator that adds constraints.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step<'t> {
    /// The run's seed.
    pub(super) seed: u64,
    /// The id of the child.
    pub(super) node_id: u64,
    pub(super) method: Method,
    /// The parent's instruction.
    pub(super) instruction: &'t str,
    /// The parent's constraints.
    pub(super) have: &'t [Constraint],
    /// The answer to the parent, for a method that answers first.
    pub(super) answer: &'t str,
    /// The most constraints to add.
    pub(super) most: usize,
}

/// What a step adds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Chosen {
    /// Empty: nothing suits.
    pub(super) constraints: Vec<Constraint>,
    /// The answer in the form that they ask for, where code gave it one.
    pub(super) formed_answer: Option<String>,
}

/// The new constraints of a step: drawn, derived from the answer, or imposed on it.
pub(super) fn choose(step: Step<'_>) -> Chosen {
    let Step { seed, node_id, method, instruction, have, answer, most } = step;
    let most = most.min(MOST.saturating_sub(have.len()));
    if most == 0 {
        return Chosen::default();
    }
    // What an earlier step added says nothing about the task.
    let task = &constraint::without(instruction, have);
    let mut stream = rng::stream(seed, "evolve.constraints", &[node_id]);
    let count = stream.random_range(1..=most);
    let ids = &[node_id];
    let (constraints, formed_answer) = match method {
        Method::Rewrite(_) => unreachable!("the model rewrites, and code adds nothing"),
        Method::Draw => (constraint::draw(seed, ids, task, have, count), None),
        Method::Derive => (constraint::derive(seed, ids, task, answer, have, count), None),
        Method::Impose => {
            let forms = stream.random_range(1..=count);
            let Some((formed, mut new)) = constraint::impose(seed, ids, task, answer, have, forms) else {
                return Chosen::default();
            };
            // The rest is derived from the answer as it is now.
            let all = [have, &new].concat();
            new.extend(constraint::derive(seed, ids, task, &formed, &all, count - new.len()));
            (new, Some(formed))
        }
    };
    Chosen { constraints, formed_answer }
}

/// The instruction with the constraints in words behind it.
pub(super) fn add(seed: u64, id: u64, instruction: &str, constraints: &[Constraint]) -> String {
    let mut wording = rng::stream(seed, "evolve.wording", &[id]);
    let sentences: Vec<String> = constraints
        .iter()
        .map(|constraint| constraint.text(wording.random_range(0..constraint.wordings())))
        .collect();
    add_sentences(instruction, &sentences.join(" "))
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

    fn step(node_id: u64, method: Method) -> Step<'static> {
        let (instruction, have, answer) = ("Explain fog.", &[], "");
        Step { seed: 1, node_id, method, instruction, have, answer, most: 3 }
    }

    #[test]
    fn there_are_never_more_than_four() {
        let have = [Constraint::from(NoDigits), Constraint::from(Title), Constraint::from(TwoAnswers)];
        for id in 0..200 {
            let chosen = choose(Step { have: &have, ..step(id, Method::Draw) });
            assert!(chosen.constraints.len() <= 1, "{chosen:?}");
        }
        assert!((0..200).any(|id| choose(step(id, Method::Draw)).constraints.len() == 3));
        let full = [have.as_slice(), &[Constraint::from(LowerCase)]].concat();
        assert_eq!(choose(Step { have: &full, ..step(1, Method::Draw) }), Chosen::default());
    }

    #[test]
    fn imposed_constraints_come_with_the_answer_that_meets_them() {
        let answer = "Fog is a cloud that touches the ground. It forms when moist air cools at night. \
             Drivers should slow down in it, and look for the lights of others. The morning sun usually \
             clears it by noon.";
        let mut derived_too = 0;
        for id in 0..100 {
            let chosen = choose(Step { answer, most: 2, ..step(id, Method::Impose) });
            let formed = chosen.formed_answer.unwrap();
            assert!((1..=2).contains(&chosen.constraints.len()));
            for constraint in &chosen.constraints {
                assert!(constraint.check(&formed).passed, "{constraint:?}: {formed}");
            }
            derived_too += usize::from(chosen.constraints.iter().any(|one| one.kind() == Kind::Keywords));
        }
        assert!(derived_too > 0);
    }
}
