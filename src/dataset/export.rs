//! Exports records as training files.
//!
//! Where in the flow: reads the journal's records and writes a folder with `train.jsonl`,
//! `validation.jsonl`, `rejected.jsonl`, a card (`README.md`) and `export.json`. [`super::read_examples`]
//! reads every format back as training data, [`super::read_export`] with its lineage.
//!
//! **Invariant:** every row of every format has the same lineage columns, with null for unknown values. A
//! column that is missing in some rows breaks the data loaders of other tools. `input` is such a column in
//! all formats: the part of the user's turn that the instruction works on.

use super::folder::{self, File};
use super::near_duplicates::{NEAR_DUPLICATE, NearDuplicate, near_duplicates};
use super::split::{Split, split};
use super::{Card, Contamination, Error, Mix, Record, Rejected, TestSet, user_turn};
use crate::constraint::Constraint;
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// The layout of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Stanford Alpaca: `instruction`, `input`, `output`.
    Alpaca,
    /// `ShareGPT`: `conversations`, an array of `{from: human | gpt, value}`.
    Sharegpt,
    /// `OpenAI` and Hugging Face: `messages`, an array of `{role: user | assistant, content}`.
    #[default]
    Messages,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Alpaca, Self::Sharegpt, Self::Messages];

    /// The name on the command line and in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alpaca => "alpaca",
            Self::Sharegpt => "sharegpt",
            Self::Messages => "messages",
        }
    }

    /// Formats a record as one JSON line, without the line end.
    #[expect(clippy::missing_panics_doc, reason = "a row always serialises")]
    pub fn row(self, record: &Record) -> String {
        let user = || user_turn(&record.instruction, &record.input);
        let (instruction, input) = (record.instruction.as_str(), record.input.as_str());
        let content = match self {
            Self::Alpaca => Content::Alpaca { instruction, input, output: &record.output },
            Self::Sharegpt => Content::Sharegpt {
                conversations: [
                    ShareGptTurn { from: "human", value: user() },
                    ShareGptTurn { from: "gpt", value: record.output.clone() },
                ],
                input,
            },
            Self::Messages => Content::Messages {
                messages: [
                    MessagesTurn { role: "user", content: user() },
                    MessagesTurn { role: "assistant", content: record.output.clone() },
                ],
                input,
            },
        };
        let row = Row::new(content, record);
        serde_json::to_string(&row).expect("texts and numbers under distinct text keys")
    }
}

/// Formats a line of `rejected.jsonl`, which has the same layout whatever the format of the other files.
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

/// Serialises constraints as one JSON string, because objects whose keys differ from row to row break the
/// data loaders of other tools.
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
    Sharegpt { conversations: [ShareGptTurn; 2], input: &'a str },
    Messages { messages: [MessagesTurn; 2], input: &'a str },
}

#[derive(serde::Serialize)]
struct ShareGptTurn {
    from: &'static str,
    value: String,
}

#[derive(serde::Serialize)]
struct MessagesTurn {
    role: &'static str,
    content: String,
}

/// The default share of roots that is held out: enough lineages to see the loss change, few enough to leave
/// most of the data for training.
pub const VALIDATION_FRACTION: f64 = 0.1;

/// The options of an export.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ExportOptions {
    /// The layout of rows.
    pub format: Format,
    /// The share of roots that is held out, in `0.0..1.0`.
    pub validation_fraction: f64,
    /// The seed of the run. It decides the split, the mix and the order of rows.
    pub seed: u64,
    /// Limits on the size of the data set and on the shares in it.
    #[serde(default)]
    pub mix: Mix,
}

/// The input of an export.
#[derive(Debug, Default)]
pub struct Collection {
    /// The records that the run kept.
    pub records: Vec<Record>,
    /// The instructions that the run eliminated.
    pub rejected: Vec<Rejected>,
    /// The items that no exported record may overlap with.
    pub tests: TestSet,
    /// The provenance, for the data set card.
    pub card: Card,
}

/// The rows that an export contains, and the ones that it leaves out.
#[derive(Debug)]
pub struct Selection {
    /// The rows to train and validate on.
    pub split: Split,
    /// The rows that were eliminated, in the run or in the export, ordered by id.
    pub rejected: Vec<Rejected>,
    /// The overlaps for which records were left out, in the order of the records.
    pub contaminated: Vec<Contamination>,
    /// Number of records left out because another lineage has nearly the same.
    pub near_duplicates: usize,
    /// Number of records left out to meet the limits of the mix.
    pub left_out: usize,
    /// The provenance, for the data set card.
    pub card: Card,
}

/// The files that an export wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The file to train on.
    pub train: PathBuf,
    /// The file to validate on; `None` if nothing was held out.
    pub validation: Option<PathBuf>,
    /// Number of rows to train on.
    pub train_records: usize,
    /// Number of rows to validate on.
    pub validation_records: usize,
    /// As [`Selection::contaminated`].
    pub contaminated: Vec<Contamination>,
    /// As [`Selection::near_duplicates`].
    pub near_duplicates: usize,
    /// As [`Selection::left_out`].
    pub left_out: usize,
}

/// The rejection reason of records that overlap with a test set.
pub(super) const CONTAMINATED: &str = "contaminated";

/// Selects rows ([`Collection::select`]) and writes them ([`Selection::write`]).
///
/// # Errors
/// As both.
pub fn export(collection: Collection, options: &ExportOptions, dir: &Path) -> Result<Exported, Error> {
    collection.select(options)?.write(options, dir)
}

impl Collection {
    /// Removes contaminated records and near duplicates of other lineages, applies the mix, splits and
    /// shuffles. Removed records are listed as rejected, except those that only exceed a limit of the mix.
    ///
    /// # Errors
    /// [`Error::NoRecords`], [`Error::ValidationFraction`], and the errors of [`Mix::apply`].
    #[expect(clippy::missing_panics_doc, reason = "texts and numbers always serialise")]
    pub fn select(self, options: &ExportOptions) -> Result<Selection, Error> {
        let Self { records, mut rejected, tests, card } = self;
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
        let duplicates: HashMap<u64, NearDuplicate> =
            near_duplicates(&clean).into_iter().map(|duplicate| (duplicate.id, duplicate)).collect();
        let (removed, unique): (Vec<_>, Vec<_>) =
            clean.into_iter().partition(|record| duplicates.contains_key(&record.id));
        rejected.extend(removed.into_iter().map(|record| {
            let NearDuplicate { root_id, similarity, .. } = duplicates[&record.id];
            let detail = json!({ "root_id": root_id, "similarity": similarity });
            Rejected { record, reason: NEAR_DUPLICATE.to_owned(), detail }
        }));
        let before = unique.len();
        let mixed = options.mix.apply(unique, options.seed)?;
        if mixed.is_empty() {
            return Err(Error::NoRecords);
        }
        let left_out = before - mixed.len();
        let split = split(mixed, options.validation_fraction, options.seed)?;
        rejected.sort_by_key(|rejected| rejected.record.id);
        Ok(Selection { split, rejected, contaminated, near_duplicates: duplicates.len(), left_out, card })
    }
}

impl Selection {
    /// Writes the rows into the folder `dir`, which is created if absent. It replaces files of an earlier
    /// export, and no others. `options` must be those that the rows were selected with.
    ///
    /// # Errors
    /// [`Error::NotOurs`] if `dir` has a file of the same name that no export wrote, or [`Error::Io`].
    pub fn write(self, options: &ExportOptions, dir: &Path) -> Result<Exported, Error> {
        folder::write(dir, options, &self.files(options.format))?;
        let Split { train, validation } = self.split;
        Ok(Exported {
            train: dir.join(folder::TRAIN),
            validation: (!validation.is_empty()).then(|| dir.join(folder::VALIDATION)),
            train_records: train.len(),
            validation_records: validation.len(),
            contaminated: self.contaminated,
            near_duplicates: self.near_duplicates,
            left_out: self.left_out,
        })
    }

    fn files(&self, format: Format) -> Vec<File> {
        let Self { split: Split { train, validation }, rejected, card, .. } = self;
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
            let roots = roots(&mut rejected.iter().map(|row| &row.record));
            let content = rejected.iter().map(|rejected| rejected_row(rejected) + "\n").collect();
            files.push(File { name: folder::REJECTED, records: rejected.len(), roots, content });
        }
        let content = card.text(train, validation, rejected);
        files.push(File { name: folder::CARD, records: 0, roots: 0, content });
        files
    }
}
