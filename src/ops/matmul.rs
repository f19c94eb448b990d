//! Dense matrix products on the threads of the CPU, for [`linear`](super::linear), [`lora`](super::lora) and
//! [`cross_entropy`](super::cross_entropy). Not an op: on a GPU, cuBLAS takes its place.
//!
//! **Invariant:** the result is cut into tiles whose edges depend on its shape alone. Each tile is one
//! single-threaded product over the whole inner dimension, so no sum is split between threads. (The `gemm`
//! crate's own threading gave the same bits on every shape tried, but promises nothing, and was slower.)

use crate::device::CpuPool;
use crate::tensor::{Matrix, MatrixMut, Real, gemm};

/// Columns of a tile: a multiple of the 48 that an AVX-512 kernel of `gemm` writes at a time, and a divisor
/// of common layer sizes (576 = 3 tiles, 1536 = 8), so that threads get equal shares.
pub(super) const TILE_COLS: usize = 192;
/// Rows of a tile. `gemm` repacks `b` for every tile; 256 rows hide that (64 rows cost a third of the speed).
const TILE_ROWS: usize = 256;
/// Results at most this wide (the rank of an adapter) are cut into shorter tiles: they are bound by memory,
/// and have too few columns to divide among threads.
const NARROW_COLS: usize = 64;
/// Rows of a tile of a narrow result.
const NARROW_TILE_ROWS: usize = 64;

/// A low-rank product that is added to a larger one: `c += alpha · left · right`.
#[derive(Debug, Clone, Copy)]
pub struct LowRank<'a, T> {
    /// Factor on the product.
    pub alpha: T,
    /// (M, R).
    pub left: Matrix<'a, T>,
    /// (R, N).
    pub right: Matrix<'a, T>,
}

impl<T: Real> LowRank<'_, T> {
    fn split_rows(self, at: usize) -> (Self, Self) {
        let (upper, lower) = self.left.split_rows(at);
        (Self { left: upper, ..self }, Self { left: lower, ..self })
    }

    pub(super) fn split_cols(self, at: usize) -> (Self, Self) {
        let (left, right) = self.right.split_cols(at);
        (Self { right: left, ..self }, Self { right, ..self })
    }
}

/// `c = beta · c + alpha · a · b` with `a` (M, K), `b` (K, N), `c` (M, N); with `beta` 0, `c` is not read.
///
/// # Panics
/// If the shapes do not fit.
pub fn matmul<T: Real>(
    pool: &CpuPool,
    alpha: T,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    beta: T,
    c: MatrixMut<'_, T>,
) {
    matmul_plus(pool, alpha, a, b, beta, c, None);
}

/// As [`matmul`], and adds a low-rank product to every tile right after it is computed. The tile is still in
/// the cache then, so the addition costs its arithmetic, but no memory traffic.
///
/// # Panics
/// If the shapes do not fit.
pub fn matmul_plus<T: Real>(
    pool: &CpuPool,
    alpha: T,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    beta: T,
    c: MatrixMut<'_, T>,
    plus: Option<LowRank<'_, T>>,
) {
    assert_eq!((a.rows(), b.cols()), (c.rows(), c.cols()), "product of a and b (left) into c (right)");
    let tile_rows = if c.cols() <= NARROW_COLS { NARROW_TILE_ROWS } else { TILE_ROWS };
    if let Some(plus) = &plus {
        let (left, right) = (&plus.left, &plus.right);
        assert_eq!((left.rows(), right.cols()), (c.rows(), c.cols()), "low rank (left) into c (right)");
        assert_eq!(left.cols(), right.rows(), "rank of left (left) and right (right)");
    }
    pool.run(|| tiles(tile_rows, alpha, a, b, beta, c, plus));
}

/// Halves the side with more tiles until one tile is left.
fn tiles<T: Real>(
    tile_rows: usize,
    alpha: T,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    beta: T,
    mut c: MatrixMut<'_, T>,
    plus: Option<LowRank<'_, T>>,
) {
    let (row_tiles, col_tiles) = (c.rows().div_ceil(tile_rows), c.cols().div_ceil(TILE_COLS));
    if row_tiles <= 1 && col_tiles <= 1 {
        gemm(alpha, a, b, beta, c.reborrow());
        if let Some(LowRank { alpha, left, right }) = plus {
            gemm(alpha, left, right, T::ONE, c);
        }
    } else if row_tiles >= col_tiles {
        let at = row_tiles / 2 * tile_rows;
        let ((a0, a1), (c0, c1)) = (a.split_rows(at), c.split_rows(at));
        let (plus0, plus1) = plus.map(|plus| plus.split_rows(at)).unzip();
        rayon::join(
            || tiles(tile_rows, alpha, a0, b, beta, c0, plus0),
            || tiles(tile_rows, alpha, a1, b, beta, c1, plus1),
        );
    } else {
        let at = col_tiles / 2 * TILE_COLS;
        let ((b0, b1), (c0, c1)) = (b.split_cols(at), c.split_cols(at));
        let (plus0, plus1) = plus.map(|plus| plus.split_cols(at)).unzip();
        rayon::join(
            || tiles(tile_rows, alpha, a, b0, beta, c0, plus0),
            || tiles(tile_rows, alpha, a, b1, beta, c1, plus1),
        );
    }
}
