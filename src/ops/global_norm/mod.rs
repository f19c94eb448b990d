//! The L2 norm over all gradients, and the factor that clips it.
//!
//! `norm = sqrt(sum g²)`, `factor = min(1, max_norm / (norm + 1e-6))`.
//!
//! Shapes: g (N), the one flat buffer of all gradients. Accumulated in f64.
//! Source: `torch.nn.utils.clip_grad_norm_` (`norm_type` 2, `foreach` or not).

mod cpu;
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use crate::device::CpuPool;
use crate::tensor::Real;

/// The L2 norm of `gradients`; 0 for none, NaN if one is NaN.
pub fn global_norm<T: Real>(pool: &CpuPool, gradients: &[T]) -> f64 {
    cpu::sum_of_squares(pool, gradients).sqrt()
}

/// The factor that brings gradients of this `norm` down to at most `max_norm`. NaN stays NaN: a broken step
/// must not look like a small one.
pub fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    let factor = max_norm / (norm + 1e-6);
    if factor > 1.0 { 1.0 } else { factor }
}
