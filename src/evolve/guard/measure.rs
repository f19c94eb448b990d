//! Measures of texts: words that carry meaning, repetition, overlap.
//!
//! In the flow: used by the guards.
//!
//! **Invariant:** pure functions of their arguments; any UTF-8 is fine.

use crate::evolve::text::words;
use std::collections::{BTreeSet, HashMap, HashSet};

/// The words of a text that carry meaning, cut to their stems, each once.
pub(super) fn content(text: &str, stop_words: &HashSet<&str>) -> BTreeSet<String> {
    words(text)
        .into_iter()
        .filter(|word| !stop_words.contains(word.as_str()))
        .map(|word| stem(&word))
        .collect()
}

/// A word without the endings of English plurals, verbs and adverbs: rough, so that `cities` meets `city` and
/// `running` meets `run`. Words of other scripts and short ones stay.
fn stem(word: &str) -> String {
    const ENDINGS: [(&str, &str); 9] = [
        ("ies", "y"),
        ("sses", "ss"),
        ("ing", ""),
        ("edly", ""),
        ("ed", ""),
        ("ly", ""),
        ("es", ""),
        ("s", ""),
        ("e", ""),
    ];
    if !word.is_ascii() || word.ends_with("ss") {
        return word.to_owned();
    }
    let cut = ENDINGS.iter().find_map(|(ending, instead)| {
        let rest = word.strip_suffix(ending)?;
        (rest.len() + instead.len() >= 3).then(|| format!("{rest}{instead}"))
    });
    let mut stemmed = cut.unwrap_or_else(|| word.to_owned());
    // `runn` and `stopp` are `run` and `stop`; `fall` and `press` stay.
    let bytes = stemmed.as_bytes();
    if let [.., before, last] = bytes
        && before == last
        && !matches!(last, b'l' | b's' | b'z')
        && stemmed.len() > 3
    {
        stemmed.pop();
    }
    stemmed
}

/// Share of `of` that is in `kept`; 1 if `of` is empty.
pub(super) fn recall(of: &BTreeSet<String>, kept: &BTreeSet<String>) -> f64 {
    if of.is_empty() { 1.0 } else { of.intersection(kept).count() as f64 / of.len() as f64 }
}

/// Size of the intersection over size of the union; 0 if both are empty.
pub(super) fn jaccard(a: &BTreeSet<String>, b: &BTreeSet<String>) -> f64 {
    let union = a.union(b).count();
    if union == 0 { 0.0 } else { a.intersection(b).count() as f64 / union as f64 }
}

/// Share of the words that belong to a row of `length` words that stood in the text before.
pub(super) fn repeated(words: &[String], length: usize) -> f64 {
    let mut seen: HashSet<&[String]> = HashSet::new();
    let mut covered = vec![false; words.len()];
    for (at, row) in words.windows(length).enumerate() {
        if !seen.insert(row) {
            covered[at..at + length].fill(true);
        }
    }
    covered.iter().filter(|covered| **covered).count() as f64 / words.len().max(1) as f64
}

/// The largest number of times that one word, or one short row of up to four words, follows itself.
pub(super) fn most_in_a_row(words: &[String]) -> usize {
    let mut most = usize::from(!words.is_empty());
    for period in 1..=4 {
        let mut equal = 0;
        for at in period..words.len() {
            equal = if words[at] == words[at - period] { equal + 1 } else { 0 };
            most = most.max(equal / period + 1);
        }
    }
    most
}

/// Length of the longest common subsequence of two lists of words.
fn common_subsequence(a: &[String], b: &[String]) -> usize {
    let mut row = vec![0_usize; b.len() + 1];
    for word in a {
        let mut diagonal = 0;
        for (at, other) in b.iter().enumerate() {
            let above = row[at + 1];
            row[at + 1] = if word == other { diagonal + 1 } else { above.max(row[at]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

/// Words of a text that are compared, at most: the comparison is quadratic.
const MOST_COMPARED: usize = 600;

/// Share of the words of `text` that stand in `other` in the same order: ROUGE-L's precision (Lin 2004).
pub(super) fn in_order(text: &str, other: &str) -> f64 {
    let mut lists = [words(text), words(other)];
    for list in &mut lists {
        list.truncate(MOST_COMPARED);
    }
    let [text, other] = lists;
    if text.is_empty() { 0.0 } else { common_subsequence(&text, &other) as f64 / text.len() as f64 }
}

/// Numbers below eleven in words.
const NUMBER_WORDS: [&str; 11] =
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];

/// The numbers of a text, in digits: runs of digits with the separators between them (`1,000` and `1000` are
/// one). With `in_words`, words for the small ones count too.
pub(super) fn numbers(text: &str, in_words: bool) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut number = String::new();
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let separates = matches!(c, '.' | ',')
            && !number.is_empty()
            && characters.peek().is_some_and(char::is_ascii_digit);
        if c.is_ascii_digit() || (separates && c == '.') {
            number.push(c);
        } else if !separates && !number.is_empty() {
            found.insert(std::mem::take(&mut number));
        }
    }
    found.extend(Some(number).filter(|number| !number.is_empty()));
    if in_words {
        let small = |word: String| NUMBER_WORDS.iter().position(|number| *number == word);
        found.extend(words(text).into_iter().filter_map(small).map(|number| number.to_string()));
    }
    found
}

/// Passages between double quotation marks of any form, and between backticks, without the marks.
pub(super) fn quoted(text: &str) -> Vec<String> {
    let plain: String = text
        .chars()
        .map(|c| if matches!(c, '\u{201C}' | '\u{201D}' | '\u{00AB}' | '\u{00BB}') { '"' } else { c })
        .collect();
    let mut found = Vec::new();
    for mark in ['"', '`'] {
        for passage in plain.split(mark).skip(1).step_by(2) {
            // Without its closing mark a passage is the rest of the text.
            let closed = plain.matches(mark).count().is_multiple_of(2);
            let passage = passage.trim();
            if closed && !passage.is_empty() {
                found.push(passage.to_owned());
            }
        }
    }
    found
}

/// Words with a capital letter within sentences, and words with one in their middle: names, abbreviations.
pub(super) fn names(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut begins = true;
    for token in text.split_whitespace() {
        let word = token.trim_matches(|c: char| !c.is_alphanumeric());
        let mut letters = word.chars();
        let is_capital = letters.next().is_some_and(char::is_uppercase);
        let has_inner = letters.clone().any(char::is_uppercase);
        let is_name =
            has_inner && letters.clone().any(char::is_alphabetic) || is_capital && !begins && word.len() > 1;
        if is_name && !found.iter().any(|other| other == word) {
            found.push(word.to_owned());
        }
        begins = token.ends_with(['.', '!', '?', ':', '"', '\u{201D}']) || word.is_empty();
    }
    found
}

/// How often each text occurs.
pub(super) fn counts<'t>(texts: impl Iterator<Item = &'t str>) -> HashMap<&'t str, usize> {
    let mut counts = HashMap::new();
    for text in texts {
        *counts.entry(text).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        words(text)
    }

    #[test]
    fn stems_meet() {
        for (a, b) in [
            ("cities", "city"),
            ("running", "runs"),
            ("named", "names"),
            ("rivers", "river"),
            ("quickly", "quick"),
            ("stopped", "stops"),
            ("classes", "class"),
            ("writing", "write"),
        ] {
            assert_eq!(stem(a), stem(b), "{a}, {b}");
        }
        for (a, b) in [("river", "rival"), ("class", "clan"), ("is", "i"), ("sing", "s"), ("数学", "数")] {
            assert_ne!(stem(a), stem(b), "{a}, {b}");
        }
    }

    #[test]
    fn what_repeats_is_measured_as_a_share_and_in_a_row() {
        assert!(repeated(&list("a b c d e f g"), 3) <= 0.0);
        assert!((repeated(&list("a b c x a b c"), 3) - 3.0 / 7.0).abs() <= 1e-12);
        assert!(repeated(&[], 3) <= 0.0);
        assert_eq!(most_in_a_row(&list("no no no yes")), 3);
        assert_eq!(most_in_a_row(&list("x to be to be to be")), 3);
        assert_eq!((most_in_a_row(&list("a b c")), most_in_a_row(&[])), (1, 0));
    }

    #[test]
    fn numbers_are_read_with_separators_and_in_words() {
        let set = |numbers: &[&str]| numbers.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(numbers("In 1,000 of 3.5 cases, 7.", false), set(&["1000", "3.5", "7"]));
        assert_eq!(numbers("three of 12", true), set(&["12", "3"]));
        assert_eq!(numbers("none", true), set(&[]));
    }

    #[test]
    fn names_are_capital_within_a_sentence() {
        assert_eq!(
            names("Give me a joke about PhD. Try it in JavaScript, NASA or Paris."),
            ["PhD", "JavaScript", "NASA", "Paris"]
        );
        assert_eq!(names("What is it? I say: Do it. A b."), Vec::<String>::new());
    }

    #[test]
    fn quotations_are_found_if_they_are_closed() {
        assert_eq!(quoted("say “hi” and \"bye\" with `x = 1`"), ["hi", "bye", "x = 1"]);
        assert_eq!(quoted("5\" wide"), Vec::<String>::new());
    }

    #[test]
    fn order_counts_in_what_is_common() {
        assert!((in_order("a b c", "x a y b z c") - 1.0).abs() <= 1e-12);
        assert!((in_order("c b a", "a b c") - 1.0 / 3.0).abs() <= 1e-12);
        assert!(in_order("", "a") <= 0.0);
    }
}
