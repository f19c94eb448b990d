//! [`rope`](super) on the CPU: tokens are independent; a task takes a fixed number of them.

use crate::device::CpuPool;
use crate::tensor::Real;
use rayon::prelude::*;

/// Tokens per task.
const TOKENS_PER_TASK: usize = 16;

/// Rotates every pair by its angle times `direction` (1 or -1).
pub(super) fn rotate<T: Real>(
    pool: &CpuPool,
    table: &[T],
    heads: usize,
    head_dim: usize,
    direction: T,
    x: &mut [T],
) {
    if x.is_empty() {
        return;
    }
    pool.run(|| {
        x.par_chunks_mut(TOKENS_PER_TASK * heads * head_dim)
            .zip(table.par_chunks(TOKENS_PER_TASK * head_dim))
            .for_each(|(x, table)| {
                let tokens = x.chunks_exact_mut(heads * head_dim).zip(table.chunks_exact(head_dim));
                for (token, angles) in tokens {
                    for head in token.chunks_exact_mut(head_dim) {
                        rotate_head(angles, direction, head);
                    }
                }
            });
    });
}

#[inline]
fn rotate_head<T: Real>(angles: &[T], direction: T, head: &mut [T]) {
    let pairs = head.as_chunks_mut::<2>().0;
    for (pair, &[cos, sin]) in pairs.iter_mut().zip(angles.as_chunks::<2>().0) {
        let (sin, [a, b]) = (direction * sin, *pair);
        *pair = [a * cos - b * sin, a * sin + b * cos];
    }
}
