//! The stage in which parents get children, and the children are checked by the rules that need no model.
//!
//! In the flow: called by `rounds`, as the first stage of each attempt.
//!
//! **Invariant:** a child is known by its id before it is generated, so that a resumed run sees which chunks
//! are done.

use super::coded::{Coding, NewChild};
use super::eliminate::{Child, Outcome};
use super::requests::{self, Plan};
use super::state::{Run, StageId, write_outcome};
use super::{Error, Reason, Stage, constrain};
use crate::llm::{Completion, FinishReason, Request};
use crate::store::{Node, NodeId, Status};

/// Generates the children of one attempt of one round, and applies the rules that need no model.
pub(super) fn evolve(run: &mut Run<'_, '_>, round: u32, attempt: u32) -> Result<(), Error> {
    let id = StageId { round, attempt, stage: Stage::Evolve };
    // Every root that no earlier attempt of the round gave a child from which it continues.
    let total = run.seeds - run.tally.continued_before(attempt);
    run.in_chunks(
        id,
        total,
        |run, after| plan_chunk(run, id, after),
        |run, plan: &Plan| Ok(run.watch.store(|| run.store.has_node(plan.id))?),
        |run, plans| {
            evolve_chunk(run, id, plans)?;
            run.tally.check(run.store, run.config)
        },
    )
}

/// The chunk of plans after `after`, by root.
fn plan_chunk(run: &Run<'_, '_>, id: StageId, after: Option<&Plan>) -> Result<Vec<Plan>, Error> {
    let StageId { round, attempt, .. } = id;
    let after_root = after.map_or(0, |plan| plan.parent.root_id);
    let size = run.config.chunk_size;
    let continues = Reason::CONTINUES.name();
    let parents = run.watch.store(|| run.store.parents_page(round, attempt, after_root, size, continues))?;
    let (seed, weights) = (run.config.seed, run.policy.operators);
    let plan = |parent: Node| {
        let root = NodeId::parse(parent.root_id).expect("the run numbered its seeds");
        let constrained = !parent.constraints.is_empty();
        let operator = weights.draw(seed, parent.root_id, round, attempt, constrained);
        Plan { id: NodeId { round, attempt, ..root }.number(), attempt, operator, parent }
    };
    Ok(parents.into_iter().map(plan).collect())
}

/// Shows the rules every instruction of these lineages that passed this stage. What other lineages have
/// decides nothing about a child.
fn learn_lineages(run: &mut Run<'_, '_>, plans: &[Plan]) -> Result<(), Error> {
    run.rules.clear();
    for plan in plans {
        let root_id = plan.parent.root_id;
        for text in run.watch.store(|| run.store.known_texts(root_id))? {
            let failed = text.reason.as_deref().map(|reason| requests::stage_of(text.id, reason));
            if failed.transpose()? != Some(Stage::Evolve) {
                run.rules.learn(root_id, &text.instruction, &text.input);
            }
        }
    }
    Ok(())
}

/// A child with the outcome of the rules, and what was generated for it.
struct Evolved {
    new: NewChild,
    outcome: Outcome,
    generated: Generated,
}

/// What was generated for a plan; `None`: code needs nothing.
type Generated = Option<(Request, Completion)>;

/// Generates what the plans need. Drafts that were cut are asked for once more, briefly, in a second call.
fn generate(run: &mut Run<'_, '_>, plans: &[Plan]) -> Result<Vec<Generated>, Error> {
    let requests =
        plans.iter().map(|plan| run.requests.child(run.model, plan)).collect::<Result<Vec<_>, _>>()?;
    let requested: Vec<Request> = requests.iter().flatten().cloned().collect();
    let mut completions = requests::complete(run.model, &requested)?.into_iter();
    let mut generated: Vec<Generated> = requests
        .into_iter()
        .map(|request| request.map(|request| (request, completions.next().expect("one for each"))))
        .collect();
    let is_cut = |at: &usize| {
        let finish = generated[*at].as_ref().map(|(_, completion)| completion.finish_reason);
        finish.is_some_and(|finish| requests::is_cut_draft(plans[*at].operator, finish))
    };
    let cut: Vec<usize> = (0..plans.len()).filter(is_cut).collect();
    if cut.is_empty() {
        return Ok(generated);
    }
    let sample = run.policy.answer_samples;
    let brief = cut.iter().map(|&at| run.requests.brief_draft(run.model, &plans[at], sample));
    let brief = brief.collect::<Result<Vec<_>, _>>()?;
    let completions = requests::complete(run.model, &brief)?;
    for ((at, request), completion) in cut.into_iter().zip(brief).zip(completions) {
        generated[at] = Some((request, completion));
    }
    Ok(generated)
}

fn evolve_chunk(run: &mut Run<'_, '_>, id: StageId, plans: &[Plan]) -> Result<(), Error> {
    learn_lineages(run, plans)?;
    let generated = generate(run, plans)?;
    let check = |(plan, generated)| check_child(run, plan, generated);
    let children =
        run.watch.filters(|| plans.iter().zip(generated).map(check).collect::<Result<Vec<_>, _>>())?;
    commit(run, id, plans, children)
}

/// Reads the child from a plan and what was generated for it, and checks it against the rules.
fn check_child(run: &Run<'_, '_>, plan: &Plan, generated: Generated) -> Result<Evolved, Error> {
    let Plan { operator, parent, .. } = plan;
    let completion = generated.as_ref().map(|(_, completion)| completion);
    let (new, finish) = match completion {
        Some(completion) if !operator.is_by_code() => {
            let child = run.requests.read_instruction(plan, completion);
            (NewChild { child, formed_answer: None }, completion.finish_reason)
        }
        completion => {
            let coding = Coding::new(run.config.seed, &run.policy, &run.rules.words);
            let answer = completion.map(|done| requests::read_draft(*operator, done)).unwrap_or_default();
            // What was generated is an answer, and is judged as one in its own stage.
            (coding.child(plan, &answer)?, FinishReason::Stop)
        }
    };
    let outcome = run.rules.check(*operator, parent, &new.child, finish);
    Ok(Evolved { new, outcome, generated })
}

fn commit(run: &mut Run<'_, '_>, id: StageId, plans: &[Plan], children: Vec<Evolved>) -> Result<(), Error> {
    for (_, Evolved { outcome, .. }) in plans.iter().zip(&children) {
        run.tally.add_node(id.attempt);
        run.tally.record(id.attempt, outcome, Status::Evolved);
    }
    let Run { store, watch, .. } = run;
    watch.store(|| {
        let unit = store.begin()?;
        for (plan, Evolved { new, outcome, generated }) in plans.iter().zip(children) {
            let answers_first = plan.operator.answers_first();
            let (own, answer) = if answers_first { (None, generated) } else { (generated, None) };
            unit.insert_node(&child_row(plan, id.round, new.child, own))?;
            if let Some((request, completion)) = answer.filter(|_| outcome.reason.is_none()) {
                let mut answer = requests::answer_row(&request, &completion);
                answer.text = new.formed_answer.unwrap_or(answer.text);
                unit.insert_answer(plan.id, &answer)?;
            }
            write_outcome(&unit, plan.id, &outcome, Status::Evolved)?;
        }
        Ok(unit.commit()?)
    })
}

fn child_row(plan: &Plan, round: u32, child: Child, generated: Generated) -> Node {
    let Plan { id, attempt, operator, parent } = plan;
    Node {
        id: *id,
        parent_id: Some(parent.id),
        root_id: parent.root_id,
        round,
        attempt: *attempt,
        operator: Some(operator.name().to_owned()),
        instruction: child.instruction,
        input: child.input,
        skill: parent.skill.clone(),
        // A parent's difficulty says nothing about a harder version of it.
        difficulty: parent.difficulty.filter(|_| operator.is_in_breadth()),
        generation: generated.map(|(request, completion)| requests::generation(&request, &completion)),
        status: Status::Evolved,
        reason: None,
        constraints: constrain::to_json(&child.constraints),
    }
}
