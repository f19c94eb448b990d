//! Search for keywords, which the reference passes to Python's `re` unescaped and case-insensitive.
//!
//! Nearly all keywords are plain words; they are searched exactly as `re` does. A keyword with a
//! metacharacter ("e.g.", "C++") is a regular expression, whether its author meant one or not, and is
//! searched by `regex`. That crate counts combining marks as word characters in `\w` and `\b` and supports
//! neither look-around nor back-references. A pattern that it does not accept is an [`Error`]; if `re` does
//! not accept it either, the reference fails with an exception.
//!
//! **Invariant:** for a keyword of a given length, a search takes time linear in the text.

use regex::{Regex, RegexBuilder};

use super::Error;
use super::arguments::Arguments;
use super::python::{fold, is_word};

/// The characters with a special meaning in a regular expression.
const METACHARACTERS: [char; 14] = ['\\', '.', '^', '$', '*', '+', '?', '{', '}', '[', ']', '|', '(', ')'];

/// The kind of regular expression that a keyword may be, for errors.
pub(super) const SUPPORTED_REGEX: &str = "a regular expression without look-around and back-references";

/// A compiled keyword.
#[derive(Debug, Clone)]
pub(super) enum Pattern {
    /// A plain word or phrase.
    Literal {
        /// Its case-folded characters.
        folded: Vec<[char; 3]>,
        /// Whether it must start and end at a word boundary (`\b`).
        is_whole_word: bool,
    },
    /// A regular expression.
    Regex(Regex),
}

impl Pattern {
    /// A keyword that may occur inside a longer word.
    pub(super) fn anywhere(
        keyword: &str,
        arguments: &Arguments<'_>,
        name: &'static str,
    ) -> Result<Self, Error> {
        Self::new(keyword, keyword, false, arguments, name)
    }

    /// A keyword that must occur as a whole word.
    pub(super) fn whole_word(
        keyword: &str,
        arguments: &Arguments<'_>,
        name: &'static str,
    ) -> Result<Self, Error> {
        Self::new(keyword, &format!(r"\b{keyword}\b"), true, arguments, name)
    }

    fn new(
        keyword: &str,
        regex: &str,
        is_whole_word: bool,
        arguments: &Arguments<'_>,
        name: &'static str,
    ) -> Result<Self, Error> {
        if !keyword.contains(METACHARACTERS) {
            return Ok(Self::Literal { folded: keyword.chars().map(fold).collect(), is_whole_word });
        }
        let regex = RegexBuilder::new(regex).case_insensitive(true).build();
        regex.map(Self::Regex).map_err(|_| arguments.wrong(name, SUPPORTED_REGEX))
    }

    /// The number of matches without overlaps, from left to right.
    pub(super) fn count(&self, text: &Text<'_>) -> usize {
        match self {
            Self::Regex(regex) => regex.find_iter(text.raw).count(),
            Self::Literal { folded, is_whole_word } => {
                let mut count = 0;
                let mut at = 0;
                while let Some(found) = text.find(folded, *is_whole_word, at) {
                    count += 1;
                    at = found + folded.len().max(1);
                }
                count
            }
        }
    }

    /// Whether the text has a match.
    pub(super) fn is_in(&self, text: &Text<'_>) -> bool {
        match self {
            Self::Regex(regex) => regex.is_match(text.raw),
            Self::Literal { folded, is_whole_word } => text.find(folded, *is_whole_word, 0).is_some(),
        }
    }
}

/// A response, prepared for searches.
#[derive(Debug)]
pub(super) struct Text<'a> {
    raw: &'a str,
    chars: Vec<char>,
    folded: Vec<[char; 3]>,
}

impl<'a> Text<'a> {
    /// Splits a response into characters and folds their case.
    pub(super) fn new(raw: &'a str) -> Self {
        let chars: Vec<char> = raw.chars().collect();
        let folded = chars.iter().map(|&c| fold(c)).collect();
        Self { raw, chars, folded }
    }

    /// The first match at or after the character `from`.
    fn find(&self, literal: &[[char; 3]], is_whole_word: bool, from: usize) -> Option<usize> {
        let last = self.folded.len().checked_sub(literal.len())?;
        (from..=last).find(|&at| {
            let end = at + literal.len();
            self.folded[at..end] == *literal
                && (!is_whole_word || self.is_boundary(at) && self.is_boundary(end))
        })
    }

    /// Whether a word boundary (`\b`) is before the character `at`: a word character on one side only.
    fn is_boundary(&self, at: usize) -> bool {
        let is_word_at =
            |at: Option<usize>| at.and_then(|at| self.chars.get(at)).is_some_and(|&c| is_word(c));
        is_word_at(at.checked_sub(1)) != is_word_at(Some(at))
    }
}
