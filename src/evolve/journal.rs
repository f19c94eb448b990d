//! What a run notes about itself in the journal's `meta` table.
//!
//! In the flow: `rounds` writes these entries once each; `verify`, `merge` and the caller read them.
//!
//! **Invariant:** an entry is written when it is settled and never changes after that.

use super::{Calibration, Error, Policy};
use crate::store::Store;

/// Entry with the [`Calibration`].
pub(super) const CALIBRATION: &str = "judge";
/// Entry with the [`Policy`].
pub(super) const POLICY: &str = "policy";
/// Entry of a run that was merged: of how many shards.
pub(super) const SHARDS: &str = "shards";
/// Entry that exists once all rounds are done.
pub(super) const FINISHED: &str = "finished";

/// Writes an entry.
pub(super) fn note(store: &mut Store, name: &str, value: &impl serde::Serialize) -> Result<(), Error> {
    let unit = store.begin()?;
    unit.set_meta(name, &serde_json::to_string(value).expect("plain data serialises"))?;
    Ok(unit.commit()?)
}

/// Whether all rounds of the run in a journal are done.
///
/// # Errors
/// [`Error::Store`].
pub fn is_finished(store: &Store) -> Result<bool, Error> {
    Ok(store.meta(FINISHED)?.is_some())
}

/// How the run in a journal evolves; `None`: it is not settled yet.
///
/// # Errors
/// [`Error::BadPolicy`], [`Error::Store`].
pub fn policy(store: &Store) -> Result<Option<Policy>, Error> {
    let parse = |stored: String| {
        serde_json::from_str(&stored).map_err(|error| Error::BadPolicy { reason: error.to_string() })
    };
    store.meta(POLICY)?.map(parse).transpose()
}

/// How well the judge of the run in a journal can judge; `None`: it is not calibrated yet.
///
/// # Errors
/// [`Error::BadCalibration`], [`Error::Store`].
pub fn calibration(store: &Store) -> Result<Option<Calibration>, Error> {
    let parse = |found: String| serde_json::from_str(&found).map_err(|_| Error::BadCalibration { found });
    store.meta(CALIBRATION)?.map(parse).transpose()
}
