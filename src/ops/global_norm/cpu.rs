//! [`global_norm`](super) on the CPU: a tree of partial sums with fixed leaves.

use crate::device::CpuPool;
use crate::tensor::Real;

/// Elements per task, summed in order.
pub(super) const LEAF: usize = 1 << 14;
/// Running sums within a task, so that the loop becomes vector code.
const LANES: usize = 16;

pub(super) fn sum_of_squares<T: Real>(pool: &CpuPool, values: &[T]) -> f64 {
    pool.run(|| tree(values))
}

/// Splits into halves of whole tasks, so that the order of additions depends on the length alone.
fn tree<T: Real>(values: &[T]) -> f64 {
    let leaves = values.len().div_ceil(LEAF);
    if leaves <= 1 {
        return leaf(values);
    }
    let (left, right) = values.split_at(leaves / 2 * LEAF);
    let (left, right) = rayon::join(|| tree(left), || tree(right));
    left + right
}

fn leaf<T: Real>(values: &[T]) -> f64 {
    let mut sums = [0.0; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum += value.to_f64() * value.to_f64();
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|v| v.to_f64() * v.to_f64()).sum::<f64>()
}
