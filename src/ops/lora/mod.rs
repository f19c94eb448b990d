//! The low-rank branches beside frozen linear layers that read the same input.
//!
//! With d = `dropout(x)` and s the scaling (`lora_alpha / r`): `t = d · Aᵀ`, `y += s · t · Bᵀ`; backward
//! `u = s · dy · B`, `dB += s · dyᵀ · t`, `dA += uᵀ · d`, `dx += dropout'(u · A)`. The two products that
//! widen again, `t · Bᵀ` and `u · A`, are not computed here: [`up`] and [`down_input`] describe them, and
//! [`linear`](super::linear) adds them to its own product.
//!
//! Shapes: N branches with ranks `R_i`, R their sum; x, dx (M, in); `y_i`, `dy_i` (M, `out_i`); `A_i`, `dA_i`
//! (`R_i`, in); `B_i`, `dB_i` (`out_i`, `R_i`); t, u (M, R), the branches' columns side by side. Branches
//! that share an input are one product: with all A stacked it is wide enough to fill vector registers, and x
//! is read once.
//! Saved: t.
//! Dropout stores no mask: element (row, column) is dropped if
//! [`rng::uniform`](crate::rng::uniform)`(key, row, column) < p`, which backward evaluates again. Kept
//! elements are divided by 1 - p. Every branch has a mask of its own, as in PEFT, so with dropout nothing is
//! shared.
//! Scratch: [`scratch_len`] numbers, for the stacked A (or dA), or for d.
//! Source: Hu et al. 2021, arXiv:2106.09685, section 4.1; parity with PEFT's `lora.Linear`.

mod cpu;
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use super::matmul::LowRank;
use crate::device::CpuPool;
use crate::tensor::{Matrix, Real};

/// The adapter of one linear layer: its two factors and its constants.
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
    /// Seeds the mask; differs for every layer, projection and row. Unused if `dropout` is 0.
    pub dropout_key: u64,
}

/// The sizes and constants of a branch, without its numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoraSlot {
    pub(crate) rank: usize,
    pub(crate) in_features: usize,
    pub(crate) out_features: usize,
    pub(crate) scaling: f32,
    pub(crate) dropout: f32,
    pub(crate) dropout_key: u64,
}

/// The gradients of a branch's factors; both are added to.
#[derive(Debug)]
pub struct Gradient<'a, T> {
    /// dA (R, in).
    pub da: &'a mut [T],
    /// dB (out, R).
    pub db: &'a mut [T],
}

/// Numbers of scratch that the functions here need for `rows` rows and branches of `rank` in all.
pub fn scratch_len(rows: usize, in_features: usize, rank: usize, dropout: f32) -> usize {
    in_features * if dropout > 0.0 { rows } else { rank }
}

/// Sum of the ranks: the columns of t and u. A projection without an adapter is `None`.
pub fn total_rank<T>(branches: &[Option<Branch<'_, T>>]) -> usize {
    branches.iter().flatten().map(|branch| branch.rank).sum()
}

/// Overwrites `t` (`rows`, R), which [`up`] and [`backward`] need.
///
/// # Panics
/// If lengths do not fit, branches differ in what they share, a `dropout` is not in [0, 1), or `scratch` is
/// shorter than [`scratch_len`].
pub fn down<T: Real>(
    pool: &CpuPool,
    branches: &[Option<Branch<'_, T>>],
    rows: usize,
    x: &[T],
    t: &mut [T],
    scratch: &mut [T],
) {
    let Some(first) = assert_lengths(branches, rows, x.len(), t.len(), scratch.len()) else { return };
    cpu::down(pool, branches, &first, rows, x, t, scratch);
}

/// `s · t · Bᵀ` of branch `index`, which y needs; `None` if the projection has no branch.
pub fn up<'a, T: Real>(
    branches: &[Option<Branch<'a, T>>],
    index: usize,
    rows: usize,
    t: &'a [T],
) -> Option<LowRank<'a, T>> {
    let branch = branches[index]?;
    let right = Matrix::new(branch.b, branch.out_features, branch.rank).t();
    Some(LowRank { alpha: branch.scaling, left: columns(branches, index, rows, t), right })
}

/// Adds to the gradients of the branches and overwrites `u` (`rows`, R), from `dy` (`rows`, `out_i`) of every
/// projection.
///
/// # Panics
/// As [`down`], or if a branch has no gradient.
pub fn backward<T: Real>(
    pool: &CpuPool,
    branches: &[Option<Branch<'_, T>>],
    rows: usize,
    x: &[T],
    t: &[T],
    dy: &[&[T]],
    gradients: &mut [Option<Gradient<'_, T>>],
    u: &mut [T],
    scratch: &mut [T],
) {
    let Some(first) = assert_lengths(branches, rows, x.len(), t.len(), scratch.len()) else { return };
    assert_eq!(u.len(), t.len(), "length of u (left) and t (right)");
    assert_eq!((dy.len(), gradients.len()), (branches.len(), branches.len()), "dy and gradients per branch");
    for ((branch, dy), gradient) in branches.iter().zip(dy).zip(&*gradients) {
        let Some(branch) = branch else { continue };
        let Gradient { da, db } = gradient.as_ref().expect("a gradient of every branch");
        let out = branch.out_features;
        assert_eq!(dy.len(), rows * out, "length of dy (left), {rows} rows of {out} (right)");
        assert_eq!(da.len(), branch.a.len(), "length of dA (left) and A (right)");
        assert_eq!(db.len(), branch.b.len(), "length of dB (left) and B (right)");
    }
    cpu::backward(pool, branches, &first, rows, x, t, dy, gradients, u, scratch);
}

/// `u · A` of branch `index`, which dx needs; `None` if the projection has no branch, and with dropout, where
/// [`add_dropped_input`] adds it instead.
pub fn down_input<'a, T: Real>(
    branches: &[Option<Branch<'a, T>>],
    index: usize,
    rows: usize,
    u: &'a [T],
) -> Option<LowRank<'a, T>> {
    let branch = branches[index].filter(|branch| branch.dropout <= 0.0)?;
    let right = Matrix::new(branch.a, branch.rank, branch.in_features);
    Some(LowRank { alpha: T::ONE, left: columns(branches, index, rows, u), right })
}

/// `dx += dropout'(u · A)` of branch `index`; nothing without a branch or without dropout.
///
/// # Panics
/// If lengths do not fit.
pub fn add_dropped_input<T: Real>(
    pool: &CpuPool,
    branches: &[Option<Branch<'_, T>>],
    index: usize,
    rows: usize,
    u: &[T],
    dx: &mut [T],
    scratch: &mut [T],
) {
    let Some(branch) = branches[index].filter(|branch| branch.dropout > 0.0) else { return };
    assert_eq!(dx.len(), rows * branch.in_features, "length of dx (left), {rows} rows (right)");
    let u = columns(branches, index, rows, u);
    cpu::add_dropped_input(pool, &branch, u, dx, scratch);
}

/// The columns of branch `index` in t or u.
fn columns<'a, T: Real>(
    branches: &[Option<Branch<'_, T>>],
    index: usize,
    rows: usize,
    buffer: &'a [T],
) -> Matrix<'a, T> {
    let (before, width) = (total_rank(&branches[..index]), total_rank(branches));
    let rank = total_rank(&branches[index..=index]);
    Matrix::strided(buffer.get(before..).unwrap_or(&[]), rows, rank, width)
}

/// Checks all lengths. Returns the first branch, whose inputs and dropout are those of all; `None` if no
/// projection has a branch.
fn assert_lengths<'a, T: Real>(
    branches: &[Option<Branch<'a, T>>],
    rows: usize,
    x: usize,
    t: usize,
    scratch: usize,
) -> Option<Branch<'a, T>> {
    let first = *branches.iter().flatten().next()?;
    let Branch { in_features, dropout, .. } = first;
    for branch in branches.iter().flatten() {
        let Branch { a, b, rank, out_features, .. } = *branch;
        assert_eq!(a.len(), rank * in_features, "length of A (left), rank {rank} of {in_features} (right)");
        assert_eq!(b.len(), out_features * rank, "length of B (left), {out_features} of rank {rank} (right)");
        assert_eq!(branch.in_features, in_features, "inputs of two branches that read the same");
        assert!((0.0..1.0).contains(&branch.dropout), "dropout {} outside [0, 1)", branch.dropout);
        assert!((branch.dropout > 0.0) == (dropout > 0.0), "all branches drop, or none");
    }
    let rank = total_rank(branches);
    assert_eq!(x, rows * in_features, "length of x (left), {rows} rows of {in_features} (right)");
    assert_eq!(t, rows * rank, "length of t (left), {rows} rows of rank {rank} (right)");
    let needed = scratch_len(rows, in_features, rank, dropout);
    assert!(scratch >= needed, "scratch of {scratch} for {needed} numbers");
    Some(first)
}
