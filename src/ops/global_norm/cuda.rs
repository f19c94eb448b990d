//! [`global_norm`](super) on a GPU: `kernels/adamw.cu`, in two stages.

use super::cpu::LEAF;
use crate::device::cuda::{Arg, CudaDevice, CudaError, Grid, Tensor};

/// Length of the scratch in f64; its last element is the result.
pub(crate) fn scratch_len(count: usize) -> usize {
    count.div_ceil(LEAF) + 1
}

/// As [`global_norm`](super::global_norm).
pub(crate) fn global_norm(device: &CudaDevice, gradients: Tensor, scratch: Tensor) -> Result<f64, CudaError> {
    let count = gradients.len();
    let leaves = scratch.first(count.div_ceil(LEAF));
    let total = scratch.slice(leaves.len()..leaves.len() + 1);
    let args = [Arg::Tensor(gradients), Arg::Tensor(leaves), Arg::U64(count as u64)];
    device.launch("global_norm_leaves", Grid::new([leaves.len(), 1], 256), &args)?;
    let args = [Arg::Tensor(leaves), Arg::Tensor(total), Arg::U64(leaves.len() as u64)];
    device.launch("global_norm_total", Grid::new([1, 1], 256), &args)?;
    let mut sum = [0.0_f64];
    device.download(total, &mut sum)?;
    Ok(sum[0].sqrt())
}
