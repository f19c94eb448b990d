//! One step of `AdamW` whose moments are kept in 8 bits: two bytes per parameter instead of eight.
//!
//! A moment is stored in blocks of [`BLOCK`]: the block's largest magnitude in f32, and for every element the
//! index of the nearest of 256 values between -1 and 1 (0 and 1 for squares), relative to that magnitude. The
//! values are denser near zero, by powers of ten ("dynamic" quantisation), because moments are. A step
//! decodes a block, makes the step of [`adamw`](super::adamw) in f32, and encodes the new moments. One
//! departure from the source: a square that is not 0 is never stored as 0, but as the smallest value. The
//! update divides by its root: a mean of 1e-4 over a root of 0 and an epsilon of 1e-8 would be a step of ten
//! thousand learning rates.
//!
//! Shapes: p, g (N); codes (N) bytes and scales (⌈N / 256⌉) for each moment; codes start at the code of 0,
//! scales at 0.
//! Source: Dettmers et al. 2021, arXiv:2110.02861, section 2; the values are those of `create_dynamic_map` in
//! bitsandbytes.

mod cpu;
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use super::adamw::AdamW;
use crate::device::CpuPool;
use std::sync::LazyLock;

/// Elements that share a scale.
pub const BLOCK: usize = 256;

/// The 256 values of a moment, ascending.
#[derive(Debug)]
pub struct CodeBook {
    values: [f32; 256],
    /// Midpoints between neighbours: a number below `middles[i]`, and not below the one before, is nearest
    /// to `values[i]`.
    middles: [f32; 255],
    zero: u8,
}

/// The book for means of gradients: -1 to 1.
pub static SIGNED: LazyLock<CodeBook> = LazyLock::new(|| CodeBook::dynamic(true));
/// The book for means of their squares: 0 to 1.
pub static UNSIGNED: LazyLock<CodeBook> = LazyLock::new(|| CodeBook::dynamic(false));

impl CodeBook {
    /// 0, 1, and for every power of ten from 10⁻⁶ to 1 the midpoints of equal parts of (0.1, 1): twice as
    /// many parts at each larger power, with both signs or the positive one alone.
    fn dynamic(signed: bool) -> Self {
        const EXPONENTS: i32 = 7;
        let mut values = vec![0.0, 1.0];
        for exponent in 0..EXPONENTS {
            let parts = 1_u32 << if signed { exponent } else { exponent + 1 };
            for part in 0..parts {
                let middle = 0.1 + 0.9 * (f64::from(part) + 0.5) / f64::from(parts);
                let value = 10_f64.powi(exponent - EXPONENTS + 1) * middle;
                values.push(value);
                if signed {
                    values.push(-value);
                }
            }
        }
        values.sort_by(f64::total_cmp);
        let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
        let values: [f32; 256] = values.try_into().expect("254 values, 0 and 1");
        let middles = std::array::from_fn(|i| f32::midpoint(values[i], values[i + 1]));
        let zero = values.iter().position(|value| value.abs() <= 0.0).expect("0 is a value") as u8;
        Self { values, middles, zero }
    }

    /// The code of 0, which moments start at.
    pub fn zero(&self) -> u8 {
        self.zero
    }

    #[inline]
    fn decode(&self, code: u8) -> f32 {
        self.values[usize::from(code)]
    }

    /// The code of the nearest value.
    #[inline]
    fn encode(&self, number: f32) -> u8 {
        self.middles.partition_point(|&middle| middle <= number) as u8
    }
}

/// A moment in 8 bits.
#[derive(Debug)]
pub struct Moment<'a> {
    /// (N): indices into a code book.
    pub codes: &'a mut [u8],
    /// (⌈N / 256⌉): the largest magnitude of each block.
    pub scales: &'a mut [f32],
}

/// Makes step number `step` (counted from 1), as [`adamw::step`](super::adamw::step); `m` and `v` are the
/// moments.
///
/// # Panics
/// If lengths do not fit, or `step` is 0.
pub fn step(
    pool: &CpuPool,
    adamw: &AdamW,
    step: u64,
    gradients: &[f32],
    gradient_scale: f64,
    params: &mut [f32],
    [m, v]: [Moment<'_>; 2],
) {
    let len = gradients.len();
    assert_eq!(params.len(), len, "parameters (left) and gradients (right)");
    for moment in [&m, &v] {
        assert_eq!(moment.codes.len(), len, "codes (left) and gradients (right)");
        assert_eq!(moment.scales.len(), len.div_ceil(BLOCK), "scales (left) and blocks (right)");
    }
    assert!(step > 0, "steps are counted from 1, found {step}");
    let factors = super::adamw::Factors::new(adamw, step, gradient_scale);
    cpu::step(pool, &factors, gradients, params, [m, v]);
}
