//! Records as training files.
//!
//! Where in the flow: the journal's records come in, a folder with `train.jsonl`, `validation.jsonl`,
//! `rejected.jsonl`, a card (`README.md`) and `export.json` comes out. [`super::read_examples`] reads every
//! format back as training data, [`super::read_export`] with its lineage.
//!
//! **Invariant:** every row of every format has the same lineage columns, with null where nothing is known: a
//! column that comes and goes breaks the loaders of others. `input` is one of them: the part of the user's
//! turn that is material.

use super::folder::{self, File};
use super::repeats::{NEAR_DUPLICATE, Repeat, near_repeats};
use super::split::{Split, split};
use super::{Card, Contamination, Error, Mix, Record, Rejected, TestSet, user_turn};
use crate::constraint::Constraint;
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// How a row is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `instruction`, `input`, `output`: Stanford Alpaca's.
    Alpaca,
    /// `conversations`: `[{from: human | gpt, value}]`: `ShareGPT`'s.
    Sharegpt,
    /// `messages`: `[{role: user | assistant, content}]`: `OpenAI`'s and Hugging Face's.
    #[default]
    Messages,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Alpaca, Self::Sharegpt, Self::Messages];

    /// Its name on the command line and in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alpaca => "alpaca",
            Self::Sharegpt => "sharegpt",
            Self::Messages => "messages",
        }
    }

    /// One line of a file, without its line end.
    #[expect(clippy::missing_panics_doc, reason = "a row always serialises")]
    pub fn row(self, record: &Record) -> String {
        let user = || user_turn(&record.instruction, &record.input);
        let (instruction, input) = (record.instruction.as_str(), record.input.as_str());
        let content = match self {
            Self::Alpaca => Content::Alpaca { instruction, input, output: &record.output },
            Self::Sharegpt => Content::Sharegpt {
                conversations: [
                    Said { from: "human", value: user() },
                    Said { from: "gpt", value: record.output.clone() },
                ],
                input,
            },
            Self::Messages => Content::Messages {
                messages: [
                    Turn { role: "user", content: user() },
                    Turn { role: "assistant", content: record.output.clone() },
                ],
                input,
            },
        };
        let row = Row::new(content, record);
        serde_json::to_string(&row).expect("texts and numbers under distinct text keys")
    }
}

/// A line of `rejected.jsonl`, the same in all formats.
fn rejected_row(rejected: &Rejected) -> String {
    let Rejected { record, reason, detail } = rejected;
    let (instruction, input) = (record.instruction.as_str(), record.input.as_str());
    let row = RejectedRow {
        reason,
        detail: detail.to_string(),
        row: Row::new(Content::Alpaca { instruction, input, output: &record.output }, record),
    };
    serde_json::to_string(&row).expect("texts and numbers under distinct text keys")
}

#[derive(serde::Serialize)]
struct RejectedRow<'a> {
    reason: &'a str,
    detail: String,
    #[serde(flatten)]
    row: Row<'a>,
}

/// The constraints as one text: JSON within JSON, because objects whose keys differ from row to row break the
/// loaders of others.
struct Constraints<'a>(&'a [Constraint]);

impl serde::Serialize for Constraints<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = serde_json::to_string(self.0).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&text)
    }
}

#[derive(serde::Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    content: Content<'a>,
    id: u64,
    parent_id: Option<u64>,
    root_id: u64,
    round: u32,
    attempt: u32,
    operator: Option<&'a str>,
    skill: Option<&'a str>,
    difficulty: Option<u8>,
    harder: Option<f64>,
    constraints: Constraints<'a>,
}

impl<'a> Row<'a> {
    fn new(content: Content<'a>, record: &'a Record) -> Self {
        Self {
            content,
            id: record.id,
            parent_id: record.parent_id,
            root_id: record.root_id,
            round: record.round,
            attempt: record.attempt,
            operator: record.operator.as_deref(),
            skill: record.skill.as_deref(),
            difficulty: record.difficulty,
            harder: record.harder,
            constraints: Constraints(&record.constraints),
        }
    }
}

#[derive(serde::Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Alpaca { instruction: &'a str, input: &'a str, output: &'a str },
    Sharegpt { conversations: [Said; 2], input: &'a str },
    Messages { messages: [Turn; 2], input: &'a str },
}

#[derive(serde::Serialize)]
struct Said {
    from: &'static str,
    value: String,
}

#[derive(serde::Serialize)]
struct Turn {
    role: &'static str,
    content: String,
}

/// Share of the roots that is held out unless another is asked for: enough families to see a loss move, few
/// enough not to starve the training.
pub const VALIDATION_FRACTION: f64 = 0.1;

/// What decides an export, besides the records.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ExportOptions {
    /// How rows are laid out.
    pub format: Format,
    /// Share of the roots that is held out, `0.0..1.0`.
    pub validation_fraction: f64,
    /// The run's seed: decides order and sides.
    pub seed: u64,
    /// How much of what goes in.
    #[serde(default)]
    pub mix: Mix,
}

/// Everything that an export is made of.
#[derive(Debug, Default)]
pub struct Collection {
    /// What was kept.
    pub records: Vec<Record>,
    /// What was not.
    pub rejected: Vec<Rejected>,
    /// What must not be in it.
    pub tests: TestSet,
    /// What its card says.
    pub card: Card,
}

/// What an export wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The file to train on.
    pub train: PathBuf,
    /// The file to validate on; `None` if nothing was held out.
    pub validation: Option<PathBuf>,
    /// Rows of the first.
    pub train_records: usize,
    /// Rows of the second.
    pub validation_records: usize,
    /// Records that were left out because they repeat a test.
    pub contaminated: Vec<Contamination>,
    /// Records that were left out because another lineage has nearly the same.
    pub near_duplicates: usize,
    /// Records that the mix left out.
    pub left_out: usize,
}

/// The reason of records that repeat a test.
pub(super) const CONTAMINATED: &str = "contaminated";

/// Decontaminates, leaves out what lineages have in common, mixes, splits, shuffles and writes records into
/// the folder `dir`, which is made if absent. Files of an earlier export are replaced, others never.
///
/// # Errors
/// [`Error::NoRecords`], [`Error::ValidationFraction`], those of [`Mix::apply`], [`Error::NotOurs`] if a file
/// in the way was not made here, or [`Error::Io`].
pub fn export(collection: Collection, options: &ExportOptions, dir: &Path) -> Result<Exported, Error> {
    let card = collection.card.clone();
    let Divided { split: Split { train, validation }, rejected, contaminated, near_duplicates, left_out } =
        collection.divide(options)?;
    let files = files(options.format, &train, &validation, &rejected, &card);
    folder::write(dir, options, &files)?;
    Ok(Exported {
        train: dir.join(folder::TRAIN),
        validation: (!validation.is_empty()).then(|| dir.join(folder::VALIDATION)),
        train_records: train.len(),
        validation_records: validation.len(),
        contaminated,
        near_duplicates,
        left_out,
    })
}

/// What goes into an export, and what does not.
#[derive(Debug)]
pub struct Divided {
    /// Both sides.
    pub split: Split,
    /// By id.
    pub rejected: Vec<Rejected>,
    /// See [`Exported::contaminated`].
    pub contaminated: Vec<Contamination>,
    /// See [`Exported::near_duplicates`].
    pub near_duplicates: usize,
    /// See [`Exported::left_out`].
    pub left_out: usize,
}

impl Collection {
    /// Decontaminates, leaves out what lineages have in common, mixes, splits and shuffles.
    ///
    /// # Errors
    /// As [`export`], but for those of the folder.
    #[expect(clippy::missing_panics_doc, reason = "texts and numbers always serialise")]
    pub fn divide(self, options: &ExportOptions) -> Result<Divided, Error> {
        let Self { records, mut rejected, tests, card: _ } = self;
        if records.is_empty() {
            return Err(Error::NoRecords);
        }
        let mut contaminated = Vec::new();
        let mut clean = Vec::new();
        for record in records {
            match tests.find(&record) {
                None => clean.push(record),
                Some(found) => {
                    let detail = serde_json::to_value(&found).expect("texts and numbers");
                    rejected.push(Rejected { record, reason: CONTAMINATED.to_owned(), detail });
                    contaminated.push(found);
                }
            }
        }
        let repeats: HashMap<u64, Repeat> =
            near_repeats(&clean).into_iter().map(|repeat| (repeat.id, repeat)).collect();
        let near_duplicates = repeats.len();
        let (repeated, clean): (Vec<_>, Vec<_>) =
            clean.into_iter().partition(|record| repeats.contains_key(&record.id));
        rejected.extend(repeated.into_iter().map(|record| {
            let Repeat { root_id, similarity, .. } = repeats[&record.id];
            let detail = json!({ "root_id": root_id, "similarity": similarity });
            Rejected { record, reason: NEAR_DUPLICATE.to_owned(), detail }
        }));
        let before = clean.len();
        let mixed = options.mix.apply(clean, options.seed)?;
        if mixed.is_empty() {
            return Err(Error::NoRecords);
        }
        let left_out = before - mixed.len();
        let split = split(mixed, options.validation_fraction, options.seed)?;
        rejected.sort_by_key(|rejected| rejected.record.id);
        Ok(Divided { split, rejected, contaminated, near_duplicates, left_out })
    }
}

fn files(
    format: Format,
    train: &[Record],
    validation: &[Record],
    rejected: &[Rejected],
    card: &Card,
) -> Vec<File> {
    let roots = |records: &mut dyn Iterator<Item = &Record>| -> usize {
        records.map(|record| record.root_id).collect::<BTreeSet<u64>>().len()
    };
    let file = |name, records: &[Record]| {
        let rows = records.iter().map(|record| format.row(record) + "\n");
        File { name, records: records.len(), roots: roots(&mut records.iter()), content: rows.collect() }
    };
    let mut files = vec![file(folder::TRAIN, train)];
    if !validation.is_empty() {
        files.push(file(folder::VALIDATION, validation));
    }
    if !rejected.is_empty() {
        let rows = rejected.iter().map(|rejected| rejected_row(rejected) + "\n");
        let roots = roots(&mut rejected.iter().map(|row| &row.record));
        files.push(File { name: folder::REJECTED, records: rejected.len(), roots, content: rows.collect() });
    }
    let content = card.text(train, validation, rejected);
    files.push(File { name: folder::CARD, records: 0, roots: 0, content });
    files
}
