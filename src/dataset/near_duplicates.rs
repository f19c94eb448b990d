//! Finds records that nearly repeat an instruction of another lineage.
//!
//! Where in the flow: [`super::export()`] removes them, over all lineages at once. During evolution, lineages
//! are independent, so that the shards of a run need no communication and together produce the same rows as a
//! single machine.
//!
//! **Invariant:** the result depends only on the set of records. Of two near duplicates, the earlier one is
//! kept: the one with the lower round, then attempt, then id. Seeds are always kept, because the user chose
//! them.

use super::{MinHashIndex, Record, normalise};

/// The rejection reason of records that nearly repeat one of another lineage.
pub const NEAR_DUPLICATE: &str = "near_duplicate";

/// A record that nearly repeats an earlier one of another lineage.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct NearDuplicate {
    /// The id of the record.
    pub id: u64,
    /// The root of the lineage that has the earlier record.
    pub root_id: u64,
    /// The similarity of the two, at least [`super::NEAR_DUPLICATE_SIMILARITY`].
    pub similarity: f64,
}

/// Finds the records that nearly repeat a kept record of another lineage, ordered by id. A record that
/// resembles only removed near duplicates is kept.
pub fn near_duplicates(records: &[Record]) -> Vec<NearDuplicate> {
    let mut order: Vec<&Record> = records.iter().collect();
    order.sort_by_key(|record| (record.round, record.attempt, record.id));
    let mut index = MinHashIndex::default();
    let mut found = Vec::new();
    for record in order {
        let text = format!("{}\n{}", normalise(&record.instruction), normalise(&record.input));
        let earlier = if record.round == 0 { None } else { index.find(&text, record.root_id) };
        match earlier {
            Some((root_id, similarity)) => found.push(NearDuplicate { id: record.id, root_id, similarity }),
            // Only kept records are added: a removed one must not remove others.
            None => index.add(&text, record.root_id),
        }
    }
    found.sort_by_key(|duplicate| duplicate.id);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: u64, round: u32, instruction: &str) -> Record {
        Record {
            root_id: id / 10_000 * 10_000,
            round,
            instruction: instruction.to_owned(),
            ..Record::empty(id)
        }
    }

    #[test]
    fn the_earlier_near_duplicate_is_kept_whatever_the_order() {
        let long = "Name three rivers in the north of Asia that are longer than a thousand kilometres";
        let mut records = vec![
            record(10_000, 0, "Name a river."),
            record(10_100, 1, long),
            record(10_200, 2, &format!("{long} .")),
            record(20_000, 0, "Name a river!"),
            record(20_100, 1, &format!("{long}.")),
            record(30_000, 0, "Say what a lake is."),
            record(30_200, 2, &format!("{}, please", long.to_uppercase())),
        ];
        let found: Vec<(u64, u64)> = near_duplicates(&records).iter().map(|r| (r.id, r.root_id)).collect();
        assert_eq!(found, [(20_100, 10_000), (30_200, 10_000)]);
        let least = super::super::NEAR_DUPLICATE_SIMILARITY;
        assert!(near_duplicates(&records).iter().all(|duplicate| duplicate.similarity >= least));
        records.reverse();
        assert_eq!(near_duplicates(&records).len(), 2);
        // Without the first lineage, the second one keeps its record and the third repeats that.
        records.retain(|record| record.root_id != 10_000);
        let found: Vec<(u64, u64)> = near_duplicates(&records).iter().map(|r| (r.id, r.root_id)).collect();
        assert_eq!(found, [(30_200, 20_000)]);
    }
}
