//! A linear layer with a frozen, quantized weight.
//!
//! `y = x · Wᵀ`, backward `dx = beta · dx + dy · W`. No gradient of W: the base is frozen. Both can add a
//! low-rank product ([`LowRank`]), the branch of an adapter, while y or dx is still in the cache.
//!
//! Shapes: x, dx (M, in); y, dy (M, out); W (out, in) in GGUF blocks.
//! Saved: nothing; dx does not depend on x.
//! Scratch: [`scratch_len`] numbers for decoded rows of W. A matrix of more than [`PASS_WEIGHTS`] weights is
//! decoded in passes over its rows, so that the decoded part is still in the cache when it is used, and an
//! output head needs no more memory than a layer.
//! Source: matches `torch.nn.functional.linear` without bias.

mod cpu;
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use super::QuantMatrix;
use super::matmul::{LowRank, TILE_COLS};
use crate::device::CpuPool;
use crate::tensor::Real;

/// Weights decoded per pass: 4 MiB in f32, about the second-level cache of two current server cores.
const PASS_WEIGHTS: usize = 1 << 20;

/// Rows of a (`out_features`, `in_features`) weight that are decoded per pass. A function of the shape alone,
/// because backward adds up its passes in order.
pub(super) fn rows_per_pass(in_features: usize, out_features: usize) -> usize {
    let tiles = PASS_WEIGHTS / in_features.max(1) / TILE_COLS;
    (tiles.max(1) * TILE_COLS).min(out_features)
}

/// Numbers of scratch that [`forward`] and [`backward`] need for this weight.
pub fn scratch_len(in_features: usize, out_features: usize) -> usize {
    rows_per_pass(in_features, out_features) * in_features
}

/// `y = x · Wᵀ + plus`: overwrites `y` (`rows`, out) from `x` (`rows`, in).
///
/// # Panics
/// If lengths do not fit, or `scratch` is shorter than [`scratch_len`].
pub fn forward<T: Real>(
    pool: &CpuPool,
    w: &QuantMatrix<'_>,
    rows: usize,
    x: &[T],
    plus: Option<LowRank<'_, T>>,
    y: &mut [T],
    scratch: &mut [T],
) {
    assert_lengths(w, rows, x.len(), y.len(), scratch.len());
    cpu::forward(pool, w, rows, x, plus, y, scratch);
}

/// `dx = beta · dx + dy · W + plus`: overwrites `dx` with `beta` 0 (without reading it), adds to it with 1.
///
/// # Panics
/// If lengths do not fit, or `scratch` is shorter than [`scratch_len`].
pub fn backward<T: Real>(
    pool: &CpuPool,
    w: &QuantMatrix<'_>,
    rows: usize,
    dy: &[T],
    plus: Option<LowRank<'_, T>>,
    beta: T,
    dx: &mut [T],
    scratch: &mut [T],
) {
    assert_lengths(w, rows, dx.len(), dy.len(), scratch.len());
    cpu::backward(pool, w, rows, dy, plus, beta, dx, scratch);
}

fn assert_lengths(w: &QuantMatrix<'_>, rows: usize, x: usize, y: usize, scratch: usize) {
    assert_eq!(x, rows * w.cols(), "length of x or dx (left), {rows} rows of {} (right)", w.cols());
    assert_eq!(y, rows * w.rows(), "length of y or dy (left), {rows} rows of {} (right)", w.rows());
    let needed = scratch_len(w.cols(), w.rows());
    assert!(scratch >= needed, "scratch of {scratch} for {needed} weights");
}
