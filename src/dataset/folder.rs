//! The folder of an export: which files in it are ours, and replacing them.
//!
//! Where in the flow: the last step of [`super::export()`].
//!
//! `export.json` holds the BLAKE3 hash of each file that an export wrote. A file whose hash it does not
//! hold was made or changed by somebody else, and is left alone.
//!
//! **Invariant:** whenever the process is killed, the next export into the folder works: the hashes of
//! old and new files are in `export.json` before the first file is replaced, and each file is replaced
//! whole.

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
/// Name of the file with what was eliminated.
pub(super) const REJECTED: &str = "rejected.jsonl";
/// Name of the card, as Hugging Face wants it.
pub(super) const CARD: &str = "README.md";
/// All that an export writes.
const NAMES: [&str; 4] = [TRAIN, VALIDATION, REJECTED, CARD];
/// Name of the list of hashes.
const MANIFEST: &str = "export.json";

/// A file to be written.
pub(super) struct File {
    /// Name in the folder.
    pub(super) name: &'static str,
    /// Rows in it.
    pub(super) records: usize,
    /// Seeds they descend from.
    pub(super) roots: usize,
    /// Everything in it.
    pub(super) content: String,
}

/// `export.json`.
#[derive(Serialize, Deserialize)]
struct Manifest {
    /// What decided the export.
    #[serde(flatten)]
    options: ExportOptions,
    /// What it wrote.
    files: Vec<Entry>,
    /// Hashes of files that are being replaced; empty after an export that came to its end.
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
    /// The one in `dir`, if there is one.
    fn read(dir: &Path) -> Result<Option<Self>, Error> {
        let path = dir.join(MANIFEST);
        let Some(bytes) = read_if_present(&path)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|_| Error::NotOurs { path })
    }

    fn write(&self, dir: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).expect("texts and finite numbers under text keys");
        replace(&dir.join(MANIFEST), &(text + "\n"))
    }

    fn holds(&self, hash: &str) -> bool {
        self.files.iter().any(|file| file.blake3 == hash) || self.replacing.iter().any(|old| old == hash)
    }
}

/// Writes `files` into `dir` and removes what an earlier export left there beyond them.
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
        if !earlier.as_ref().is_some_and(|earlier| earlier.holds(&present)) {
            return Err(Error::NotOurs { path });
        }
        manifest.replacing.push(present);
    }
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
