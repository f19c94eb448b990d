//! [`rope`](super) on a GPU: `kernels/rope.cu`.

use crate::device::cuda::{Arg, CudaDevice, CudaError, Grid, Tensor};

/// Rotates `x` (T, heads, D) by the angles of `table` (T, D/2, 2), which is f32, times `direction`: 1
/// forward, -1 backward.
pub(crate) fn rotate(
    device: &CudaDevice,
    table: Tensor,
    heads: usize,
    head_dim: usize,
    direction: f32,
    x: Tensor,
) -> Result<(), CudaError> {
    assert_eq!(x.len(), table.len() * heads, "length of x (left), heads times length of table (right)");
    let sizes = [heads, head_dim].map(|n| Arg::U32(n as u32));
    let args = [
        Arg::Tensor(table),
        Arg::Tensor(x),
        sizes[0],
        sizes[1],
        Arg::F32(direction),
        Arg::U64(x.len() as u64),
    ];
    device.launch(&x.dtype().kernel("rope"), Grid::elements(x.len(), 4), &args)
}
