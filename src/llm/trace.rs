//! Hashes of the logits that tokens were drawn from.
//!
//! Where in the flow: `perturb.rs` gives an engine a [`Trace`], and the loops over lists note every row in
//! it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Hashes of logits by request, in the order in which tokens were drawn.
#[derive(Debug, Default)]
pub(super) struct Trace {
    rows: Mutex<Rows>,
}

pub(super) type Rows = BTreeMap<u64, Vec<blake3::Hash>>;

impl Trace {
    /// Notes a row of logits of request or question `id`.
    pub(super) fn note(&self, id: u64, row: &[f32]) {
        let hash = blake3::hash(bytemuck::cast_slice(row));
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default().push(hash);
    }

    /// All rows noted so far; none are left.
    pub(super) fn take(&self) -> Rows {
        std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
