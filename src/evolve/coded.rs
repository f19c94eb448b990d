//! The children that code makes, by adding constraints to a parent.
//!
//! In the flow: `evolving` makes them, `verify` makes them again from a replayed answer.
//!
//! **Invariant:** a child is a function of the run's seed, its id, its parent and the answer to its parent.

use super::constrain::{self, Chosen, Step};
use super::eliminate::{self, Child};
use super::guard::Words;
use super::requests::Plan;
use super::{Error, Policy};
use crate::llm::FinishReason;
use crate::store::Node;

/// What decides which constraints are added.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coding<'a> {
    seed: u64,
    /// The most constraints to add.
    most: usize,
    words: &'a Words,
    /// Whether all guards apply.
    guards: bool,
}

/// A new child, before any rule has checked it.
#[derive(Debug)]
pub(super) struct NewChild {
    pub(super) child: Child,
    /// The answer in the form that the constraints ask for, where code gave it one.
    pub(super) formed_answer: Option<String>,
}

impl<'a> Coding<'a> {
    pub(super) fn new(seed: u64, policy: &Policy, words: &'a Words) -> Self {
        Self { seed, most: policy.max_constraints, words, guards: policy.guards }
    }

    /// The child of a plan whose operator works by code: with drawn constraints, those that `answer` meets,
    /// or those that it meets in the form that code gave it.
    pub(super) fn child(&self, plan: &Plan, answer: &str) -> Result<NewChild, Error> {
        let Plan { id, operator, parent, .. } = plan;
        let mut constraints = constrain::of(parent)?;
        let step = Step {
            seed: self.seed,
            node_id: *id,
            method: operator.method(),
            instruction: &parent.instruction,
            have: &constraints,
            answer,
            most: self.most,
        };
        let Chosen { constraints: new, formed_answer } = constrain::choose(step);
        // A form would hide what is wrong with an answer. Without it, the answer is eliminated for that.
        let formed_answer = if formed_answer.is_some() {
            let plain = Node { constraints: Vec::new(), ..parent.clone() };
            let outcome =
                eliminate::check_answer(self.words, &plain, answer, FinishReason::Stop, self.guards)?;
            formed_answer.filter(|_| outcome.reason.is_none())
        } else {
            None
        };
        let instruction = if new.is_empty() {
            parent.instruction.clone()
        } else {
            constrain::add(self.seed, *id, &parent.instruction, &new)
        };
        constraints.extend(new);
        let child = Child { instruction, input: parent.input.clone(), lacks_data: false, constraints };
        Ok(NewChild { child, formed_answer })
    }
}
