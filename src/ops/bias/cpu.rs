//! [`bias`](super) on the CPU: rows are independent; a task takes a fixed number of them.

use crate::device::CpuPool;
use crate::tensor::Real;
use rayon::prelude::*;

/// Rows per task.
const ROWS_PER_TASK: usize = 16;

pub(super) fn forward<T: Real>(pool: &CpuPool, bias: &[f32], y: &mut [T]) {
    pool.run(|| {
        y.par_chunks_mut(ROWS_PER_TASK * bias.len()).for_each(|rows| {
            for row in rows.chunks_exact_mut(bias.len()) {
                for (y, &bias) in row.iter_mut().zip(bias) {
                    *y += T::from_f32(bias);
                }
            }
        });
    });
}
