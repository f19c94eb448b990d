//! A run's fingerprint: what decides its rows, by name. The journal is bound to it.
//!
//! In the flow: [`super::run`] binds a new journal and compares an old one; [`super::check`] compares without
//! a model, so that a run that was started with something else is refused before any work, finished or not.
//!
//! **Invariant:** two runs with equal fingerprints have equal rows.

use super::{Error, EvolveConfig, Roots, Shard, guard, library};
use crate::store::Store;

/// Entry with the style in use, which is never `auto`.
const STYLE: &str = "prompts.style";

/// Entry with the shard, in a run that is divided.
const SHARD: &str = "shard";

/// Raised when a rule changes that no hash covers. 2: repetition is looked for within a lineage only. 3:
/// more phrases are drawn for constraints.
const RULES_VERSION: &str = "3";

/// The fingerprint of a run. `recipe` is what the caller knows about the engine.
pub(super) fn new(
    sha256: &str,
    style: &str,
    recipe: &[(String, String)],
    roots: Roots<'_>,
    config: &EvolveConfig,
) -> Vec<(String, String)> {
    let mut hasher = blake3::Hasher::new();
    for seed in roots.seeds {
        hasher.update(serde_json::to_string(seed).expect("plain data serialises").as_bytes());
        hasher.update(b"\n");
    }
    let mut fingerprint = vec![
        ("model.sha256".to_owned(), sha256.to_owned()),
        ("seeds.blake3".to_owned(), hasher.finalize().to_hex()[..32].to_owned()),
        ("prompts.blake3".to_owned(), library::hash()),
        (STYLE.to_owned(), style.to_owned()),
        ("guards.blake3".to_owned(), guard::hash()),
        ("rules.version".to_owned(), RULES_VERSION.to_owned()),
    ];
    if roots.shard != Shard::WHOLE {
        fingerprint.push((SHARD.to_owned(), roots.shard.to_string()));
    }
    fingerprint.extend(config.fingerprint());
    fingerprint.extend_from_slice(recipe);
    fingerprint
}

/// Refuses a journal that was started with something else, as [`super::run`] does, but before the model is
/// loaded; one that is not bound yet fits. `sha256` and `recipe` are those of [`super::Model`].
///
/// # Errors
/// [`Error::Store`] with [`crate::store::Error::Changed`].
pub fn check(
    store: &Store,
    sha256: &str,
    recipe: &[(String, String)],
    roots: Roots<'_>,
    config: &EvolveConfig,
) -> Result<(), Error> {
    // Which style `auto` became is only known with the model loaded. It follows from the model and the
    // configuration, which are both compared, so the journal's own style is as good.
    let journal = store.fingerprint()?;
    let style = journal.iter().find(|(name, _)| name == STYLE).map_or("", |(_, style)| style);
    Ok(store.compare(&new(sha256, style, recipe, roots, config))?)
}

/// Takes the shard out of a fingerprint. The rest is the fingerprint of the whole run.
///
/// # Errors
/// [`Error::BadFingerprint`].
pub(super) fn take_shard(fingerprint: &mut Vec<(String, String)>) -> Result<Shard, Error> {
    let Some(at) = fingerprint.iter().position(|(name, _)| name == SHARD) else { return Ok(Shard::WHOLE) };
    let (_, value) = fingerprint.remove(at);
    value.parse().map_err(|reason| Error::BadFingerprint { reason })
}
