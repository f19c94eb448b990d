//! Splits records into train and validation, and shuffles them.
//!
//! Where in the flow: the last step of an export before the files are written.
//!
//! The side of a root and the position of a record come from draws of their own, from the run's seed. A
//! record that is added later moves no other record to the other side and does not change their order.
//!
//! **Invariant:** a seed and all its descendants are on the same side. An evolved instruction resembles its
//! parent, so after a split by record the validation loss would measure memorisation.
//! **Invariant:** the result does not depend on the order of the records.

use super::{Error, Record};
use crate::rng;
use std::collections::BTreeSet;

/// The two sides of a data set, each in its final order.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// The records to train on.
    pub train: Vec<Record>,
    /// The records to measure the validation loss on; empty for a fraction of 0 or a single root.
    pub validation: Vec<Record>,
}

/// Splits by root and shuffles.
///
/// Each root goes to validation with probability `validation_fraction`, so the fraction is met on average.
/// With at least two roots and a fraction above 0, each side gets at least one root.
///
/// # Errors
/// [`Error::ValidationFraction`] unless the fraction is in `0.0..1.0`.
pub fn split(mut records: Vec<Record>, validation_fraction: f64, seed: u64) -> Result<Split, Error> {
    if !(0.0..1.0).contains(&validation_fraction) {
        return Err(Error::ValidationFraction { found: validation_fraction });
    }
    let roots: BTreeSet<u64> = records.iter().map(|record| record.root_id).collect();
    let held_out = validation_roots(&roots, validation_fraction, seed);
    records.sort_by_cached_key(|record| (rng::key(seed, "dataset.shuffle", &[record.id]), record.id));
    let (validation, train) = records.into_iter().partition(|record| held_out.contains(&record.root_id));
    Ok(Split { train, validation })
}

fn validation_roots(roots: &BTreeSet<u64>, fraction: f64, seed: u64) -> BTreeSet<u64> {
    if fraction == 0.0 || roots.len() < 2 {
        return BTreeSet::new();
    }
    let key = rng::key(seed, "dataset.split", &[]);
    let draw = |root: u64| rng::uniform(key, 0, root);
    let mut held_out: BTreeSet<u64> = roots.iter().copied().filter(|&root| draw(root) < fraction).collect();
    // If a side would be empty, the root whose draw is closest to the threshold moves there.
    let by_draw = |a: &&u64, b: &&u64| draw(**a).total_cmp(&draw(**b));
    if held_out.is_empty() {
        held_out.extend(roots.iter().min_by(by_draw));
    } else if held_out.len() == roots.len()
        && let Some(last) = roots.iter().max_by(by_draw)
    {
        held_out.remove(last);
    }
    held_out
}
