//! [`QuantMatrix`]: a frozen weight matrix in its GGUF blocks, and the decoding of its rows.
//!
//! Where in the flow: the model makes one per call, a view over the mapped file that costs nothing.
//!
//! **Invariant:** weights decode to f32; f64 is that value widened, so that checks in f64 see the weights
//! that training sees.

use crate::device::CpuPool;
use crate::gguf::{GgmlType, TensorView, dequantize};
use crate::tensor::Real;
use rayon::prelude::*;
use std::ops::Range;

/// Weights decoded at a time: a multiple of every block size.
const PIECE: usize = 256;
/// Rows per task.
const ROWS_PER_TASK: usize = 32;

/// A matrix (rows, cols) in GGUF blocks, row after row; for a linear layer rows are `out_features` and
/// columns `in_features`.
#[derive(Debug, Clone, Copy)]
pub struct QuantMatrix<'a> {
    pub(super) ggml_type: GgmlType,
    pub(super) data: &'a [u8],
    rows: usize,
    cols: usize,
}

impl<'a> QuantMatrix<'a> {
    /// A matrix over the blocks in `data`.
    ///
    /// # Panics
    /// If `cols` is no whole number of blocks, or `data` has another length than `rows` rows.
    pub fn new(ggml_type: GgmlType, data: &'a [u8], rows: usize, cols: usize) -> Self {
        let row_bytes = ggml_type.bytes_of(cols);
        assert!(row_bytes.is_some(), "rows of {cols} weights are no whole number of {ggml_type:?} blocks");
        assert_eq!(
            Some(data.len()),
            row_bytes.map(|bytes| bytes * rows),
            "bytes of a ({rows}, {cols}) matrix of {ggml_type:?}"
        );
        Self { ggml_type, data, rows, cols }
    }

    /// A tensor of a file as a matrix.
    ///
    /// # Panics
    /// If it does not have two axes.
    pub fn from_view(view: &TensorView<'a>) -> Self {
        let &[rows, cols] = view.shape else {
            panic!("tensor `{}` has shape {:?}, a matrix has two axes", view.name, view.shape);
        };
        Self::new(view.ggml_type, view.data, rows, cols)
    }

    /// `out_features`, or the size of the vocabulary.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// `in_features`.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Decodes row `row` into `out` (cols).
    ///
    /// # Panics
    /// If there is no such row, or `out` has another length.
    pub fn dequantize_row<T: Real>(&self, row: usize, out: &mut [T]) {
        assert_eq!(out.len(), self.cols, "row buffer (left) for {} columns (right)", self.cols);
        if let Some(out) = T::as_f32_mut(out) {
            dequantize(self.ggml_type, self.row_bytes(row), out);
            return;
        }
        self.for_each_piece(row, |start, piece| {
            for (out, &weight) in out[start..].iter_mut().zip(piece) {
                *out = T::from_f32(weight);
            }
        });
    }

    /// Calls `visit(column, weights)` for successive pieces of row `row`, decoded on the stack.
    pub(super) fn for_each_piece(&self, row: usize, mut visit: impl FnMut(usize, &[f32])) {
        let bytes = self.row_bytes(row);
        let piece_bytes = PIECE / self.ggml_type.block_weights() * self.ggml_type.block_bytes();
        let mut buffer = [0.0; PIECE];
        for (i, bytes) in bytes.chunks(piece_bytes).enumerate() {
            let piece = &mut buffer[..PIECE.min(self.cols - i * PIECE)];
            dequantize(self.ggml_type, bytes, piece);
            visit(i * PIECE, piece);
        }
    }

    /// Decodes `rows` into `out` (rows, cols), on all threads.
    ///
    /// # Panics
    /// If the rows do not exist, or `out` has another length.
    pub fn dequantize_rows<T: Real>(&self, pool: &CpuPool, rows: Range<usize>, out: &mut [T]) {
        assert!(rows.end <= self.rows, "rows {rows:?} of {}", self.rows);
        assert_eq!(
            out.len(),
            rows.len() * self.cols,
            "buffer (left) for rows {rows:?} of {} columns",
            self.cols
        );
        if out.is_empty() {
            return;
        }
        pool.run(|| {
            out.par_chunks_mut(ROWS_PER_TASK * self.cols).enumerate().for_each(|(task, out)| {
                for (i, out) in out.chunks_exact_mut(self.cols).enumerate() {
                    self.dequantize_row(rows.start + task * ROWS_PER_TASK + i, out);
                }
            });
        });
    }

    fn row_bytes(&self, row: usize) -> &'a [u8] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let bytes = self.data.len() / self.rows;
        &self.data[row * bytes..][..bytes]
    }
}
