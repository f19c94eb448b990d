//! Records as training files.
//!
//! Where in the flow: the journal's records come in, a folder with `train.jsonl`, `validation.jsonl` and
//! `export.json` comes out. [`super::read_examples`] reads every format back.
//!
//! **Invariant:** every row of every format has the same lineage columns (`id`, `root_id`, `round`,
//! `operator`, `skill`, `difficulty`), with null where nothing is known: a column that comes and goes
//! breaks the loaders of others.

use super::folder::{self, File};
use super::split::{Split, split};
use super::{Error, Record, user_turn};
use std::collections::BTreeSet;
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
        let content = match self {
            Self::Alpaca => Content::Alpaca {
                instruction: &record.instruction,
                input: &record.input,
                output: &record.output,
            },
            Self::Sharegpt => Content::Sharegpt {
                conversations: [
                    Said { from: "human", value: user() },
                    Said { from: "gpt", value: record.output.clone() },
                ],
            },
            Self::Messages => Content::Messages {
                messages: [
                    Turn { role: "user", content: user() },
                    Turn { role: "assistant", content: record.output.clone() },
                ],
            },
        };
        let row = Row {
            content,
            id: record.id,
            root_id: record.root_id,
            round: record.round,
            operator: record.operator.as_deref(),
            skill: record.skill.as_deref(),
            difficulty: record.difficulty,
        };
        serde_json::to_string(&row).expect("texts and numbers under distinct text keys")
    }
}

#[derive(serde::Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    content: Content<'a>,
    id: u64,
    root_id: u64,
    round: u32,
    operator: Option<&'a str>,
    skill: Option<&'a str>,
    difficulty: Option<u8>,
}

#[derive(serde::Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Alpaca { instruction: &'a str, input: &'a str, output: &'a str },
    Sharegpt { conversations: [Said; 2] },
    Messages { messages: [Turn; 2] },
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

/// Share of the roots that is held out unless another is asked for: enough families to see a loss move, few enough
/// not to starve the training.
pub const VALIDATION_FRACTION: f64 = 0.1;

/// What decides an export, besides the records.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ExportOptions {
    /// How rows are laid out.
    pub format: Format,
    /// Share of the roots that is held out, `0.0..1.0`.
    pub validation_fraction: f64,
    /// The run's seed: decides order and sides.
    pub seed: u64,
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
}

/// Splits, shuffles and writes `records` into the folder `dir`, which is made if absent. Files of an
/// earlier export are replaced, others never.
///
/// # Errors
/// [`Error::NoRecords`], [`Error::ValidationFraction`], [`Error::NotOurs`] if a file in the way was not
/// made here, or [`Error::Io`].
pub fn export(records: Vec<Record>, options: &ExportOptions, dir: &Path) -> Result<Exported, Error> {
    if records.is_empty() {
        return Err(Error::NoRecords);
    }
    let Split { train, validation } = split(records, options.validation_fraction, options.seed)?;
    let file = |name, records: &[Record]| {
        let roots: BTreeSet<u64> = records.iter().map(|record| record.root_id).collect();
        let rows = records.iter().map(|record| options.format.row(record) + "\n");
        File { name, records: records.len(), roots: roots.len(), content: rows.collect() }
    };
    let mut files = vec![file(folder::TRAIN, &train)];
    if !validation.is_empty() {
        files.push(file(folder::VALIDATION, &validation));
    }
    folder::write(dir, options, &files)?;
    Ok(Exported {
        train: dir.join(folder::TRAIN),
        validation: (!validation.is_empty()).then(|| dir.join(folder::VALIDATION)),
        train_records: train.len(),
        validation_records: validation.len(),
    })
}
