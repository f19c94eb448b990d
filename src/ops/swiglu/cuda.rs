//! [`swiglu`](super) on a GPU: `kernels/swiglu.cu`.

use crate::device::cuda::{Arg, CudaDevice, CudaError, Grid, Tensor};

/// As [`forward`](super::forward).
pub(crate) fn forward(device: &CudaDevice, gate: Tensor, up: Tensor, out: Tensor) -> Result<(), CudaError> {
    run(device, &gate.dtype().kernel("swiglu_forward"), [gate, up, out])
}

/// As [`backward`](super::backward): replaces `gate` and `up`.
pub(crate) fn backward(
    device: &CudaDevice,
    d_out: Tensor,
    gate: Tensor,
    up: Tensor,
) -> Result<(), CudaError> {
    run(device, &gate.dtype().kernel("swiglu_backward"), [d_out, gate, up])
}

fn run(device: &CudaDevice, kernel: &str, tensors: [Tensor; 3]) -> Result<(), CudaError> {
    let count = tensors[0].len();
    assert!(tensors.iter().all(|tensor| tensor.len() == count), "lengths of gate, up and out");
    let args = [&tensors.map(Arg::Tensor)[..], &[Arg::U64(count as u64)]].concat();
    device.launch(kernel, Grid::elements(count, 4), &args)
}
