//! Instructions about upper and lower case (`change_case:*`).
//!
//! Source: arXiv:2311.07911; measured against lm-eval 0.4.13.
//!
//! **Invariant:** a response that must be in English has to be detected as English. A text whose language
//! cannot be detected passes.

use super::arguments::Bound;
use super::{language, python, treebank};

/// A rule about case.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    /// A number of words in capitals, including single letters such as "I" and "A".
    CapitalWords(Bound),
    /// English in capital letters only.
    Capital,
    /// English in lower-case letters only.
    Lowercase,
}

impl Rule {
    /// Whether the response follows the rule.
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
