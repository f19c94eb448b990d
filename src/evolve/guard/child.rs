//! The guards on children.
//!
//! In the flow: functions of the rows of `GUARDS`.
//!
//! **Invariant:** pure functions of the case and the limit.

use super::measure::{self, content};
use super::request::{asks, is_unmarked_question, sentences};
use super::{Case, Task};
use crate::constraint::{self, Language};
use crate::evolve::text::{has_phrase, normalise, words};
use serde_json::{Value, json};

/// A phrase of `phrases` that `text` has and `allowed` lacks.
pub(super) fn phrase<'p>(phrases: &[&'p str], text: &str, allowed: &str) -> Option<&'p str> {
    let plain = |text: &str| text.to_lowercase().replace('\u{2019}', "'");
    let (text, allowed) = (plain(text), plain(allowed));
    phrases.iter().copied().find(|phrase| has_phrase(&text, phrase) && !has_phrase(&allowed, phrase))
}

/// Instruction and material in one text.
pub(super) fn whole(task: Task<'_>) -> String {
    format!("{}\n{}", task.instruction, task.input)
}

pub(super) fn boilerplate(case: &Case<'_>, _limit: f64) -> Option<Value> {
    let found = phrase(&case.words.boilerplate, &whole(case.child), &whole(case.parent))?;
    Some(json!({ "phrase": found }))
}

pub(super) fn looping(case: &Case<'_>, limit: f64) -> Option<Value> {
    // What the parent repeats may be repeated.
    let own = |task: Task<'_>| {
        let words = words(task.instruction);
        (measure::repeated(&words, 3), measure::most_in_a_row(&words))
    };
    let ((share, in_a_row), (parent_share, _)) = (own(case.child), own(case.parent));
    let loops = (share > limit && share > parent_share) || in_a_row > MOST_IN_A_ROW;
    if loops {
        return Some(json!({ "repeated": share, "in_a_row": in_a_row }));
    }
    let list = words(case.child.instruction);
    let joined = words(case.parent.instruction).join(" ");
    let mut seen = std::collections::HashSet::new();
    let twice = list.windows(REPEATED_ROW).find(|row| !seen.insert(*row) && !joined.contains(&row.join(" ")));
    if let Some(row) = twice {
        return Some(json!({ "twice": row.join(" ") }));
    }
    let counted = |list: &[String], word: &String| list.iter().filter(|other| *other == word).count();
    let parent = words(case.parent.instruction);
    let often = list.iter().find(|word| {
        let times = counted(&list, word);
        !case.words.stop.contains(word.as_str()) && times >= OFTEN && times >= counted(&parent, word) + 2
    });
    often.filter(|_| list.len() <= SHORT).map(|word| json!({ "often": word }))
}

/// A row of this many words is one that nobody writes twice.
const REPEATED_ROW: usize = 5;
/// Nobody uses a word this often in a text of at most [`SHORT`] words.
const OFTEN: usize = 3;
const SHORT: usize = 30;

/// `very, very, very` is speech, four are a loop.
const MOST_IN_A_ROW: usize = 3;

pub(super) fn not_a_request(case: &Case<'_>, _limit: f64) -> Option<Value> {
    let instruction = case.child.instruction;
    let judged = is_english(instruction)
        && (asks(case.parent.instruction, case.words) || !is_english(case.parent.instruction));
    if !judged {
        return None;
    }
    let unmarked = || sentences(instruction).find(|sentence| is_unmarked_question(sentence));
    let own = |sentence: &&str| !case.parent.instruction.contains(*sentence);
    match unmarked().filter(own) {
        _ if !asks(instruction, case.words) => Some(Value::Null),
        found => found.map(|sentence| json!({ "unmarked": sentence })),
    }
}

/// Labels that come before an answer.
const ANSWER_LABELS: [&str; 10] = [
    "answer:",
    "answers:",
    "solution:",
    "response:",
    "result:",
    "explanation:",
    "output:",
    "the answer is",
    "the solution is",
    "the correct answer",
];

/// Starts of statements that answer the question before them.
const STATEMENTS: [&str; 14] = [
    "it is",
    "it's",
    "this is",
    "they are",
    "there are",
    "there is",
    "yes",
    "no",
    "the answer",
    "he is",
    "she is",
    "these are",
    "that is",
    "because",
];

pub(super) fn answer_in_instruction(case: &Case<'_>, _limit: f64) -> Option<Value> {
    let (child, parent) = (case.child.instruction.to_lowercase(), whole(case.parent).to_lowercase());
    let label = ANSWER_LABELS.iter().find(|label| {
        let mut behind = child.match_indices(*label).map(|(at, label)| &child[at + label.len()..]);
        !parent.contains(**label) && behind.any(|text| !words(text).is_empty())
    });
    if let Some(label) = label {
        return Some(json!({ "label": label }));
    }
    let mut after_question = false;
    for sentence in sentences(&child) {
        let answers = STATEMENTS.iter().any(|begin| {
            sentence.strip_prefix(begin).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
        });
        if after_question && answers && !parent.contains(sentence) {
            return Some(json!({ "statement": sentence }));
        }
        after_question = sentence.ends_with('?');
    }
    None
}

pub(super) fn cosmetic_edit(case: &Case<'_>, limit: f64) -> Option<Value> {
    let new = |text: fn(Task<'_>) -> String| {
        let (child, parent) = (text(case.child), text(case.parent));
        let (of_child, of_parent) = (content(&child, &case.words.stop), content(&parent, &case.words.stop));
        let numbers = measure::numbers(&child, false).difference(&measure::numbers(&parent, false)).count();
        let words =
            of_child.difference(&of_parent).filter(|word| !word.chars().all(|c| c.is_ascii_digit())).count();
        words + numbers
    };
    let new = new(whole);
    ((new as f64) < limit).then(|| json!({ "new_words": new }))
}

pub(super) fn lost_content(case: &Case<'_>, _limit: f64) -> Option<Value> {
    let (child, parent) = (whole(case.child), case.parent);
    if !child.contains(parent.input) {
        return Some(json!({ "lost": "the material" }));
    }
    let has = measure::numbers(&child, true);
    let lost = measure::numbers(parent.instruction, false).into_iter().find(|number| !has.contains(number));
    let folded = normalise(&child);
    let passage = || {
        measure::quoted(parent.instruction).into_iter().find(|passage| !folded.contains(&normalise(passage)))
    };
    let name =
        || measure::names(parent.instruction).into_iter().find(|name| !folded.contains(&normalise(name)));
    lost.or_else(passage).or_else(name).map(|lost| json!({ "lost": lost }))
}

pub(super) fn drifted(case: &Case<'_>, limit: f64) -> Option<Value> {
    let of = |text: &str| content(text, &case.words.stop);
    let kept = measure::recall(&of(case.parent.instruction), &of(case.child.instruction));
    (kept < limit).then(|| json!({ "kept": kept }))
}

pub(super) fn not_new(case: &Case<'_>, limit: f64) -> Option<Value> {
    let of = |task: Task<'_>| content(task.instruction, &case.words.stop);
    let common = measure::jaccard(&of(case.parent), &of(case.child));
    (common > limit).then(|| json!({ "common": common }))
}

/// Times as long as a parent that is long enough for a factor to mean something.
const LONGEST_FACTOR: f64 = 3.0;
const FACTOR_FROM: usize = 15;
/// Constraints that a reader keeps in mind.
const MOST_CONSTRAINTS: usize = 4;

pub(super) fn over_escalated(case: &Case<'_>, limit: f64) -> Option<Value> {
    let length = |task: Task<'_>| words(task.instruction).len();
    let (before, after) = (length(case.parent), length(case.child));
    // Constraints are limited by their number, not by their length: some quote the whole task.
    let counts = case.operator.is_some_and(|by| !by.is_by_code() && !by.is_in_breadth());
    let too_long = after as f64 > before as f64 + limit
        || (before >= FACTOR_FROM && after as f64 > LONGEST_FACTOR * before as f64);
    let too_long = counts && too_long;
    let constraints = case.constraints.len();
    (too_long || constraints > MOST_CONSTRAINTS)
        .then(|| json!({ "words_before": before, "words_after": after, "constraints": constraints }))
}

/// Words for material.
const MATERIAL: [&str; 34] = [
    "text",
    "texts",
    "sentence",
    "sentences",
    "paragraph",
    "paragraphs",
    "passage",
    "article",
    "list",
    "table",
    "code",
    "function",
    "email",
    "e-mail",
    "document",
    "story",
    "poem",
    "image",
    "picture",
    "data",
    "dataset",
    "question",
    "questions",
    "conversation",
    "dialogue",
    "review",
    "abstract",
    "statement",
    "claim",
    "word",
    "words",
    "phrase",
    "program",
    "input",
];

/// Words that point at it.
const POINTERS: [&str; 10] =
    ["following", "given", "below", "above", "attached", "provided", "previous", "this", "these", "that"];

pub(super) fn missing_context(case: &Case<'_>, _limit: f64) -> Option<Value> {
    let child = case.child;
    // Whatever stands behind a colon, in further lines or in quotation marks may be what is meant.
    let is_there = !child.input.is_empty()
        || child.instruction.trim_end().contains('\n')
        || !measure::quoted(child.instruction).is_empty()
        || child.instruction.split_once(": ").is_some_and(|(_, behind)| words(behind).len() > 1);
    if is_there {
        return None;
    }
    let points_at = |text: &str| {
        let list = words(text);
        let at = list.windows(2).find(|pair| {
            // `the given city`, `this sentence`, `the following`; `that` and `this` alone mean too much.
            let pointer = POINTERS.contains(&pair[0].as_str());
            pointer && MATERIAL.contains(&pair[1].as_str())
                || (pair[0] == "the" && matches!(pair[1].as_str(), "following" | "given" | "above"))
        });
        at.map(|pair| pair.join(" ")).or_else(|| definite_material(&list))
    };
    let found = points_at(child.instruction)?;
    let parent_alone = case.parent.input.is_empty() && !case.parent.instruction.contains('\n');
    let parents_own = parent_alone && points_at(case.parent.instruction).is_some();
    (!parents_own).then(|| json!({ "points_at": found }))
}

/// Material that has to be there when a text says `the sentence` or `the math problem`.
const DEFINITE: [&str; 12] = [
    "sentence",
    "sentences",
    "paragraph",
    "passage",
    "text",
    "list",
    "article",
    "document",
    "table",
    "word",
    "problem",
    "problems",
];

/// `the sentence`, `the list` where nothing before has brought it in: the first mention is definite.
fn definite_material(list: &[String]) -> Option<String> {
    let is_noun = |at: usize| list.get(at).is_some_and(|word| DEFINITE.contains(&word.as_str()));
    let mut the = list.iter().enumerate().filter(|(_, word)| *word == "the").map(|(at, _)| at);
    // With one word between, such as `math`.
    let at = the.find_map(|at| [at + 1, at + 2].into_iter().find(|&at| is_noun(at)))?;
    let noun = &list[at];
    let introduced = list[..at].iter().any(|word| word.trim_end_matches('s') == noun.trim_end_matches('s'));
    // `the list of primes` says which.
    let said =
        list.get(at + 1).is_some_and(|next| matches!(next.as_str(), "of" | "that" | "in" | "from" | "which"));
    (!introduced && !said).then(|| format!("the {noun}"))
}

pub(super) fn unsuited(case: &Case<'_>, _limit: f64) -> Option<Value> {
    let task = constraint::without(case.parent.instruction, case.constraints);
    let unsuited = case.constraints.iter().find(|constraint| !constraint::suits(&task, constraint))?;
    Some(json!({ "kind": unsuited.kind().name() }))
}

pub(super) fn unanswerable(case: &Case<'_>, _limit: f64) -> Option<Value> {
    let found = phrase(&case.words.personal, &whole(case.child), &whole(case.parent))?;
    Some(json!({ "phrase": found }))
}

/// Phrases that set the least of something, and the greatest.
const LEAST: [&str; 5] = ["at least", "no fewer than", "no less than", "a minimum of", "more than"];
const GREATEST: [&str; 6] =
    ["at most", "no more than", "not more than", "a maximum of", "fewer than", "less than"];

pub(super) fn contradictory(case: &Case<'_>, _limit: f64) -> Option<Value> {
    let constraints = case.constraints;
    for (at, one) in constraints.iter().enumerate() {
        if let Some(why) = constraints[..at].iter().find_map(|other| constraint::conflict(one, other)) {
            return Some(json!({ "conflict": why }));
        }
    }
    let text = case.child.instruction.to_lowercase();
    let least = bounds(&text, &LEAST);
    let greatest = bounds(&text, &GREATEST);
    let clash = |(n, of): &(u64, String)| greatest.iter().any(|(most, same)| of == same && most < n);
    least.iter().find(|least| clash(least)).map(|(n, of)| json!({ "at_least": n, "of": of }))
}

/// Numbers behind the phrases, each with the word of what is counted.
fn bounds(text: &str, phrases: &[&str]) -> Vec<(u64, String)> {
    let behind = |phrase: &&str| {
        let rests: Vec<&str> =
            text.match_indices(*phrase).map(|(at, found)| &text[at + found.len()..]).collect();
        rests
            .into_iter()
            .filter_map(|rest| {
                let list = words(rest.get(..60).unwrap_or(rest));
                let n = measure::numbers(list.first()?, true).pop_first()?.parse().ok()?;
                Some((n, list.get(1)?.clone()))
            })
            .collect::<Vec<_>>()
    };
    phrases.iter().flat_map(behind).collect()
}

pub(super) fn wrong_language(case: &Case<'_>, limit: f64) -> Option<Value> {
    differ_in_language(case, case.parent.instruction, case.child.instruction, limit)
}

/// The languages of a task and of another text of at least `letters` letters, if they are two. A short task
/// is English if it asks in English.
pub(super) fn differ_in_language(case: &Case<'_>, task: &str, other: &str, letters: f64) -> Option<Value> {
    let in_english = || (task.is_ascii() && asks(task, case.words)).then_some(Language::English);
    let (one, other) = (language(task, letters).or_else(in_english)?, language(other, letters)?);
    (one != other).then(|| json!({ "languages": [one.name(), other.name()] }))
}

fn language(text: &str, letters: f64) -> Option<Language> {
    let count = text.chars().filter(|c| c.is_alphabetic()).count();
    (count as f64 >= letters).then(|| Language::most_likely(text))
}

/// Whether a text is judged by rules for English: most of its letters are Latin, and nothing says otherwise.
fn is_english(text: &str) -> bool {
    let latin = text.chars().filter(char::is_ascii_alphabetic).count();
    let all = text.chars().filter(|c| c.is_alphabetic()).count();
    latin * 10 >= all * 9 && language(text, 40.0).is_none_or(|language| language == Language::English)
}
