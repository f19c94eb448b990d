//! The residual connection.
//!
//! `out = x + branch`. Backward needs no code: the gradient of `out` is the gradient of both.
//!
//! Shapes: all (N).
//! Source: He et al. 2015, arXiv:1512.03385, equation 1.

mod cpu;
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use crate::device::CpuPool;
use crate::tensor::Real;

/// Overwrites `out` (N). Not in place, because backward needs `x`.
///
/// # Panics
/// If lengths do not fit.
pub fn forward<T: Real>(pool: &CpuPool, x: &[T], branch: &[T], out: &mut [T]) {
    assert_eq!(branch.len(), x.len(), "lengths of branch (left) and x (right)");
    assert_eq!(out.len(), x.len(), "lengths of out (left) and x (right)");
    cpu::forward(pool, x, branch, out);
}
