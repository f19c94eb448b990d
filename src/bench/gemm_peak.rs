//! The peak speed of a dense matrix product on this machine: of the `gemm` crate, or of cuBLAS on a GPU.
//!
//! Where in the flow: `training` measures every product of a training step with it.
//!
//! **Invariant:** all threads work at the same time, each on its own part of the longer side in its own
//! memory, so no thread waits for another and the clock rate is that of a training step.

use crate::device::CpuPool;
use crate::device::cuda::{Arena, CudaDevice, CudaError, MixedPrecision, Operand};
use crate::tensor::{Matrix, MatrixMut, gemm};
use rayon::prelude::*;
use std::time::Instant;

/// Number of measurements, of which the fastest counts.
const TRIES: usize = 5;
/// A product with more columns, such as that of the output head, is measured on this many.
const MAX_COLUMNS: usize = 4096;

/// On a GPU, launches are timed in batches of about this duration in seconds.
const BATCH_SECONDS: f64 = 0.01;
/// Maximum number of launches in a batch.
const MAX_LAUNCHES: usize = 1000;

/// The product of `(m, k)` and `(k, n)`. If `transposed`, the right side is stored as (n, k), as weights are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Product {
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) n: usize,
    pub(super) transposed: bool,
}

impl Product {
    /// Floating-point operations: a multiplication and an addition per term.
    pub(super) fn flop(&self) -> f64 {
        2.0 * self.m as f64 * self.k as f64 * self.n as f64
    }
}

/// Wall time of a product when all threads do nothing else.
pub(super) fn seconds_at_best(pool: &CpuPool, product: Product) -> f64 {
    // The long sides of the output head's products are cut: a part is as fast as the whole, and fits in
    // memory.
    let piece = Product { k: product.k.min(MAX_COLUMNS), n: product.n.min(MAX_COLUMNS), ..product };
    if piece.flop() <= 0.0 {
        return 0.0;
    }
    let mut shares = shares(piece, pool.threads());
    let mut best = f64::INFINITY;
    for _ in 0..=TRIES {
        let started = Instant::now();
        pool.run(|| shares.par_iter_mut().with_max_len(1).for_each(Share::multiply));
        best = best.min(started.elapsed().as_secs_f64());
    }
    best * product.flop() / piece.flop()
}

/// Wall time of a product on a GPU, in the data type of its activations.
///
/// # Errors
/// There is not enough memory for the product, or the device has failed.
pub(super) fn seconds_on_gpu(
    device: &CudaDevice,
    precision: MixedPrecision,
    product: Product,
) -> Result<f64, CudaError> {
    if product.flop() <= 0.0 {
        return Ok(0.0);
    }
    let Product { m, k, n, transposed } = product;
    let take = |mut arena: Arena| {
        let tensors = [m * k, k * n, m * n].map(|len| arena.take(precision.dtype(), len));
        (tensors, arena)
    };
    let memory = device.allocate(&take(Arena::default()).1)?;
    let ([a, b, c], _) = take(memory.arena());
    // The time does not depend on the values, but a simulated device checks that they are initialised.
    device.clear(a)?;
    device.clear(b)?;
    let b = if transposed { Operand::new(b, n, k).t() } else { Operand::new(b, k, n) };
    let time = |launches: usize| -> Result<f64, CudaError> {
        device.synchronize()?;
        let started = Instant::now();
        for _ in 0..launches {
            device.multiply(1.0, Operand::new(a, m, k), b, 0.0, Operand::new(c, m, n))?;
        }
        device.synchronize()?;
        Ok(started.elapsed().as_secs_f64() / launches as f64)
    };
    // In the first launch, the library selects and loads its kernel. A single launch measures mostly latency,
    // so it only decides the size of a batch.
    time(1)?;
    let mut best = time(1)?;
    let launches = ((BATCH_SECONDS / best).ceil() as usize).clamp(1, MAX_LAUNCHES);
    // On a simulated device a single launch takes longer than a batch, and one measurement is enough.
    for _ in 0..if launches > 1 { TRIES } else { 0 } {
        best = best.min(time(launches)?);
    }
    Ok(best)
}

/// Splits the product along its longer side into one part per thread.
fn shares(product: Product, threads: usize) -> Vec<Share> {
    let by_rows = product.m >= product.n;
    let longer = if by_rows { product.m } else { product.n };
    let share = |thread: usize| {
        let size = (thread + 1) * longer / threads - thread * longer / threads;
        Share::new(if by_rows { Product { m: size, ..product } } else { Product { n: size, ..product } })
    };
    (0..threads).map(share).collect()
}

/// The part of a product that one thread computes.
struct Share {
    product: Product,
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

impl Share {
    fn new(product: Product) -> Self {
        let Product { m, k, n, .. } = product;
        let numbers = |len| (0..len).map(|i: usize| (i * 7919 % 2003) as f32 / 1001.5 - 1.0).collect();
        Self { product, a: numbers(m * k), b: numbers(k * n), c: vec![0.0; m * n] }
    }

    fn multiply(&mut self) {
        let Product { m, k, n, transposed } = self.product;
        let b = if transposed { Matrix::new(&self.b, n, k).t() } else { Matrix::new(&self.b, k, n) };
        gemm(1.0, Matrix::new(&self.a, m, k), b, 0.0, MatrixMut::new(&mut self.c, m, n));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_takes_time_and_an_empty_one_none() {
        let pool = CpuPool::new(2).unwrap();
        for transposed in [false, true] {
            let time = |m, k, n| seconds_at_best(&pool, Product { m, k, n, transposed });
            // More and fewer columns than threads, more rows than columns, and a product that is cut.
            for (m, k, n) in [(64, 32, 48), (1, 8, 3), (48, 8, 1), (1, 8, 3 * MAX_COLUMNS)] {
                let seconds = time(m, k, n);
                assert!(seconds > 0.0 && seconds.is_finite(), "{seconds} for ({m}, {k}, {n})");
            }
            assert_eq!(time(0, 8, 8).to_bits(), 0.0_f64.to_bits());
        }
    }

    /// The parts of all threads make up the product: no row or column is missing or computed twice.
    #[test]
    fn the_shares_of_all_threads_make_up_the_product() {
        for (m, n, threads) in [(7, 3, 2), (3, 7, 4), (5, 5, 1), (2, 9, 16)] {
            let piece = Product { m, k: 4, n, transposed: true };
            let flop: f64 = shares(piece, threads).iter().map(|share| share.product.flop()).sum();
            assert_eq!(flop.to_bits(), piece.flop().to_bits(), "({m}, {n}) on {threads} threads");
        }
    }
}
