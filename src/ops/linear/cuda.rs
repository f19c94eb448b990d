//! [`linear`](super) on a GPU: the whole weight is decoded into scratch, cuBLAS multiplies.
//!
//! With the thousands of tokens of a training row decoding costs a few per cent of the product; a kernel that
//! decodes while it multiplies pays off only below some hundred tokens.

use crate::device::cuda::{CudaDevice, CudaError, Operand, Tensor};
use crate::ops::cuda_matrix::CudaMatrix;

/// `y = beta y + x Wᵀ`. With `beta` 1 what y held before is added before the sum is rounded.
pub(crate) fn forward(
    device: &CudaDevice,
    w: &CudaMatrix,
    rows: usize,
    x: Tensor,
    beta: f32,
    y: Tensor,
    scratch: Tensor,
) -> Result<(), CudaError> {
    let weights = w.decode(device, scratch)?;
    let (x, y) = (Operand::new(x, rows, w.cols()), Operand::new(y, rows, w.rows()));
    device.multiply(1.0, x, weights.t(), beta, y)
}

/// `dx = beta dx + dy W`.
pub(crate) fn backward(
    device: &CudaDevice,
    w: &CudaMatrix,
    rows: usize,
    dy: Tensor,
    beta: f32,
    dx: Tensor,
    scratch: Tensor,
) -> Result<(), CudaError> {
    let weights = w.decode(device, scratch)?;
    let (dy, dx) = (Operand::new(dy, rows, w.rows()), Operand::new(dx, rows, w.cols()));
    device.multiply(1.0, dy, weights, beta, dx)
}
