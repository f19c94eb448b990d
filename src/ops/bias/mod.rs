//! Adding a frozen bias, in place.
//!
//! `y += b` in every row. Backward needs no code: the gradient passes through, and b is not trained.
//!
//! Shapes: y (M, N); b (N).
//! Source: parity with the bias of `torch.nn.functional.linear`.

mod cpu;
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use crate::device::CpuPool;
use crate::tensor::Real;

/// Adds `bias` (N) to every row of `y` (M, N).
///
/// # Panics
/// If `y` is no whole number of rows.
pub fn forward<T: Real>(pool: &CpuPool, bias: &[f32], y: &mut [T]) {
    assert!(
        !bias.is_empty() && y.len().is_multiple_of(bias.len()),
        "length of y (left: {}), rows of {}",
        y.len(),
        bias.len()
    );
    cpu::forward(pool, bias, y);
}
