//! What the tests of all ops share: reproducible inputs, poisoned and guarded outputs, gradients by central
//! differences, and pools of several sizes.

pub(crate) use super::check_cuda::{Cuda, on_cuda};

use super::QuantMatrix;
use crate::device::CpuPool;
use crate::gguf::{GgmlType, dequantize};
use crate::rng;
use crate::tensor::Real;
use half::{bf16, f16};

/// Cells before and after a [`Guarded`] buffer.
const GUARD: usize = 8;
/// What guard cells hold: no op computes it by accident.
const GUARD_VALUE: f64 = -7.25e11;

/// An output buffer: NaN inside, so that an unwritten cell shows, and guard cells around it, so that a
/// write outside shows.
pub(crate) struct Guarded<T> {
    cells: Vec<T>,
}

impl<T: Real> Guarded<T> {
    /// `len` cells of NaN.
    pub(crate) fn poisoned(len: usize) -> Self {
        let mut cells = vec![T::from_f64(GUARD_VALUE); len + 2 * GUARD];
        cells[GUARD..GUARD + len].fill(T::from_f64(f64::NAN));
        Self { cells }
    }

    /// A copy of `values`: for buffers that an op adds to.
    pub(crate) fn from_slice(values: &[T]) -> Self {
        let mut guarded = Self::poisoned(values.len());
        guarded.as_mut().copy_from_slice(values);
        guarded
    }

    /// The buffer for the op.
    pub(crate) fn as_mut(&mut self) -> &mut [T] {
        let end = self.cells.len() - GUARD;
        &mut self.cells[GUARD..end]
    }

    /// The result, after checking the guard cells and that every cell is finite.
    #[track_caller]
    pub(crate) fn into_checked(self) -> Vec<T> {
        let end = self.cells.len() - GUARD;
        let guard = T::from_f64(GUARD_VALUE);
        assert!(self.cells[..GUARD].iter().all(|&c| c == guard), "written before the buffer");
        assert!(self.cells[end..].iter().all(|&c| c == guard), "written after the buffer");
        let values = self.cells[GUARD..end].to_vec();
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            panic!("cell {i} of {} is {} (never written?)", values.len(), values[i]);
        }
        values
    }
}

/// `len` numbers, uniform over (-1, 1), the same on every machine.
pub(crate) fn random<T: Real>(len: usize, seed: u64) -> Vec<T> {
    (0..len).map(|i| T::from_f64(2.0 * rng::uniform(seed, 0, i as u64) - 1.0)).collect()
}

/// The same numbers in another type.
pub(crate) fn convert<A: Real, B: Real>(values: &[A]) -> Vec<B> {
    values.iter().map(|v| B::from_f64(v.to_f64())).collect()
}

/// A weight matrix in blocks of its own, with random contents.
pub(crate) struct Weights {
    ggml_type: GgmlType,
    data: Vec<u8>,
    rows: usize,
    cols: usize,
}

impl Weights {
    /// Random weights, about uniform over (-1, 1) before their block format rounds them.
    pub(crate) fn random(ggml_type: GgmlType, rows: usize, cols: usize, seed: u64) -> Self {
        let blocks = rows * cols / ggml_type.block_weights();
        let data = (0..blocks).flat_map(|i| random_block(ggml_type, seed, i as u64)).collect();
        Self { ggml_type, data, rows, cols }
    }

    /// What ops take.
    pub(crate) fn view(&self) -> QuantMatrix<'_> {
        QuantMatrix::new(self.ggml_type, &self.data, self.rows, self.cols)
    }

    /// All weights (rows, cols) as f64: the reference for what ops compute with them.
    pub(crate) fn decoded(&self) -> Vec<f64> {
        let mut weights = vec![0.0; self.rows * self.cols];
        dequantize(self.ggml_type, &self.data, &mut weights);
        convert(&weights)
    }
}

/// Scales are 1/8 for 4-bit and 1/128 for 8-bit quants, the minimum of `Q4_1` is -1.
fn random_block(ggml_type: GgmlType, seed: u64, block: u64) -> Vec<u8> {
    let value = (2.0 * rng::uniform(seed, 1, block) - 1.0) as f32;
    let quants = |n: u64| (0..n).map(move |i| (256.0 * rng::uniform(seed, 2 + block, i)) as u8);
    let half = |x: f32| f16::from_f32(x).to_le_bytes();
    match ggml_type {
        GgmlType::F32 => value.to_le_bytes().to_vec(),
        GgmlType::F16 => half(value).to_vec(),
        GgmlType::BF16 => bf16::from_f32(value).to_le_bytes().to_vec(),
        GgmlType::Q4_0 => half(0.125).into_iter().chain(quants(16)).collect(),
        GgmlType::Q4_1 => half(0.125).into_iter().chain(half(-1.0)).chain(quants(16)).collect(),
        GgmlType::Q8_0 => half(1.0 / 128.0).into_iter().chain(quants(32)).collect(),
        GgmlType::Q5_0 => half(0.0625).into_iter().chain(quants(20)).collect(),
        GgmlType::Q5_1 => half(0.0625).into_iter().chain(half(-1.0)).chain(quants(20)).collect(),
        // A six-bit scale, at most 63, times four bits: at most about 1.
        GgmlType::Q4_K => half(1e-3).into_iter().chain(half(1e-2)).chain(quants(140)).collect(),
        GgmlType::Q5_K => half(5e-4).into_iter().chain(half(1e-2)).chain(quants(172)).collect(),
        GgmlType::Q6_K => quants(208).chain(half(3e-4)).collect(),
        GgmlType::Q2_K => quants(80).chain(half(2e-2)).chain(half(3e-2)).collect(),
        GgmlType::Q3_K => quants(108).chain(half(8e-3)).collect(),
        GgmlType::IQ4_NL => half(1.0 / 128.0).into_iter().chain(quants(16)).collect(),
        GgmlType::IQ4_XS => half(2.5e-4).into_iter().chain(quants(134)).collect(),
        other => panic!("no random blocks of {other}"),
    }
}

/// A pool with `threads` threads.
pub(crate) fn cpu(threads: usize) -> CpuPool {
    CpuPool::new(threads).expect("threads for a test")
}

/// Sum of `a[i] * b[i]`: with random `b`, the scalar that a gradient check differentiates.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len(), "lengths of a and b");
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Compares `gradient` (d loss / d input) with central differences of `loss` at every element of `input`.
///
/// The step is h = 1e-5·max(1, |x|): the truncation error, O(h²) ≈ 1e-10, and the rounding error,
/// O(eps·|loss|/h) ≈ 1e-11·|loss|, are then about equal. The bound of 1e-6, relative to the larger of 1 and
/// the gradient, leaves a factor of 1e4 for sums over hundreds of terms, and any wrong term breaks it.
#[track_caller]
pub(crate) fn assert_gradient(
    what: &str,
    input: &[f64],
    gradient: &[f64],
    mut loss: impl FnMut(&[f64]) -> f64,
) {
    assert_eq!(gradient.len(), input.len(), "lengths of the gradient and the input `{what}`");
    let mut x = input.to_vec();
    for i in 0..x.len() {
        let h = 1e-5 * input[i].abs().max(1.0);
        x[i] = input[i] + h;
        let above = loss(&x);
        x[i] = input[i] - h;
        let below = loss(&x);
        x[i] = input[i];
        let numeric = (above - below) / (2.0 * h);
        let error = (numeric - gradient[i]).abs() / gradient[i].abs().max(1.0);
        assert!(error <= 1e-6, "d loss / d {what}[{i}]: analytic {}, numeric {numeric}", gradient[i]);
    }
}

/// Relative L2 distance of an f32 result from the f64 one, at most 1e-5: f32 rounding (6e-8) grows at worst
/// with the length of the sums (up to a few thousand terms here, typically with its square root).
#[track_caller]
pub(crate) fn assert_close(what: &str, f32_values: &[f32], f64_values: &[f64]) {
    assert_eq!(f32_values.len(), f64_values.len(), "lengths of `{what}`");
    let (mut distance, mut norm) = (0.0, 0.0);
    for (&a, &b) in f32_values.iter().zip(f64_values) {
        distance += (f64::from(a) - b).powi(2);
        norm += b * b;
    }
    let error = distance.sqrt() / norm.sqrt().max(f64::MIN_POSITIVE);
    assert!(error <= 1e-5, "`{what}`: relative L2 distance {error:e} from f64");
}

/// Runs `op` with 1, 2, 3 and again 2 threads: all results have the same bits. Returns the first.
#[track_caller]
pub(crate) fn assert_thread_independent(what: &str, op: impl Fn(&CpuPool) -> Vec<f32>) -> Vec<f32> {
    let first = op(&cpu(1));
    for threads in [2, 3, 2] {
        let other = op(&cpu(threads));
        assert_eq!(first.len(), other.len(), "lengths of `{what}`");
        for (i, (a, b)) in first.iter().zip(&other).enumerate() {
            assert_eq!(a.to_bits(), b.to_bits(), "`{what}`[{i}]: {a} with 1 thread, {b} with {threads}");
        }
    }
    first
}
