//! Models that are known by name: the manifests under `models/`, and where `models/fetch` puts their files.
//!
//! **Invariant:** nothing is ever fetched here. The binary has no network code; a name only resolves to a
//! file that is already in the cache folder.

use super::error::Error;
use std::path::{Path, PathBuf};

/// What `models/NAME.toml` says, as far as the binary needs it.
#[derive(Debug, Clone, serde::Deserialize)]
pub(crate) struct KnownModel {
    /// Name that flags and configurations use.
    pub(crate) name: String,
    /// File name in the cache folder.
    pub(crate) file: String,
    /// Lowercase hex SHA-256 of the file.
    pub(crate) sha256: String,
    /// SPDX identifier.
    pub(crate) licence: String,
}

/// Every manifest in the repository, compiled in.
const MANIFESTS: [&str; 1] = [include_str!("../../models/smollm2-135m-instruct.toml")];

/// All known models.
pub(crate) fn all() -> Vec<KnownModel> {
    MANIFESTS.iter().map(|text| toml::from_str(text).expect("a test parses every manifest")).collect()
}

/// The known model with these bytes, if it is one.
pub(crate) fn by_sha256(sha256: &str) -> Option<KnownModel> {
    all().into_iter().find(|m| m.sha256 == sha256)
}

/// The file that `model` means: a known name resolves through the cache folder, everything else is a path,
/// relative to `base`.
///
/// # Errors
/// [`Error::ModelNotFetched`] for a known name whose file is not in the cache, [`Error::NoSuchModel`] when
/// there is no such file.
pub(crate) fn resolve(model: &str, base: &Path) -> Result<PathBuf, Error> {
    if let Some(known) = all().into_iter().find(|m| m.name == model) {
        let path = cache_folder().join(&known.file);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(Error::ModelNotFetched { name: known.name, path })
        };
    }
    let path = base.join(model);
    if path.is_file() { Ok(path) } else { Err(Error::NoSuchModel { path }) }
}

/// Where `models/fetch` puts models.
fn cache_folder() -> PathBuf {
    cache_root().join("models")
}

/// `${XDG_CACHE_HOME:-~/.cache}/evol`, as in `models/fetch`.
pub(crate) fn cache_root() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(|| PathBuf::from(".cache"))
        .join("evol")
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_path_is_relative_to_the_folder_it_was_written_in() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("m.gguf"), b"x").unwrap();
        assert_eq!(resolve("m.gguf", folder.path()).unwrap(), folder.path().join("m.gguf"));
        assert!(matches!(resolve("n.gguf", folder.path()), Err(Error::NoSuchModel { .. })));
    }
}
