//! A run's identity: what decides its rows, by name. The journal is bound to it.
//!
//! In the flow: [`super::run`] binds a new journal and compares an old one; [`super::check`] compares without
//! a model, so that a run that was started with something else is refused before any work, finished or not.
//!
//! **Invariant:** two runs with equal identities have equal rows.

use super::{Error, EvolveConfig, Roots, Shard, guard, library};
use crate::identity::{Difference, Identity};
use crate::store::Store;

/// Entry with the style in use, which is never `auto`.
const STYLE: &str = "prompts.style";

/// Entry with the shard, in a run that is divided.
const SHARD: &str = "shard";

/// Raised when a rule changes that no hash covers. 2: repetition is looked for within a lineage only. 3:
/// more phrases are drawn for constraints. 4: a cut answer is asked for again, and its lineage continues.
const RULES_VERSION: &str = "4";

/// The identity of a run. `recipe` is what its caller knows about the engine.
pub(super) fn new(
    sha256: &str,
    style: &str,
    recipe: &Identity,
    roots: Roots<'_>,
    config: &EvolveConfig,
) -> Identity {
    let mut hasher = blake3::Hasher::new();
    for seed in roots.seeds {
        hasher.update(serde_json::to_string(seed).expect("plain data serialises").as_bytes());
        hasher.update(b"\n");
    }
    let mut identity = config.identity().and(recipe.clone());
    identity.insert("model.sha256", sha256);
    identity.insert("seeds.blake3", &hasher.finalize().to_hex()[..32]);
    identity.insert("prompts.blake3", library::hash());
    identity.insert(STYLE, style);
    identity.insert("guards.blake3", guard::hash());
    identity.insert("rules.version", RULES_VERSION);
    if roots.shard != Shard::WHOLE {
        identity.insert(SHARD, roots.shard.to_string());
    }
    identity
}

/// Refuses a journal that was started with something else, as [`super::run`] does, but before the model is
/// loaded; one that recorded nothing yet fits. `sha256` and `recipe` are those of [`super::Model`].
///
/// # Errors
/// [`Error::Store`] with [`crate::store::Error::Changed`].
pub fn check(
    store: &Store,
    sha256: &str,
    recipe: &Identity,
    roots: Roots<'_>,
    config: &EvolveConfig,
) -> Result<(), Error> {
    // Which style `auto` became is only known with the model loaded. It follows from the model and the
    // configuration, which are both compared, so the recorded style is as good.
    let recorded = store.identity()?;
    let style = recorded.get(STYLE).unwrap_or_default();
    Ok(store.compare(&new(sha256, style, recipe, roots, config))?)
}

/// Whether some of these differences come from another version of this program: its prompts, guards or rules.
pub fn is_other_version(differences: &[Difference]) -> bool {
    let of_version = ["prompts.blake3", "guards.blake3", "rules.version"];
    differences.iter().any(|found| of_version.contains(&found.name.as_str()))
}

/// Takes the shard out of an identity. The rest is the identity of the whole run.
///
/// # Errors
/// [`Error::BadIdentity`].
pub(super) fn take_shard(identity: &mut Identity) -> Result<Shard, Error> {
    let Some(value) = identity.remove(SHARD) else { return Ok(Shard::WHOLE) };
    value.parse().map_err(|reason| Error::BadIdentity { reason })
}
