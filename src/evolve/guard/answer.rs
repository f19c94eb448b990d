//! The guards on answers.
//!
//! In the flow: functions of the rows of `GUARDS`.
//!
//! **Invariant:** pure functions of the case and the limit.

use super::Case;
use super::child::{differ_in_language, phrase, whole};
use super::measure;
use crate::evolve::text::words;
use serde_json::{Value, json};

pub(super) fn boilerplate(case: &Case<'_>, _limit: f64) -> Option<Value> {
    let found = phrase(&case.words.boilerplate, case.answer, &whole(case.child))?;
    Some(json!({ "phrase": found }))
}

/// Starts of answers in which a model asks back and ends with a question.
const ACKNOWLEDGES: [&str; 7] =
    ["sure", "understood", "thank you", "of course", "certainly", "okay", "got it"];

pub(super) fn asks_back(case: &Case<'_>, _limit: f64) -> Option<Value> {
    if let Some(found) = phrase(&case.words.asks_back, case.answer, &whole(case.child)) {
        return Some(json!({ "phrase": found }));
    }
    let low = case.answer.to_lowercase();
    let begins = ACKNOWLEDGES.iter().find(|begin| low.starts_with(**begin));
    let short = words(&low).len() <= SHORT_ANSWER;
    begins.filter(|_| short && low.ends_with('?')).map(|begin| json!({ "begins": begin }))
}

/// A long answer may end with a question.
const SHORT_ANSWER: usize = 60;

pub(super) fn looping(case: &Case<'_>, limit: f64) -> Option<Value> {
    let list = words(case.answer);
    let (share, in_a_row) = (measure::repeated(&list, 6), measure::most_in_a_row(&list));
    let lines = measure::counts(case.answer.lines().map(str::trim).filter(|line| words(line).len() >= 3));
    let same_lines = lines.into_values().max().unwrap_or(0);
    let loops = share > limit || in_a_row > MOST_IN_A_ROW || same_lines > MOST_SAME_LINES;
    loops.then(|| json!({ "repeated": share, "in_a_row": in_a_row, "same_lines": same_lines }))
}

/// Times that words and short rows of words may follow themselves: refrains have three or four.
const MOST_IN_A_ROW: usize = 5;
/// A refrain comes back three or four times.
const MOST_SAME_LINES: usize = 4;

pub(super) fn echoes(case: &Case<'_>, limit: f64) -> Option<Value> {
    let instruction = whole(case.child);
    let (answer_words, instruction_words) = (words(case.answer).len(), words(case.child.instruction).len());
    // A task may ask for its own text in another order or form.
    let repeats = case.constraints.iter().any(|c| c.kind() == crate::constraint::Kind::RepeatRequest);
    if repeats || answer_words < SHORTEST_ECHO || answer_words < instruction_words / 2 {
        return None;
    }
    let share = measure::in_order(case.answer, &instruction);
    let material = measure::in_order(case.answer, case.child.input);
    // What works on material (correct it, sort it) gives much of it back.
    (share > limit && material <= share / 2.0).then(|| json!({ "in_order": share }))
}

/// Words below which an answer that the instruction contains is a choice from it.
const SHORTEST_ECHO: usize = 6;

/// Names of languages, and words that ask for one.
const LANGUAGE_WORDS: [&str; 27] = [
    "translate",
    "translation",
    "language",
    "languages",
    "arabic",
    "chinese",
    "dutch",
    "english",
    "french",
    "german",
    "hindi",
    "italian",
    "japanese",
    "korean",
    "portuguese",
    "russian",
    "spanish",
    "swedish",
    "turkish",
    "vietnamese",
    "latin",
    "greek",
    "polish",
    "ukrainian",
    "indonesian",
    "hebrew",
    "persian",
];

pub(super) fn wrong_language(case: &Case<'_>, limit: f64) -> Option<Value> {
    let instruction = whole(case.child);
    let named = words(&instruction).iter().any(|word| LANGUAGE_WORDS.contains(&word.as_str()));
    if named || case.answer.contains("```") || case.answer.contains(';') {
        return None;
    }
    differ_in_language(case, case.child.instruction, case.answer, limit)
}

pub(super) fn constraint_failed(case: &Case<'_>, _limit: f64) -> Option<Value> {
    case.constraints.iter().find_map(|constraint| {
        let check = constraint.check(case.answer);
        (!check.passed).then(|| json!({ "kind": constraint.kind().name(), "found": check.found }))
    })
}
