//! Picking rows of a matrix, and scattering their gradients back.
//!
//! `out[n] = x[rows[n]]`; backward `d_x[rows[n]] = d_out[n]` and 0 in all other rows.
//!
//! This keeps positions without a target away from the output head, the largest product of a small model.
//! They have no loss, so the head has no gradient for them.
//!
//! Shapes: x, `d_x` (T, C); rows (N), strictly increasing; out, `d_out` (N, C).
//! Source: matches `torch.index_select` along axis 0.

mod cpu;
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use crate::tensor::Real;

/// Overwrites `out` (N, C) with rows of `x` (T, C).
///
/// # Panics
/// If lengths do not fit, or a row does not exist.
pub fn forward<T: Real>(x: &[T], columns: usize, rows: &[u32], out: &mut [T]) {
    assert_rows(x.len(), columns, rows, out.len());
    cpu::forward(x, columns, rows, out);
}

/// Overwrites all of `d_x` (T, C).
///
/// # Panics
/// If lengths do not fit, or a row does not exist.
pub fn backward<T: Real>(d_out: &[T], columns: usize, rows: &[u32], d_x: &mut [T]) {
    assert_rows(d_x.len(), columns, rows, d_out.len());
    cpu::backward(d_out, columns, rows, d_x);
}

fn assert_rows(x: usize, columns: usize, rows: &[u32], out: usize) {
    assert_eq!(out, rows.len() * columns, "length of out or d_out (left), rows times columns (right)");
    assert!(rows.is_sorted_by(|a, b| a < b), "rows are not strictly increasing");
    if let Some(&last) = rows.last() {
        assert!((last as usize + 1) * columns <= x, "row {last} of {x} numbers");
    }
}
