//! Whether a text asks for something.
//!
//! In the flow: used by the guards on children.
//!
//! English requests start with a verb or a question word, after some introduction. These are looked for word
//! by word, without a grammar. Other languages are not judged.
//!
//! **Invariant:** pure functions; any UTF-8 is fine.

use super::Words;
use crate::evolve::text::words;

/// Words that questions start with.
const QUESTIONS: [&str; 31] = [
    "what", "why", "how", "when", "where", "who", "whom", "whose", "which", "can", "could", "is", "are",
    "was", "were", "do", "does", "did", "should", "would", "will", "has", "have", "may", "might", "what's",
    "who's", "where's", "how's", "isn't", "aren't",
];

/// Words after which a request may come later in the sentence: `Given a list, sort it`.
const OPENERS: [&str; 31] = [
    "given",
    "if",
    "using",
    "in",
    "for",
    "as",
    "based",
    "from",
    "with",
    "when",
    "after",
    "before",
    "to",
    "while",
    "without",
    "by",
    "on",
    "at",
    "once",
    "now",
    "then",
    "next",
    "first",
    "here",
    "like",
    "during",
    "under",
    "assuming",
    "considering",
    "keeping",
    "and",
];

/// Starts of sentences that ask for something without an imperative.
const WANTS: [&str; 15] = [
    "i want",
    "i need",
    "i would like",
    "i'd like",
    "i am looking for",
    "i'm looking for",
    "you are given",
    "you need to",
    "you should",
    "you have to",
    "you will be given",
    "your task is",
    "we want",
    "we need",
    "would like you",
];

/// Polite words before the verb.
const POLITE: [&str; 6] = ["please", "kindly", "also", "just", "let's", "briefly"];

/// Whether the text asks for something.
pub(in crate::evolve) fn asks(text: &str, lists: &Words) -> bool {
    if text.contains('?') || text.contains('\u{FF1F}') {
        return true;
    }
    sentences(text).any(|sentence| is_request(sentence, lists))
}

/// Whether a sentence is a request.
pub(super) fn is_request(sentence: &str, lists: &Words) -> bool {
    let low = sentence.to_lowercase().replace('\u{2019}', "'");
    if sentence.trim_end().ends_with('?') || WANTS.iter().any(|want| low.trim_start().starts_with(want)) {
        return true;
    }
    let mut clauses = low.split([',', ';', ':']).map(clause_words);
    let Some(first) = clauses.next() else { return false };
    let begins = |clause: &[String]| {
        let mut rest = clause.iter().skip_while(|word| POLITE.contains(&word.as_str()));
        rest.next().is_some_and(|word| {
            lists.imperatives.contains(word.as_str()) || QUESTIONS.contains(&word.as_str())
        })
    };
    if begins(&first) {
        return true;
    }
    // `Please, do` has its comma before the verb.
    let polite = first.iter().all(|word| POLITE.contains(&word.as_str()));
    let introduced = polite || OPENERS.contains(&first[0].as_str());
    introduced && clauses.any(|clause| begins(&clause))
}

/// Whether a sentence starts as a question and ends as a statement: `Is it possible to write a book on fire.`
/// A title (`How to make tea.`) does not count.
pub(super) fn is_unmarked_question(sentence: &str) -> bool {
    let low = sentence.to_lowercase().replace('\u{2019}', "'");
    let list = clause_words(&low);
    let [first, second, ..] = list.as_slice() else { return false };
    let inverted =
        ["is", "are", "was", "were", "do", "does", "did", "can", "could", "should", "would", "will", "has"];
    let asks = matches!(first.as_str(), "what" | "who" | "where" | "why" | "when" | "which" | "how")
        && (inverted.contains(&second.as_str()) || second == "to" && first == "what");
    let verb_first = matches!(first.as_str(), "is" | "are" | "can" | "does" | "what's" | "who's")
        && (first.contains('\'') || matches!(second.as_str(), "it" | "there" | "you" | "a" | "the" | "this"));
    (asks || verb_first) && low.trim_end().ends_with('.')
}

/// The words of a clause, apostrophes kept within them.
fn clause_words(clause: &str) -> Vec<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '\'' || c == '-';
    let list = clause.split(|c| !is_word(c)).map(|word| word.trim_matches(['\'', '-']));
    list.filter(|word| !word.is_empty() && !word.chars().all(|c| c.is_ascii_digit()))
        .map(str::to_owned)
        .collect()
}

/// The sentences of a text, by lines and by their marks; marks within a word (`3.5`, `e.g.`) cut nothing.
pub(super) fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(cut).map(str::trim).filter(|sentence| !words(sentence).is_empty())
}

fn cut(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    for (at, mark) in line.match_indices(['.', '!', '?']) {
        let end = at + mark.len();
        // The sentence takes its closing marks along.
        let closing = |c: &char| matches!(c, '"' | '\u{201D}' | '\'' | ')' | ']');
        let end = end + line[end..].chars().take_while(closing).map(char::len_utf8).sum::<usize>();
        if end < start {
            continue;
        }
        let behind = line[end..].chars().next();
        if behind.is_none_or(char::is_whitespace) {
            found.push(&line[start..end]);
            start = end;
        }
    }
    found.push(&line[start..]);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_from_statements() {
        let lists = Words::load();
        for text in [
            "Name a river.",
            "Please, name a river.",
            "What is this",
            "Given a list, sort it.",
            "I bought a car. Can I sue them?",
            "I need a letter for my landlord.",
            "You are given a list of features of a product.",
            "As a coach, what are your plans",
            "Here is a text. Summarise it.",
            "1. Write a song.",
        ] {
            assert!(asks(text, &lists), "{text}");
        }
        for text in [
            "I'm going to the party tomorrow.",
            "The behavior is unethical.",
            "Yes, if the sentence is factually correct, and it is based on a fact.",
            "A sentence that is not the product of two people.",
            "You can tell the story of a person who is a hero.",
            "",
            "...",
        ] {
            assert!(!asks(text, &lists), "{text}");
        }
    }

    #[test]
    fn a_question_ends_with_its_mark() {
        for text in
            ["Is it possible to write a book on fire.", "What is the largest number.", "What's new in town."]
        {
            assert!(is_unmarked_question(text), "{text}");
        }
        for text in
            ["Is it?", "How to make tea.", "What a day.", "Can openers are useful.", "Name what is new.", ""]
        {
            assert!(!is_unmarked_question(text), "{text}");
        }
    }

    #[test]
    fn sentences_end_at_marks_but_not_within_numbers() {
        let found: Vec<&str> = sentences("Add 3.5 to 4. Why?\nSay e.g. x! ").collect();
        assert_eq!(found, ["Add 3.5 to 4.", "Why?", "Say e.g.", "x!"]);
    }
}
