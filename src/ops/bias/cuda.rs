//! [`bias`](super) on a GPU: `kernels/elementwise.cu`.

use crate::device::cuda::{Arg, CudaDevice, CudaError, Grid, Tensor};

/// As [`forward`](super::forward); the bias is f32.
pub(crate) fn forward(device: &CudaDevice, bias: Tensor, y: Tensor) -> Result<(), CudaError> {
    let columns = bias.len();
    assert!(y.len().is_multiple_of(columns), "{} numbers in rows of {columns}", y.len());
    let args = [Arg::Tensor(bias), Arg::Tensor(y), Arg::U32(columns as u32), Arg::U64(y.len() as u64)];
    device.launch(&y.dtype().kernel("bias"), Grid::elements(y.len(), 4), &args)
}
