//! The run directory: locking it, and reading and replacing its files.
//!
//! `run.db` (the journal, module `store`) makes a directory a run; the files here are beside it.
//!
//! **Invariant:** only one process uses a directory at a time. The directory itself is locked through the
//! operating system, so the lock ends with the process and leaves nothing to clean up (on NFS only the
//! journal is locked: docs/scale.md). **Invariant:** a file is replaced whole or not at all.

use super::error::{Error, Result};
use crate::gguf::replace_file;
use crate::store;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// `EBADF` on Linux: what `flock(2)` on NFS returns for a file that is not open for writing.
const NOT_OPEN_FOR_WRITING: i32 = 9;

/// A directory of results that this process has locked: a run, or an evaluation.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// Unlocked when it is dropped.
    _lock: File,
}

impl RunDir {
    /// Creates the directory if it does not exist, and locks it. Whether it may hold this run is checked with
    /// the journal.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::NoDirectory`], or [`Error::Write`] if it cannot be created.
    pub fn claim(path: &Path) -> Result<Self> {
        let fail = |source: std::io::Error| match source.kind() {
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
                Error::NoDirectory { path: path.to_owned() }
            }
            _ => Error::Write { path: path.to_owned(), source },
        };
        std::fs::create_dir_all(path).map_err(fail)?;
        let lock = File::open(path).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::InUse { dir: path.to_owned() }),
            // NFS only locks files that are open for writing, which a directory cannot be. SQLite's own lock
            // still keeps out a second process.
            Err(TryLockError::Error(source)) if source.raw_os_error() == Some(NOT_OPEN_FOR_WRITING) => {
                Ok(Self { path: path.to_owned(), _lock: lock })
            }
            Err(TryLockError::Error(source)) => Err(fail(source)),
        }
    }

    /// Path of the directory, as given to [`Self::claim`].
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Text of the file `name`; `None` if it does not exist.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn read(&self, name: &str) -> Result<Option<String>> {
        let path = self.path.join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Read { path, source }),
        }
    }

    /// Replaces the file `name` atomically.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path.join(name);
        replace_file(&path, |file| file.write_all(text.as_bytes()))
            .map_err(|source| Error::Write { path, source })
    }

    /// The JSON file `name`; `None` if it does not exist or is not a `T`. For files that can be recreated.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        Ok(self.read(name)?.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Replaces the file `name` with `value` as indented JSON.
    ///
    /// # Errors
    /// [`Error::Write`].
    ///
    /// # Panics
    /// If `value` has a map with keys that are not strings.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value).expect("results have text keys only");
        self.write(name, &(text + "\n"))
    }
}

/// The run directories in a folder, sorted by name, numbers by value; empty if the folder does not exist.
///
/// # Errors
/// [`Error::Read`].
pub fn runs_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let fail = |source| Error::Read { path: folder.to_owned(), source };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(fail(source)),
    };
    let mut runs = Vec::new();
    for entry in entries {
        let path = entry.map_err(fail)?.path();
        if path.join(store::FILE_NAME).is_file() {
            runs.push(path);
        }
    }
    let name =
        |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    runs.sort_by_cached_key(|path| (name(path).parse::<u64>().ok(), name(path)));
    Ok(runs)
}

/// Refuses a path that is not valid UTF-8 and cannot be recorded in JSON and TOML. Command-line arguments are
/// checked earlier; this is for paths from the environment and the working directory.
///
/// # Errors
/// [`Error::Path`].
pub fn check_recordable(path: &Path) -> Result<()> {
    if path.to_str().is_some() { Ok(()) } else { Err(Error::Path { path: path.to_owned() }) }
}

/// Refuses a directory with other files: it must not exist, be empty, or contain the file `mark`, which only
/// the current command creates.
///
/// # Errors
/// [`Error::NotOurs`], or [`Error::Read`] if it cannot be listed.
pub fn check_writable(dir: &Path, mark: &str) -> Result<()> {
    let mut entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(Error::Read { path: dir.to_owned(), source }),
    };
    if entries.next().is_none() || dir.join(mark).is_file() {
        Ok(())
    } else {
        Err(Error::NotOurs { dir: dir.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_directory_cannot_be_claimed_again_until_it_is_released() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let dir = RunDir::claim(&path).unwrap();
        assert!(matches!(RunDir::claim(&path), Err(Error::InUse { .. })));
        drop(dir);
        RunDir::claim(&path).unwrap();
    }

    #[test]
    fn files_are_absent_or_whole() {
        let folder = tempfile::tempdir().unwrap();
        let dir = RunDir::claim(folder.path()).unwrap();
        assert_eq!(dir.read_json::<Vec<u8>>("a.json").unwrap(), None);
        dir.write_json("a.json", &[1, 2]).unwrap();
        assert_eq!(dir.read_json::<Vec<u8>>("a.json").unwrap(), Some(vec![1, 2]));
        dir.write("a.json", "{ cut").unwrap();
        assert_eq!(dir.read_json::<Vec<u8>>("a.json").unwrap(), None);
    }

    #[test]
    fn a_directory_with_other_files_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        check_writable(&folder.path().join("absent"), "mark").unwrap();
        check_writable(folder.path(), "mark").unwrap();
        std::fs::write(folder.path().join("other"), "").unwrap();
        assert!(matches!(check_writable(folder.path(), "mark"), Err(Error::NotOurs { .. })));
        std::fs::write(folder.path().join("mark"), "").unwrap();
        check_writable(folder.path(), "mark").unwrap();
    }
}
