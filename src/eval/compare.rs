//! Compares two contestants on the same items: paired differences, tests, and `WizardLM`'s relative score.
//!
//! Where in the flow: after `measure`. The judge's preferences are added by `judge`.
//!
//! **Invariant:** every comparison is paired item by item, so the difficulty of an item, which both
//! contestants share, does not add to the noise.

use super::measure::{RecordLikelihood, correct, loosely_correct};
use super::outcomes::{ScoredItem, by_difficulty, by_skill};
use super::result::{Comparison, Estimate, Generation, Paired, Pooled, RelativeScore, Slice};
use super::stats;
use std::collections::BTreeSet;

/// One side of a comparison.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The name of the contestant.
    pub name: &'a str,
    /// Its responses, one per item, in the order of the items.
    pub responses: &'a [Generation],
    /// Its likelihoods of the held-out records, in the order of the records.
    pub held_out: &'a [RecordLikelihood],
}

/// Decides whether a response is right; `None` if the measure does not apply to its item.
type Verdict<'a> = dyn Fn(&Generation) -> Option<bool> + 'a;

/// Compares `side` with `against`. The preference is left empty; a caller with a judge adds it.
///
/// # Panics
/// If the two have different numbers of responses.
pub fn compare(side: Side<'_>, against: Side<'_>, seed: u64) -> Comparison {
    assert_eq!(side.responses.len(), against.responses.len(), "both must answer the same items");
    let exact =
        |choice: bool| move |response: &Generation| response.right.filter(|_| response.choice == choice);
    let verifiable = |response: &Generation| correct(response).filter(|_| !response.checks.is_empty());
    let measures: [(&str, &Verdict<'_>); 5] = [
        ("prompt_strict", &verifiable),
        ("prompt_loose", &loosely_correct),
        ("exact_match", &exact(false)),
        ("choice_accuracy", &exact(true)),
        ("correct", &correct),
    ];
    let paired = measures.iter().filter_map(|(metric, verdict)| {
        let verdicts = verdicts(side.responses, against.responses, verdict);
        paired(metric, &verdicts)
    });
    let mut paired: Vec<Paired> = paired.collect();
    // `correct` covers all kinds of items. If all are of one kind, it would repeat that kind's result.
    let kinds = ["prompt_strict", "exact_match", "choice_accuracy"];
    if paired.iter().filter(|paired| kinds.contains(&paired.metric.as_str())).count() < 2 {
        paired.pop();
    }
    let both = side.responses.iter().zip(against.responses);
    let scored: Vec<ScoredItem<'_>> = both
        .filter_map(|(one, other)| {
            let (right, other_right) = (correct(one)?, correct(other)?);
            let score = f64::midpoint(f64::from(u8::from(right)), f64::from(u8::from(!other_right)));
            Some(ScoredItem { response: one, score })
        })
        .collect();
    Comparison {
        name: side.name.to_owned(),
        against: against.name.to_owned(),
        paired,
        constraints: constraint_difference(side.responses, against.responses, seed),
        held_out_loss: held_out_difference(side.held_out, against.held_out, seed),
        by_skill: by_skill(&scored),
        by_difficulty: by_difficulty(&scored),
        relative_score: relative_score(side.responses, against.responses, seed),
        preference: None,
    }
}

/// The verdicts on both responses, for each item that has both.
fn verdicts(
    side: &[Generation],
    against: &[Generation],
    verdict: impl Fn(&Generation) -> Option<bool>,
) -> Vec<(bool, bool)> {
    side.iter().zip(against).filter_map(|(one, other)| Some((verdict(one)?, verdict(other)?))).collect()
}

fn paired(metric: &str, verdicts: &[(bool, bool)]) -> Option<Paired> {
    let count = |wanted: (bool, bool)| verdicts.iter().filter(|&&pair| pair == wanted).count();
    let (wins, losses) = (count((true, false)), count((false, true)));
    Some(Paired {
        metric: metric.to_owned(),
        both: count((true, true)),
        wins,
        losses,
        neither: count((false, false)),
        difference: stats::paired_difference(wins, losses, verdicts.len())?,
        p_value: stats::sign_test(wins, losses),
        needed: stats::items_needed(wins, losses, verdicts.len()),
    })
}

/// The difference of the shares of constraints that are met. Verdicts on the constraints of one item are
/// correlated, so the bootstrap resamples items and not constraints.
fn constraint_difference(side: &[Generation], against: &[Generation], seed: u64) -> Option<Estimate> {
    let met = |response: &Generation| response.checks.iter().filter(|check| check.strict).count() as f64;
    let with_checks = || side.iter().zip(against).filter(|(one, _)| !one.checks.is_empty());
    let more: Vec<f64> = with_checks().map(|(one, other)| met(one) - met(other)).collect();
    let checks: Vec<f64> = with_checks().map(|(one, _)| one.checks.len() as f64).collect();
    stats::ratio(&more, &checks, seed, "constraints")
}

fn held_out_difference(
    side: &[RecordLikelihood],
    against: &[RecordLikelihood],
    seed: u64,
) -> Option<Estimate> {
    let pairs = side.iter().zip(against);
    let nats: Vec<f64> = pairs.map(|(one, other)| other.log_likelihood - one.log_likelihood).collect();
    let tokens: Vec<f64> = side.iter().zip(against).map(|(record, _)| record.tokens as f64).collect();
    stats::ratio(&nats, &tokens, seed, "held_out")
}

/// The share of right items as a percentage of the other contestant's share, overall and by skill, as
/// `WizardLM` reports it.
fn relative_score(side: &[Generation], against: &[Generation], seed: u64) -> Option<RelativeScore> {
    let percent = |skill: Option<&str>| {
        let of_skill = |response: &Generation| {
            correct(response).filter(|_| skill.is_none_or(|skill| response.skill.as_deref() == Some(skill)))
        };
        let pairs = verdicts(side, against, of_skill);
        let (parts, wholes): (Vec<f64>, Vec<f64>) = pairs
            .iter()
            .map(|&(one, other)| (100.0 * f64::from(u8::from(one)), f64::from(u8::from(other))))
            .unzip();
        stats::ratio(&parts, &wholes, seed, "relative")
    };
    let skills: BTreeSet<&str> = side.iter().filter_map(|response| response.skill.as_deref()).collect();
    let by_skill: Vec<Slice> = skills
        .into_iter()
        .filter_map(|skill| Some(Slice { name: skill.to_owned(), correct: percent(Some(skill))? }))
        .collect();
    let overall = percent(None);
    (overall.is_some() || !by_skill.is_empty()).then_some(RelativeScore { overall, by_skill })
}

/// A training setup that was trained several times: contestants that differ only in the seed of their
/// training.
#[derive(Debug, Clone)]
pub struct Variant<'a> {
    /// The name of the setup, such as `evolved`.
    pub name: &'a str,
    /// The responses of each training, in the order of the items.
    pub trainings: Vec<&'a [Generation]>,
}

/// Compares two variants on the items with constraints, by their means over all trainings. `None` if there
/// are no such items or no trainings.
pub fn pool(variant: &Variant<'_>, against: &Variant<'_>, seed: u64) -> Option<Pooled> {
    let (values, others) = (strict_means(variant), strict_means(against));
    let differences: Vec<f64> = values.iter().zip(&others).map(|(one, other)| one - other).collect();
    let by_training = variant.trainings.iter().filter_map(|responses| {
        let verdicts: Vec<f64> = strict_verdicts(responses).collect();
        (!verdicts.is_empty()).then(|| verdicts.iter().sum::<f64>() / verdicts.len() as f64)
    });
    // Means that are equal as fractions may differ by rounding; that is not a win.
    let count = |sign: f64| differences.iter().filter(|difference| **difference * sign > 1e-9).count();
    let (wins, losses) = (count(1.0), count(-1.0));
    Some(Pooled {
        name: variant.name.to_owned(),
        against: against.name.to_owned(),
        by_training: by_training.collect(),
        value: stats::mean(&values, seed, "pooled")?,
        difference: stats::mean(&differences, seed, "pooled")?,
        wins,
        losses,
        p_value: stats::sign_test(wins, losses),
    })
}

/// For each item with constraints, the share of trainings that meet all of them.
fn strict_means(variant: &Variant<'_>) -> Vec<f64> {
    let mut sums: Vec<f64> = Vec::new();
    for responses in &variant.trainings {
        let verdicts: Vec<f64> = strict_verdicts(responses).collect();
        sums.resize(verdicts.len(), 0.0);
        sums.iter_mut().zip(verdicts).for_each(|(sum, verdict)| *sum += verdict);
    }
    for sum in &mut sums {
        *sum /= variant.trainings.len() as f64;
    }
    sums
}

/// For each item with constraints, 1 if the response meets all of them, otherwise 0.
fn strict_verdicts(responses: &[Generation]) -> impl Iterator<Item = f64> {
    responses
        .iter()
        .filter(|response| !response.checks.is_empty())
        .filter_map(|response| correct(response).map(|met| f64::from(u8::from(met))))
}
