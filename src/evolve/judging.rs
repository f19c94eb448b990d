//! The stages in which a model judges: rule 1 before answering, difficulty after it.
//!
//! In the flow: called by `rounds`, between evolving and answering, and at the end of a round.
//!
//! **Invariant:** a judge that is not trusted is asked nothing: words decide, and nothing is rated.

use super::eliminate::{Child, Outcome};
use super::judge::{self, Margin};
use super::requests;
use super::rounds::{Run, record};
use super::{Calibration, Error, Operator, Reason, Stage, guard};
use crate::dataset::{DIFFICULTY, user_turn};
use crate::store::{Node, Status, Verdict};
use serde_json::json;
use std::collections::HashMap;

impl Run<'_, '_> {
    /// Asks rule 1 of the children that came through the first stage: the judge where it can be trusted, else
    /// words. What code added is new by construction.
    pub(super) fn judge(&mut self, round: u32, attempt: u32, line: &Calibration) -> Result<(), Error> {
        let nodes = requests::reached(self.attempts(round, attempt)?, Stage::Judge)?;
        let place = (round, attempt, Stage::Judge);
        self.in_chunks(
            place,
            &nodes,
            |_, node| Ok(node.status != Status::Evolved),
            |run, nodes| {
                let mut outcomes: HashMap<u64, Outcome> = HashMap::new();
                let mut asked = Vec::new();
                let mut pairs = Vec::new();
                for node in nodes {
                    let operator = operator_of(node)?;
                    if operator.is_by_code() {
                        outcomes.insert(node.id, Outcome::new());
                    } else if line.trusted {
                        asked.push(node.id);
                        pairs.push(run.pair(node)?);
                    } else {
                        outcomes.insert(node.id, run.lexical(operator, node)?);
                    }
                }
                let margins = match &mut run.judge {
                    Some(judge) => judge::margins(*judge, &run.judge_prompts.same, &pairs)?,
                    None => judge::margins(run.model, &run.judge_prompts.same, &pairs)?,
                };
                let judged = margins.into_iter().map(|margin| judgement(margin, line));
                outcomes.extend(asked.into_iter().zip(judged));
                run.watch.store(|| {
                    let unit = run.store.begin()?;
                    for node in nodes {
                        record(&unit, node.id, &outcomes[&node.id], Status::Judged)?;
                    }
                    Ok(unit.commit()?)
                })
            },
        )
    }

    /// Rule 1 by words.
    fn lexical(&self, operator: Operator, node: &Node) -> Result<Outcome, Error> {
        let parent = self.parent(node)?;
        let child = Child {
            instruction: node.instruction.clone(),
            input: node.input.clone(),
            lacks_data: false,
            constraints: Vec::new(),
        };
        let objection = guard::lexical_gain(&self.rules.case(operator, &parent, &child));
        Ok(objection.map_or_else(Outcome::new, |objection| Outcome::of(Reason::NoGain, false, objection)))
    }

    fn parent(&self, node: &Node) -> Result<Node, Error> {
        let parent = node.parent_id.expect("only children are judged");
        Ok(self.watch.store(|| self.store.node(parent))?.expect("the journal's foreign keys hold"))
    }

    /// A node with its parent, as the judge sees them. Material that was carried over is left out on both
    /// sides: it cannot make a difference, and it can be long.
    fn pair(&self, node: &Node) -> Result<(String, String), Error> {
        let parent = self.parent(node)?;
        if parent.input == node.input {
            return Ok((parent.instruction, node.instruction.clone()));
        }
        Ok((user_turn(&parent.instruction, &parent.input), user_turn(&node.instruction, &node.input)))
    }

    /// Has the judge say how hard the round's kept instructions are, and whether they are harder than their
    /// parents.
    pub(super) fn rate(&mut self, round: u32) -> Result<(), Error> {
        let mut kept = Vec::new();
        for attempt in 0..self.policy.attempts {
            kept.extend(
                self.attempts(round, attempt)?.into_iter().filter(|node| node.status == Status::Kept),
            );
        }
        let is_rated = |run: &Self, node: &Node| {
            let verdicts = run.watch.store(|| run.store.verdicts(node.id))?;
            Ok(verdicts.iter().any(|verdict| verdict.rule == DIFFICULTY))
        };
        self.in_chunks((round, 0, Stage::Rate), &kept, is_rated, |run, nodes| {
            let pairs = nodes.iter().map(|node| run.pair(node)).collect::<Result<Vec<_>, _>>()?;
            let ratings = match &mut run.judge {
                Some(judge) => judge::rate(*judge, &run.judge_prompts, &pairs)?,
                None => judge::rate(run.model, &run.judge_prompts, &pairs)?,
            };
            run.watch.store(|| {
                let unit = run.store.begin()?;
                for (node, rating) in nodes.iter().zip(ratings) {
                    let detail = rating.map(|r| json!({ "difficulty": r.difficulty, "harder": r.harder }));
                    let detail = detail.unwrap_or_default();
                    unit.insert_verdict(
                        node.id,
                        &Verdict { rule: DIFFICULTY.to_owned(), passed: true, detail },
                    )?;
                    if let Some(rating) = rating {
                        unit.set_difficulty(node.id, rating.difficulty.round() as u8)?;
                    }
                }
                Ok(unit.commit()?)
            })
        })
    }
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
