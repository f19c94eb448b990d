//! Tests of [`bias`](super).

#![expect(clippy::float_cmp, reason = "these numbers must be equal, not close")]

use super::*;
use crate::ops::check::{Guarded, assert_thread_independent, random};

#[test]
fn adds_to_every_row() {
    for (rows, columns) in [(0, 3), (1, 1), (15, 31), (16, 4), (33, 129)] {
        let (bias, before): (Vec<f32>, Vec<f32>) = (random(columns, 1), random(rows * columns, 2));
        let y = assert_thread_independent("y", |pool| {
            let mut y = Guarded::from_slice(&before);
            forward(pool, &bias, y.as_mut());
            y.into_checked()
        });
        for (i, (y, before)) in y.iter().zip(&before).enumerate() {
            assert_eq!(*y, before + bias[i % columns], "element {i} of ({rows}, {columns})");
        }
    }
}

#[test]
#[should_panic(expected = "rows of 4")]
fn half_a_row_is_refused() {
    forward(&CpuPool::new(1).unwrap(), &[0.0; 4], &mut [0.0_f32; 6]);
}
