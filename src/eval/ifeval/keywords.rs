//! Instructions about words and letters that must or must not occur (`keywords:*`).
//!
//! Source: arXiv:2311.07911; measured against lm-eval 0.4.13.
//!
//! **Invariant:** keywords are compared case-insensitively, letters in lower case.

use super::Error;
use super::arguments::{Arguments, Bound};
use super::pattern::{Pattern, Text};
use super::python;

/// A rule about words or letters.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    /// Every keyword occurs, possibly inside a longer word.
    Existence(Vec<Pattern>),
    /// A keyword occurs a number of times, possibly inside longer words.
    Frequency(Pattern, Bound),
    /// No keyword occurs as a whole word.
    Forbidden(Vec<Pattern>),
    /// A character occurs a number of times.
    Letter(char, Bound),
}

impl Rule {
    /// `keywords:existence`.
    pub(super) fn existence(arguments: &Arguments<'_>) -> Result<Self, Error> {
        let keywords = arguments.texts("keywords")?;
        let patterns = keywords.iter().map(|keyword| Pattern::anywhere(keyword, arguments, "keywords"));
        patterns.collect::<Result<_, _>>().map(Self::Existence)
    }

    /// `keywords:frequency`. White space around the keyword is ignored.
    pub(super) fn frequency(arguments: &Arguments<'_>) -> Result<Self, Error> {
        let keyword = python::strip(arguments.text("keyword")?);
        let pattern = Pattern::anywhere(keyword, arguments, "keyword")?;
        Ok(Self::Frequency(pattern, arguments.bound("frequency", "relation")?))
    }

    /// `keywords:forbidden_words`.
    pub(super) fn forbidden(arguments: &Arguments<'_>) -> Result<Self, Error> {
        let words = arguments.texts("forbidden_words")?;
        let patterns = words.iter().map(|word| Pattern::whole_word(word, arguments, "forbidden_words"));
        patterns.collect::<Result<_, _>>().map(Self::Forbidden)
    }

    /// `keywords:letter_frequency`. If the character is not a letter from a to z ("#" in one published row),
    /// the reference draws a random letter instead; this code counts the given character.
    pub(super) fn letter(arguments: &Arguments<'_>) -> Result<Self, Error> {
        let letter = arguments.text("letter")?.to_lowercase();
        let mut chars = letter.chars();
        let (Some(letter), None) = (chars.next(), chars.next()) else {
            return Err(arguments.wrong("letter", "one character"));
        };
        Ok(Self::Letter(letter, arguments.bound("let_frequency", "let_relation")?))
    }

    /// Whether the response follows the rule.
    pub(super) fn follows(&self, response: &str) -> bool {
        match self {
            Self::Existence(patterns) => {
                let text = Text::new(response);
                patterns.iter().all(|pattern| pattern.is_in(&text))
            }
            Self::Frequency(pattern, bound) => bound.holds(pattern.count(&Text::new(response))),
            Self::Forbidden(patterns) => {
                let text = Text::new(response);
                !patterns.iter().any(|pattern| pattern.is_in(&text))
            }
            Self::Letter(letter, bound) => bound.holds(response.to_lowercase().matches(*letter).count()),
        }
    }
}
