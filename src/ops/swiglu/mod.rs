//! The gated activation of LLaMA's feed-forward layer.
//!
//! `out = silu(gate) · up`, `silu(g) = g · σ(g)`, `σ(g) = 1/(1 + e^-g)`.
//! Backward, in place: `d_up = d_out · silu(gate)`, `d_gate = d_out · up · σ · (1 + gate · (1 - σ))`.
//!
//! Shapes: all (N): M rows of F, in any arrangement.
//! Saved: gate and up. `out` is recomputed where backward needs it.
//! Source: Shazeer 2020, arXiv:2002.05202, `FFN_SwiGLU` with β = 1; parity with `torch.nn.functional.silu`.

mod cpu;
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use crate::device::CpuPool;
use crate::tensor::Real;

/// Overwrites `out` (N).
///
/// # Panics
/// If lengths do not fit.
pub fn forward<T: Real>(pool: &CpuPool, gate: &[T], up: &[T], out: &mut [T]) {
    assert_eq!(up.len(), gate.len(), "lengths of up (left) and gate (right)");
    assert_eq!(out.len(), gate.len(), "lengths of out (left) and gate (right)");
    cpu::forward(pool, gate, up, out);
}

/// Replaces `gate` by `d_gate` and `up` by `d_up`.
///
/// # Panics
/// If lengths do not fit.
pub fn backward<T: Real>(pool: &CpuPool, d_out: &[T], gate: &mut [T], up: &mut [T]) {
    assert_eq!(up.len(), gate.len(), "lengths of up (left) and gate (right)");
    assert_eq!(d_out.len(), gate.len(), "lengths of d_out (left) and gate (right)");
    cpu::backward(pool, d_out, gate, up);
}
