//! [`lora`](super) on the CPU: one product for all branches, or with dropout one for each.

use super::{Branch, Gradient, columns, total_rank};
use crate::device::CpuPool;
use crate::ops::matmul::matmul;
use crate::rng;
use crate::tensor::{Matrix, MatrixMut, Real};
use rayon::prelude::*;

pub(super) fn down<T: Real>(
    pool: &CpuPool,
    branches: &[Option<Branch<'_, T>>],
    first: &Branch<'_, T>,
    rows: usize,
    x: &[T],
    t: &mut [T],
    scratch: &mut [T],
) {
    let (inputs, width) = (first.in_features, total_rank(branches));
    pool.run(|| {
        if first.dropout > 0.0 {
            let mut rest = MatrixMut::new(t, rows, width);
            for branch in branches.iter().flatten() {
                let (block, right) = rest.split_cols(branch.rank);
                rest = right;
                let d = Matrix::new(dropped(branch, rows, x, scratch), rows, inputs);
                matmul(pool, T::ONE, d, Matrix::new(branch.a, branch.rank, inputs).t(), T::ZERO, block);
            }
            return;
        }
        let a = match single(branches) {
            Some(branch) => branch.a,
            None => stacked(branches, &mut scratch[..width * inputs]),
        };
        let (x, a) = (Matrix::new(x, rows, inputs), Matrix::new(a, width, inputs));
        matmul(pool, T::ONE, x, a.t(), T::ZERO, MatrixMut::new(t, rows, width));
    });
}

pub(super) fn backward<T: Real>(
    pool: &CpuPool,
    branches: &[Option<Branch<'_, T>>],
    first: &Branch<'_, T>,
    rows: usize,
    x: &[T],
    t: &[T],
    dy: &[&[T]],
    gradients: &mut [Option<Gradient<'_, T>>],
    u: &mut [T],
    scratch: &mut [T],
) {
    let (inputs, width) = (first.in_features, total_rank(branches));
    pool.run(|| {
        let mut rest = MatrixMut::new(u, rows, width);
        for (i, (branch, gradient)) in branches.iter().zip(&mut *gradients).enumerate() {
            let (Some(branch), Some(Gradient { db, .. })) = (branch, gradient) else { continue };
            let &Branch { rank, out_features, scaling, b, .. } = branch;
            let (block, right) = rest.split_cols(rank);
            rest = right;
            let dy = Matrix::new(dy[i], rows, out_features);
            matmul(pool, scaling, dy, Matrix::new(b, out_features, rank), T::ZERO, block);
            let db = MatrixMut::new(db, out_features, rank);
            matmul(pool, scaling, dy.t(), columns(branches, i, rows, t), T::ONE, db);
        }
        let u = &*u;
        let shared = first.dropout <= 0.0 && single(branches).is_none();
        if shared {
            let da = &mut scratch[..width * inputs];
            let (u, x) = (Matrix::new(u, rows, width), Matrix::new(x, rows, inputs));
            matmul(pool, T::ONE, u.t(), x, T::ZERO, MatrixMut::new(da, width, inputs));
            add_rows(da, gradients);
            return;
        }
        for (i, (branch, gradient)) in branches.iter().zip(gradients).enumerate() {
            let (Some(branch), Some(Gradient { da, .. })) = (branch, gradient) else { continue };
            let d = Matrix::new(dropped(branch, rows, x, scratch), rows, inputs);
            let da = MatrixMut::new(da, branch.rank, inputs);
            matmul(pool, T::ONE, columns(branches, i, rows, u).t(), d, T::ONE, da);
        }
    });
}

pub(super) fn add_dropped_input<T: Real>(
    pool: &CpuPool,
    branch: &Branch<'_, T>,
    u: Matrix<'_, T>,
    dx: &mut [T],
    scratch: &mut [T],
) {
    let (rows, inputs) = (u.rows(), branch.in_features);
    pool.run(|| {
        let dd = &mut scratch[..rows * inputs];
        let a = Matrix::new(branch.a, branch.rank, inputs);
        matmul(pool, T::ONE, u, a, T::ZERO, MatrixMut::new(dd, rows, inputs));
        for_each_kept(branch, dx, dd, |dx, dd, factor| *dx += dd * factor);
    });
}

/// The branch, if there is only one.
fn single<'a, 'b, T>(branches: &'b [Option<Branch<'a, T>>]) -> Option<&'b Branch<'a, T>> {
    let mut all = branches.iter().flatten();
    all.next().filter(|_| all.next().is_none())
}

/// All A stacked: a copy of some hundred kilobytes, small beside the products with it.
fn stacked<'s, T: Real>(branches: &[Option<Branch<'_, T>>], scratch: &'s mut [T]) -> &'s [T] {
    let mut rest = &mut *scratch;
    for branch in branches.iter().flatten() {
        let (here, below) = rest.split_at_mut(branch.a.len());
        here.copy_from_slice(branch.a);
        rest = below;
    }
    scratch
}

/// Adds the rows of a stacked dA to the gradients they belong to.
fn add_rows<T: Real>(stacked: &[T], gradients: &mut [Option<Gradient<'_, T>>]) {
    let mut rest = stacked;
    for Gradient { da, .. } in gradients.iter_mut().flatten() {
        let (here, below) = rest.split_at(da.len());
        rest = below;
        for (da, &here) in da.iter_mut().zip(here) {
            *da += here;
        }
    }
}

/// `dropout(x)`: x itself without dropout, else written to the start of `scratch`.
fn dropped<'a, T: Real>(branch: &Branch<'_, T>, rows: usize, x: &'a [T], scratch: &'a mut [T]) -> &'a [T] {
    if branch.dropout <= 0.0 {
        return x;
    }
    let d = &mut scratch[..rows * branch.in_features];
    for_each_kept(branch, d, x, |d, x, factor| *d = x * factor);
    d
}

/// Calls `apply(out, input, factor)` for every element of two (M, in) buffers; `factor` is 0 where dropped
/// and 1 / (1 - p) where kept.
fn for_each_kept<T: Real>(
    branch: &Branch<'_, T>,
    out: &mut [T],
    input: &[T],
    apply: impl Fn(&mut T, T, T) + Sync,
) {
    if out.is_empty() {
        return;
    }
    let (key, width, p) = (branch.dropout_key, branch.in_features, f64::from(branch.dropout));
    let kept = T::from_f64(1.0 / (1.0 - p));
    out.par_chunks_exact_mut(width).zip(input.par_chunks_exact(width)).with_min_len(16).enumerate().for_each(
        |(row, (out, input))| {
            for (column, (out, &input)) in out.iter_mut().zip(input).enumerate() {
                let keep = rng::uniform(key, row as u64, column as u64) >= p;
                apply(out, input, if keep { kept } else { T::ZERO });
            }
        },
    );
}
