//! What nearly repeats an instruction of another lineage.
//!
//! Where in the flow: between the journal's records and an export, over all lineages at once. A lineage
//! evolves without a look at the others, so that the shards of a run need not talk to each other and together
//! make what one machine makes.
//!
//! **Invariant:** a function of the set of records. Of two that repeat each other the earlier stays: that of
//! the earlier round, then attempt, then id. Seeds stay; they are the user's.

use super::{NearIndex, Record, normalise};

/// The reason of records that nearly repeat one of another lineage.
pub const NEAR_DUPLICATE: &str = "near_duplicate";

/// A record that nearly repeats an earlier one of another lineage.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Repeat {
    /// Of the record.
    pub id: u64,
    /// The lineage that has it already.
    pub root_id: u64,
    /// How similar they are (see [`super::NEAR`]).
    pub similarity: f64,
}

/// The records that nearly repeat another lineage's, by id. One that repeats a record which is itself a
/// repeat stays, as long as it does not repeat one that stays.
pub fn near_repeats(records: &[Record]) -> Vec<Repeat> {
    let mut order: Vec<&Record> = records.iter().collect();
    order.sort_by_key(|record| (record.round, record.attempt, record.id));
    let mut index = NearIndex::default();
    let mut repeats = Vec::new();
    for record in order {
        let text = format!("{}\n{}", normalise(&record.instruction), normalise(&record.input));
        let found = if record.round == 0 { None } else { index.find(&text, record.root_id) };
        match found {
            Some((root_id, similarity)) => repeats.push(Repeat { id: record.id, root_id, similarity }),
            None => index.add(&text, record.root_id),
        }
    }
    repeats.sort_by_key(|repeat| repeat.id);
    repeats
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
    fn the_earlier_of_two_lineages_stays_whatever_the_order() {
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
        let found: Vec<(u64, u64)> = near_repeats(&records).iter().map(|r| (r.id, r.root_id)).collect();
        assert_eq!(found, [(20_100, 10_000), (30_200, 10_000)]);
        assert!(near_repeats(&records).iter().all(|repeat| repeat.similarity >= super::super::NEAR));
        records.reverse();
        assert_eq!(near_repeats(&records).len(), 2);
        // What repeats a repeat only: without the first lineage the second keeps its own.
        records.retain(|record| record.root_id != 10_000);
        let found: Vec<(u64, u64)> = near_repeats(&records).iter().map(|r| (r.id, r.root_id)).collect();
        assert_eq!(found, [(30_200, 20_000)]);
    }
}
