//! A model file described for a reader: in `evol doctor`'s report.
//!
//! **Invariant:** only its content decides what is said about a file, besides where it lies.

use super::known_models;
use crate::gguf::{Gguf, Value};
use serde::Serialize;
use std::path::PathBuf;

/// A model file by its content.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ModelEntry {
    /// Where it lay.
    pub(crate) path: PathBuf,
    /// Name of the manifest under `models/`, if it is a known model.
    pub(crate) known_as: Option<String>,
    /// `general.name` of the file.
    pub(crate) name: Option<String>,
    /// `general.architecture` of the file.
    pub(crate) architecture: Option<String>,
    /// Lowercase hex.
    pub(crate) sha256: String,
    /// What the known model's manifest says, else `general.license` of the file.
    pub(crate) licence: Option<String>,
}

impl ModelEntry {
    /// Describes `gguf`, whose hash is `sha256`.
    pub(crate) fn new(gguf: &Gguf, sha256: &str) -> Self {
        let text = |key: &str| match gguf.value(key) {
            Some(Value::String(text)) => Some(text.clone()),
            _ => None,
        };
        let known = known_models::by_sha256(sha256);
        Self {
            path: gguf.path().to_owned(),
            name: text("general.name"),
            architecture: text("general.architecture"),
            sha256: sha256.to_owned(),
            licence: known.as_ref().map(|k| k.licence.clone()).or_else(|| text("general.license")),
            known_as: known.map(|k| k.name),
        }
    }
}
