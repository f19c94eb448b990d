//! [`linear`](super) on the CPU: decode a pass of rows on all threads, then one product with them.

use super::rows_per_pass;
use crate::device::CpuPool;
use crate::ops::QuantMatrix;
use crate::ops::matmul::{LowRank, matmul_plus};
use crate::tensor::{Matrix, MatrixMut, Real};

pub(super) fn forward<T: Real>(
    pool: &CpuPool,
    w: &QuantMatrix<'_>,
    rows: usize,
    x: &[T],
    mut plus: Option<LowRank<'_, T>>,
    y: &mut [T],
    scratch: &mut [T],
) {
    let x = Matrix::new(x, rows, w.cols());
    let mut rest = MatrixMut::new(y, rows, w.rows());
    pool.run(|| {
        for (start, count) in passes(w) {
            let weights = &mut scratch[..count * w.cols()];
            w.dequantize_rows(pool, start..start + count, weights);
            let (block, right) = rest.split_cols(count);
            rest = right;
            let (here, later) = plus.map(|plus| plus.split_cols(count)).unzip();
            plus = later;
            let weights = Matrix::new(weights, count, w.cols()).t();
            matmul_plus(pool, T::ONE, x, weights, T::ZERO, block, here);
        }
    });
}

pub(super) fn backward<T: Real>(
    pool: &CpuPool,
    w: &QuantMatrix<'_>,
    rows: usize,
    dy: &[T],
    plus: Option<LowRank<'_, T>>,
    beta: T,
    dx: &mut [T],
    scratch: &mut [T],
) {
    let mut rest = Matrix::new(dy, rows, w.rows());
    let mut dx = MatrixMut::new(dx, rows, w.cols());
    pool.run(|| {
        if w.rows() == 0 {
            // There would be no pass, but the empty sum still has to be written.
            let nothing = Matrix::new(&[], 0, w.cols());
            return matmul_plus(pool, T::ONE, rest, nothing, beta, dx, plus);
        }
        for (start, count) in passes(w) {
            let weights = &mut scratch[..count * w.cols()];
            w.dequantize_rows(pool, start..start + count, weights);
            let (block, right) = rest.split_cols(count);
            rest = right;
            let (beta, plus) = if start == 0 { (beta, plus) } else { (T::ONE, None) };
            let weights = Matrix::new(weights, count, w.cols());
            matmul_plus(pool, T::ONE, block, weights, beta, dx.reborrow(), plus);
        }
    });
}

/// First row and number of rows of each pass over the weight.
fn passes(w: &QuantMatrix<'_>) -> impl Iterator<Item = (usize, usize)> + use<> {
    let (rows, step) = (w.rows(), rows_per_pass(w.cols(), w.rows()));
    (0..rows).step_by(step.max(1)).map(move |start| (start, step.min(rows - start)))
}
