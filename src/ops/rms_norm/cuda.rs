//! CUDA twin of [`rms_norm`](super): `kernels/rms_norm.cu`.

use crate::device::cuda::{Arg, CudaDevice, CudaError, Grid, Tensor};

/// As [`forward`](super::forward); `weight` and `rstd` are f32.
pub(crate) fn forward(
    device: &CudaDevice,
    x: Tensor,
    weight: Tensor,
    eps: f32,
    out: Tensor,
    rstd: Tensor,
) -> Result<(), CudaError> {
    let (rows, columns) = (rstd.len(), weight.len());
    assert_eq!((x.len(), out.len()), (rows * columns, rows * columns), "lengths of x and out");
    let args = [x, weight].map(Arg::Tensor).into_iter().chain([Arg::F32(eps)]);
    let args: Vec<Arg> = args.chain([out, rstd].map(Arg::Tensor)).chain([Arg::U32(columns as u32)]).collect();
    device.launch(&x.dtype().kernel("rms_norm_forward"), Grid::rows(rows, columns), &args)
}

/// As [`backward`](super::backward).
pub(crate) fn backward(
    device: &CudaDevice,
    x: Tensor,
    weight: Tensor,
    rstd: Tensor,
    d_out: Tensor,
    beta: f32,
    d_x: Tensor,
) -> Result<(), CudaError> {
    let (rows, columns) = (rstd.len(), weight.len());
    for tensor in [x, d_out, d_x] {
        assert_eq!(tensor.len(), rows * columns, "length of x, d_out or d_x");
    }
    let inputs = [x, weight, rstd, d_out].map(Arg::Tensor);
    let args = [&inputs[..], &[Arg::F32(beta), Arg::Tensor(d_x), Arg::U32(columns as u32)]].concat();
    device.launch(&x.dtype().kernel("rms_norm_backward"), Grid::rows(rows, columns), &args)
}
