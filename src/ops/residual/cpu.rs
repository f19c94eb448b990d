//! [`residual`](super) on the CPU: elements are independent; a task takes a fixed number of them.

use crate::device::CpuPool;
use crate::tensor::Real;
use rayon::prelude::*;

/// Elements per task.
const TASK: usize = 8192;

pub(super) fn forward<T: Real>(pool: &CpuPool, x: &[T], branch: &[T], out: &mut [T]) {
    pool.run(|| {
        out.par_chunks_mut(TASK).zip(x.par_chunks(TASK).zip(branch.par_chunks(TASK))).for_each(
            |(out, (x, branch))| {
                for ((out, &x), &branch) in out.iter_mut().zip(x).zip(branch) {
                    *out = x + branch;
                }
            },
        );
    });
}
