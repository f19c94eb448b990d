//! RMS normalisation with a frozen weight.
//!
//! `out[m,c] = x[m,c] · rstd[m] · weight[c]`, `rstd[m] = 1/√(mean_c x[m,c]² + eps)`. Backward, with
//! `g = weight ⊙ d_out` and `x̂ = x · rstd`: `d_x = beta · d_x + rstd · (g - x̂ · mean_c(g ⊙ x̂))`. No
//! gradient of the weight: the base is frozen.
//!
//! Shapes: x, out, `d_out`, `d_x` (M, C); weight (C), f32 as in the file; rstd (M).
//! Saved: rstd. `out` is cheap, and recomputed where backward needs it.
//! Source: Zhang & Sennrich 2019, arXiv:1910.07467, equation 4; parity with `torch.nn.functional.rms_norm`.

mod cpu;
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use crate::device::CpuPool;
use crate::tensor::Real;

/// Overwrites `out` (M, C) and `rstd` (M).
///
/// # Panics
/// If lengths do not fit.
pub fn forward<T: Real>(pool: &CpuPool, x: &[T], weight: &[f32], eps: f32, out: &mut [T], rstd: &mut [T]) {
    assert_eq!(x.len(), rstd.len() * weight.len(), "length of x (left), rows times columns (right)");
    assert_eq!(out.len(), x.len(), "lengths of out (left) and x (right)");
    cpu::forward(pool, x, weight, eps, out, rstd);
}

/// Overwrites `d_x` (M, C) with `beta` 0, without reading it, or adds to it with 1: the gradient of the
/// residual stream around the normalised branch is already there.
///
/// # Panics
/// If lengths do not fit.
pub fn backward<T: Real>(
    pool: &CpuPool,
    x: &[T],
    weight: &[f32],
    rstd: &[T],
    d_out: &[T],
    beta: T,
    d_x: &mut [T],
) {
    assert_eq!(x.len(), rstd.len() * weight.len(), "length of x (left), rows times columns (right)");
    assert_eq!(d_out.len(), x.len(), "lengths of d_out (left) and x (right)");
    assert_eq!(d_x.len(), x.len(), "lengths of d_x (left) and x (right)");
    cpu::backward(pool, x, weight, rstd, d_out, beta, d_x);
}
