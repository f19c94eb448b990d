//! LLM as a judge: which of two responses a local model prefers.
//!
//! Where in the flow: after all contestants have responded; the result fills the preferences of the
//! comparisons.
//!
//! The judge reads an instruction and two responses and is asked for the letter of the better one. The
//! probabilities of the two letters are compared; no text is parsed. Each pair is judged in both orders and
//! counts as a win or a loss only if both orders agree, otherwise as a tie. (`FastChat` alternates the order
//! from pair to pair, which leaves the position bias in the result.)
//!
//! A judge is first calibrated on pairs whose better response is known by construction: a response to the
//! instruction against a response to another instruction, and a whole response against its first third. A
//! judge that is right in both orders for less than [`MIN_ACCURACY`] of these pairs is not used: its
//! preferences would be noise with a p-value.
//!
//! **Invariant:** the preference for (a, b) is the opposite of that for (b, a).

use super::Error;
use super::measure::{count_words, share_of};
use super::outcomes::{ScoredItem, by_difficulty, by_skill, count_outcomes};
use super::responses::chat_prompt;
use super::result::{Estimate, Generation, Preference};
use super::stats;
use crate::llm::{Generate, Question};

/// The share of calibration pairs that a judge must get right in both orders; random answers get a quarter.
pub const MIN_ACCURACY: f64 = 0.75;

/// Number of reference responses used for calibration, spread over the suite, two pairs each. The interval of
/// a judge at the limit is then about eight points to either side, and calibration takes less than a tenth of
/// the time of judging the suite.
const REFERENCES: usize = 40;

/// Reference responses that meet the instructions of the suite.
const REFERENCE: &str = include_str!("responses.jsonl");

/// A pair of responses to judge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair<'a> {
    /// The instruction that both respond to.
    pub instruction: &'a str,
    /// The response whose wins are counted.
    pub first: &'a str,
    /// The response that it is compared with.
    pub second: &'a str,
}

/// How much a judge prefers the first response of a pair: the difference of log-probabilities in nats, with
/// the first response shown first, then with it shown second. `None` if the pair does not fit in its context.
pub type Margins = Option<[f64; 2]>;

/// Judges each pair in both orders.
///
/// # Errors
/// The model has no chat template, it failed, or the call was interrupted.
///
/// # Panics
/// If the model does not return one answer per question.
pub fn judge(model: &mut dyn Generate, pairs: &[Pair<'_>]) -> Result<Vec<Margins>, Error> {
    let labels = || vec![vec!["A".to_owned()], vec!["B".to_owned()]];
    let mut questions = Vec::with_capacity(2 * pairs.len());
    for pair in pairs {
        for (a, b) in [(pair.first, pair.second), (pair.second, pair.first)] {
            let prompt = chat_prompt(&*model, &question(pair.instruction, a, b))?;
            questions.push(Question { id: questions.len() as u64, prompt, labels: labels() });
        }
    }
    let answers = model.score(&questions)?;
    assert_eq!(answers.len(), questions.len(), "one answer per question");
    let margin =
        |answer: &crate::llm::Answer| answer.log_probs.as_ref().map(|log_probs| log_probs[0] - log_probs[1]);
    Ok(answers.chunks_exact(2).map(|both| Some([margin(&both[0])?, -margin(&both[1])?])).collect())
}

fn question(instruction: &str, a: &str, b: &str) -> String {
    format!(
        "Two assistants were given the same instruction. Decide whose response follows it better: correct, \
         complete, and as it was asked for. Length and tone do not matter by themselves.\n\n\
         [Instruction]\n{instruction}\n\n[Response A]\n{a}\n\n[Response B]\n{b}\n\n\
         Which response is better? Reply with one letter, A or B."
    )
}

/// The performance of a judge on pairs with a known better response.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// Number of pairs that were judged.
    pub pairs: usize,
    /// Share of pairs that the judge got right in both orders.
    pub accuracy: Estimate,
    /// Share of pairs where the order of the responses decided.
    pub flip_rate: Estimate,
}

impl Calibration {
    /// Whether the judge is accurate enough to be used.
    pub fn is_trusted(&self) -> bool {
        self.accuracy.value >= MIN_ACCURACY
    }
}

/// Calibrates a judge on pairs with a known better response; `None` if no pair fits in its context.
///
/// # Errors
/// As [`judge`].
pub fn calibrate(model: &mut dyn Generate) -> Result<Option<Calibration>, Error> {
    let reference = reference();
    let cut: Vec<String> = reference.iter().map(|(_, response)| first_third(response)).collect();
    let mut pairs = Vec::new();
    for at in (0..REFERENCES).map(|at| at * reference.len() / REFERENCES) {
        let (instruction, response) = &reference[at];
        // Half the list away, the response belongs to another skill.
        let other = &reference[(at + reference.len() / 2) % reference.len()].1;
        pairs.push(Pair { instruction, first: response, second: other });
        pairs.push(Pair { instruction, first: response, second: &cut[at] });
    }
    // A response of one word equals its first third, so it makes no pair.
    pairs.retain(|pair| pair.first.trim() != pair.second.trim());
    let margins: Vec<[f64; 2]> = judge(model, &pairs)?.into_iter().flatten().collect();
    let right = |margins: &[f64; 2]| margins.iter().all(|&margin| margin > 0.0);
    let Some(accuracy) = share_of(margins.iter().map(right)) else { return Ok(None) };
    let Some(flip_rate) = share_of(margins.iter().map(is_flip)) else { return Ok(None) };
    Ok(Some(Calibration { pairs: margins.len(), accuracy, flip_rate }))
}

/// The instructions of the suite that have a reference response, each with that response.
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

/// The first third of the words of a text, at least one word.
fn first_third(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words[..(words.len() / 3).max(1).min(words.len())].join(" ")
}

/// Whether the order decided: the judge preferred the response shown first both times, or the one shown
/// second.
fn is_flip(margins: &[f64; 2]) -> bool {
    (margins[0] > 0.0 && margins[1] < 0.0) || (margins[0] < 0.0 && margins[1] > 0.0)
}

/// Summarises a judge's margins for the responses of two contestants, in the order of the items. `None` if no
/// pair could be judged.
///
/// # Panics
/// If there is not one margin per response of each side.
pub fn preference(
    side: &[Generation],
    against: &[Generation],
    margins: &[Margins],
    seed: u64,
) -> Option<Preference> {
    assert!(side.len() == margins.len() && against.len() == margins.len(), "one pair per item");
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
    let total = count_outcomes(scores.iter().copied());
    let scored: Vec<ScoredItem<'_>> =
        judged.iter().zip(&scores).map(|((response, ..), &score)| ScoredItem { response, score }).collect();
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
        needed: stats::items_needed(total.wins, total.losses, judged.len()),
        by_skill: by_skill(&scored),
        by_difficulty: by_difficulty(&scored),
    })
}
