//! Models with a name: the manifests under `models/`, and the folder where `models/fetch` puts their files.
//!
//! Where in the flow: every command with a model argument resolves it here.
//!
//! **Invariant:** nothing is fetched here. The binary has no network code, and a name resolves to a file that
//! is already in the cache folder. This is the only file outside `cli` that reads the environment, to find
//! that folder.

use super::error::{Error, Result};
use std::path::PathBuf;

/// The fields of `models/NAME.toml` that the binary needs.
#[derive(Debug, Clone, serde::Deserialize)]
pub(super) struct KnownModel {
    /// Name for flags and configurations.
    pub(super) name: String,
    /// File name in the cache folder.
    pub(super) file: String,
    /// Lowercase hex SHA-256 of the file.
    pub(super) sha256: String,
    /// SPDX identifier, or the name of terms that have none.
    pub(super) licence: String,
}

/// Every model manifest in the repository, compiled in.
const MANIFESTS: [&str; 4] = [
    include_str!("../../models/gemma-3-270m.toml"),
    include_str!("../../models/qwen2.5-coder-0.5b-instruct.toml"),
    include_str!("../../models/qwen2.5-coder-1.5b-instruct.toml"),
    include_str!("../../models/smollm2-135m-instruct.toml"),
];

/// All known models.
pub(super) fn all() -> Vec<KnownModel> {
    MANIFESTS.iter().map(|text| toml::from_str(text).expect("a test parses every manifest")).collect()
}

fn names() -> String {
    all().into_iter().map(|model| model.name).collect::<Vec<_>>().join(", ")
}

/// The known model whose file has this SHA-256.
pub(super) fn by_sha256(sha256: &str) -> Option<KnownModel> {
    all().into_iter().find(|m| m.sha256 == sha256)
}

/// The file of `model`: for a known name the file in the cache folder, otherwise `model` as a path.
///
/// # Errors
/// [`Error::ModelNotFetched`] if the file of a known name is not in the cache, [`Error::NoSuchModel`] if a
/// path is not a file.
pub fn resolve(model: &str) -> Result<PathBuf> {
    if let Some(known) = all().into_iter().find(|m| m.name == model) {
        let path = cache_folder().join(&known.file);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(Error::ModelNotFetched { name: known.name, path })
        };
    }
    let path = PathBuf::from(model);
    if path.is_file() { Ok(path) } else { Err(Error::NoSuchModel { path, known: names() }) }
}

/// Where `models/fetch` puts models.
fn cache_folder() -> PathBuf {
    cache_root().join("models")
}

/// `${XDG_CACHE_HOME:-~/.cache}/evol`, as in `models/fetch`.
pub fn cache_root() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("XDG_CACHE_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(|| PathBuf::from(".cache"))
        .join("evol")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_manifest_parses_and_is_in_the_list() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
        let files = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
        let mut names: Vec<String> = files
            .filter(|p| p.extension().is_some_and(|e| e == "toml"))
            .map(|p| p.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        let known = all();
        assert_eq!(names, known.iter().map(|m| m.name.clone()).collect::<Vec<_>>());
        for model in known {
            assert_eq!(model.sha256.len(), 64);
            assert_eq!(by_sha256(&model.sha256).map(|m| m.name), Some(model.name));
        }
    }

    #[test]
    fn a_name_that_is_not_known_is_a_path() {
        let folder = tempfile::tempdir().unwrap();
        let [present, absent] = ["m.gguf", "n.gguf"].map(|name| folder.path().join(name));
        std::fs::write(&present, b"x").unwrap();
        assert_eq!(resolve(present.to_str().unwrap()).unwrap(), present);
        assert!(matches!(resolve(absent.to_str().unwrap()), Err(Error::NoSuchModel { .. })));
    }
}
