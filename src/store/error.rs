//! What can be wrong with a run directory or its journal.

use crate::explain::{Blame, Explain, Explanation};
use crate::identity::Difference;
use std::path::{Path, PathBuf};

/// A journal that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory exists, holds something, and that is not a run.
    #[error("directory `{}` is not empty and is not a run: it has no `{}`", .dir.display(), super::FILE_NAME)]
    NotARun {
        /// The directory.
        dir: PathBuf,
    },
    /// There is no journal to open.
    #[error("no run in `{}`: it has no `{}`", .dir.display(), super::FILE_NAME)]
    Missing {
        /// The directory.
        dir: PathBuf,
    },
    /// There is a journal where a new one was to be made.
    #[error("`{}` already holds a run", .dir.display())]
    Exists {
        /// The directory.
        dir: PathBuf,
    },
    /// The file is no database, or one of another program.
    #[error("`{}` is not an evol journal: it is {found}", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: String,
    },
    /// Written by a later version of the program.
    #[error("`{}` has schema version {found}, expected at most {supported}", .path.display())]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        supported: i64,
    },
    /// Another process has the journal open.
    #[error("another process is using `{}`", .path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The run was started with something else.
    #[error("the run in `{}` was started differently: {}", .path.display(),
        .differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Changed {
        /// The file.
        path: PathBuf,
        /// Every difference, by name.
        differences: Vec<Difference>,
    },
    /// A cell holds what this program never writes.
    #[error("`{}` has the invalid value `{value}` in column `{column}` of node {id}", .path.display())]
    BadCell {
        /// The file.
        path: PathBuf,
        /// The row.
        id: u64,
        /// The column.
        column: &'static str,
        /// What stands there.
        value: String,
    },
    /// A journal whose last changes lie in a second file, and could not be taken in.
    #[error("changes to `{}` are in its `-wal` file and could not be moved into it", .path.display())]
    Unclosed {
        /// The file.
        path: PathBuf,
    },
    /// Two parts of a run have the same node.
    #[error("node {id} is in `{}` and in `{}`", .parts[0].display(), .parts[1].display())]
    Overlap {
        /// The node.
        id: u64,
        /// The directories.
        parts: [PathBuf; 2],
    },
    /// Parts of a run lack what is between them.
    #[error("seed number {root} is in none of the shards, but later ones are")]
    Gap {
        /// From 1.
        root: u64,
    },
    /// The directory cannot be made or read.
    #[error("cannot use directory `{}`", .dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database refused.
    #[error("cannot read or write `{}`", .path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

impl Error {
    /// Sorts out the failures that a user can do something about.
    pub(super) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                Self::Busy { path }
            }
            Some(rusqlite::ErrorCode::NotADatabase) => {
                Self::Foreign { path, found: "not an SQLite file".to_owned() }
            }
            Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
                Self::Foreign { path, found: "a damaged SQLite file".to_owned() }
            }
            _ if path.is_dir() => Self::Foreign { path, found: "a directory".to_owned() },
            _ => Self::Sqlite { path, source },
        }
    }
}

impl Explain for Error {
    fn explain(&self) -> Explanation {
        match self {
            Self::NotARun { .. } | Self::Exists { .. } | Self::Foreign { .. } => {
                Blame::Usage.hint("choose a new or empty directory with `--out`")
            }
            Self::Missing { .. } => {
                Blame::Usage.hint("start a run with `evol evolve --out DIR` or `evol run`")
            }
            Self::NewerSchema { .. } => Blame::Usage.hint("use the version of evol that made this run"),
            Self::Busy { .. } => Blame::Run.hint("wait for the other evol to finish, or stop it"),
            Self::Changed { .. } => Blame::Usage.hint(
                "a run resumes only with what it was started with: undo the change, or start a new run with \
                 `--out`",
            ),
            Self::BadCell { .. } => {
                Blame::Usage.hint("the file was changed by hand or damaged: start a new run")
            }
            Self::Sqlite { source, .. } => match source.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DiskFull) => {
                    Blame::Run.hint("make room on that disk: the same command resumes from the last commit")
                }
                // Limits on file sizes and disks that fail look alike to SQLite.
                Some(rusqlite::ErrorCode::SystemIoFailure) => Blame::Run.hint(
                    "check that disk and the limits on file sizes: the same command resumes from the last \
                     commit",
                ),
                _ => Blame::Run.no_hint(),
            },
            Self::Unclosed { .. } => Blame::Run.hint(
                "check that the disk has room and the file is writable, then run the same command again",
            ),
            Self::Overlap { .. } | Self::Gap { .. } => {
                Blame::Usage.hint("give the shards of one run, each once")
            }
            Self::Directory { .. } => Blame::Run.no_hint(),
        }
    }
}
