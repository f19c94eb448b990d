//! The word lists of the guards, loaded once.
//!
//! In the flow: `eliminate` loads them from `library` and hands them to the guards.
//!
//! **Invariant:** everything is in lower case.

use crate::evolve::library;
use std::collections::HashSet;

/// Lists of words and phrases.
#[derive(Debug)]
pub(in crate::evolve) struct Words {
    pub(super) stop: HashSet<&'static str>,
    pub(super) imperatives: HashSet<&'static str>,
    pub(super) boilerplate: Vec<&'static str>,
    pub(super) asks_back: Vec<&'static str>,
    pub(super) personal: Vec<&'static str>,
}

impl Words {
    /// Whether a word has no meaning by itself.
    pub(in crate::evolve) fn is_stop_word(&self, word: &str) -> bool {
        self.stop.contains(word)
    }

    pub(in crate::evolve) fn load() -> Self {
        Self {
            stop: library::stop_words(),
            imperatives: library::imperatives(),
            boilerplate: library::boilerplate(),
            asks_back: library::asks_back(),
            personal: library::personal(),
        }
    }
}
