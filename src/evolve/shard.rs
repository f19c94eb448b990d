//! Shards: parts of a run, each with some of the roots.
//!
//! In the flow: [`super::run`] works on the roots that its shard has and leaves the others alone; `merge`
//! joins the journals of all shards. Lineages are independent (only the export looks across them), so
//! shards need no communication.
//!
//! **Invariant:** every root is in exactly one of the N shards; which one depends on its number and on N
//! alone.

use crate::dataset::Seed;
use crate::rng;
use std::fmt;
use std::str::FromStr;

/// Shard `index` of `count`, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// The whole of a run that is not divided.
    pub const WHOLE: Self = Self { index: 1, count: 1 };

    /// `None` unless `1 <= index <= count`.
    pub fn new(index: u32, count: u32) -> Option<Self> {
        (1 <= index && index <= count).then_some(Self { index, count })
    }

    /// From 1.
    pub fn index(self) -> u32 {
        self.index
    }

    /// The number of shards.
    pub fn count(self) -> u32 {
        self.count
    }

    /// Whether seed number `root_index` (0-based) belongs to this shard.
    pub fn has(self, root_index: usize) -> bool {
        let key = rng::key(0, "evolve.shard", &[root_index as u64]);
        key % u64::from(self.count) == u64::from(self.index - 1)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    /// `3/8`.
    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text
            .split_once('/')
            .and_then(|(index, count)| Self::new(index.parse().ok()?, count.parse().ok()?));
        parsed.ok_or_else(|| format!("`{text}` is not I/N with 1 ≤ I ≤ N, such as 3/8"))
    }
}

/// Where lineages start: the seeds of a run, and the shard that this process works on.
#[derive(Debug, Clone, Copy)]
pub struct Roots<'a> {
    /// All seeds of the run. Their hash is part of the identity, their indices are part of node ids.
    pub seeds: &'a [Seed],
    /// The part that is worked on.
    pub shard: Shard,
}

impl<'a> Roots<'a> {
    /// All of `seeds`, in one shard.
    pub fn all(seeds: &'a [Seed]) -> Self {
        Self { seeds, shard: Shard::WHOLE }
    }

    /// The seeds of the shard, with their indices.
    pub(super) fn own(self) -> impl Iterator<Item = (usize, &'a Seed)> {
        self.seeds.iter().enumerate().filter(move |(index, _)| self.shard.has(*index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_root_is_in_one_shard_and_shards_are_about_as_large() {
        for count in [1, 2, 3, 64] {
            let shards: Vec<Shard> = (1..=count).map(|index| Shard::new(index, count).unwrap()).collect();
            let mut sizes = vec![0_u32; shards.len()];
            for root in 0..6_400 {
                let owners: Vec<usize> = (0..shards.len()).filter(|&at| shards[at].has(root)).collect();
                assert_eq!(owners.len(), 1, "root {root} of {count} shards");
                sizes[owners[0]] += 1;
            }
            let mean = 6_400.0 / f64::from(count);
            // Binomial: five standard deviations.
            let limit = 5.0 * mean.sqrt();
            assert!(sizes.iter().all(|&size| (f64::from(size) - mean).abs() <= limit), "{sizes:?}");
        }
    }

    #[test]
    fn a_shard_is_typed_as_it_is_shown() {
        for text in ["1/1", "3/8", "8/8"] {
            assert_eq!(text.parse::<Shard>().unwrap().to_string(), text);
        }
        for text in ["", "0/8", "9/8", "1", "1/0", "-1/2", "a/b", "1/2/3", "1/4294967296"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
