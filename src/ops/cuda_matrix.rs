//! [`QuantMatrix`] on a GPU: a weight matrix in its blocks, of which `kernels/quant_matrix.cu` decodes what
//! is used.

use std::ops::Range;

use super::QuantMatrix;
use crate::device::cuda::{Arena, Arg, CudaDevice, CudaError, Dtype, Grid, Operand, Tensor};
use crate::gguf::GgmlType;

/// Weights per block of threads, as in the kernel.
const CHUNK: usize = 2048;

/// A matrix (rows, cols) in GGUF blocks on the device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CudaMatrix {
    blocks: Tensor,
    ggml_type: GgmlType,
    rows: usize,
    cols: usize,
}

impl CudaMatrix {
    /// Takes room for a matrix.
    pub(crate) fn take(arena: &mut Arena, matrix: &QuantMatrix<'_>) -> Self {
        let blocks = arena.take(Dtype::U8, matrix.data.len());
        Self { blocks, ggml_type: matrix.ggml_type, rows: matrix.rows(), cols: matrix.cols() }
    }

    /// The blocks of a matrix in the mapped file, and the tensor that they are copied to.
    pub(crate) fn copy_of<'m>(&self, matrix: &QuantMatrix<'m>) -> (&'m [u8], Tensor) {
        (matrix.data, self.blocks)
    }

    /// `out_features`, or the size of the vocabulary.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// `in_features`.
    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    /// Decodes the whole matrix into the start of `scratch`, in the type of `scratch`.
    pub(crate) fn decode(&self, device: &CudaDevice, scratch: Tensor) -> Result<Operand, CudaError> {
        self.decode_rows(device, 0..self.rows, scratch)
    }

    /// Decodes consecutive rows into the start of `scratch`.
    pub(crate) fn decode_rows(
        &self,
        device: &CudaDevice,
        rows: Range<usize>,
        scratch: Tensor,
    ) -> Result<Operand, CudaError> {
        let out = scratch.first(rows.len() * self.cols);
        self.run(device, None, rows.start, out)?;
        Ok(Operand::new(out, rows.len(), self.cols))
    }

    /// Decodes the rows that `list` (N) names into `out` (N, cols).
    pub(crate) fn decode_listed(
        &self,
        device: &CudaDevice,
        list: Tensor,
        out: Tensor,
    ) -> Result<(), CudaError> {
        assert_eq!(out.len(), list.len() * self.cols, "length of out (left), rows times columns (right)");
        self.run(device, Some(list), 0, out)
    }

    fn run(
        &self,
        device: &CudaDevice,
        list: Option<Tensor>,
        first: usize,
        out: Tensor,
    ) -> Result<(), CudaError> {
        assert!(self.cols.is_multiple_of(8), "rows of {} weights", self.cols);
        let kernel = format!("decode_{}", self.ggml_type.to_string().to_lowercase());
        // Consecutive rows are decoded as one long row.
        let (rows, length) = list.map_or((1, out.len()), |list| (list.len(), self.cols));
        let chunks = length.div_ceil(CHUNK);
        let args = [
            Arg::Tensor(self.blocks),
            list.map_or(Arg::Null, Arg::Tensor),
            Arg::U64((first * self.cols) as u64),
            Arg::Tensor(out),
            Arg::U64(length as u64),
            Arg::U32(chunks as u32),
        ];
        device.launch(&out.dtype().kernel(&kernel), Grid::new([rows * chunks, 1], 256), &args)
    }
}
