//! Limits on the size and the composition of a data set.
//!
//! Where in the flow: the last step of an export before the split.
//!
//! Shares are upper limits: a group below its share is not changed, and groups above it are cut until no
//! share is exceeded. Records get a random order from the seed, each from its own draw, and the last ones are
//! cut, so a changed limit changes few records.
//!
//! **Invariant:** the result depends only on the set of records, the limits and the seed. It is the largest
//! selection in the drawn order that meets every limit.

use super::{Error, Record};
use crate::rng;
use std::collections::{BTreeMap, HashMap};

/// Limits on a data set.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mix {
    /// Maximum number of records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<usize>,
    /// Maximum number of records from one seed, including the seed itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_per_root: Option<usize>,
    /// Maximum shares, by group: `seeds`, `round.N` or the name of an operator.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub shares: BTreeMap<String, f64>,
}

/// The group of the seeds, which are also in the group `round.0`.
const SEEDS: &str = "seeds";

impl Mix {
    /// Checks that every limit is in range.
    ///
    /// # Errors
    /// [`Error::Share`] for a share outside of `0.0..=1.0` or equal to 0; [`Error::NoRoom`] for a limit of 0.
    pub fn validate(&self) -> Result<(), Error> {
        for (limit, value) in [("sample", self.sample), ("max_per_root", self.max_per_root)] {
            if value == Some(0) {
                return Err(Error::NoRoom { limit });
            }
        }
        match self.shares.iter().find(|(_, share)| !(**share > 0.0 && **share <= 1.0)) {
            Some((group, &found)) => Err(Error::Share { group: group.clone(), found }),
            None => Ok(()),
        }
    }

    /// Selects records within all limits and returns them in their original order.
    ///
    /// # Errors
    /// As [`Self::validate`]; [`Error::EmptyMix`] if every record is in a group with a limit and the limits
    /// add up to less than 1.
    #[expect(clippy::missing_panics_doc, reason = "`is_kept` has one entry per record")]
    pub fn apply(&self, mut records: Vec<Record>, seed: u64) -> Result<Vec<Record>, Error> {
        self.validate()?;
        let mut order: Vec<usize> = (0..records.len()).collect();
        order.sort_by_cached_key(|&at| (rng::key(seed, "dataset.mix", &[records[at].id]), records[at].id));
        if let Some(most) = self.max_per_root {
            let mut counts: HashMap<u64, usize> = HashMap::new();
            order.retain(|&at| {
                let count = counts.entry(records[at].root_id).or_default();
                *count += 1;
                *count <= most
            });
        }
        let wanted = order.len().min(self.sample.unwrap_or(usize::MAX));
        let mut total = wanted;
        // Shares are relative to the total, which shrinks as groups are cut: repeat until it is stable.
        let kept = loop {
            let kept = self.fill(&order, &records, total);
            if kept.len() == total {
                break kept;
            }
            total = kept.len();
        };
        if kept.is_empty() && wanted > 0 {
            return Err(Error::EmptyMix);
        }
        let mut is_kept = vec![false; records.len()];
        for at in kept {
            is_kept[at] = true;
        }
        let mut keep = is_kept.into_iter();
        records.retain(|_| keep.next().expect("one entry per record"));
        Ok(records)
    }

    /// Takes up to `total` records in the order `order`, skipping those whose group has its share of `total`.
    fn fill(&self, order: &[usize], records: &[Record], total: usize) -> Vec<usize> {
        let mut left: BTreeMap<&str, usize> = self
            .shares
            .iter()
            .map(|(group, share)| (group.as_str(), (share * total as f64) as usize))
            .collect();
        let mut kept = Vec::new();
        for &at in order {
            let record = &records[at];
            let round = format!("round.{}", record.round);
            let own = record.operator.as_deref().unwrap_or(SEEDS);
            let groups = [round.as_str(), own];
            if kept.len() < total && groups.iter().all(|group| left.get(group).is_none_or(|left| *left > 0)) {
                for group in groups {
                    if let Some(left) = left.get_mut(group) {
                        *left -= 1;
                    }
                }
                kept.push(at);
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record> {
        let record = |at: u64| {
            let round = (at % 4) as u32;
            let operator = match round {
                0 => None,
                1 => Some("mutation".to_owned()),
                _ => Some("deepening".to_owned()),
            };
            Record { root_id: at / 4, round, operator, ..Record::empty(at) }
        };
        (0..400).map(record).collect()
    }

    fn mixed(mix: &Mix) -> Vec<Record> {
        mix.apply(records(), 5).unwrap()
    }

    fn share(records: &[Record], is_of: impl Fn(&Record) -> bool) -> f64 {
        records.iter().filter(|record| is_of(record)).count() as f64 / records.len() as f64
    }

    #[test]
    fn no_limit_is_exceeded_and_no_more_than_needed_is_dropped() {
        assert_eq!(mixed(&Mix::default()).len(), 400);
        let shares = BTreeMap::from([("seeds".to_owned(), 0.1), ("deepening".to_owned(), 0.4)]);
        let found = mixed(&Mix { shares, ..Mix::default() });
        assert!(share(&found, |r| r.round == 0) <= 0.1 && share(&found, |r| r.round >= 2) <= 0.4);
        // The 100 mutations are at least half of the result, so it has 200 records, minus rounding.
        assert!((195..=200).contains(&found.len()), "{}", found.len());
        assert!(found.iter().filter(|record| record.round == 1).count() == 100);
        let shares = BTreeMap::from([("round.3".to_owned(), 0.05)]);
        let found = mixed(&Mix { sample: Some(60), max_per_root: Some(2), shares });
        assert_eq!(found.len(), 60);
        assert!(share(&found, |r| r.round == 3) <= 0.05);
        for root in 0..100 {
            assert!(found.iter().filter(|record| record.root_id == root).count() <= 2);
        }
    }

    #[test]
    fn the_mix_depends_on_the_seed_and_not_on_the_order_of_records() {
        let mix = Mix { sample: Some(50), ..Mix::default() };
        let ids = |mut records: Vec<Record>, seed| {
            records = mix.apply(records, seed).unwrap();
            records.sort_by_key(|record| record.id);
            records.into_iter().map(|record| record.id).collect::<Vec<_>>()
        };
        let mut backwards = records();
        backwards.reverse();
        assert_eq!(ids(records(), 1), ids(backwards, 1));
        assert_ne!(ids(records(), 1), ids(records(), 2));
    }

    #[test]
    fn limits_that_leave_nothing_are_refused() {
        let shares: BTreeMap<String, f64> = (0..4).map(|round| (format!("round.{round}"), 0.2)).collect();
        assert!(matches!(Mix { shares, ..Mix::default() }.apply(records(), 1), Err(Error::EmptyMix)));
        for mix in
            [Mix { sample: Some(0), ..Mix::default() }, Mix { max_per_root: Some(0), ..Mix::default() }]
        {
            assert!(matches!(mix.apply(records(), 1), Err(Error::NoRoom { .. })), "{mix:?}");
        }
        for found in [0.0, -1.0, 1.5, f64::NAN] {
            let shares = BTreeMap::from([("seeds".to_owned(), found)]);
            assert!(
                matches!(Mix { shares, ..Mix::default() }.validate(), Err(Error::Share { .. })),
                "{found}"
            );
        }
    }
}
