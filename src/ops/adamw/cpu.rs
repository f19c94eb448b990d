//! [`adamw`](super) on the CPU: elementwise, so threads cannot change a bit.

use super::{Factors, State};
use crate::device::CpuPool;
use crate::tensor::Real;
use rayon::prelude::*;

/// Elements updated by one task.
const CHUNK: usize = 1 << 14;

pub(super) fn step<T: Real>(pool: &CpuPool, f: &Factors<T>, gradients: &[T], state: State<'_, T>) {
    let State { params, m, v } = state;
    pool.run(|| {
        params
            .par_chunks_mut(CHUNK)
            .zip(m.par_chunks_mut(CHUNK))
            .zip(v.par_chunks_mut(CHUNK))
            .zip(gradients.par_chunks(CHUNK))
            .for_each(|(((params, m), v), gradients)| {
                for (((p, m), v), &g) in params.iter_mut().zip(m).zip(v).zip(gradients) {
                    let g = g * f.gradient_scale;
                    *m += (g - *m) * f.one_minus_beta1;
                    *v = *v * f.beta2 + g * g * f.one_minus_beta2;
                    *p = *p * f.keep - f.step_size * *m / (v.sqrt() / f.root_correction + f.epsilon);
                }
            });
    });
}
