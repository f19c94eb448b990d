//! CPU twin of [`linear`](super): decode a pass of rows on all threads, then one product with them.

use super::rows_per_pass;
use crate::device::CpuDevice;
use crate::ops::QuantMatrix;
use crate::ops::matmul::matmul;
use crate::tensor::{Matrix, MatrixMut, Real};

pub(super) fn forward<T: Real>(
    cpu: &CpuDevice,
    w: &QuantMatrix<'_>,
    rows: usize,
    x: &[T],
    y: &mut [T],
    scratch: &mut [T],
) {
    let x = Matrix::new(x, rows, w.cols());
    let mut rest = MatrixMut::new(y, rows, w.rows());
    cpu.run(|| {
        for (start, count) in passes(w) {
            let weights = &mut scratch[..count * w.cols()];
            w.dequantize_rows(cpu, start..start + count, weights);
            let (block, right) = rest.split_cols(count);
            rest = right;
            matmul(cpu, T::ONE, x, Matrix::new(weights, count, w.cols()).t(), T::ZERO, block);
        }
    });
}

pub(super) fn backward<T: Real>(
    cpu: &CpuDevice,
    w: &QuantMatrix<'_>,
    rows: usize,
    dy: &[T],
    beta: T,
    dx: &mut [T],
    scratch: &mut [T],
) {
    let mut rest = Matrix::new(dy, rows, w.rows());
    let mut dx = MatrixMut::new(dx, rows, w.cols());
    cpu.run(|| {
        if w.rows() == 0 {
            // No pass would run, and an empty sum still has to be written.
            let nothing = Matrix::new(&[], 0, w.cols());
            return matmul(cpu, T::ONE, rest, nothing, beta, dx);
        }
        for (start, count) in passes(w) {
            let weights = &mut scratch[..count * w.cols()];
            w.dequantize_rows(cpu, start..start + count, weights);
            let (block, right) = rest.split_cols(count);
            rest = right;
            let beta = if start == 0 { beta } else { T::ONE };
            matmul(cpu, T::ONE, block, Matrix::new(weights, count, w.cols()), beta, dx.reborrow());
        }
    });
}

/// (first row, rows) of each pass over the weight.
fn passes(w: &QuantMatrix<'_>) -> impl Iterator<Item = (usize, usize)> + use<> {
    let (rows, step) = (w.rows(), rows_per_pass(w.cols(), w.rows()));
    (0..rows).step_by(step.max(1)).map(move |start| (start, step.min(rows - start)))
}
