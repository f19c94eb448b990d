//! [`adamw`](super) on a GPU: `kernels/adamw.cu`.

use super::Factors;
use crate::device::cuda::{Arg, CudaDevice, CudaError, Grid, Tensor};

impl Factors<f32> {
    /// The structure that the kernels take.
    pub(in crate::ops) fn arg(&self) -> Arg {
        let Self {
            gradient_scale,
            keep,
            one_minus_beta1,
            beta2,
            one_minus_beta2,
            step_size,
            root_correction,
            epsilon,
        } = *self;
        let numbers = [
            gradient_scale,
            keep,
            one_minus_beta1,
            beta2,
            one_minus_beta2,
            step_size,
            root_correction,
            epsilon,
        ];
        Arg::Eight(numbers.map(f32::to_bits))
    }
}

/// As [`State`](super::State).
#[derive(Debug, Clone, Copy)]
pub(crate) struct CudaState {
    pub(crate) params: Tensor,
    pub(crate) m: Tensor,
    pub(crate) v: Tensor,
}

/// As [`step`](super::step).
pub(crate) fn step(
    device: &CudaDevice,
    adamw: &super::AdamW,
    step: u64,
    gradients: Tensor,
    gradient_scale: f64,
    CudaState { params, m, v }: CudaState,
) -> Result<(), CudaError> {
    let count = gradients.len();
    for tensor in [params, m, v] {
        assert_eq!(tensor.len(), count, "length of parameters or a moment (left) and gradients (right)");
    }
    let factors = Factors::<f32>::new(adamw, step, gradient_scale).arg();
    let tensors = [gradients, params, m, v].map(Arg::Tensor);
    device.launch(
        "adamw",
        Grid::elements(count, 4),
        &[&tensors[..], &[factors, Arg::U64(count as u64)]].concat(),
    )
}
