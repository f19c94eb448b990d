//! Matrix views of flat buffers, and their product.
//!
//! Where in the flow: ops lay these views over activations and weights and multiply them with [`gemm()`].
//!
//! **Invariant:** every element that a view can address lies in the slice it was created from. Splitting
//! preserves this, and the parts of a split [`MatrixMut`] are disjoint.

#![expect(unsafe_code, reason = "disjoint column blocks of one buffer cannot be expressed with slices")]

use super::Real;
use std::marker::PhantomData;

/// A read-only (rows, cols) view of a slice; element (i, j) is `data[i * row_stride + j * col_stride]`.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, T: Real> Matrix<'a, T> {
    /// All of `data`, row-major.
    ///
    /// # Panics
    /// If `data` does not have `rows * cols` elements.
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "matrix ({rows}, {cols}) over {} elements", data.len());
        Self::strided(data, rows, cols, cols)
    }

    /// A view whose rows start `row_stride` elements apart: head `h` of a (T, H, D) buffer is
    /// `strided(&buffer[h * D..], T, D, H * D)`.
    ///
    /// # Panics
    /// If the last element is outside `data`.
    pub fn strided(data: &'a [T], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert_in_bounds(data.len(), rows, cols, row_stride);
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The transpose, without moving data.
    #[must_use]
    pub fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// Rows `0..at` and `at..`.
    ///
    /// # Panics
    /// If `at` exceeds the number of rows.
    pub fn split_rows(self, at: usize) -> (Self, Self) {
        assert!(at <= self.rows, "split at row {at} of {}", self.rows);
        // Without `min`, an empty second part could start past the end of the slice.
        let start = (at * self.row_stride).min(self.data.len());
        (Self { rows: at, ..self }, Self { rows: self.rows - at, data: &self.data[start..], ..self })
    }

    /// Columns `0..at` and `at..`.
    ///
    /// # Panics
    /// If `at` exceeds the number of columns.
    pub fn split_cols(self, at: usize) -> (Self, Self) {
        let (left, right) = self.t().split_rows(at);
        (left.t(), right.t())
    }
}

/// A writable (rows, cols) view of a slice; rows are contiguous and start `row_stride` elements apart.
#[derive(Debug)]
pub struct MatrixMut<'a, T> {
    data: *mut T,
    rows: usize,
    cols: usize,
    row_stride: usize,
    buffer: PhantomData<&'a mut [T]>,
}

// SAFETY: a view owns its elements exclusively for 'a, as `&mut [T]` does, and `T: Send` may move between
// threads.
unsafe impl<T: Real> Send for MatrixMut<'_, T> {}

impl<'a, T: Real> MatrixMut<'a, T> {
    /// All of `data`, row-major.
    ///
    /// # Panics
    /// If `data` does not have `rows * cols` elements.
    pub fn new(data: &'a mut [T], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "matrix ({rows}, {cols}) over {} elements", data.len());
        Self::strided(data, rows, cols, cols)
    }

    /// A view whose rows start `row_stride` elements apart.
    ///
    /// # Panics
    /// If the last element is outside `data`, or rows overlap.
    pub fn strided(data: &'a mut [T], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert_in_bounds(data.len(), rows, cols, row_stride);
        assert!(rows <= 1 || cols <= row_stride, "rows of {cols} elements start {row_stride} apart");
        Self { data: data.as_mut_ptr(), rows, cols, row_stride, buffer: PhantomData }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Borrows the same matrix for a shorter time.
    pub fn reborrow(&mut self) -> MatrixMut<'_, T> {
        MatrixMut { buffer: PhantomData, ..*self }
    }

    /// Row `i` as a slice.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row_mut(&mut self, i: usize) -> &mut [T] {
        assert!(i < self.rows, "row {i} of {}", self.rows);
        // SAFETY: row `i < rows` of `cols` elements lies in the buffer (checked at construction), which
        // this view borrows exclusively; the result borrows the view.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(i * self.row_stride), self.cols) }
    }

    /// Rows `0..at` and `at..`.
    ///
    /// # Panics
    /// If `at` exceeds the number of rows.
    pub fn split_rows(self, at: usize) -> (Self, Self) {
        assert!(at <= self.rows, "split at row {at} of {}", self.rows);
        // `wrapping_add`, because the start of an empty second part may lie outside the buffer; it is never
        // read.
        let data = self.data.wrapping_add(at * self.row_stride);
        (Self { rows: at, ..self }, Self { rows: self.rows - at, data, ..self })
    }

    /// Columns `0..at` and `at..`. The two views are disjoint, although their rows interleave in memory.
    ///
    /// # Panics
    /// If `at` exceeds the number of columns.
    pub fn split_cols(self, at: usize) -> (Self, Self) {
        assert!(at <= self.cols, "split at column {at} of {}", self.cols);
        let data = self.data.wrapping_add(at);
        (Self { cols: at, ..self }, Self { cols: self.cols - at, data, ..self })
    }
}

fn assert_in_bounds(len: usize, rows: usize, cols: usize, row_stride: usize) {
    let end = if rows == 0 || cols == 0 { 0 } else { (rows - 1) * row_stride + cols };
    assert!(end <= len, "matrix ({rows}, {cols}) with row stride {row_stride} over {len} elements");
}

/// Computes `c = beta · c + alpha · a · b` on the calling thread, for `a` (M, K), `b` (K, N) and `c` (M, N).
/// If `beta` is 0, `c` is not read, so it may hold anything.
///
/// On one machine the result is a pure function of the arguments: the blocking of the `gemm` crate depends
/// only on the shapes and the CPU's caches.
///
/// # Panics
/// If the shapes do not match.
#[expect(clippy::needless_pass_by_value, reason = "a view is a borrow, and the product consumes it")]
pub fn gemm<T: Real>(alpha: T, a: Matrix<'_, T>, b: Matrix<'_, T>, beta: T, c: MatrixMut<'_, T>) {
    assert_eq!((a.rows, b.cols), (c.rows, c.cols), "product of a and b (left) into c (right)");
    assert_eq!(a.cols, b.rows, "inner sizes of a (left) and b (right)");
    if c.rows == 0 || c.cols == 0 {
        return;
    }
    // SAFETY: `T` is f32 or f64 (`Real` is sealed), both of which the crate supports. All three views are in
    // bounds by construction, and their shapes agree (asserted above). `c` is borrowed exclusively, so it
    // aliases neither `a` nor `b`. Strides fit in `isize` because each view lies in one allocation.
    unsafe {
        ::gemm::gemm(
            c.rows,
            c.cols,
            a.cols,
            c.data,
            1,
            c.row_stride as isize,
            beta != T::ZERO,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            beta,
            alpha,
            false,
            false,
            false,
            ::gemm::Parallelism::None,
        );
    }
}
