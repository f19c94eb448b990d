//! What can go wrong with data files.
//!
//! Where in the flow: a line that cannot be used is a [`BadLine`], which the caller may skip or refuse;
//! everything else is an [`Error`], which names the file.
//!
//! **Invariant:** every [`Reason`] says what was found and what was expected, so that the line can be
//! fixed without reading this code.

use crate::explain::{self, Blame, Explain, Explanation};
use std::io;
use std::path::PathBuf;

/// Why a data file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, such as `read`.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// Lines that cannot be used.
    #[error("{}", describe_bad_lines(path, bad))]
    BadLines {
        /// The file.
        path: PathBuf,
        /// At least one, in file order.
        bad: Vec<BadLine>,
    },
    /// No line is left.
    #[error("`{}` has no usable line ({skipped} skipped)", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// How many lines were skipped as bad.
        skipped: usize,
    },
    /// A share that leaves nothing to train on, or is not a number.
    #[error("the validation fraction is {found}, expected at least 0 and less than 1")]
    ValidationFraction {
        /// As given.
        found: f64,
    },
    /// Nothing to export.
    #[error("there are no answered instructions to export")]
    NoRecords,
    /// A limit on a share that is none.
    #[error("the maximum share of `{group}` is {found}, expected above 0 and at most 1")]
    Share {
        /// The group.
        group: String,
        /// As given.
        found: f64,
    },
    /// Limits that leave nothing.
    #[error(
        "the maximum shares leave nothing to export: every record is in a group with a limit, and the limits \
         add up to less than 1"
    )]
    EmptyMix,
    /// A limit of 0, which leaves nothing.
    #[error("`{limit}` is 0, expected at least 1, or leave it out for no limit")]
    NoRoom {
        /// Name of the limit.
        limit: &'static str,
    },
    /// A node has constraints that this program does not know.
    #[error("node {id} of the journal has a constraint that cannot be read: {reason}")]
    BadConstraint {
        /// The node.
        id: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A run's journal cannot be read.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// A file that an export would replace was not made by an export, or was changed since.
    #[error("`{}` was not written by an earlier export, or has changed since", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
}

impl Error {
    /// Makes the mapping of an [`io::Error`] that happened while doing `action` to `path`.
    pub(super) fn io(path: &std::path::Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, action, source }
    }
}

impl Explain for Error {
    fn explain(&self) -> Explanation {
        match self {
            Self::Store(error) => error.explain(),
            Self::Io { action, .. } => Blame::of_file_action(action).no_hint(),
            Self::BadLines { path, bad } => match bad.first().map(|line| &line.reason) {
                Some(Reason::NotJson { .. } | Reason::NotAnObject { .. }) => Blame::Usage.hint(format!(
                    "expected one JSON object per line; to convert a file with one array: `jq -c '.[]' {}`",
                    explain::quoted(&explain::word(path))
                )),
                Some(Reason::NotUtf8 { .. }) => Blame::Usage.hint(format!(
                    "convert the file to UTF-8 first, for example with `iconv -f LATIN1 -t UTF-8 {}`",
                    explain::quoted(&explain::word(path))
                )),
                _ => Blame::Usage.no_hint(),
            },
            Self::BadConstraint { .. } => {
                Blame::Usage.hint("the journal was changed by hand or by another evol: start a new run")
            }
            Self::EmptyMix => Blame::Usage.hint("remove the limit of one group"),
            Self::NotOurs { .. } => Blame::Usage.hint("choose another output folder, or move the file away"),
            Self::NoRecords => Blame::Usage.hint("run `evol evolve` until it has kept at least one answer"),
            Self::Empty { .. }
            | Self::ValidationFraction { .. }
            | Self::NoRoom { .. }
            | Self::Share { .. } => Blame::Usage.no_hint(),
        }
    }
}

fn describe_bad_lines(path: &std::path::Path, bad: &[BadLine]) -> String {
    let Some(first) = bad.first() else { return format!("`{}` cannot be used", path.display()) };
    let more = match bad.len() - 1 {
        0 => String::new(),
        1 => " (and 1 more line)".to_owned(),
        n => format!(" (and {n} more lines)"),
    };
    format!("line {} of `{}` cannot be used: {}{more}", first.line, path.display(), first.reason)
}

/// A line that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Counted from 1, blank lines included.
    pub line: usize,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// Longer than a reader holds in memory.
    #[error("it is longer than the limit of {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// Not UTF-8.
    #[error("byte {byte} is not valid UTF-8")]
    NotUtf8 {
        /// Offset of the first wrong byte within the line, counted from 1.
        byte: usize,
    },
    /// Not JSON.
    #[error("it is not valid JSON: {problem}")]
    NotJson {
        /// The parser's words.
        problem: String,
    },
    /// JSON, but not an object.
    #[error("it is {found}, expected a JSON object")]
    NotAnObject {
        /// What it is.
        found: String,
    },
    /// An object of no known shape.
    #[error("it has {found}, expected {expected}")]
    UnknownShape {
        /// Its keys.
        found: String,
        /// The shapes that are read.
        expected: &'static str,
    },
    /// A field that cannot be used.
    #[error("`{field}` is {found}, expected {expected}")]
    Field {
        /// Its path, such as `messages[2].role`.
        field: String,
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: &'static str,
    },
}
