//! [`cross_entropy`](super) on the CPU: two products per tile of the vocabulary, and a pass over its logits
//! between them.

use super::{BLOCK_ROWS, STATS};
use crate::device::CpuPool;
use crate::ops::QuantMatrix;
use crate::ops::linear::rows_per_pass;
use crate::ops::matmul::matmul;
use crate::tensor::{Matrix, MatrixMut, Real};
use rayon::prelude::*;

/// Rows of logits per task.
const ROWS_PER_TASK: usize = 8;
/// Independent running values, so that maxima and sums become vector code with a fixed order.
const LANES: usize = 16;

/// The state of a row after some tiles of the vocabulary, kept in scratch as [`STATS`] numbers.
#[derive(Clone, Copy)]
struct Running<T> {
    max: T,
    /// Sum of exp(z - max).
    sum: T,
    /// `z[target]`, once its tile has been seen.
    target_logit: T,
}

impl<T: Real> Running<T> {
    const START: [T; STATS] = [T::NEG_INFINITY, T::ZERO, T::ZERO];

    fn load(stats: &[T; STATS]) -> Self {
        let [max, sum, target_logit] = *stats;
        Self { max, sum, target_logit }
    }

    fn nll(&self) -> f64 {
        self.max.to_f64() + self.sum.to_f64().ln() - self.target_logit.to_f64()
    }

    /// Updates the state by a tile of logits, which become exp(z - max). Returns the factor for sums that
    /// were made with the old maximum.
    fn absorb(&mut self, logits: &mut [T], target: Option<usize>) -> T {
        if let Some(target) = target {
            self.target_logit = logits[target];
        }
        let old = self.max;
        self.max = maximum(logits).max(old);
        for z in logits.iter_mut() {
            *z = (*z - self.max).exp();
        }
        let rescale = (old - self.max).exp();
        self.sum = self.sum * rescale + sum(logits);
        rescale
    }
}

pub(super) fn forward<T: Real>(
    pool: &CpuPool,
    w: &QuantMatrix<'_>,
    h: &[T],
    targets: &[u32],
    scratch: &mut [T],
) -> f64 {
    let step = BLOCK_ROWS * w.cols().max(1);
    let blocks = h.chunks(step).zip(targets.chunks(BLOCK_ROWS));
    pool.run(|| blocks.map(|(h, targets)| block(pool, w, h, targets, None, scratch)).sum())
}

pub(super) fn forward_backward<T: Real>(
    pool: &CpuPool,
    w: &QuantMatrix<'_>,
    h: &[T],
    targets: &[u32],
    scale: T,
    dh: &mut [T],
    scratch: &mut [T],
) -> f64 {
    let step = BLOCK_ROWS * w.cols().max(1);
    let blocks = h.chunks(step).zip(targets.chunks(BLOCK_ROWS)).zip(dh.chunks_mut(step));
    pool.run(|| {
        blocks
            .map(|((h, targets), dh)| {
                let nll = block(pool, w, h, targets, Some(&mut *dh), scratch);
                let stats = &scratch[split_at(w, targets.len())..];
                finish(w, targets, scale, dh, stats);
                nll
            })
            .sum()
    })
}

/// Where the running values start in scratch.
fn split_at(w: &QuantMatrix<'_>, rows: usize) -> usize {
    let tile = rows_per_pass(w.cols(), w.rows());
    tile * w.cols() + rows * tile
}

/// Goes through all tiles of the vocabulary for a block of rows. Leaves the running values in scratch and
/// Σ exp(z - max) · W in `dh`, if given; returns the sum of negative log-likelihoods.
fn block<T: Real>(
    pool: &CpuPool,
    w: &QuantMatrix<'_>,
    h: &[T],
    targets: &[u32],
    mut dh: Option<&mut [T]>,
    scratch: &mut [T],
) -> f64 {
    let (rows, width) = (targets.len(), w.cols());
    let tile = rows_per_pass(width, w.rows());
    let (weights, rest) = scratch.split_at_mut(tile * width);
    let (logits, stats) = rest.split_at_mut(rows * tile);
    let stats = &mut stats.as_chunks_mut::<STATS>().0[..rows];
    stats.fill(Running::START);
    let h = Matrix::new(h, rows, width);
    for start in (0..w.rows()).step_by(tile) {
        let count = tile.min(w.rows() - start);
        let weights = &mut weights[..count * width];
        w.dequantize_rows(pool, start..start + count, weights);
        let weights = Matrix::new(weights, count, width);
        let logits = &mut logits[..rows * count];
        matmul(pool, T::ONE, h, weights.t(), T::ZERO, MatrixMut::new(logits, rows, count));
        absorb_tile(start, count, logits, targets, stats, dh.as_deref_mut().filter(|_| start > 0));
        if let Some(dh) = dh.as_deref_mut() {
            // The first tile overwrites: dh is not initialised.
            let beta = if start == 0 { T::ZERO } else { T::ONE };
            let exponentials = Matrix::new(logits, rows, count);
            matmul(pool, T::ONE, exponentials, weights, beta, MatrixMut::new(dh, rows, width));
        }
    }
    stats.iter().map(|stats| Running::load(stats).nll()).sum()
}

/// Updates the running values of all rows by the logits of vocabulary entries `start..start + count`, and
/// rescales the rows of `dh` where the maximum grew.
fn absorb_tile<T: Real>(
    start: usize,
    count: usize,
    logits: &mut [T],
    targets: &[u32],
    stats: &mut [[T; STATS]],
    dh: Option<&mut [T]>,
) {
    let absorb = |(logits, (stats, &target)): (&mut [T], (&mut [T; STATS], &u32))| {
        let mut running = Running::load(stats);
        let target = (target as usize).checked_sub(start).filter(|&target| target < count);
        let rescale = running.absorb(logits, target);
        *stats = [running.max, running.sum, running.target_logit];
        rescale
    };
    let rows =
        logits.par_chunks_exact_mut(count).zip(stats.par_iter_mut().zip(targets)).with_min_len(ROWS_PER_TASK);
    match dh {
        None => rows.for_each(|row| {
            absorb(row);
        }),
        Some(dh) => {
            let width = dh.len() / targets.len().max(1);
            rows.zip(dh.par_chunks_exact_mut(width.max(1))).for_each(|(row, dh)| {
                let rescale = absorb(row);
                if rescale != T::ONE {
                    for dh in dh {
                        *dh *= rescale;
                    }
                }
            });
        }
    }
}

/// `dh = scale · (dh / sum - W[target])`.
fn finish<T: Real>(w: &QuantMatrix<'_>, targets: &[u32], scale: T, dh: &mut [T], stats: &[T]) {
    if dh.is_empty() {
        return;
    }
    let stats = stats.as_chunks::<STATS>().0;
    dh.par_chunks_exact_mut(w.cols())
        .zip(targets.par_iter().zip(stats))
        .with_min_len(ROWS_PER_TASK)
        .for_each(|(dh, (&target, stats))| {
            let factor = scale / Running::load(stats).sum;
            w.for_each_piece(target as usize, |column, weights| {
                for (dh, &weight) in dh[column..].iter_mut().zip(weights) {
                    *dh = *dh * factor - scale * T::from_f32(weight);
                }
            });
        });
}

fn maximum<T: Real>(values: &[T]) -> T {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [T::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = lane.max(value);
        }
    }
    lanes.iter().chain(rest).fold(T::NEG_INFINITY, |max, &value| max.max(value))
}

fn sum<T: Real>(values: &[T]) -> T {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [T::ZERO; LANES];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().chain(rest).fold(T::ZERO, |sum, &value| sum + value)
}
