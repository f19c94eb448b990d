//! [`embedding`](super) on the CPU.

use crate::device::CpuPool;
use crate::ops::QuantMatrix;
use crate::rng;
use crate::tensor::Real;
use rayon::prelude::*;
use std::ops::Range;

pub(super) fn forward<T: Real>(pool: &CpuPool, w: &QuantMatrix<'_>, tokens: &[u32], out: &mut [T]) {
    if out.is_empty() {
        return;
    }
    pool.run(|| {
        out.par_chunks_exact_mut(w.cols())
            .zip(tokens)
            .with_min_len(8)
            .for_each(|(out, &token)| w.dequantize_row(token as usize, out));
    });
}

pub(super) fn add_noise<T: Real>(
    pool: &CpuPool,
    key: u64,
    alpha: f64,
    segments: &[Range<usize>],
    x: &mut [T],
) {
    let width = x.len() / segments.last().map_or(1, |segment| segment.end);
    pool.run(|| {
        let mut rest = x;
        for segment in segments {
            let (rows, behind) = rest.split_at_mut(segment.len() * width);
            rest = behind;
            let bound = alpha / ((segment.len() * width) as f64).sqrt();
            rows.par_chunks_exact_mut(width).with_min_len(8).enumerate().for_each(|(row, x)| {
                for (column, x) in x.iter_mut().enumerate() {
                    let unit = 2.0 * rng::uniform(key, (segment.start + row) as u64, column as u64) - 1.0;
                    *x += T::from_f64(bound * unit);
                }
            });
        }
    });
}
