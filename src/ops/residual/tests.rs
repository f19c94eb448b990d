//! Tests of [`residual`](super).

#![expect(clippy::float_cmp, reason = "these numbers must be equal, not close")]

use super::*;
use crate::ops::check::{Guarded, assert_thread_independent, random};

#[test]
fn adds_every_element() {
    for len in [0, 1, 31, 8191, 8193] {
        let (x, branch): (Vec<f32>, Vec<f32>) = (random(len, 1), random(len, 2));
        let out = assert_thread_independent("out", |pool| {
            let mut out = Guarded::poisoned(len);
            forward(pool, &x, &branch, out.as_mut());
            out.into_checked()
        });
        for i in 0..len {
            assert_eq!(out[i], x[i] + branch[i], "element {i} of {len}");
        }
    }
}
