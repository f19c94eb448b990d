//! The folder of an export: recognises the files of an earlier export and replaces them.
//!
//! Where in the flow: the last step of [`super::export()`].
//!
//! `export.json` holds the BLAKE3 hash of each file that an export wrote. A file with another hash was
//! created or changed by someone else, and the export refuses to overwrite it.
//!
//! **Invariant:** if the process is killed at any point, the next export into the folder succeeds. The hashes
//! of old and new files are in `export.json` before the first file is replaced, and each file is replaced
//! atomically.

use super::{Error, ExportOptions};
use crate::gguf::replace_file;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

/// Name of the file to train on.
pub(super) const TRAIN: &str = "train.jsonl";
/// Name of the file to validate on.
pub(super) const VALIDATION: &str = "validation.jsonl";
/// Name of the file with the eliminated rows.
pub(super) const REJECTED: &str = "rejected.jsonl";
/// Name of the data set card, as Hugging Face requires it.
pub(super) const CARD: &str = "README.md";
/// All files that an export may write, except the manifest.
const NAMES: [&str; 4] = [TRAIN, VALIDATION, REJECTED, CARD];
/// Name of the file with the options and hashes.
const MANIFEST: &str = "export.json";

/// A file to write.
pub(super) struct File {
    pub(super) name: &'static str,
    /// Number of rows.
    pub(super) records: usize,
    /// Number of seeds that the rows descend from.
    pub(super) roots: usize,
    pub(super) content: String,
}

/// The content of `export.json`.
#[derive(Serialize, Deserialize)]
struct Manifest {
    #[serde(flatten)]
    options: ExportOptions,
    files: Vec<Entry>,
    /// Hashes of the files that are being replaced; empty once an export has finished.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    replacing: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    records: usize,
    roots: usize,
    blake3: String,
}

impl Manifest {
    /// Reads the manifest in `dir`; `None` if there is none.
    fn read(dir: &Path) -> Result<Option<Self>, Error> {
        let path = dir.join(MANIFEST);
        let Some(bytes) = read_if_present(&path)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|_| Error::NotOurs { path })
    }

    fn write(&self, dir: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).expect("texts and finite numbers under text keys");
        replace(&dir.join(MANIFEST), &(text + "\n"))
    }

    /// Whether an export wrote a file with this hash.
    fn lists(&self, hash: &str) -> bool {
        self.files.iter().any(|file| file.blake3 == hash) || self.replacing.iter().any(|old| old == hash)
    }
}

/// Writes `files` into `dir` and removes files of an earlier export that are no longer part of it.
pub(super) fn write(dir: &Path, options: &ExportOptions, files: &[File]) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(Error::io(dir, "create"))?;
    let entries = files.iter().map(|file| Entry {
        name: file.name.to_owned(),
        records: file.records,
        roots: file.roots,
        blake3: hash(file.content.as_bytes()),
    });
    let mut manifest = Manifest { options: options.clone(), files: entries.collect(), replacing: Vec::new() };
    let earlier = Manifest::read(dir)?;
    for name in NAMES {
        let path = dir.join(name);
        let Some(bytes) = read_if_present(&path)? else { continue };
        let present = hash(&bytes);
        if !earlier.as_ref().is_some_and(|earlier| earlier.lists(&present)) {
            return Err(Error::NotOurs { path });
        }
        manifest.replacing.push(present);
    }
    // From here on the manifest lists old and new hashes, so a killed export leaves only files that the next
    // one recognises.
    manifest.write(dir)?;
    for name in NAMES {
        let path = dir.join(name);
        match files.iter().find(|file| file.name == name) {
            Some(file) => replace(&path, &file.content)?,
            None => remove_if_present(&path)?,
        }
    }
    if manifest.replacing.is_empty() {
        return Ok(());
    }
    manifest.replacing.clear();
    manifest.write(dir)
}

fn replace(path: &Path, content: &str) -> Result<(), Error> {
    replace_file(path, |file| file.write_all(content.as_bytes())).map_err(Error::io(path, "write"))
}

fn read_if_present(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(path, "read")(e)),
    }
}

fn remove_if_present(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(path, "remove")(e)),
        _ => Ok(()),
    }
}

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
