//! The English model: which words are abbreviations, which begin sentences, in which case words were seen.
//!
//! **Invariant:** read once from `punkt_english.txt`, which `tests/oracle/punkt_english.py` makes.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// In what case a word was seen in the training text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Not at all, or with a capital only.
    Unknown,
    /// In lower case; if with a capital, then at the beginning of sentences.
    CapitalInitially,
    /// In lower case, and with a capital inside sentences.
    CapitalInside,
    /// In lower case only, and sentences began with it.
    LowerInitially,
}

/// What is known about words; all of it in lower case.
#[derive(Debug)]
pub(super) struct Model {
    abbreviations: HashSet<String>,
    collocations: HashSet<(String, String)>,
    starters: HashSet<String>,
    seen: HashMap<String, Seen>,
}

/// The model.
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

    /// Whether a word without its full stop is an abbreviation, or its part behind the last hyphen is.
    pub(super) fn is_abbreviation(&self, word: &str) -> bool {
        let part = word.rsplit('-').next().unwrap_or(word);
        self.abbreviations.contains(word) || self.abbreviations.contains(part)
    }

    /// Whether the two belong together, with the full stop between them.
    pub(super) fn is_collocation(&self, first: &str, second: &str) -> bool {
        self.collocations.contains(&(first.to_owned(), second.to_owned()))
    }

    /// Whether sentences often begin with the word.
    pub(super) fn is_starter(&self, word: &str) -> bool {
        self.starters.contains(word)
    }

    /// In what case the word was seen.
    pub(super) fn seen(&self, word: &str) -> Seen {
        self.seen.get(word).copied().unwrap_or(Seen::Unknown)
    }
}
