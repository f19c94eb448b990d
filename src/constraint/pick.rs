//! Random choices of parameters that several kinds share.
//!
//! **Invariant:** which numbers are taken from the generator, and in which order, never changes: what a seed
//! draws depends on it.

use super::bound::Bound;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use std::ops::RangeInclusive;

/// A bound of at least a number from the range.
pub(super) fn at_least(range: RangeInclusive<u32>, rng: &mut dyn Rng) -> Bound {
    Bound::AtLeast { n: rng.random_range(range) }
}

/// A bound of exactly a number from the range.
pub(super) fn exactly(range: RangeInclusive<u32>, rng: &mut dyn Rng) -> Bound {
    Bound::Exactly { n: rng.random_range(range) }
}

/// A bound of any relation with numbers from the range.
pub(super) fn any_bound(range: RangeInclusive<u32>, rng: &mut dyn Rng) -> Bound {
    let n = rng.random_range(range);
    match rng.random_range(0..4) {
        0 => Bound::AtLeast { n },
        1 => Bound::AtMost { n },
        2 => Bound::Between { low: n, high: n + rng.random_range(1..=2) },
        _ => Bound::Exactly { n },
    }
}

/// A bound that holds for `n` and says something about it.
pub(super) fn around(n: u32, rng: &mut dyn Rng) -> Bound {
    match rng.random_range(0..4) {
        0 => Bound::AtLeast { n },
        1 => Bound::Between { low: n.saturating_sub(1).max(1), high: n.saturating_add(1) },
        _ => Bound::Exactly { n },
    }
}

/// One of the words.
pub(super) fn one_of<T: AsRef<str>>(words: &[T], rng: &mut dyn Rng) -> Option<String> {
    words.choose(rng).map(|word| word.as_ref().to_owned())
}

/// Some of the words: `n` different ones.
pub(super) fn some_of(words: &[&str], n: usize, rng: &mut dyn Rng) -> Vec<String> {
    words.sample(rng, n).map(|word| (*word).to_owned()).collect()
}
