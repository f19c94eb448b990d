//! What can go wrong while measuring, and with the history of measurements.

use crate::explain::{Blame, Explain, Explanation};
use crate::{evolve, llm, store, train};
use std::path::PathBuf;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model failed, or the measurement was interrupted.
    #[error(transparent)]
    Llm(#[from] llm::Error),
    /// The evolution failed.
    #[error(transparent)]
    Evolve(#[from] evolve::Error),
    /// The journal of the evolution cannot be made.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The training failed.
    #[error(transparent)]
    Train(#[from] train::Error),
    /// A setting is out of range.
    #[error("`{field}` is {found}, expected {expected}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// The history cannot be read or written.
    #[error("cannot {action} the history `{}`", path.display())]
    History {
        /// `open`, `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line of the history is no record.
    #[error(
        "line {line} of the history `{}` is not a record of `evol bench evolve`: {reason}",
        path.display()
    )]
    BadRecord {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A record that is not there was asked for.
    #[error("record {found} does not exist in the history `{}`, which has {count}", path.display())]
    NoSuchRecord {
        /// The file.
        path: PathBuf,
        /// As asked, from 1.
        found: usize,
        /// Records in the file.
        count: usize,
    },
    /// There is nothing to compare.
    #[error("the history `{}` does not have two records of one model: {reason}", path.display())]
    NoPair {
        /// The file.
        path: PathBuf,
        /// What it has.
        reason: String,
    },
}

impl Explain for Error {
    fn explain(&self) -> Explanation {
        match self {
            Self::Llm(error) => error.explain(),
            Self::Evolve(error) => error.explain(),
            Self::Store(error) => error.explain(),
            Self::Train(error) => error.explain(),
            Self::Setting { .. } => Blame::Usage.no_hint(),
            Self::BadRecord { .. } => {
                Blame::Usage.hint("remove the line, or name another file with `--history`")
            }
            Self::NoSuchRecord { count, .. } if *count > 0 => {
                Blame::Usage.hint(format!("records are numbered 1 to {count}"))
            }
            Self::NoSuchRecord { .. } | Self::NoPair { .. } => {
                Blame::Usage.hint("add a record with `evol bench evolve --model MODEL`")
            }
            Self::History { action: "read", source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Blame::Usage.hint("create it with `evol bench evolve --model MODEL`")
            }
            Self::History { action, .. } if *action == "read" => Blame::Usage.no_hint(),
            Self::History { .. } => Blame::Run.no_hint(),
        }
    }
}
