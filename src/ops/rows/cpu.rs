//! [`rows`](super) on the CPU: plain copies, bound by memory, so one thread does them.

use crate::tensor::Real;

pub(super) fn forward<T: Real>(x: &[T], columns: usize, rows: &[u32], out: &mut [T]) {
    for (&row, out) in rows.iter().zip(out.chunks_exact_mut(columns)) {
        out.copy_from_slice(&x[row as usize * columns..][..columns]);
    }
}

pub(super) fn backward<T: Real>(d_out: &[T], columns: usize, rows: &[u32], d_x: &mut [T]) {
    d_x.fill(T::ZERO);
    for (&row, d_out) in rows.iter().zip(d_out.chunks_exact(columns)) {
        d_x[row as usize * columns..][..columns].copy_from_slice(d_out);
    }
}
