//! The stage in which instructions are answered, and answers meet the rules.
//!
//! In the flow: called by `rounds`, for the seeds and at the end of each attempt.
//!
//! **Invariant:** which answer is kept, and which are asked for, is a function of the list: the samples of a
//! chunk come in waves, one call each, so that a replay can make the same calls.

use super::eliminate::{self, Outcome};
use super::requests;
use super::rounds::{Run, generation, record};
use super::{Error, Stage};
use crate::llm::{Completion, FinishReason, Request};
use crate::store::{Answer, Node, Status};

impl Run<'_, '_> {
    /// Answers what came through the judge (the seeds: all), and asks the rules on answers.
    pub(super) fn answer(&mut self, round: u32, attempt: u32) -> Result<(), Error> {
        let nodes = requests::reached(self.attempts(round, attempt)?, Stage::Answer)?;
        let place = (round, attempt, Stage::Answer);
        let is_done = |_: &Self, node: &Node| Ok(matches!(node.status, Status::Kept | Status::Eliminated));
        self.in_chunks(place, &nodes, is_done, |run, nodes| {
            let answers = run.answers(nodes)?;
            run.watch.store(|| {
                let unit = run.store.begin()?;
                for (node, Answered { answer, outcome, is_new }) in nodes.iter().zip(answers) {
                    if is_new {
                        unit.insert_answer(node.id, &answer)?;
                    }
                    record(&unit, node.id, &outcome, Status::Kept)?;
                }
                Ok(unit.commit()?)
            })
        })
    }

    /// For each node the first answer that passes, or else the last: in waves, one for each sample, of those
    /// that have none yet.
    fn answers(&mut self, nodes: &[Node]) -> Result<Vec<Answered>, Error> {
        let mut answered: Vec<Option<Answered>> = Vec::with_capacity(nodes.len());
        for node in nodes {
            let there = self.watch.store(|| self.store.answer(node.id))?;
            let check = |answer: Answer| {
                let outcome = self.check_answer(node, &answer.text, answer.generation.finish_reason)?;
                Ok::<_, Error>(Answered { answer, outcome, is_new: false })
            };
            answered.push(there.map(check).transpose()?);
        }
        for sample in 0..self.policy.answer_samples {
            let is_open = |answered: &Option<Answered>| {
                answered.as_ref().is_none_or(|found| found.is_new && found.outcome.reason.is_some())
            };
            let open: Vec<usize> = (0..nodes.len()).filter(|&at| is_open(&answered[at])).collect();
            if open.is_empty() {
                break;
            }
            let requests = open
                .iter()
                .map(|&at| self.requests.answer(self.model, &nodes[at], sample))
                .collect::<Result<Vec<_>, _>>()?;
            let completions = requests::complete(self.model, &requests)?;
            for ((at, request), completion) in open.into_iter().zip(&requests).zip(&completions) {
                let answer = answer_of(request, completion);
                let outcome = self.check_answer(&nodes[at], &answer.text, completion.finish_reason)?;
                answered[at] = Some(Answered { answer, outcome, is_new: true });
            }
        }
        Ok(answered.into_iter().map(|answered| answered.expect("at least one sample")).collect())
    }

    fn check_answer(&self, node: &Node, answer: &str, finish: FinishReason) -> Result<Outcome, Error> {
        self.watch
            .filters(|| eliminate::check_answer(&self.rules.words, node, answer, finish, self.policy.guards))
    }
}

/// An answer of one node, and what the rules say about it.
struct Answered {
    answer: Answer,
    outcome: Outcome,
    /// It is not in the journal yet.
    is_new: bool,
}

pub(super) fn answer_of(request: &Request, completion: &Completion) -> Answer {
    Answer {
        text: requests::read_answer(completion),
        generation: generation(request, completion),
        sample: request.sample,
    }
}
