//! Punkt's English model: abbreviations, words that start sentences, and the case in which words occur.
//!
//! **Invariant:** it is read once from `punkt_english.txt`, which `tests/oracle/punkt_english.py` generates.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// The case in which a word occurs in Punkt's training text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// It does not occur, or only capitalised.
    Unknown,
    /// It occurs in lower case; capitalised only at the start of sentences, if at all.
    CapitalInitially,
    /// It occurs in lower case, and capitalised inside sentences.
    CapitalInside,
    /// It occurs in lower case only, also at the start of sentences.
    LowerInitially,
}

/// The model; all words are in lower case.
#[derive(Debug)]
pub(super) struct Model {
    abbreviations: HashSet<String>,
    collocations: HashSet<(String, String)>,
    starters: HashSet<String>,
    seen: HashMap<String, Seen>,
}

/// The English model.
pub(super) static ENGLISH: LazyLock<Model> =
    LazyLock::new(|| Model::read(include_str!("../punkt_english.txt")));

impl Model {
    fn read(text: &str) -> Self {
        let (abbreviations, collocations) = (HashSet::new(), HashSet::new());
        let (starters, seen) = (HashSet::new(), HashMap::new());
        let mut model = Self { abbreviations, collocations, starters, seen };
        let mut section = "";
        for line in text.lines().skip_while(|line| line.starts_with("# ")) {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = name;
                continue;
            }
            for entry in line.split(' ') {
                model.add(section, entry.replace('_', " "));
            }
        }
        model
    }

    fn add(&mut self, section: &str, entry: String) {
        match section {
            "abbreviations" => {
                self.abbreviations.insert(entry);
            }
            "collocations" => {
                let pair = entry.split_once('|').map(|(first, second)| (first.to_owned(), second.to_owned()));
                self.collocations.extend(pair);
            }
            "sentence-starters" => {
                self.starters.insert(entry);
            }
            _ => {
                let seen = match section {
                    "capital-inside" => Seen::CapitalInside,
                    "lower-initial" => Seen::LowerInitially,
                    _ => Seen::CapitalInitially,
                };
                self.seen.insert(entry, seen);
            }
        }
    }

    /// Whether a word (without its full stop) or its part after the last hyphen is an abbreviation.
    pub(super) fn is_abbreviation(&self, word: &str) -> bool {
        let part = word.rsplit('-').next().unwrap_or(word);
        self.abbreviations.contains(word) || self.abbreviations.contains(part)
    }

    /// Whether the two words form a collocation across a full stop, so that no sentence ends there.
    pub(super) fn is_collocation(&self, first: &str, second: &str) -> bool {
        self.collocations.contains(&(first.to_owned(), second.to_owned()))
    }

    /// Whether sentences often start with the word.
    pub(super) fn is_starter(&self, word: &str) -> bool {
        self.starters.contains(word)
    }

    /// The case in which the word occurs.
    pub(super) fn seen(&self, word: &str) -> Seen {
        self.seen.get(word).copied().unwrap_or(Seen::Unknown)
    }
}
