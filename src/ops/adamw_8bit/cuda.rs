//! [`adamw_8bit`](super) on a GPU: `kernels/adamw.cu`.

use super::{BLOCK, CodeBook, SIGNED, UNSIGNED};
use crate::device::cuda::{Arg, CudaDevice, CudaError, Grid, Tensor};
use crate::ops::adamw::{AdamW, Factors};

/// Length of [`books`].
pub(crate) const BOOKS: usize = 1024;

/// Values and middles of both code books, as the kernel reads them.
pub(crate) fn books() -> Vec<f32> {
    let numbers = |book: &CodeBook| [&book.values[..], &book.middles, &[0.0]].concat();
    [numbers(&SIGNED), numbers(&UNSIGNED)].concat()
}

/// As [`Moment`](super::Moment).
#[derive(Debug, Clone, Copy)]
pub(crate) struct CudaMoment {
    pub(crate) codes: Tensor,
    pub(crate) scales: Tensor,
}

/// As [`step`](super::step); `books` are those of [`books`] on the device.
pub(crate) fn step(
    device: &CudaDevice,
    adamw: &AdamW,
    step: u64,
    gradients: Tensor,
    gradient_scale: f64,
    params: Tensor,
    [m, v]: [CudaMoment; 2],
    books: Tensor,
) -> Result<(), CudaError> {
    let count = gradients.len();
    let factors = Factors::<f32>::new(adamw, step, gradient_scale).arg();
    let tensors = [gradients, params, m.codes, m.scales, v.codes, v.scales, books].map(Arg::Tensor);
    let args = [&tensors[..], &[factors, Arg::U64(count as u64)]].concat();
    device.launch("adamw_8bit", Grid::new([count.div_ceil(BLOCK), 1], BLOCK as u32), &args)
}
