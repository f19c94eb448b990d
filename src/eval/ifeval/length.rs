//! Instructions about the length of a response and its division into parts (`length_constraints:*`).
//!
//! Source: arXiv:2311.07911; measured against lm-eval 0.4.13.
//!
//! **Invariant:** words are runs of `\w`, so "don't" and "3.5" count as two words each; sentences are those
//! of [`punkt`].

use std::sync::LazyLock;

use regex::Regex;

use super::Error;
use super::arguments::{Arguments, Bound};
use super::{punkt, python};

/// A rule about length.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    /// A number of words.
    Words(Bound),
    /// A number of sentences.
    Sentences(Bound),
    /// Exactly this number of parts separated by `***`.
    Paragraphs(u64),
    /// Exactly this number of paragraphs separated by empty lines, and the first word of one of them.
    FirstWord {
        /// The number of paragraphs.
        paragraphs: u64,
        /// The paragraph with the given first word, from 1.
        nth: u64,
        /// The first word, in lower case.
        word: String,
    },
}

impl Rule {
    /// `length_constraints:nth_paragraph_first_word`.
    pub(super) fn first_word(arguments: &Arguments<'_>) -> Result<Self, Error> {
        let paragraphs = arguments.number("num_paragraphs")?;
        let nth = arguments.number("nth_paragraph")?;
        if nth > paragraphs {
            return Err(arguments.wrong("nth_paragraph", format!("at most `num_paragraphs`, {paragraphs}")));
        }
        Ok(Self::FirstWord { paragraphs, nth, word: arguments.text("first_word")?.to_lowercase() })
    }

    /// Whether the response follows the rule.
    pub(super) fn follows(&self, response: &str) -> bool {
        match self {
            Self::Words(bound) => bound.holds(count_words(response)),
            Self::Sentences(bound) => bound.holds(punkt::sentences(response).len()),
            Self::Paragraphs(n) => divided_paragraphs(response) == Some(*n),
            Self::FirstWord { paragraphs, nth, word } => starts_with_word(response, *paragraphs, *nth, word),
        }
    }
}

/// Counts runs of word characters, which include combining marks.
fn count_words(text: &str) -> usize {
    static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\w+").expect("a constant pattern"));
    WORD.find_iter(text).count()
}

/// Counts the parts between `***`. The first and the last part may be blank and then do not count; `None` if
/// any other part is blank.
fn divided_paragraphs(text: &str) -> Option<u64> {
    let parts: Vec<bool> = text.split("***").map(|part| python::strip(part).is_empty()).collect();
    let last = parts.len() - 1;
    if parts.iter().enumerate().any(|(at, &is_blank)| is_blank && at != 0 && at != last) {
        return None;
    }
    // A single blank part cannot occur, because blank responses are not checked.
    let blank = usize::from(parts[0]) + usize::from(last > 0 && parts[last]);
    Some((parts.len() - blank) as u64)
}

/// Whether the text has this number of paragraphs and the nth starts with the word. As in the reference,
/// blank paragraphs are not counted, but they are numbered.
fn starts_with_word(text: &str, paragraphs: u64, nth: u64, expected: &str) -> bool {
    let all: Vec<&str> = text.split("\n\n").map(python::strip).collect();
    let count = all.iter().filter(|paragraph| !paragraph.is_empty()).count() as u64;
    let paragraph = usize::try_from(nth - 1).ok().and_then(|at| all.get(at));
    let word = paragraph.and_then(|paragraph| python::split(paragraph).next());
    nth <= count && count == paragraphs && word.is_some_and(|word| bare_word(word) == expected)
}

/// Lowers the case of a word, and cuts off leading quotation marks (single ones, then double ones) and
/// everything from its first punctuation mark. Case is lowered character by character, as in the reference.
fn bare_word(word: &str) -> String {
    let word = word.trim_start_matches('\'').trim_start_matches('"');
    let end = word.find(['.', ',', '?', '!', '\'', '"']).unwrap_or(word.len());
    word[..end].chars().flat_map(char::to_lowercase).collect()
}
