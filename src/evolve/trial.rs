//! A trial of the model on a few built-in seeds, before a run: how often each operator gives a child that
//! passes the guards, and how often an answer meets the constraints that were added.
//!
//! In the flow: `rounds` runs it for the profile `auto`; `profile` draws the conclusions.
//!
//! **Invariant:** a function of the model, the prompts and the configuration; nothing of it enters the
//! journal but what was concluded.

use super::eliminate::ChildRules;
use super::requests::{self, Requests};
use super::{Error, EvolveConfig, Operator, Policy, constrain, eliminate};
use crate::dataset::{Seed, builtin_seeds};
use crate::llm::{Generate, Request};
use crate::rng;
use crate::store::{Node, Status, node_id};

/// Seeds that each operator is tried on: enough to tell a quarter from a half, few enough to take seconds.
const SEEDS: usize = 12;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trial {
    pub(super) operators: Vec<Tried>,
    /// Answers to instructions with constraints.
    pub(super) constraints_asked: usize,
    /// Of these the ones that meet all.
    pub(super) constraints_met: usize,
}

/// An operator's children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tried {
    pub(super) operator: Operator,
    pub(super) asked: usize,
    pub(super) passed: usize,
}

/// Tries `operators`, and constraints if `policy` uses them.
pub(super) fn run(
    model: &mut dyn Generate,
    requests: &Requests,
    config: &EvolveConfig,
    policy: &Policy,
    operators: &[Operator],
) -> Result<Trial, Error> {
    let parents = parents(config.seed);
    let rules = ChildRules::new(&requests.prompts, true);
    let mut plans: Vec<(Option<Operator>, Node)> = Vec::new();
    let mut asked: Vec<Request> = Vec::new();
    for &operator in operators {
        for parent in &parents {
            asked.push(requests.instruction(model, asked.len() as u64, operator, parent)?);
            plans.push((Some(operator), parent.clone()));
        }
    }
    if policy.operators.get(Operator::VerifiableConstraints) > 0.0 {
        for parent in &parents {
            let Some(child) = constrained(config.seed, parent, policy.max_constraints) else { continue };
            let mut request = requests.answer(model, &child, 0)?;
            request.id = asked.len() as u64;
            asked.push(request);
            plans.push((None, child));
        }
    }
    let completions = requests::complete(model, &asked)?;
    let tried = operators.iter().map(|&operator| Tried { operator, asked: parents.len(), passed: 0 });
    let mut trial = Trial { operators: tried.collect(), constraints_asked: 0, constraints_met: 0 };
    for ((operator, node), completion) in plans.iter().zip(&completions) {
        if let Some(operator) = operator {
            let child = requests.read_instruction(*operator, node, completion);
            let passed = rules.check(*operator, node, &child, completion.finish_reason).reason.is_none();
            let tried = trial.operators.iter_mut().find(|tried| tried.operator == *operator);
            tried.expect("one for each").passed += usize::from(passed);
        } else {
            let answer = requests::read_answer(completion);
            let outcome =
                eliminate::check_answer(&rules.words, node, &answer, completion.finish_reason, true)?;
            trial.constraints_asked += 1;
            trial.constraints_met += usize::from(outcome.reason.is_none());
        }
    }
    Ok(trial)
}

/// Built-in seeds, as they would lie in the journal.
fn parents(seed: u64) -> Vec<Node> {
    let mut seeds: Vec<(usize, Seed)> = builtin_seeds().into_iter().enumerate().collect();
    seeds.sort_by_key(|(index, _)| rng::key(seed, "evolve.trial", &[*index as u64]));
    seeds.truncate(SEEDS);
    seeds.into_iter().map(|(index, seed)| seed_node(index, &seed)).collect()
}

/// A seed as a node of round 0.
pub(super) fn seed_node(index: usize, seed: &Seed) -> Node {
    let id = node_id(index, 0, 0);
    Node {
        id,
        parent_id: None,
        root_id: id,
        round: 0,
        attempt: 0,
        operator: None,
        instruction: seed.instruction.clone(),
        input: seed.input.clone(),
        skill: seed.skill.clone(),
        difficulty: seed.difficulty,
        generation: None,
        status: Status::Evolved,
        reason: None,
        constraints: Vec::new(),
    }
}

/// The parent with constraints; `None`: none suit it.
fn constrained(seed: u64, parent: &Node, most: usize) -> Option<Node> {
    let operator = Operator::VerifiableConstraints;
    let constraints =
        constrain::choose((seed, parent.id), operator, &parent.instruction, &[], "", most).constraints;
    (!constraints.is_empty()).then(|| Node {
        operator: Some(operator.name().to_owned()),
        instruction: constrain::add(seed, parent.id, &parent.instruction, &constraints),
        constraints: constrain::to_json(&constraints),
        ..parent.clone()
    })
}
