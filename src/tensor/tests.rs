//! Tests of [`tensor`](super).

#![expect(clippy::float_cmp, reason = "small integers are exact")]

use super::{Matrix, MatrixMut, gemm};

/// Small integers: every product and sum is exact in f32, so results are compared with `==`.
fn integers(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7 + seed * 13) % 11) as f32 - 5.0).collect()
}

fn naive(
    m: usize,
    k: usize,
    n: usize,
    a: &dyn Fn(usize, usize) -> f32,
    b: &dyn Fn(usize, usize) -> f32,
) -> Vec<f32> {
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            c[i * n + j] = (0..k).map(|p| a(i, p) * b(p, j)).sum();
        }
    }
    c
}

#[test]
fn products_match_naive_loops_for_every_orientation() {
    for (m, k, n) in [(1, 1, 1), (3, 5, 2), (31, 33, 17), (128, 129, 127), (1, 257, 33), (64, 1, 64)] {
        let (a, b) = (integers(m * k, 1), integers(k * n, 2));
        let expected = naive(m, k, n, &|i, p| a[i * k + p], &|p, j| b[p * n + j]);
        let (at, bt): (Vec<f32>, Vec<f32>) = (
            (0..k * m).map(|i| a[(i % m) * k + i / m]).collect(),
            (0..n * k).map(|i| b[(i % k) * n + i / k]).collect(),
        );
        let lefts = [Matrix::new(&a, m, k), Matrix::new(&at, k, m).t()];
        let rights = [Matrix::new(&b, k, n), Matrix::new(&bt, n, k).t()];
        for left in lefts {
            for right in rights {
                let mut c = vec![f32::NAN; m * n];
                gemm(1.0, left, right, 0.0, MatrixMut::new(&mut c, m, n));
                assert_eq!(c, expected, "({m}, {k}, {n})");
                gemm(2.0, left, right, 1.0, MatrixMut::new(&mut c, m, n));
                assert!(
                    c.iter().zip(&expected).all(|(c, e)| *c == 3.0 * e),
                    "accumulation at ({m}, {k}, {n})"
                );
            }
        }
    }
}

#[test]
fn an_empty_inner_size_writes_zeros_or_keeps_c() {
    let mut c = vec![f32::NAN; 6];
    gemm(1.0, Matrix::new(&[], 2, 0), Matrix::new(&[], 0, 3), 0.0, MatrixMut::new(&mut c, 2, 3));
    assert_eq!(c, [0.0; 6]);
    c.fill(4.0);
    gemm(1.0, Matrix::new(&[], 2, 0), Matrix::new(&[], 0, 3), 1.0, MatrixMut::new(&mut c, 2, 3));
    assert_eq!(c, [4.0; 6]);
    gemm(
        1.0,
        Matrix::<f32>::new(&[], 0, 5),
        Matrix::new(&[0.0; 10], 5, 2),
        0.0,
        MatrixMut::new(&mut [], 0, 2),
    );
}

#[test]
fn strided_views_touch_only_their_cells() {
    let a = integers(4 * 3, 1);
    let b = integers(3 * 2, 2);
    let mut c = [9.0; 4 * 5];
    gemm(1.0, Matrix::new(&a, 4, 3), Matrix::new(&b, 3, 2), 0.0, MatrixMut::strided(&mut c[1..], 4, 2, 5));
    let expected = naive(4, 3, 2, &|i, p| a[i * 3 + p], &|p, j| b[p * 2 + j]);
    for (i, &value) in c.iter().enumerate() {
        let (row, col) = (i / 5, i % 5);
        let want = if (1..3).contains(&col) { expected[row * 2 + col - 1] } else { 9.0 };
        assert_eq!(value, want, "cell ({row}, {col})");
    }
}

#[test]
fn splits_partition_a_matrix() {
    let mut data: Vec<f32> = vec![0.0; 6];
    let (mut left, right) = MatrixMut::new(&mut data, 2, 3).split_cols(1);
    let (mut top, mut bottom) = right.split_rows(1);
    left.row_mut(0).fill(1.0);
    left.row_mut(1).fill(2.0);
    top.row_mut(0).fill(3.0);
    bottom.row_mut(0).fill(4.0);
    assert_eq!(data, [1.0, 3.0, 3.0, 2.0, 4.0, 4.0]);
    let (_, rest) = Matrix::strided(&data, 2, 1, 3).split_rows(2);
    assert_eq!((rest.rows(), rest.cols()), (0, 1));
}

#[test]
#[should_panic(expected = "matrix (2, 3) with row stride 4 over 6 elements")]
fn a_view_outside_its_slice_is_refused() {
    Matrix::strided(&[0.0_f32; 6], 2, 3, 4);
}

#[test]
#[should_panic(expected = "inner sizes")]
fn shapes_that_do_not_fit_are_refused() {
    gemm(
        1.0,
        Matrix::new(&[0.0_f32; 4], 2, 2),
        Matrix::new(&[0.0; 6], 3, 2),
        0.0,
        MatrixMut::new(&mut [0.0; 4], 2, 2),
    );
}
