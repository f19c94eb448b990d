//! The stage in which instructions are answered, and the answers are checked by the rules.
//!
//! In the flow: called by `rounds`, for the seeds and as the last stage of each attempt.
//!
//! **Invariant:** which answer is kept, and which are generated, is a function of the chunk: its samples come
//! in waves, one call each, so that a replay can make the same calls.

use super::eliminate::{self, Outcome};
use super::requests;
use super::state::{Run, StageId};
use super::{Error, Reason, Stage};
use crate::llm::FinishReason;
use crate::store::{Answer, Node, Status};

/// Answers what the judge kept (in round 0, all seeds), and applies the rules to the answers.
pub(super) fn answer(run: &mut Run<'_, '_>, round: u32, attempt: u32) -> Result<(), Error> {
    let id = StageId { round, attempt, stage: Stage::Answer };
    run.in_chunks(
        id,
        run.tally.reached(attempt, Stage::Answer),
        |run, after| run.reached_chunk(id, after),
        |_, node: &Node| Ok(matches!(node.status, Status::Kept | Status::Eliminated)),
        |run, nodes| {
            let answers = answers(run, nodes)?;
            let (outcomes, new): (Vec<Outcome>, Vec<Option<Answer>>) = answers
                .into_iter()
                .map(|Answered { answer, outcome, is_new }| (outcome, is_new.then_some(answer)))
                .unzip();
            run.commit_outcomes(nodes, &outcomes, Status::Kept, |unit| {
                for (node, answer) in nodes.iter().zip(&new) {
                    if let Some(answer) = answer {
                        unit.insert_answer(node.id, answer)?;
                    }
                }
                Ok(())
            })
        },
    )
}

/// An answer of one node, and what the rules say about it.
struct Answered {
    answer: Answer,
    outcome: Outcome,
    /// Whether it still has to be written to the journal.
    is_new: bool,
}

/// For each node, the first answer that passes, or else the last one. Each wave makes one sample for every
/// node whose answers have all failed so far. The last wave is of brief answers, to nodes of whose answers
/// one was cut; its number is that of the samples, by which a replay knows it.
fn answers(run: &mut Run<'_, '_>, nodes: &[Node]) -> Result<Vec<Answered>, Error> {
    let mut answered: Vec<Option<Answered>> = Vec::with_capacity(nodes.len());
    for node in nodes {
        // An operator that answers first has written one with the node.
        let found = run.watch.store(|| run.store.answer(node.id))?;
        let check = |answer: Answer| {
            let outcome = check_answer(run, node, &answer.text, answer.generation.finish_reason)?;
            Ok::<_, Error>(Answered { answer, outcome, is_new: false })
        };
        answered.push(found.map(check).transpose()?);
    }
    let mut was_cut = vec![false; nodes.len()];
    let samples = run.policy.answer_samples;
    for sample in 0..=samples {
        let is_brief = sample == samples;
        let is_open = |at: &usize| {
            let failed = |found: &Answered| found.is_new && found.outcome.reason.is_some();
            answered[*at].as_ref().is_none_or(failed) && (!is_brief || was_cut[*at])
        };
        let open: Vec<usize> = (0..nodes.len()).filter(is_open).collect();
        if open.is_empty() {
            continue;
        }
        let request = |&at: &usize| {
            let node = &nodes[at];
            if is_brief {
                run.requests.brief_answer(run.model, node, sample)
            } else {
                run.requests.answer(run.model, node, sample)
            }
        };
        let requests = open.iter().map(request).collect::<Result<Vec<_>, _>>()?;
        let completions = requests::complete(run.model, &requests)?;
        for ((at, request), completion) in open.into_iter().zip(&requests).zip(&completions) {
            let answer = requests::answer_row(request, completion);
            let outcome = check_answer(run, &nodes[at], &answer.text, completion.finish_reason)?;
            was_cut[at] |= outcome.reason == Some(Reason::AnswerTruncated);
            answered[at] = Some(Answered { answer, outcome, is_new: true });
        }
    }
    Ok(answered.into_iter().map(|answered| answered.expect("at least one sample")).collect())
}

fn check_answer(
    run: &Run<'_, '_>,
    node: &Node,
    answer: &str,
    finish: FinishReason,
) -> Result<Outcome, Error> {
    let guards = run.policy.guards;
    run.watch.filters(|| eliminate::check_answer(&run.rules.words, node, answer, finish, guards))
}
