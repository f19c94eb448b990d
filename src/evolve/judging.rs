//! The stages in which a model judges: rule 1 before answering, difficulty after it.
//!
//! In the flow: called by `rounds`, between evolving and answering, and at the end of a round.
//!
//! **Invariant:** a judge that is not trusted is asked nothing: words decide, and nothing is rated.

use super::eliminate::{Child, Outcome};
use super::judge::{self, Margin};
use super::state::{Run, StageId};
use super::{Calibration, Error, Operator, Reason, Stage, guard};
use crate::dataset::{DIFFICULTY, user_turn};
use crate::llm::Generate;
use crate::store::{Node, Status, Verdict};
use serde_json::json;

/// The model that judges: another one, or the run's own.
pub(super) fn judging_model<'r>(
    judge: &'r mut Option<&mut dyn Generate>,
    model: &'r mut dyn Generate,
) -> &'r mut dyn Generate {
    match judge {
        Some(judge) => &mut **judge,
        None => model,
    }
}

/// Applies rule 1 to the children that passed the first stage: by the judge where it can be trusted, else by
/// their words. What code added is new by construction.
pub(super) fn judge(
    run: &mut Run<'_, '_>,
    round: u32,
    attempt: u32,
    line: &Calibration,
) -> Result<(), Error> {
    let id = StageId { round, attempt, stage: Stage::Judge };
    run.in_chunks(
        id,
        run.tally.reached(attempt, Stage::Judge),
        |run, after| run.reached_chunk(id, after),
        |_, node: &Node| Ok(node.status != Status::Evolved),
        |run, nodes| {
            let outcomes = rule_1(run, nodes, line)?;
            run.commit_outcomes(nodes, &outcomes, Status::Judged, |_| Ok(()))
        },
    )
}

/// The outcome of rule 1 for each node.
fn rule_1(run: &mut Run<'_, '_>, nodes: &[Node], line: &Calibration) -> Result<Vec<Outcome>, Error> {
    // `None`: the judge decides.
    let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(nodes.len());
    let mut pairs = Vec::new();
    for node in nodes {
        let operator = operator_of(node)?;
        outcomes.push(if operator.is_by_code() {
            Some(Outcome::new())
        } else if line.trusted {
            pairs.push(pair(run, node)?);
            None
        } else {
            Some(lexical(run, operator, node)?)
        });
    }
    let model = judging_model(&mut run.judge, run.model);
    let mut margins = judge::margins(model, &run.judge_prompts.same, &pairs)?.into_iter();
    let mut judged = || judgement(margins.next().expect("one for each pair"), line);
    Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(&mut judged)).collect())
}

/// Rule 1 by words.
fn lexical(run: &Run<'_, '_>, operator: Operator, node: &Node) -> Result<Outcome, Error> {
    let parent = parent(run, node)?;
    let child = Child {
        instruction: node.instruction.clone(),
        input: node.input.clone(),
        lacks_data: false,
        constraints: Vec::new(),
    };
    let objection = guard::lexical_gain(&run.rules.case(operator, &parent, &child));
    Ok(objection.map_or_else(Outcome::new, |objection| Outcome::of(Reason::NoGain, false, objection)))
}

fn parent(run: &Run<'_, '_>, node: &Node) -> Result<Node, Error> {
    let parent = node.parent_id.expect("only children are judged");
    Ok(run.watch.store(|| run.store.node(parent))?.expect("the journal's foreign keys hold"))
}

/// The parent's and the node's task, as the judge sees them. Material that was carried over is left out on
/// both sides: it cannot make a difference, and it can be long.
fn pair(run: &Run<'_, '_>, node: &Node) -> Result<(String, String), Error> {
    let parent = parent(run, node)?;
    if parent.input == node.input {
        return Ok((parent.instruction, node.instruction.clone()));
    }
    Ok((user_turn(&parent.instruction, &parent.input), user_turn(&node.instruction, &node.input)))
}

/// Has the judge say how hard the round's kept instructions are, and whether they are harder than their
/// parents.
pub(super) fn rate(run: &mut Run<'_, '_>, round: u32) -> Result<(), Error> {
    let is_rated = |run: &Run<'_, '_>, node: &Node| {
        let verdicts = run.watch.store(|| run.store.verdicts(node.id))?;
        Ok(verdicts.iter().any(|verdict| verdict.rule == DIFFICULTY))
    };
    run.in_chunks(
        StageId { round, attempt: 0, stage: Stage::Rate },
        run.tally.kept(),
        |run, after| kept_chunk(run, round, after),
        is_rated,
        rate_chunk,
    )
}

/// The chunk of the round's kept nodes after `after`, by attempt and id. It may reach into the next attempt.
fn kept_chunk(run: &Run<'_, '_>, round: u32, after: Option<&Node>) -> Result<Vec<Node>, Error> {
    let size = run.config.chunk_size;
    let (mut attempt, mut id) = after.map_or((0, 0), |node| (node.attempt, node.id));
    let mut chunk = Vec::new();
    while chunk.len() < size && attempt < run.policy.attempts {
        let wanted = size - chunk.len();
        chunk.extend(run.watch.store(|| run.store.kept_page(round, attempt, id, wanted))?);
        (attempt, id) = (attempt + 1, 0);
    }
    Ok(chunk)
}

fn rate_chunk(run: &mut Run<'_, '_>, nodes: &[Node]) -> Result<(), Error> {
    let pairs = nodes.iter().map(|node| pair(run, node)).collect::<Result<Vec<_>, _>>()?;
    let model = judging_model(&mut run.judge, run.model);
    let ratings = judge::rate(model, &run.judge_prompts, &pairs)?;
    let Run { store, watch, .. } = run;
    watch.store(|| {
        let unit = store.begin()?;
        for (node, rating) in nodes.iter().zip(ratings) {
            let detail = rating.map(|r| json!({ "difficulty": r.difficulty, "harder": r.harder }));
            let detail = detail.unwrap_or_default();
            unit.insert_verdict(node.id, &Verdict { rule: DIFFICULTY.to_owned(), passed: true, detail })?;
            if let Some(rating) = rating {
                unit.set_difficulty(node.id, rating.difficulty.round() as u8)?;
            }
        }
        Ok(unit.commit()?)
    })
}

fn operator_of(node: &Node) -> Result<Operator, Error> {
    let operator = node.operator.as_deref().and_then(Operator::parse);
    operator.ok_or_else(|| Error::NoOrigin { id: node.id, operator: node.operator.clone() })
}

/// Rule 1 on the margin of a pair.
fn judgement(margin: Option<Margin>, line: &Calibration) -> Outcome {
    let Some(margin) = margin else { return Outcome::of(Reason::NotJudged, false, json!(null)) };
    let detail = json!({
        "margin": margin.mean(),
        "parent_first": margin.orders[0],
        "child_first": margin.orders[1],
        "threshold": line.threshold,
    });
    Outcome::of(Reason::NoGain, margin.mean() <= line.threshold, detail)
}
