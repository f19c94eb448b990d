//! Which of two responses a local model prefers.
//!
//! Where in the flow: after all contestants have responded; fills the preferences of the comparisons.
//!
//! The judge reads an instruction and two responses and is asked for the letter of the better one; the
//! probabilities of the two letters are compared, no text is parsed. Each pair is asked in both orders: a win
//! or a loss only if both agree, a tie otherwise. (`FastChat`'s judge is asked in one order by turns, which
//! leaves the bias of the order in the result.)
//!
//! A judge is tried first on pairs that have a better response by construction: a response to the instruction
//! against one to another instruction, and a whole response against its first third. One that does not tell
//! these apart in both orders in [`MIN_ACCURACY`] of the cases is not asked: its preferences would be noise
//! with a p-value.
//!
//! **Invariant:** the preference for (a, b) is the opposite of that for (b, a).

use super::Error;
use super::measure::{count_words, share_of};
use super::outcomes::{Scored, by_difficulty, by_skill, outcomes};
use super::responses::prompt;
use super::result::{Estimate, Generation, Preference};
use super::stats;
use crate::llm::{Generate, Question};

/// Share of the calibration pairs that a judge must get right in both orders; a coin gets a quarter.
pub const MIN_ACCURACY: f64 = 0.75;

/// Responses that pairs are made of, spread over the suite: with two pairs each, the interval of a judge at
/// the limit is some eight points to both sides, and trying it takes less than a tenth of what judging the
/// suite takes.
const REFERENCES: usize = 40;

/// Responses that meet their instructions, written with the suite: what calibration pairs are made of.
const REFERENCE: &str = include_str!("responses.jsonl");

/// A pair to be judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair<'a> {
    /// What both respond to.
    pub instruction: &'a str,
    /// The one that is asked about.
    pub first: &'a str,
    /// The other.
    pub second: &'a str,
}

/// How much a judge prefers the first of a pair, in nats, with the first shown first and with it shown
/// second; `None`: too long for its context.
pub type Margins = Option<[f64; 2]>;

/// Asks for each pair, in both orders.
///
/// # Errors
/// The model has no chat template, it failed, or the call was interrupted.
///
/// # Panics
/// If the model gives another number of answers than it was asked questions.
pub fn judge(model: &mut dyn Generate, pairs: &[Pair<'_>]) -> Result<Vec<Margins>, Error> {
    let labels = || vec![vec!["A".to_owned()], vec!["B".to_owned()]];
    let mut questions = Vec::with_capacity(2 * pairs.len());
    for pair in pairs {
        for (a, b) in [(pair.first, pair.second), (pair.second, pair.first)] {
            let prompt = prompt(&*model, &question(pair.instruction, a, b))?;
            questions.push(Question { id: questions.len() as u64, prompt, labels: labels() });
        }
    }
    let answers = model.score(&questions)?;
    assert_eq!(answers.len(), questions.len(), "one answer for each question");
    let margin =
        |answer: &crate::llm::Answer| answer.log_probs.as_ref().map(|log_probs| log_probs[0] - log_probs[1]);
    Ok(answers.chunks_exact(2).map(|both| Some([margin(&both[0])?, -margin(&both[1])?])).collect())
}

fn question(instruction: &str, a: &str, b: &str) -> String {
    format!(
        "Two assistants were given the same instruction. Decide whose response follows it better: correct, complete, and as \
         it was asked for. Length and tone do not matter by themselves.\n\n\
         [Instruction]\n{instruction}\n\n[Response A]\n{a}\n\n[Response B]\n{b}\n\n\
         Which response is better? Reply with one letter, A or B."
    )
}

/// How a judge did on pairs with a known better response.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// Pairs.
    pub pairs: usize,
    /// Share that both orders got right.
    pub accuracy: Estimate,
    /// Share that the order decided.
    pub flip_rate: Estimate,
}

impl Calibration {
    /// Whether its preferences mean something.
    pub fn is_trusted(&self) -> bool {
        self.accuracy.value >= MIN_ACCURACY
    }
}

/// Tries a judge on pairs with a known better response; `None` if none of them fits its context.
///
/// # Errors
/// As [`judge`].
pub fn calibrate(model: &mut dyn Generate) -> Result<Option<Calibration>, Error> {
    let reference = reference();
    let cut: Vec<String> = reference.iter().map(|(_, response)| first_third(response)).collect();
    let mut pairs = Vec::new();
    for at in (0..REFERENCES).map(|at| at * reference.len() / REFERENCES) {
        let (instruction, response) = &reference[at];
        // Half of the list on is another skill.
        let other = &reference[(at + reference.len() / 2) % reference.len()].1;
        pairs.push(Pair { instruction, first: response, second: other });
        pairs.push(Pair { instruction, first: response, second: &cut[at] });
    }
    // A response of one word is its own first third.
    pairs.retain(|pair| pair.first.trim() != pair.second.trim());
    let margins: Vec<[f64; 2]> = judge(model, &pairs)?.into_iter().flatten().collect();
    let right = |margins: &[f64; 2]| margins.iter().all(|&margin| margin > 0.0);
    let Some(accuracy) = share_of(margins.iter().map(right)) else { return Ok(None) };
    let Some(flip_rate) = share_of(margins.iter().map(is_flip)) else { return Ok(None) };
    Ok(Some(Calibration { pairs: margins.len(), accuracy, flip_rate }))
}

/// Instructions of the suite with a response that meets them.
fn reference() -> Vec<(String, String)> {
    #[derive(serde::Deserialize)]
    struct Line {
        line: usize,
        response: String,
    }
    let suite = super::Suite::builtin();
    let pair = |text: &str| {
        let Line { line, response } =
            serde_json::from_str(text).expect("a test reads the reference responses");
        (suite.items[line - 1].instruction.clone(), response)
    };
    REFERENCE.lines().map(pair).collect()
}

/// Its first words, at least one, at most a third.
fn first_third(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words[..(words.len() / 3).max(1).min(words.len())].join(" ")
}

/// Whether the one that was shown first was preferred both times, or both times the other one.
fn is_flip(margins: &[f64; 2]) -> bool {
    (margins[0] > 0.0 && margins[1] < 0.0) || (margins[0] < 0.0 && margins[1] > 0.0)
}

/// Sums up what a judge said about the responses of two contestants, in the order of the items.
///
/// # Panics
/// If there are not as many margins as responses of each.
pub fn preference(
    side: &[Generation],
    against: &[Generation],
    margins: &[Margins],
    seed: u64,
) -> Option<Preference> {
    assert!(side.len() == margins.len() && against.len() == margins.len(), "one pair for each item");
    let judged: Vec<(&Generation, &Generation, [f64; 2])> = side
        .iter()
        .zip(against)
        .zip(margins)
        .filter_map(|((one, other), margins)| Some((one, other, (*margins)?)))
        .collect();
    let score = |margins: &[f64; 2]| match margins {
        margins if margins.iter().all(|&margin| margin > 0.0) => 1.0,
        margins if margins.iter().all(|&margin| margin < 0.0) => 0.0,
        _ => 0.5,
    };
    let scores: Vec<f64> = judged.iter().map(|(.., margins)| score(margins)).collect();
    let lengths: Vec<f64> = judged
        .iter()
        .map(|(one, other, _)| count_words(&one.response) - count_words(&other.response))
        .collect();
    let total = outcomes(scores.iter().copied());
    let scored: Vec<Scored<'_>> = judged.iter().map(|(one, ..)| *one).zip(scores.iter().copied()).collect();
    let length_controlled = stats::bootstrap(judged.len(), seed, "length_controlled", |items| {
        let (outcomes, lengths): (Vec<f64>, Vec<f64>) = items.map(|at| (scores[at], lengths[at])).unzip();
        stats::length_controlled(&outcomes, &lengths)
    });
    Some(Preference {
        total,
        win_rate: stats::mean(&scores, seed, "win_rate")?,
        length_controlled,
        flip_rate: share_of(judged.iter().map(|(.., margins)| is_flip(margins)))?,
        p_value: stats::sign_test(total.wins, total.losses),
        needed: stats::needed(total.wins, total.losses, judged.len()),
        by_skill: by_skill(&scored),
        by_difficulty: by_difficulty(&scored),
    })
}
