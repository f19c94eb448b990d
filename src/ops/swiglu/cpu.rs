//! [`swiglu`](super) on the CPU: elements are independent; a task takes a fixed number of them.

use crate::device::CpuPool;
use crate::tensor::Real;
use rayon::prelude::*;

/// Elements per task: three buffers of 32 KB stay in the second-level cache.
const TASK: usize = 8192;

pub(super) fn forward<T: Real>(pool: &CpuPool, gate: &[T], up: &[T], out: &mut [T]) {
    pool.run(|| {
        out.par_chunks_mut(TASK).zip(gate.par_chunks(TASK).zip(up.par_chunks(TASK))).for_each(
            |(out, (gate, up))| {
                for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
                    *out = gate * sigmoid(gate) * up;
                }
            },
        );
    });
}

pub(super) fn backward<T: Real>(pool: &CpuPool, d_out: &[T], gate: &mut [T], up: &mut [T]) {
    pool.run(|| {
        gate.par_chunks_mut(TASK).zip(up.par_chunks_mut(TASK)).zip(d_out.par_chunks(TASK)).for_each(
            |((gate, up), d_out)| {
                for ((gate, up), &d_out) in gate.iter_mut().zip(up).zip(d_out) {
                    let (g, sigma) = (*gate, sigmoid(*gate));
                    let d_gate = d_out * *up * sigma * (T::ONE + g * (T::ONE - sigma));
                    *up = d_out * g * sigma;
                    *gate = d_gate;
                }
            },
        );
    });
}

/// Safe at both ends: e^-g is infinite for very negative g, and 1/∞ is the right 0.
#[inline]
fn sigmoid<T: Real>(g: T) -> T {
    T::ONE / (T::ONE + (-g).exp())
}
