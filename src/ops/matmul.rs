//! Dense products spread over the threads of the CPU: what [`linear`](super::linear),
//! [`lora`](super::lora) and [`cross_entropy`](super::cross_entropy) are made of. On CUDA a library call
//! stands in its place, so it is a part of ops, not an op.
//!
//! **Invariant:** the result is cut into tiles at fixed multiples of [`TILE_ROWS`] and [`TILE_COLS`]; each is one
//! single-threaded product over the whole inner size, so no sum is ever split between threads.

use crate::device::CpuDevice;
use crate::tensor::{Matrix, MatrixMut, Real, gemm};

/// Rows of a tile of the result.
const TILE_ROWS: usize = 256;
/// Columns of a tile of the result.
const TILE_COLS: usize = 256;

/// `c = beta · c + alpha · a · b` with `a` (M, K), `b` (K, N), `c` (M, N); with `beta` 0, `c` is not read.
///
/// # Panics
/// If the shapes do not fit.
pub fn matmul<T: Real>(
    cpu: &CpuDevice,
    alpha: T,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    beta: T,
    c: MatrixMut<'_, T>,
) {
    assert_eq!((a.rows(), b.cols()), (c.rows(), c.cols()), "product of a and b (left) into c (right)");
    if c.rows() <= TILE_ROWS && c.cols() <= TILE_COLS {
        return gemm(alpha, a, b, beta, c);
    }
    cpu.run(|| tiles(alpha, a, b, beta, c));
}

/// Halves the longer side at a tile boundary until one tile is left.
fn tiles<T: Real>(alpha: T, a: Matrix<'_, T>, b: Matrix<'_, T>, beta: T, c: MatrixMut<'_, T>) {
    let (row_tiles, col_tiles) = (c.rows().div_ceil(TILE_ROWS), c.cols().div_ceil(TILE_COLS));
    if row_tiles <= 1 && col_tiles <= 1 {
        gemm(alpha, a, b, beta, c);
    } else if row_tiles >= col_tiles {
        let at = row_tiles / 2 * TILE_ROWS;
        let ((a0, a1), (c0, c1)) = (a.split_rows(at), c.split_rows(at));
        rayon::join(|| tiles(alpha, a0, b, beta, c0), || tiles(alpha, a1, b, beta, c1));
    } else {
        let at = col_tiles / 2 * TILE_COLS;
        let ((b0, b1), (c0, c1)) = (b.split_cols(at), c.split_cols(at));
        rayon::join(|| tiles(alpha, a, b0, beta, c0), || tiles(alpha, a, b1, beta, c1));
    }
}
