//! How long a response is, and how it is divided (`length_constraints:*`).
//!
//! Source: arXiv:2311.07911; measured against lm-eval 0.4.13.
//!
//! **Invariant:** words are runs of `\w`, so "don't" and "3.5" are two each; sentences are those of
//! [`punkt`].

use std::sync::LazyLock;

use regex::Regex;

use super::Error;
use super::arguments::{Arguments, Bound};
use super::{punkt, python};

/// A rule about length.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    /// So many words.
    Words(Bound),
    /// So many sentences.
    Sentences(Bound),
    /// Exactly so many parts with `***` between them.
    Paragraphs(u64),
    /// Exactly so many paragraphs with a blank line between them, and the first word of one.
    FirstWord {
        /// How many.
        paragraphs: u64,
        /// Which, from 1.
        nth: u64,
        /// The word, in lower case.
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

    /// The check itself.
    pub(super) fn follows(&self, response: &str) -> bool {
        match self {
            Self::Words(bound) => bound.holds(count_words(response)),
            Self::Sentences(bound) => bound.holds(punkt::sentences(response).len()),
            Self::Paragraphs(n) => divided_paragraphs(response) == Some(*n),
            Self::FirstWord { paragraphs, nth, word } => starts_with_word(response, *paragraphs, *nth, word),
        }
    }
}

/// The runs of word characters, combining marks included.
fn count_words(text: &str) -> usize {
    static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\w+").expect("a constant pattern"));
    WORD.find_iter(text).count()
}

/// The parts between dividers; the first and the last may be blank and then do not count, any other blank one
/// makes the division invalid.
fn divided_paragraphs(text: &str) -> Option<u64> {
    let parts: Vec<bool> = text.split("***").map(|part| python::strip(part).is_empty()).collect();
    let last = parts.len() - 1;
    if parts.iter().enumerate().any(|(at, &is_blank)| is_blank && at != 0 && at != last) {
        return None;
    }
    // A text of one blank part cannot occur: blank responses are not checked.
    let blank = usize::from(parts[0]) + usize::from(last > 0 && parts[last]);
    Some((parts.len() - blank) as u64)
}

/// Whether there are so many paragraphs, the nth of them beginning with the word. Blank ones do not count,
/// but they keep their place in the numbering.
fn starts_with_word(text: &str, paragraphs: u64, nth: u64, expected: &str) -> bool {
    let all: Vec<&str> = text.split("\n\n").map(python::strip).collect();
    let count = all.iter().filter(|paragraph| !paragraph.is_empty()).count() as u64;
    let paragraph = usize::try_from(nth - 1).ok().and_then(|at| all.get(at));
    let word = paragraph.and_then(|paragraph| python::split(paragraph).next());
    nth <= count && count == paragraphs && word.is_some_and(|word| bare_word(word) == expected)
}

/// A word up to its first mark, without the quotation marks before it (single ones, then double ones) and in
/// lower case, one character at a time.
fn bare_word(word: &str) -> String {
    let word = word.trim_start_matches('\'').trim_start_matches('"');
    let end = word.find(['.', ',', '?', '!', '\'', '"']).unwrap_or(word.len());
    word[..end].chars().flat_map(char::to_lowercase).collect()
}
