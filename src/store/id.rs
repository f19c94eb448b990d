//! The ids of nodes, which say where a node stands in the run.
//!
//! **Invariant:** the only place that knows how an id is made of its parts.

/// Attempts that one root can have in one round: attempt numbers are below this.
pub const MAX_ATTEMPTS: u32 = 100;
/// Rounds that a run can have, the seeds' round 0 included.
pub const MAX_ROUNDS: u32 = 100;

/// Ids of one root, a range that starts with the seed's.
const IDS_PER_ROOT: u64 = MAX_ROUNDS as u64 * MAX_ATTEMPTS as u64;

/// The parts of a node's id: `root_index + 1 | round (2 digits) | attempt (2 digits)`, so that a reader sees
/// where a node belongs: `420100` is seed 42 in round 1.
///
/// Within a root, ids grow with the round and then with the attempt. A seed is round 0, attempt 0; its id is
/// the `root_id` of all its descendants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeId {
    /// Number of the seed, from 0.
    pub root_index: usize,
    /// 0 for seeds.
    pub round: u32,
    /// Number of the attempt at this root within the round, from 0.
    pub attempt: u32,
}

impl NodeId {
    /// The id as a number.
    ///
    /// # Panics
    /// If `round` or `attempt` is not below its limit: the caller checks its configuration.
    pub fn number(self) -> u64 {
        let Self { root_index, round, attempt } = self;
        assert!(round < MAX_ROUNDS, "round {round}, limit {MAX_ROUNDS}");
        assert!(attempt < MAX_ATTEMPTS, "attempt {attempt}, limit {MAX_ATTEMPTS}");
        (root_index as u64 + 1) * IDS_PER_ROOT + u64::from(round * MAX_ATTEMPTS + attempt)
    }

    /// The parts of an id; `None` for a number that is too small to be one.
    pub fn parse(id: u64) -> Option<Self> {
        let root_index = usize::try_from((id / IDS_PER_ROOT).checked_sub(1)?).ok()?;
        let within = (id % IDS_PER_ROOT) as u32;
        Some(Self { root_index, round: within / MAX_ATTEMPTS, attempt: within % MAX_ATTEMPTS })
    }
}

/// [`NodeId::number`] of the parts.
///
/// # Panics
/// As [`NodeId::number`].
pub fn node_id(root_index: usize, round: u32, attempt: u32) -> u64 {
    NodeId { root_index, round, attempt }.number()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_can_be_read_and_are_ordered_within_a_root() {
        assert_eq!(node_id(41, 1, 0), 420_100);
        assert!(node_id(0, 1, 99) < node_id(0, 2, 0) && node_id(0, 99, 99) < node_id(1, 0, 0));
        for (root_index, round, attempt) in [(0, 0, 0), (41, 1, 0), (999_999, 99, 98)] {
            let id = NodeId { root_index, round, attempt };
            assert_eq!(NodeId::parse(id.number()), Some(id));
        }
        assert_eq!(NodeId::parse(9_999), None);
    }
}
