//! [`rms_norm`](super) on the CPU: rows are independent; a task takes a fixed number of them.

use crate::device::CpuPool;
use crate::ops::reduce::dot;
use crate::tensor::Real;
use rayon::prelude::*;

/// Rows per task: about 40 KB of a small model's hidden states.
const ROWS_PER_TASK: usize = 16;

pub(super) fn forward<T: Real>(
    pool: &CpuPool,
    x: &[T],
    weight: &[f32],
    eps: f32,
    out: &mut [T],
    rstd: &mut [T],
) {
    let columns = weight.len();
    if x.is_empty() {
        return;
    }
    pool.run(|| {
        out.par_chunks_mut(ROWS_PER_TASK * columns)
            .zip(x.par_chunks(ROWS_PER_TASK * columns))
            .zip(rstd.par_chunks_mut(ROWS_PER_TASK))
            .for_each(|((out, x), rstd)| {
                let rows = out.chunks_exact_mut(columns).zip(x.chunks_exact(columns));
                for ((out, x), rstd) in rows.zip(rstd) {
                    let mean_square = dot(x, x) / T::from_f64(columns as f64);
                    *rstd = T::ONE / (mean_square + T::from_f32(eps)).sqrt();
                    for ((out, &x), &w) in out.iter_mut().zip(x).zip(weight) {
                        *out = x * *rstd * T::from_f32(w);
                    }
                }
            });
    });
}

pub(super) fn backward<T: Real>(
    pool: &CpuPool,
    x: &[T],
    weight: &[f32],
    rstd: &[T],
    d_out: &[T],
    beta: T,
    d_x: &mut [T],
) {
    let columns = weight.len();
    if x.is_empty() {
        return;
    }
    let len = ROWS_PER_TASK * columns;
    pool.run(|| {
        d_x.par_chunks_mut(len)
            .zip(x.par_chunks(len).zip(d_out.par_chunks(len)))
            .zip(rstd.par_chunks(ROWS_PER_TASK))
            .for_each(|((d_x, (x, d_out)), rstd)| {
                let inputs = x.chunks_exact(columns).zip(d_out.chunks_exact(columns));
                for ((d_x, (x, d_out)), &rstd) in d_x.chunks_exact_mut(columns).zip(inputs).zip(rstd) {
                    backward_row(x, weight, rstd, d_out, beta, d_x);
                }
            });
    });
}

/// Two passes over the row: first the mean, then every element.
fn backward_row<T: Real>(x: &[T], weight: &[f32], rstd: T, d_out: &[T], beta: T, d_x: &mut [T]) {
    let mean = weighted_dot(x, weight, d_out) * rstd / T::from_f64(x.len() as f64);
    let element = |x: T, w: f32, d: T| rstd * (T::from_f32(w) * d - x * rstd * mean);
    let inputs = x.iter().zip(weight).zip(d_out);
    if beta == T::ZERO {
        for (d_x, ((&x, &w), &d)) in d_x.iter_mut().zip(inputs) {
            *d_x = element(x, w, d);
        }
    } else {
        for (d_x, ((&x, &w), &d)) in d_x.iter_mut().zip(inputs) {
            *d_x = beta * *d_x + element(x, w, d);
        }
    }
}

/// `Σ x · weight · d_out`, in blocks that stay on the stack.
fn weighted_dot<T: Real>(x: &[T], weight: &[f32], d_out: &[T]) -> T {
    const BLOCK: usize = 64;
    let mut total = T::ZERO;
    for ((x, weight), d_out) in x.chunks(BLOCK).zip(weight.chunks(BLOCK)).zip(d_out.chunks(BLOCK)) {
        let mut g = [T::ZERO; BLOCK];
        for ((g, &w), &d) in g.iter_mut().zip(weight).zip(d_out) {
            *g = T::from_f32(w) * d;
        }
        total += dot(x, &g[..x.len()]);
    }
    total
}
