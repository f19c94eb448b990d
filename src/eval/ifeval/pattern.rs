//! Keywords, which the reference hands to Python's `re` as they are, in whatever case.
//!
//! Nearly all are plain words; these are searched here exactly as `re` does. One with a metacharacter
//! ("e.g.", "C++") is a regular expression, also where nobody meant one: it goes to `regex`, whose notion of
//! `\w` and `\b` counts combining marks as parts of a word, and which knows no look-around and no
//! back-references; what it does not accept is an [`Error`] (where `re` does not either, the reference stops
//! with an exception).
//!
//! **Invariant:** searching takes time linear in the text for each keyword of a given length.

use regex::{Regex, RegexBuilder};

use super::Error;
use super::arguments::Arguments;
use super::python::{fold, is_word};

/// The characters that mean something in a regular expression.
const METACHARACTERS: [char; 14] = ['\\', '.', '^', '$', '*', '+', '?', '{', '}', '[', ']', '|', '(', ')'];

/// A keyword, ready to search.
#[derive(Debug, Clone)]
pub(super) enum Pattern {
    /// A plain word or phrase, without its case.
    Literal {
        /// Its characters.
        folded: Vec<[char; 3]>,
        /// Whether it must begin and end at a boundary of a word (`\b`).
        is_whole_word: bool,
    },
    /// A regular expression.
    Regex(Regex),
}

impl Pattern {
    /// A keyword found anywhere.
    pub(super) fn anywhere(
        keyword: &str,
        arguments: &Arguments<'_>,
        name: &'static str,
    ) -> Result<Self, Error> {
        Self::new(keyword, keyword, false, arguments, name)
    }

    /// A keyword found as a whole word.
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
        regex.map(Self::Regex).map_err(|_| arguments.wrong(name, not_a_regex(keyword)))
    }

    /// How often it is found, without overlaps, from left to right.
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

    /// Whether it is found at all.
    pub(super) fn is_in(&self, text: &Text<'_>) -> bool {
        match self {
            Self::Regex(regex) => regex.is_match(text.raw),
            Self::Literal { folded, is_whole_word } => text.find(folded, *is_whole_word, 0).is_some(),
        }
    }
}

/// What a keyword that is no regular expression should have been.
pub(super) fn not_a_regex(keyword: &str) -> String {
    format!("only regular expressions, and {keyword:?} is none (or has look-around or back-references)")
}

/// A response, ready for searches.
#[derive(Debug)]
pub(super) struct Text<'a> {
    raw: &'a str,
    chars: Vec<char>,
    folded: Vec<[char; 3]>,
}

impl<'a> Text<'a> {
    /// Takes a response apart.
    pub(super) fn new(raw: &'a str) -> Self {
        let chars: Vec<char> = raw.chars().collect();
        let folded = chars.iter().map(|&c| fold(c)).collect();
        Self { raw, chars, folded }
    }

    /// The first place at or after `from`.
    fn find(&self, literal: &[[char; 3]], is_whole_word: bool, from: usize) -> Option<usize> {
        let last = self.folded.len().checked_sub(literal.len())?;
        (from..=last).find(|&at| {
            let end = at + literal.len();
            self.folded[at..end] == *literal
                && (!is_whole_word || self.is_boundary(at) && self.is_boundary(end))
        })
    }

    /// `\b`: a word character on one side only.
    fn is_boundary(&self, at: usize) -> bool {
        let is_word_at =
            |at: Option<usize>| at.and_then(|at| self.chars.get(at)).is_some_and(|&c| is_word(c));
        is_word_at(at.checked_sub(1)) != is_word_at(Some(at))
    }
}
