//! The run directory as files: claimed, locked, written atomically.
//!
//! `run.db` (the journal, module `store`) is what makes a directory a run; everything here stands beside it.
//!
//! **Invariant:** one process at a time: the directory itself is locked, by the operating system, so that the
//! lock dies with the process and leaves nothing to clean up (on NFS the journal alone is locked:
//! docs/scale.md). **Invariant:** a file is replaced whole or not at all.

use super::error::Error;
use crate::gguf::replace_file;
use crate::store;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// `EBADF` of Linux, which `flock(2)` gives for it.
const NOT_OPEN_FOR_WRITING: i32 = 9;

/// A run directory that no other process uses.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    /// Unlocked when it is dropped.
    _lock: File,
}

impl RunDir {
    /// Makes the directory if it is absent and takes its lock. Whether a run may be made in it is the
    /// journal's to say.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::NoDirectory`], or [`Error::Write`] if it cannot be made.
    pub(crate) fn claim(path: &Path) -> Result<Self, Error> {
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
            // NFS locks only what is open for writing, which a directory cannot be. SQLite's own lock is
            // left, which refuses a second process too.
            Err(TryLockError::Error(source)) if source.raw_os_error() == Some(NOT_OPEN_FOR_WRITING) => {
                Ok(Self { path: path.to_owned(), _lock: lock })
            }
            Err(TryLockError::Error(source)) => Err(fail(source)),
        }
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Text of the file `name`; `None`: there is none.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>, Error> {
        let path = self.path.join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Read { path, source }),
        }
    }

    /// Replaces the file `name`.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.path.join(name);
        replace_file(&path, |file| file.write_all(text.as_bytes()))
            .map_err(|source| Error::Write { path, source })
    }

    /// The JSON file `name`; `None`: there is none, or it is of another version of this program.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub(crate) fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        Ok(self.read(name)?.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Replaces the JSON file `name`.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub(crate) fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(value).expect("results have text keys only");
        self.write(name, &(text + "\n"))
    }
}

/// The run directories in a folder, by name, numbers by their value; none if there is no such folder.
///
/// # Errors
/// [`Error::Read`].
pub(crate) fn runs_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_directory_cannot_be_claimed_again_until_it_is_let_go() {
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
}
