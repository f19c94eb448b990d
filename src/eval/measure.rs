//! Verdicts on single responses, and the scores of one contestant.
//!
//! Where in the flow: after `responses`, before `compare`.
//!
//! **Invariant:** scores depend only on the stored generations and held-out likelihoods, so they can be
//! recomputed from the files of an evaluation.

use super::exact;
use super::result::{Checked, ConstraintRates, Contestant, Estimate, Generation, HeldOut, Slice};
use super::stats;
use super::suite::Task;
use std::collections::BTreeMap;

/// Checks a response against each constraint of its item; empty if the item has no constraints.
pub fn checks(task: &Task, response: &str) -> Vec<Checked> {
    match task {
        Task::Constraints(constraints) => constraints
            .iter()
            .map(|constraint| {
                let check = constraint.check(response);
                Checked {
                    name: constraint.kind().name().to_owned(),
                    strict: check.passed,
                    loose: check.passed || constraint.check_loose(response).passed,
                    found: check.found,
                }
            })
            .collect(),
        Task::Ifeval(instructions) => instructions
            .iter()
            .map(|instruction| Checked {
                name: instruction.id().to_owned(),
                strict: instruction.follows(response),
                loose: instruction.follows_loosely(response),
                found: String::new(),
            })
            .collect(),
        Task::Open | Task::Exact(_) | Task::Choice { .. } => Vec::new(),
    }
}

/// Whether the response gives the right answer; `None` if the item has no single right answer.
pub fn is_right(task: &Task, response: &str) -> Option<bool> {
    match task {
        Task::Exact(answer) => Some(exact::is_right(response, answer)),
        Task::Choice { choices, right } => Some(choices[*right] == response),
        Task::Open | Task::Constraints(_) | Task::Ifeval(_) => None,
    }
}

/// Whether the response meets all constraints strictly or gives the right answer; `None` if the item has
/// neither.
pub(super) fn correct(response: &Generation) -> Option<bool> {
    if response.checks.is_empty() {
        response.right
    } else {
        Some(response.checks.iter().all(|check| check.strict))
    }
}

/// Whether the response meets all constraints loosely; `None` if the item has no constraints.
pub(super) fn loosely_correct(response: &Generation) -> Option<bool> {
    (!response.checks.is_empty()).then(|| response.checks.iter().all(|check| check.loose))
}

/// The log-likelihood of the answer of one held-out record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecordLikelihood {
    /// The sum over the tokens in nats, at most 0.
    pub log_likelihood: f64,
    /// Number of tokens of the answer, including its end token.
    pub tokens: usize,
}

/// The measurements of one contestant.
#[derive(Debug, Clone, Copy)]
pub struct Measurements<'a> {
    /// The name of the contestant.
    pub name: &'a str,
    /// SHA-256 of its adapter; `None` for the base.
    pub adapter_sha256: Option<&'a str>,
    /// Its responses, one per item, in the order of the items.
    pub responses: &'a [Generation],
    /// Its likelihoods of the held-out records; empty if there are none.
    pub held_out: &'a [RecordLikelihood],
    /// The seed of the bootstrap.
    pub seed: u64,
}

/// Computes the scores of one contestant.
pub fn score_contestant(measurements: Measurements<'_>) -> Contestant {
    let Measurements { name, adapter_sha256, responses, held_out, seed } = measurements;
    let with_answer = |choice: bool| {
        let of_kind = |response: &&Generation| response.choice == choice;
        share_of(responses.iter().filter(of_kind).filter_map(|response| response.right))
    };
    let texts: Vec<&Generation> = responses.iter().filter(|response| !response.choice).collect();
    let words: Vec<f64> = texts.iter().map(|response| count_words(&response.response)).collect();
    Contestant {
        name: name.to_owned(),
        adapter_sha256: adapter_sha256.map(str::to_owned),
        constraints: constraint_rates(responses, seed),
        exact_match: with_answer(false),
        choice_accuracy: with_answer(true),
        held_out: held_out_loss(held_out, seed),
        words: stats::mean(&words, seed, "words"),
        truncated: share_of(texts.iter().map(|response| !response.ended)),
        by_skill: slices(verdicts(responses, |response| response.skill.clone())),
        by_difficulty: by_difficulty(responses),
        by_constraint: slices(
            responses
                .iter()
                .flat_map(|response| response.checks.iter().map(|check| (check.name.clone(), check.strict))),
        ),
    }
}

pub(super) fn count_words(text: &str) -> f64 {
    text.split_whitespace().count() as f64
}

pub(super) fn share_of(verdicts: impl Iterator<Item = bool>) -> Option<Estimate> {
    let (right, n) = verdicts.fold((0, 0), |(right, n), verdict| (right + usize::from(verdict), n + 1));
    stats::share(right, n)
}

fn constraint_rates(responses: &[Generation], seed: u64) -> Option<ConstraintRates> {
    let with: Vec<&Generation> = responses.iter().filter(|response| !response.checks.is_empty()).collect();
    let wholes: Vec<f64> = with.iter().map(|response| response.checks.len() as f64).collect();
    let met = |verdict: fn(&Checked) -> bool, purpose: &str| {
        let count =
            |response: &&Generation| response.checks.iter().filter(|check| verdict(check)).count() as f64;
        let parts: Vec<f64> = with.iter().map(count).collect();
        stats::ratio(&parts, &wholes, seed, purpose)
    };
    Some(ConstraintRates {
        prompt_strict: share_of(with.iter().filter_map(|response| correct(response)))?,
        prompt_loose: share_of(with.iter().filter_map(|response| loosely_correct(response)))?,
        constraint_strict: met(|check| check.strict, "constraint_strict")?,
        constraint_loose: met(|check| check.loose, "constraint_loose")?,
    })
}

fn held_out_loss(records: &[RecordLikelihood], seed: u64) -> Option<HeldOut> {
    let nats: Vec<f64> = records.iter().map(|record| -record.log_likelihood).collect();
    let tokens: Vec<f64> = records.iter().map(|record| record.tokens as f64).collect();
    let loss = stats::ratio(&nats, &tokens, seed, "held_out")?;
    let perplexity =
        Estimate { value: loss.value.exp(), low: loss.low.exp(), high: loss.high.exp(), n: loss.n };
    let tokens = records.iter().map(|record| record.tokens).sum();
    Some(HeldOut { records: records.len(), tokens, loss, perplexity })
}

fn by_difficulty(responses: &[Generation]) -> Vec<Slice> {
    // Names are sorted as text; with two digits, 10 comes after 09.
    let mut slices =
        slices(verdicts(responses, |response| response.difficulty.map(|level| format!("{level:02}"))));
    for slice in &mut slices {
        slice.name = slice.name.trim_start_matches('0').to_owned();
    }
    slices
}

/// The names (such as skills) and verdicts of the items that have both.
fn verdicts(
    responses: &[Generation],
    name: impl Fn(&Generation) -> Option<String>,
) -> impl Iterator<Item = (String, bool)> {
    responses.iter().filter_map(move |response| Some((name(response)?, correct(response)?)))
}

/// The share of right verdicts for each name.
fn slices(verdicts: impl Iterator<Item = (String, bool)>) -> Vec<Slice> {
    let mut groups: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    for (name, verdict) in verdicts {
        groups.entry(name).or_default().push(verdict);
    }
    let slice = |(name, verdicts): (String, Vec<bool>)| {
        Some(Slice { name, correct: share_of(verdicts.into_iter())? })
    };
    groups.into_iter().filter_map(slice).collect()
}
