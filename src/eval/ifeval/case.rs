//! Capitals and small letters (`change_case:*`).
//!
//! Source: arXiv:2311.07911; measured against lm-eval 0.4.13.
//!
//! **Invariant:** what is asked to be in English must be detected as English; a text without letters that any
//! language has passes.

use super::arguments::Bound;
use super::{language, python, treebank};

/// A rule about case.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    /// So many tokens in capitals; single letters such as "I" and "A" are such tokens.
    CapitalWords(Bound),
    /// Nothing but capitals, in English.
    Capital,
    /// Nothing but small letters, in English.
    Lowercase,
}

impl Rule {
    /// The check itself.
    pub(super) fn follows(&self, response: &str) -> bool {
        match self {
            Self::CapitalWords(bound) => {
                let words = treebank::words(response);
                bound.holds(words.iter().filter(|word| python::is_upper(word)).count())
            }
            Self::Capital => python::is_upper(response) && language::is_in(response, "en"),
            Self::Lowercase => python::is_lower(response) && language::is_in(response, "en"),
        }
    }
}
