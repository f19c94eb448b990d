//! Decontamination: finds records that overlap with items of a test set, by shared word n-grams.
//!
//! Where in the flow: [`super::export()`] calls it on every record; contaminated records are moved to
//! `rejected.jsonl` and listed.
//!
//! A record is contaminated by an item if one of these holds:
//! - they share a 13-gram of words (the measure of GPT-3, Brown et al. 2020, appendix C);
//! - its instruction contains at least half of the item's 8-grams (after `PaLM`, Chowdhery et al. 2022, which
//!   uses 70 %);
//! - the item has 4 to 7 words and its instruction consists of exactly these words.
//!
//! **Invariant:** the result is a pure function of the texts. Their order only decides which of several
//! matching items is named.

use super::error::Reason;
use super::lines::{Line, read_lines};
use super::normalise::words;
use super::{BadLine, Error, Record};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// Words of a long n-gram, one of which is enough.
const LONG: usize = 13;
/// Words of a short n-gram, of which a share is needed.
const SHORT: usize = 8;
/// The share of an item's short n-grams that makes a record contaminated.
const SHARE: f64 = 0.5;
/// Items with fewer words occur in every data set (`What is this?`) and are ignored.
const MIN_WORDS: usize = 4;

/// A text of a test set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestItem {
    /// The file, or the name of a built-in test set.
    pub source: String,
    /// The line in the source, from 1.
    pub line: usize,
    /// The text, usually a question.
    pub text: String,
}

/// The evidence that a record overlaps with an item of a test set.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Contamination {
    /// The id of the record.
    pub id: u64,
    /// The source of the item.
    pub source: String,
    /// The line of the item in its source, from 1.
    pub line: usize,
    /// The consecutive words that both contain.
    pub words: String,
}

/// The items of a test set, indexed by their n-grams. Items are identified by their position.
#[derive(Debug, Clone, Default)]
pub struct TestSet {
    items: Vec<TestItem>,
    /// The first item with each [`LONG`] n-gram, by the n-gram's hash.
    long_ngrams: HashMap<u64, usize>,
    /// All items with each [`SHORT`] n-gram, by the n-gram's hash.
    short_ngrams: HashMap<u64, Vec<usize>>,
    /// The number of distinct [`SHORT`] n-grams of each item.
    short_counts: Vec<usize>,
    /// Items with fewer than [`SHORT`] words, by their words.
    short_items: HashMap<String, usize>,
}

/// The short n-grams that a record shares with an item.
struct Overlap {
    count: usize,
    /// Position of the first one, in words of the instruction.
    first: usize,
}

impl TestSet {
    /// Indexes `items`. If several items match a record, the earlier one is named.
    pub fn new(items: Vec<TestItem>) -> Self {
        let mut set = Self::default();
        for (item, TestItem { text, .. }) in items.iter().enumerate() {
            let words = words(text);
            for ngram in words.windows(LONG) {
                set.long_ngrams.entry(hash(ngram)).or_insert(item);
            }
            let short: HashSet<u64> = words.windows(SHORT).map(hash).collect();
            set.short_counts.push(short.len());
            for ngram in short {
                set.short_ngrams.entry(ngram).or_default().push(item);
            }
            if (MIN_WORDS..SHORT).contains(&words.len()) {
                set.short_items.entry(words.join(" ")).or_insert(item);
            }
        }
        set.items = items;
        set
    }

    /// Whether the test set has no items.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Finds an item that `record` overlaps with.
    pub fn find(&self, record: &Record) -> Option<Contamination> {
        let instruction = words(&super::user_turn(&record.instruction, &record.input));
        let output = words(&record.output);
        let contamination = |item: usize, words: String| {
            let TestItem { source, line, .. } = &self.items[item];
            Some(Contamination { id: record.id, source: source.clone(), line: *line, words })
        };
        for text in [&instruction, &output] {
            let mut shared =
                text.windows(LONG).filter_map(|ngram| Some((*self.long_ngrams.get(&hash(ngram))?, ngram)));
            if let Some((item, ngram)) = shared.next() {
                return contamination(item, ngram.join(" "));
            }
        }
        let mut overlaps: HashMap<usize, Overlap> = HashMap::new();
        let mut seen = HashSet::new();
        for (first, ngram) in instruction.windows(SHORT).enumerate() {
            let ngram = hash(ngram);
            // An n-gram that the instruction repeats counts once, as it does in `short_counts`.
            for &item in self.short_ngrams.get(&ngram).filter(|_| seen.insert(ngram)).into_iter().flatten() {
                overlaps.entry(item).or_insert(Overlap { count: 0, first }).count += 1;
            }
        }
        let is_enough = |(item, overlap): &(&usize, &Overlap)| {
            overlap.count as f64 >= SHARE * self.short_counts[**item] as f64
        };
        if let Some((&item, overlap)) = overlaps.iter().filter(is_enough).min_by_key(|(item, _)| **item) {
            return contamination(item, instruction[overlap.first..overlap.first + SHORT].join(" "));
        }
        let text = instruction.join(" ");
        self.short_items.get(&text).and_then(|&item| contamination(item, text.clone()))
    }
}

/// Reads a test set of any format. If a line is a JSON object or array, every string in it is an item;
/// otherwise the whole line is one. In a file named `.json` or `.jsonl`, a line that is not valid JSON is an
/// error instead.
///
/// # Errors
/// [`Error::Io`]; [`Error::BadLines`] for lines that are not UTF-8 or not valid JSON; [`Error::Empty`].
pub fn read_test_items(path: &Path) -> Result<Vec<TestItem>, Error> {
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
            Ok(value) if value.is_object() || value.is_array() => collect_strings(value, &mut texts),
            Err(error) if must_be_json => {
                bad.push(BadLine { line: number, reason: Reason::NotJson { problem: error.to_string() } });
            }
            _ => texts.push(text),
        }
        let source = path.display().to_string();
        items.extend(texts.into_iter().map(|text| TestItem { source: source.clone(), line: number, text }));
    }
    match () {
        () if !bad.is_empty() => Err(Error::BadLines { path: path.to_owned(), bad }),
        () if items.is_empty() => Err(Error::Empty { path: path.to_owned(), skipped: 0 }),
        () => Ok(items),
    }
}

/// Collects all strings in `value`, at any depth.
fn collect_strings(value: Value, into: &mut Vec<String>) {
    match value {
        Value::String(text) => into.push(text),
        Value::Array(values) => values.into_iter().for_each(|value| collect_strings(value, into)),
        Value::Object(fields) => fields.into_iter().for_each(|(_, value)| collect_strings(value, into)),
        _ => {}
    }
}

fn hash(ngram: &[String]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for word in ngram {
        hasher.update(word.as_bytes());
        hasher.update(b" ");
    }
    let bytes = *hasher.finalize().as_bytes();
    u64::from_le_bytes(bytes[..8].try_into().expect("eight of 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A truncated JSON line would otherwise become an item that no record can overlap with.
    #[test]
    fn a_broken_line_is_an_error_in_a_json_file_and_an_item_in_a_text_file() {
        let folder = tempfile::tempdir().unwrap();
        let written = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, "{\"question\": \"How many sheep").unwrap();
            path
        };
        let error = read_test_items(&written("tests.jsonl")).unwrap_err().to_string();
        assert!(error.starts_with("line 1 of"), "{error}");
        assert_eq!(read_test_items(&written("tests.txt")).unwrap().len(), 1);
    }

    fn item(line: usize, text: &str) -> TestItem {
        TestItem { source: "test.jsonl".to_owned(), line, text: text.to_owned() }
    }

    fn record(instruction: &str, output: &str) -> Record {
        Record { instruction: instruction.to_owned(), output: output.to_owned(), ..Record::empty(7) }
    }

    #[test]
    fn overlap_with_a_test_item_is_found_and_a_shared_phrase_is_not() {
        let long = "A farmer has 17 sheep, and all but 9 of them run away; \
                    how many does she have left in the field?";
        let short = "Name the capital of France.";
        let set = TestSet::new(vec![item(1, long), item(2, short)]);
        let found = |instruction: &str, output: &str| set.find(&record(instruction, output)).map(|f| f.line);
        assert_eq!(found(&format!("Please solve this. {}", long.to_uppercase()), ""), Some(1));
        // The item occurs in the answer.
        assert_eq!(found("Invent a riddle.", long), Some(1));
        // The first shares fewer than half of the item's 8-grams, the second more.
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
