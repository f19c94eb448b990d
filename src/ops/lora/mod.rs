//! The low-rank branch beside a frozen linear layer.
//!
//! With d = `dropout(x)` and s the scaling (`lora_alpha / r`):
//! `t = d · Aᵀ`, `y += s · t · Bᵀ`; backward `u = s · dy · B`, `dB += s · dyᵀ · t`, `dA += uᵀ · d`,
//! `dx += dropout'(u · A)`.
//!
//! Shapes: x, dx (M, in); y, dy (M, out); A, dA (R, in); B, dB (out, R); t, u (M, R).
//! Saved: t. Dropout keeps no mask: element (row, column) is dropped if
//! [`rng::uniform`](crate::rng::uniform)`(key, row, column) < p`, and backward asks again. Kept elements are
//! divided by 1 - p.
//! Scratch: [`scratch_len`] numbers for d and for u · A; none without dropout.
//! Both y and dx are added to: the branch comes after [`linear`](super::linear), which overwrites them.
//! Source: Hu et al. 2021, arXiv:2106.09685, section 4.1; parity with PEFT's `lora.Linear`.

mod cpu;
#[cfg(test)]
mod tests;

use crate::device::Device;
use crate::tensor::Real;

/// One adapted layer: its two factors and what goes with them.
#[derive(Debug, Clone, Copy)]
pub struct Branch<'a, T> {
    /// `lora_a` (R, in).
    pub a: &'a [T],
    /// `lora_b` (out, R).
    pub b: &'a [T],
    /// R.
    pub rank: usize,
    /// in.
    pub in_features: usize,
    /// out.
    pub out_features: usize,
    /// s: `lora_alpha / r`.
    pub scaling: T,
    /// p, 0 ≤ p < 1; 0 in evaluation.
    pub dropout: f32,
    /// Names the mask: differs for every layer, projection and row batch; not used if `dropout` is 0.
    pub dropout_key: u64,
}

/// What [`backward`] writes: gradients that accumulate, and the rest.
#[derive(Debug)]
pub struct Gradients<'a, T> {
    /// dA (R, in), added to.
    pub da: &'a mut [T],
    /// dB (out, R), added to.
    pub db: &'a mut [T],
    /// dx (M, in), added to; `None` if nothing below is trained.
    pub dx: Option<&'a mut [T]>,
    /// u (M, R), overwritten.
    pub u: &'a mut [T],
}

/// Numbers of scratch that [`forward`] and [`backward`] need for `rows` rows.
pub fn scratch_len(rows: usize, in_features: usize, dropout: f32) -> usize {
    if dropout > 0.0 { rows * in_features } else { 0 }
}

/// Adds the branch's part to `y` (`rows`, out), and overwrites `t` (`rows`, R), which backward needs.
///
/// # Panics
/// If lengths do not fit, `dropout` is not in [0, 1), or `scratch` is shorter than [`scratch_len`].
pub fn forward<T: Real>(
    device: &Device,
    branch: &Branch<'_, T>,
    rows: usize,
    x: &[T],
    t: &mut [T],
    y: &mut [T],
    scratch: &mut [T],
) {
    assert_lengths(branch, rows, x.len(), t.len(), y.len(), scratch.len());
    match device {
        Device::Cpu(cpu) => cpu::forward(cpu, branch, rows, x, t, y, scratch),
    }
}

/// Gradients from `dy` (`rows`, out), with the `x` and `t` of [`forward`].
///
/// # Panics
/// If lengths do not fit, `dropout` is not in [0, 1), or `scratch` is shorter than [`scratch_len`].
pub fn backward<T: Real>(
    device: &Device,
    branch: &Branch<'_, T>,
    rows: usize,
    x: &[T],
    t: &[T],
    dy: &[T],
    gradients: Gradients<'_, T>,
    scratch: &mut [T],
) {
    assert_lengths(branch, rows, x.len(), t.len(), dy.len(), scratch.len());
    assert_eq!(gradients.da.len(), branch.a.len(), "length of dA (left) and A (right)");
    assert_eq!(gradients.db.len(), branch.b.len(), "length of dB (left) and B (right)");
    assert_eq!(gradients.u.len(), t.len(), "length of u (left) and t (right)");
    if let Some(dx) = &gradients.dx {
        assert_eq!(dx.len(), x.len(), "length of dx (left) and x (right)");
    }
    match device {
        Device::Cpu(cpu) => cpu::backward(cpu, branch, rows, x, t, dy, gradients, scratch),
    }
}

fn assert_lengths<T: Real>(
    branch: &Branch<'_, T>,
    rows: usize,
    x: usize,
    t: usize,
    y: usize,
    scratch: usize,
) {
    let Branch { a, b, rank, in_features, out_features, dropout, .. } = *branch;
    assert_eq!(a.len(), rank * in_features, "length of A (left), rank {rank} of {in_features} (right)");
    assert_eq!(b.len(), out_features * rank, "length of B (left), {out_features} of rank {rank} (right)");
    assert_eq!(x, rows * in_features, "length of x (left), {rows} rows of {in_features} (right)");
    assert_eq!(t, rows * rank, "length of t (left), {rows} rows of rank {rank} (right)");
    assert_eq!(y, rows * out_features, "length of y or dy (left), {rows} rows of {out_features} (right)");
    assert!((0.0..1.0).contains(&dropout), "dropout {dropout} outside [0, 1)");
    let needed = scratch_len(rows, in_features, dropout);
    assert!(scratch >= needed, "scratch of {scratch} for {needed} dropped inputs");
}
