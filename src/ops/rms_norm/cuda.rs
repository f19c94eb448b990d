//! [`rms_norm`](super) on a GPU: `kernels/rms_norm.cu`.

use crate::device::cuda::{Arg, CudaDevice, CudaError, Grid, Tensor};

/// Rows per block, one per warp, as in the kernel.
const ROWS: usize = 16;

fn grid(rows: usize) -> Grid {
    Grid::new([rows.div_ceil(ROWS), 1], 32 * ROWS as u32)
}

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
    let args: Vec<Arg> =
        args.chain([out, rstd].map(Arg::Tensor)).chain([rows, columns].map(|n| Arg::U32(n as u32))).collect();
    device.launch(&x.dtype().kernel("rms_norm_forward"), grid(rows), &args)
}

/// The operands of [`residual`](crate::ops::residual): `out` becomes `x + branch`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Residual {
    pub(crate) x: Tensor,
    pub(crate) branch: Tensor,
    pub(crate) out: Tensor,
}

/// A residual connection and the normalisation of its output in one kernel, which saves reading the stream
/// once more. The bits are those of [`residual`](crate::ops::residual) followed by [`forward`].
pub(crate) fn forward_after_residual(
    device: &CudaDevice,
    Residual { x, branch, out: stream }: Residual,
    weight: Tensor,
    eps: f32,
    out: Tensor,
    rstd: Tensor,
) -> Result<(), CudaError> {
    let (rows, columns) = (rstd.len(), weight.len());
    for tensor in [x, branch, stream, out] {
        assert_eq!(tensor.len(), rows * columns, "length of x, branch, stream or out");
    }
    let inputs = [x, branch, stream, weight].map(Arg::Tensor);
    let outputs = [out, rstd].map(Arg::Tensor);
    let sizes = [rows, columns].map(|n| Arg::U32(n as u32));
    let args = [&inputs[..], &[Arg::F32(eps)], &outputs, &sizes].concat();
    device.launch(&x.dtype().kernel("rms_norm_forward_behind"), grid(rows), &args)
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
    let sizes = [rows, columns].map(|n| Arg::U32(n as u32));
    let args = [&inputs[..], &[Arg::F32(beta), Arg::Tensor(d_x)], &sizes].concat();
    device.launch(&x.dtype().kernel("rms_norm_backward"), grid(rows), &args)
}
