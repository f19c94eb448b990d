//! What decides a run's rows, by name: the journal is bound to it.
//!
//! In the flow: [`super::run`] binds a new journal and compares an old one; [`super::check`] compares without a
//! model, so that a run that was begun with something else is refused before any work, finished or not.
//!
//! **Invariant:** two runs with equal fingerprints have equal rows.

use super::{Error, EvolveConfig, guard, library};
use crate::dataset::Seed;
use crate::store::Store;

/// Entry with the style in use, which is never `auto`.
const STYLE: &str = "prompts.style";

/// The fingerprint of a run. `recipe` is what its caller knows about the engine.
pub(super) fn new(
    sha256: &str,
    style: &str,
    recipe: &[(String, String)],
    seeds: &[Seed],
    config: &EvolveConfig,
) -> Vec<(String, String)> {
    let mut hasher = blake3::Hasher::new();
    for seed in seeds {
        hasher.update(serde_json::to_string(seed).expect("plain data serialises").as_bytes());
        hasher.update(b"\n");
    }
    let mut fingerprint = vec![
        ("model.sha256".to_owned(), sha256.to_owned()),
        ("seeds.blake3".to_owned(), hasher.finalize().to_hex()[..32].to_owned()),
        ("prompts.blake3".to_owned(), library::hash()),
        (STYLE.to_owned(), style.to_owned()),
        ("guards.blake3".to_owned(), guard::hash()),
    ];
    fingerprint.extend(config.fingerprint());
    fingerprint.extend_from_slice(recipe);
    fingerprint
}

/// Refuses a journal that was begun with something else, as [`super::run`] does, but before the model is loaded; one
/// that is not bound yet fits. `sha256` and `recipe` are those of [`super::Model`].
///
/// # Errors
/// [`Error::Store`] with [`crate::store::Error::Changed`].
pub fn check(
    store: &Store,
    sha256: &str,
    recipe: &[(String, String)],
    seeds: &[Seed],
    config: &EvolveConfig,
) -> Result<(), Error> {
    // What `auto` became needs the model; it follows from the model and the configuration, and both are compared.
    let journal = store.fingerprint()?;
    let style = journal.iter().find(|(name, _)| name == STYLE).map_or("", |(_, style)| style);
    Ok(store.compare(&new(sha256, style, recipe, seeds, config))?)
}
