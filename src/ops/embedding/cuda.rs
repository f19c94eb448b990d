//! [`embedding`](super) on a GPU: rows are decoded by `kernels/quant_matrix.cu`, noise is in
//! `kernels/elementwise.cu`.

use crate::device::cuda::{Arg, CudaDevice, CudaError, Grid, Tensor};
use crate::ops::cuda_matrix::CudaMatrix;

/// As [`forward`](super::forward).
pub(crate) fn forward(
    device: &CudaDevice,
    w: &CudaMatrix,
    tokens: Tensor,
    out: Tensor,
) -> Result<(), CudaError> {
    w.decode_listed(device, tokens, out)
}

/// As [`add_noise`](super::add_noise); `bounds` (T), in f64, is the largest noise of each row.
pub(crate) fn add_noise(device: &CudaDevice, key: u64, bounds: Tensor, x: Tensor) -> Result<(), CudaError> {
    let columns = x.len() / bounds.len();
    let sizes = [Arg::U32(columns as u32), Arg::U64(x.len() as u64)];
    let args = [Arg::U64(key), Arg::Tensor(bounds), Arg::Tensor(x), sizes[0], sizes[1]];
    device.launch(&x.dtype().kernel("noise"), Grid::elements(x.len(), 4), &args)
}
