//! A trial of the model on a few built-in seeds, before a run: how often each operator gives a child that
//! passes the guards, and how often an answer meets the constraints that were added.
//!
//! In the flow: `rounds` runs it for the profile `auto`; `policy` decides by its counts.
//!
//! **Invariant:** a function of the model, the prompts and the configuration; the journal gets nothing of it
//! but the policy that follows.

use super::constrain::{self, Step};
use super::eliminate::{self, ChildRules};
use super::operator::Method;
use super::requests::{self, Plan, Requests};
use super::{Error, Operator};
use crate::dataset::{Seed, builtin_seeds};
use crate::llm::{Generate, Request};
use crate::rng;
use crate::store::{MAX_ATTEMPTS, Node, Status, node_id};

/// Seeds that each operator is tried on: enough to tell a quarter from a half, few enough to take seconds.
const SEEDS: usize = 12;

/// The counts of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trial {
    pub(super) operators: Vec<Tried>,
    /// Answers to instructions with constraints.
    pub(super) constraints_asked: usize,
    /// Answers that meet all constraints.
    pub(super) constraints_met: usize,
}

/// The children of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tried {
    pub(super) operator: Operator,
    pub(super) asked: usize,
    pub(super) passed: usize,
}

/// What a request of the trial is for.
enum Try {
    /// A child.
    Rewrite(Plan),
    /// An answer to an instruction with constraints.
    Answer(Node),
}

/// Tries `operators`: those that rewrite by their children, and one that draws constraints, at most
/// `max_constraints`, by the answers to its children. `seed` is the run's.
pub(super) fn run(
    model: &mut dyn Generate,
    requests: &Requests,
    seed: u64,
    max_constraints: usize,
    operators: &[Operator],
) -> Result<Trial, Error> {
    let parents = parents(seed);
    let rewriting: Vec<Operator> = operators.iter().copied().filter(|one| !one.is_by_code()).collect();
    let drawing = operators.iter().copied().find(|one| one.method() == Method::Draw);
    let rules = ChildRules::new(&requests.prompts, true);
    let mut tries: Vec<Try> = Vec::new();
    let mut requested: Vec<Request> = Vec::new();
    for &operator in &rewriting {
        for parent in &parents {
            let id = requested.len() as u64;
            // Each request is hotter than the one before, as if it were a further attempt: docs/decisions.md.
            // What `auto` settles on depends on it.
            let attempt = (id % u64::from(MAX_ATTEMPTS)) as u32;
            let plan = Plan { id, attempt, operator, parent: parent.clone() };
            requested.extend(requests.child(model, &plan)?);
            tries.push(Try::Rewrite(plan));
        }
    }
    if let Some(operator) = drawing {
        for parent in &parents {
            let Some(child) = constrained(seed, operator, parent, max_constraints) else { continue };
            let mut request = requests.answer(model, &child, 0)?;
            request.id = requested.len() as u64;
            requested.push(request);
            tries.push(Try::Answer(child));
        }
    }
    let completions = requests::complete(model, &requested)?;
    let tried = rewriting.iter().map(|&operator| Tried { operator, asked: parents.len(), passed: 0 });
    let mut trial = Trial { operators: tried.collect(), constraints_asked: 0, constraints_met: 0 };
    for (one, completion) in tries.iter().zip(&completions) {
        let finish = completion.finish_reason;
        match one {
            Try::Rewrite(plan) => {
                let Plan { operator, parent, .. } = plan;
                let child = requests.read_instruction(plan, completion);
                let passed = rules.check(*operator, parent, &child, finish).reason.is_none();
                let tried = trial.operators.iter_mut().find(|tried| tried.operator == *operator);
                tried.expect("one for each").passed += usize::from(passed);
            }
            Try::Answer(node) => {
                let answer = requests::read_answer(completion);
                let outcome = eliminate::check_answer(&rules.words, node, &answer, finish, true)?;
                trial.constraints_asked += 1;
                trial.constraints_met += usize::from(outcome.reason.is_none());
            }
        }
    }
    Ok(trial)
}

/// Built-in seeds, as nodes of round 0.
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
fn constrained(seed: u64, operator: Operator, parent: &Node, most: usize) -> Option<Node> {
    let (method, instruction) = (operator.method(), parent.instruction.as_str());
    let step = Step { seed, node_id: parent.id, method, instruction, have: &[], answer: "", most };
    let constraints = constrain::choose(step).constraints;
    (!constraints.is_empty()).then(|| Node {
        operator: Some(operator.name().to_owned()),
        instruction: constrain::add(seed, parent.id, &parent.instruction, &constraints),
        constraints: constrain::to_json(&constraints),
        ..parent.clone()
    })
}
