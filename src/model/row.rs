//! What goes into a pass and what comes out: packed rows, their noise, and summed losses.
//!
//! Where in the flow: `train` packs samples into [`PackedRow`]s; a pass turns one into the index lists
//! ([`RowIndex`]) that ops take.
//!
//! **Invariant:** the segments of an indexed row cover its tokens in order and without gaps. Indexing a row
//! allocates nothing.

use std::ops::Range;

/// One packed row: several samples, one after the other. A token attends only within its segment, and
/// positions start at 0 in each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedRow {
    /// (T) token ids.
    pub tokens: Vec<u32>,
    /// (T) the token to predict at t, already shifted; `None`: no loss there.
    pub targets: Vec<Option<u32>>,
    /// The samples: contiguous, and cover 0..T.
    pub segments: Vec<Range<usize>>,
}

/// Sum of negative log-likelihoods (nats) over the rows that have a target, and their count.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LossSum {
    /// The sum, in nats.
    pub nll: f64,
    /// Rows with a target.
    pub n_targets: usize,
}

/// The randomness of one row in training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Seeds the counter-based random streams of this row.
    pub key: u64,
    /// Noise on embeddings, uniform over ±alpha / √(tokens of the segment · C); 0 is none.
    pub neftune_noise_alpha: f64,
}

impl From<u64> for Noise {
    /// Dropout, but no noise on embeddings.
    fn from(key: u64) -> Self {
        Self { key, neftune_noise_alpha: 0.0 }
    }
}

/// A row as index lists for ops.
#[derive(Debug, Default)]
pub(super) struct RowIndex {
    /// (T): where the segment of token t starts.
    pub(super) starts: Vec<u32>,
    /// (T): distance from there, which is the position for RoPE.
    pub(super) positions: Vec<u32>,
    /// (N): positions that have a target.
    pub(super) target_rows: Vec<u32>,
    /// (N): the targets.
    pub(super) targets: Vec<u32>,
}

impl RowIndex {
    /// Makes room for rows of `tokens` tokens.
    pub(super) fn reserve(&mut self, tokens: usize) {
        let Self { starts, positions, target_rows, targets } = self;
        for list in [starts, positions, target_rows, targets] {
            list.reserve_exact(tokens);
        }
    }

    /// Bytes of the lists for rows of `tokens` tokens.
    pub(super) fn bytes(tokens: usize) -> usize {
        4 * tokens * size_of::<u32>()
    }

    /// Fills the lists for `row`.
    ///
    /// # Panics
    /// If its lists have different lengths, or its segments do not cover it.
    pub(super) fn set(&mut self, row: &PackedRow) {
        let tokens = row.tokens.len();
        assert_eq!(row.targets.len(), tokens, "targets (left) and tokens (right) of a row");
        self.starts.clear();
        self.positions.clear();
        for segment in &row.segments {
            let end = self.starts.len();
            assert!(
                segment.start == end && segment.end >= end,
                "segment {segment:?} does not start at {end}, where the one before it ends"
            );
            self.starts.extend(segment.clone().map(|_| segment.start as u32));
            self.positions.extend(segment.clone().map(|t| (t - segment.start) as u32));
        }
        assert_eq!(self.starts.len(), tokens, "end of the last segment (left), tokens (right)");
        self.target_rows.clear();
        self.targets.clear();
        for (t, target) in row.targets.iter().enumerate() {
            if let Some(target) = target {
                self.target_rows.push(t as u32);
                self.targets.push(*target);
            }
        }
    }
}
