//! CUDA twin of [`adamw`](super): `kernels/adamw.cu`.

use super::Factors;
use crate::device::cuda::{Arg, CudaDevice, CudaError, Grid, Tensor};

impl Factors<f32> {
    /// As the kernels have them.
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

/// As [`step`](super::step), for parameters and both moments.
pub(crate) fn step(
    device: &CudaDevice,
    adamw: &super::AdamW,
    step: u64,
    gradients: Tensor,
    gradient_scale: f64,
    state: [Tensor; 3],
) -> Result<(), CudaError> {
    let count = gradients.len();
    assert!(state.iter().all(|tensor| tensor.len() == count), "lengths of parameters, moments and gradients");
    let factors = Factors::<f32>::new(adamw, step, gradient_scale).arg();
    let tensors = [gradients, state[0], state[1], state[2]].map(Arg::Tensor);
    device.launch(
        "adamw",
        Grid::elements(count, 4),
        &[&tensors[..], &[factors, Arg::U64(count as u64)]].concat(),
    )
}
