//! Tests of [`rows`](super).

use super::*;
use crate::ops::check::{Guarded, assert_gradient, dot, random};

#[test]
fn picks_rows_and_puts_gradients_back() {
    for (tokens, columns, rows) in
        [(0, 3, vec![]), (1, 1, vec![0]), (5, 3, vec![]), (5, 3, vec![1, 4]), (4, 33, vec![0, 1, 2, 3])]
    {
        let x: Vec<f64> = random(tokens * columns, 1);
        let pick = |x: &[f64]| {
            let mut out = Guarded::poisoned(rows.len() * columns);
            forward(x, columns, &rows, out.as_mut());
            out.into_checked()
        };
        let out = pick(&x);
        for (n, &row) in rows.iter().enumerate() {
            assert_eq!(out[n * columns..][..columns], x[row as usize * columns..][..columns], "row {row}");
        }
        let d_out: Vec<f64> = random(out.len(), 2);
        let mut d_x = Guarded::poisoned(x.len());
        backward(&d_out, columns, &rows, d_x.as_mut());
        assert_gradient("x", &x, &d_x.into_checked(), |x| dot(&pick(x), &d_out));
    }
}

#[test]
#[should_panic(expected = "row 5")]
fn refuses_a_row_that_does_not_exist() {
    forward(&[0.0_f32; 10], 2, &[0, 5], &mut [0.0; 4]);
}
