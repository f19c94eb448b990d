//! CPU twin of [`lora`](super).

use super::{Branch, Gradients, scratch_len};
use crate::device::CpuDevice;
use crate::ops::matmul::matmul;
use crate::rng;
use crate::tensor::{Matrix, MatrixMut, Real};
use rayon::prelude::*;

pub(super) fn forward<T: Real>(
    cpu: &CpuDevice,
    branch: &Branch<'_, T>,
    rows: usize,
    x: &[T],
    t: &mut [T],
    y: &mut [T],
    scratch: &mut [T],
) {
    let &Branch { rank, in_features, out_features, .. } = branch;
    cpu.run(|| {
        let d = dropped(branch, rows, x, scratch);
        let a = Matrix::new(branch.a, rank, in_features);
        let b = Matrix::new(branch.b, out_features, rank);
        matmul(cpu, T::ONE, Matrix::new(d, rows, in_features), a.t(), T::ZERO, MatrixMut::new(t, rows, rank));
        let y = MatrixMut::new(y, rows, out_features);
        matmul(cpu, branch.scaling, Matrix::new(t, rows, rank), b.t(), T::ONE, y);
    });
}

pub(super) fn backward<T: Real>(
    cpu: &CpuDevice,
    branch: &Branch<'_, T>,
    rows: usize,
    x: &[T],
    t: &[T],
    dy: &[T],
    gradients: Gradients<'_, T>,
    scratch: &mut [T],
) {
    let &Branch { rank, in_features, out_features, scaling, .. } = branch;
    let Gradients { da, db, dx, u } = gradients;
    let dy = Matrix::new(dy, rows, out_features);
    let a = Matrix::new(branch.a, rank, in_features);
    let b = Matrix::new(branch.b, out_features, rank);
    cpu.run(|| {
        matmul(cpu, scaling, dy, b, T::ZERO, MatrixMut::new(u, rows, rank));
        let u = Matrix::new(u, rows, rank);
        let t = Matrix::new(t, rows, rank);
        matmul(cpu, scaling, dy.t(), t, T::ONE, MatrixMut::new(db, out_features, rank));
        let d = Matrix::new(dropped(branch, rows, x, scratch), rows, in_features);
        matmul(cpu, T::ONE, u.t(), d, T::ONE, MatrixMut::new(da, rank, in_features));
        let Some(dx) = dx else { return };
        if branch.dropout > 0.0 {
            let dd = &mut scratch[..rows * in_features];
            matmul(cpu, T::ONE, u, a, T::ZERO, MatrixMut::new(dd, rows, in_features));
            let dd = &*dd;
            for_each_kept(branch, dx, dd, |dx, dd, factor| *dx += dd * factor);
        } else {
            matmul(cpu, T::ONE, u, a, T::ONE, MatrixMut::new(dx, rows, in_features));
        }
    });
}

/// `dropout(x)`: x itself without dropout, else written to the start of `scratch`.
fn dropped<'a, T: Real>(branch: &Branch<'_, T>, rows: usize, x: &'a [T], scratch: &'a mut [T]) -> &'a [T] {
    if branch.dropout <= 0.0 {
        return x;
    }
    let d = &mut scratch[..scratch_len(rows, branch.in_features, branch.dropout)];
    for_each_kept(branch, d, x, |d, x, factor| *d = x * factor);
    d
}

/// Calls `apply(out, input, factor)` for every element of two (M, in) buffers; `factor` is 0 where dropped and
/// 1 / (1 - p) where kept.
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
