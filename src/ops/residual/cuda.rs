//! [`residual`](super) on a GPU: `kernels/elementwise.cu`.

use crate::device::cuda::{Arg, CudaDevice, CudaError, Grid, Tensor};

/// As [`forward`](super::forward).
pub(crate) fn forward(device: &CudaDevice, x: Tensor, branch: Tensor, out: Tensor) -> Result<(), CudaError> {
    assert_eq!((x.len(), branch.len()), (out.len(), out.len()), "lengths of x, branch and out");
    let args = [Arg::Tensor(x), Arg::Tensor(branch), Arg::Tensor(out), Arg::U64(x.len() as u64)];
    device.launch(&x.dtype().kernel("residual"), Grid::elements(x.len(), 4), &args)
}
