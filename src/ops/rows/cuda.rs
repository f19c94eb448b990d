//! [`rows`](super) on a GPU: `kernels/elementwise.cu`.

use crate::device::cuda::{Arg, CudaDevice, CudaError, Grid, Tensor};

/// As [`forward`](super::forward): `rows` (N) name rows of `x`.
pub(crate) fn forward(
    device: &CudaDevice,
    x: Tensor,
    columns: usize,
    rows: Tensor,
    out: Tensor,
) -> Result<(), CudaError> {
    assert_eq!(out.len(), rows.len() * columns, "length of out (left), rows times columns (right)");
    run(device, "rows_forward", x, rows, columns, out)
}

/// As [`backward`](super::backward); `places` (T) is for each row of `out` one more than its index in `x`, or
/// 0 if it is not there.
pub(crate) fn backward(
    device: &CudaDevice,
    x: Tensor,
    columns: usize,
    places: Tensor,
    out: Tensor,
) -> Result<(), CudaError> {
    assert_eq!(out.len(), places.len() * columns, "length of out (left), rows times columns (right)");
    run(device, "rows_backward", x, places, columns, out)
}

fn run(
    device: &CudaDevice,
    kernel: &str,
    x: Tensor,
    list: Tensor,
    columns: usize,
    out: Tensor,
) -> Result<(), CudaError> {
    let sizes = [Arg::U32(columns as u32), Arg::U64(out.len() as u64)];
    let args = [&[x, list, out].map(Arg::Tensor)[..], &sizes].concat();
    device.launch(&x.dtype().kernel(kernel), Grid::elements(out.len(), 4), &args)
}
