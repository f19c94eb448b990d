//! Decontamination: records that repeat items of a test set are found by the words in a row that they share.
//!
//! Where in the flow: between the journal's records and an export; what is found is left out and listed.
//!
//! A record is contaminated by an item if they share 13 words in a row (the measure of GPT-3, Brown et al.
//! 2020, appendix C), or if it has at least half of the item's rows of 8 words (after `PaLM`, Chowdhery et
//! al. 2022, which asks for 70 %), or if a shorter item stands in its instruction whole.
//!
//! **Invariant:** a function of the texts; nothing depends on their order but which of several items is
//! named.

use super::error::Reason;
use super::lines::{Line, read_lines};
use super::{BadLine, Error, Record};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

const LONG: usize = 13;
const SHORT: usize = 8;
/// Share of an item's rows of [`SHORT`] words.
const SHARE: f64 = 0.5;
/// Items of fewer words are in every data set (`What is this?`).
const LEAST: usize = 4;

/// A text of a test set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The file, or the name of a built-in set.
    pub source: String,
    /// Line, from 1.
    pub line: usize,
    /// What is asked.
    pub text: String,
}

/// Why a record is left out.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Contamination {
    /// Of the record.
    pub id: u64,
    /// The item's file, and its line.
    pub source: String,
    /// From 1.
    pub line: usize,
    /// Words that both have in a row.
    pub words: String,
}

/// Items, indexed by what is looked for.
#[derive(Debug, Default)]
pub struct TestSet {
    items: Vec<Item>,
    /// Rows of words, hashed, by length: the items that have them.
    long: HashMap<u64, usize>,
    short: HashMap<u64, Vec<usize>>,
    /// Distinct rows of [`SHORT`] words of each item.
    rows: Vec<usize>,
    /// Items that are shorter than a row, as their words.
    whole: HashMap<String, usize>,
}

impl TestSet {
    /// Of items; their order decides which of several that match is named.
    pub fn new(items: Vec<Item>) -> Self {
        let mut set = Self::default();
        for (at, item) in items.iter().enumerate() {
            let words = words(&item.text);
            for row in words.windows(LONG) {
                set.long.entry(hash(row)).or_insert(at);
            }
            let rows: HashSet<u64> = words.windows(SHORT).map(hash).collect();
            set.rows.push(rows.len());
            for row in rows {
                set.short.entry(row).or_default().push(at);
            }
            if (LEAST..SHORT).contains(&words.len()) {
                set.whole.entry(words.join(" ")).or_insert(at);
            }
        }
        set.items = items;
        set
    }

    /// Whether there is nothing to compare with.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The item that a record repeats.
    pub fn find(&self, record: &Record) -> Option<Contamination> {
        let instruction = words(&super::user_turn(&record.instruction, &record.input));
        let output = words(&record.output);
        let found = |at: usize, words: String| {
            let Item { source, line, .. } = &self.items[at];
            Some(Contamination { id: record.id, source: source.clone(), line: *line, words })
        };
        for text in [&instruction, &output] {
            let mut rows = text.windows(LONG).filter_map(|row| Some((*self.long.get(&hash(row))?, row)));
            if let Some((at, row)) = rows.next() {
                return found(at, row.join(" "));
            }
        }
        let mut shared: HashMap<usize, (usize, usize)> = HashMap::new();
        let mut seen = HashSet::new();
        for (place, row) in instruction.windows(SHORT).enumerate() {
            let row = hash(row);
            for &at in self.short.get(&row).filter(|_| seen.insert(row)).into_iter().flatten() {
                shared.entry(at).or_insert((0, place)).0 += 1;
            }
        }
        let enough =
            |(at, (count, _)): &(&usize, &(usize, usize))| *count as f64 >= SHARE * self.rows[**at] as f64;
        if let Some((&at, &(_, place))) = shared.iter().filter(enough).min_by_key(|(at, _)| **at) {
            return found(at, instruction[place..place + SHORT].join(" "));
        }
        let text = instruction.join(" ");
        self.whole.get(&text).and_then(|&at| found(at, text.clone()))
    }
}

/// Reads a test set in any form: every text in the JSON object of a line is an item, and so is a line that is
/// none, but in a file that calls itself JSON: there such a line is a broken one.
///
/// # Errors
/// [`Error::Io`]; [`Error::BadLines`] for lines that are no text; [`Error::Empty`].
pub fn read_items(path: &Path) -> Result<Vec<Item>, Error> {
    let must_be_json = path.extension().is_some_and(|extension| extension == "jsonl" || extension == "json");
    let file = File::open(path).map_err(Error::io(path, "open"))?;
    let lines = read_lines(BufReader::new(file)).map_err(Error::io(path, "read"))?;
    let (mut items, mut bad) = (Vec::new(), Vec::new());
    for Line { number, text } in lines {
        let text = match text {
            Ok(text) => text,
            Err(reason) => {
                bad.push(BadLine { line: number, reason });
                continue;
            }
        };
        let mut texts = Vec::new();
        match serde_json::from_str::<Value>(&text) {
            Ok(value) if value.is_object() || value.is_array() => leaves(value, &mut texts),
            Err(error) if must_be_json => {
                bad.push(BadLine { line: number, reason: Reason::NotJson { problem: error.to_string() } });
            }
            _ => texts.push(text),
        }
        let source = path.display().to_string();
        items.extend(texts.into_iter().map(|text| Item { source: source.clone(), line: number, text }));
    }
    match () {
        () if !bad.is_empty() => Err(Error::BadLines { path: path.to_owned(), bad }),
        () if items.is_empty() => Err(Error::Empty { path: path.to_owned(), skipped: 0 }),
        () => Ok(items),
    }
}

/// All texts in a value.
fn leaves(value: Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text),
        Value::Array(values) => values.into_iter().for_each(|value| leaves(value, into)),
        Value::Object(fields) => fields.into_iter().for_each(|(_, value)| leaves(value, into)),
        _ => {}
    }
}

/// Runs of letters and digits, in lower case.
fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

fn hash(row: &[String]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for word in row {
        hasher.update(word.as_bytes());
        hasher.update(b" ");
    }
    let bytes = *hasher.finalize().as_bytes();
    u64::from_le_bytes(bytes[..8].try_into().expect("eight of 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A torn line of a test set would otherwise be compared as a text that nothing repeats.
    #[test]
    fn a_broken_line_is_an_error_in_a_json_file_and_an_item_in_a_text_file() {
        let folder = tempfile::tempdir().unwrap();
        let written = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, "{\"question\": \"How many sheep").unwrap();
            path
        };
        let error = read_items(&written("tests.jsonl")).unwrap_err().to_string();
        assert!(error.starts_with("line 1 of"), "{error}");
        assert_eq!(read_items(&written("tests.txt")).unwrap().len(), 1);
    }

    fn item(line: usize, text: &str) -> Item {
        Item { source: "test.jsonl".to_owned(), line, text: text.to_owned() }
    }

    fn record(instruction: &str, output: &str) -> Record {
        Record { instruction: instruction.to_owned(), output: output.to_owned(), ..Record::empty(7) }
    }

    #[test]
    fn what_repeats_a_test_is_found_and_what_shares_a_phrase_is_not() {
        let long = "A farmer has 17 sheep, and all but 9 of them run away; how many does she have left in the field?";
        let short = "Name the capital of France.";
        let set = TestSet::new(vec![item(1, long), item(2, short)]);
        let found = |instruction: &str, output: &str| set.find(&record(instruction, output)).map(|f| f.line);
        assert_eq!(found(&format!("Please solve this. {}", long.to_uppercase()), ""), Some(1));
        // The test in the answer.
        assert_eq!(found("Invent a riddle.", long), Some(1));
        // Half of it, in rows of 8.
        assert_eq!(found("A farmer has 17 sheep, and all but 9 of them drown; how many?", ""), None);
        assert_eq!(found("Say: a farmer has 17 sheep, and all but 9 of them run away. Why?", ""), Some(1));
        assert_eq!(found("name the capital of france", ""), Some(2));
        assert_eq!(found("Name the capital of France and its rivers.", ""), None);
        assert_eq!(found("How many sheep does a farmer have left in the field?", ""), None);
        let contamination = set.find(&record(long, "")).unwrap();
        assert_eq!((contamination.id, contamination.words.split(' ').count()), (7, 13));
        assert!(TestSet::new(Vec::new()).find(&record(long, "")).is_none());
    }
}
