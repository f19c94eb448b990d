//! The exponential function in f32, written so that a loop over it becomes vector code.
//!
//! `f32::exp` is a call into the C library per element; softmax over a vocabulary and `SwiGLU` call it tens
//! of millions of times per step. This one has no branch, no table and no call.
//!
//! **Invariant:** the same bits whether the loop is vectorised or not: each operation is rounded once.

/// 1.5 · 2^23: adding it to a small number rounds that to an integer, which then stands in the low bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts; the first has 9 significant bits, so its product with an integer below 2^15 is exact.
const LN_2_HIGH: f32 = 355.0 / 512.0;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Below, the result rounds to 0 (half the smallest subnormal is e^-103.97).
const LOWEST: f32 = -104.0;
/// Above, the result is infinite (the largest finite number is e^88.72).
const HIGHEST: f32 = 89.0;

/// e^x within 1.5 units in the last place of normal results; 0 below -104, infinite from 88.73 on, NaN for
/// NaN.
///
/// x = n·ln 2 + r with |r| ≤ 0.35, and e^r by its Taylor series to r^7: the first term left out is
/// 0.35^8/8! = 6e-9, a tenth of the rounding error.
#[inline]
pub(super) fn exp(x: f32) -> f32 {
    // Comparisons, not `clamp` by min and max: these let NaN through.
    let x = if x < LOWEST { LOWEST } else { x };
    let x = if x > HIGHEST { HIGHEST } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN_2_HIGH, x);
    let r = n.mul_add(-LN_2_LOW, r);
    let mut sum: f32 = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum.mul_add(r, coefficient);
    }
    // 2^n in two factors, each a normal number, because n runs from -150 to 128.
    let n = shifted.to_bits().wrapping_sub(ROUND.to_bits()).cast_signed();
    let half = n >> 1;
    sum * power_of_two(half) * power_of_two(n - half)
}

/// 2^n for -126 ≤ n ≤ 127. Out of that range (only when `exp` was given NaN) some number.
#[inline]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits(n.wrapping_add(127).cast_unsigned() << 23)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "special values are exact")]

    use super::exp;

    /// 1.5 units in the last place: 2^-23 · 1.5 relative; one half from the last product, the rest from r and
    /// the series.
    #[test]
    fn agrees_with_f64_over_the_normal_range() {
        for i in -870_000..=887_000 {
            let x = i as f32 * 1e-4;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error <= 1.5 * f64::from(f32::EPSILON), "exp({x}) = {}, off by {error:e}", exp(x));
        }
    }

    #[test]
    fn special_values() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        for x in [-104.0, -1e30, f32::MIN, f32::NEG_INFINITY] {
            assert_eq!(exp(x), 0.0, "exp({x})");
        }
        for x in [88.73, 1e30, f32::INFINITY] {
            assert_eq!(exp(x), f32::INFINITY, "exp({x})");
        }
        assert!(exp(f32::NAN).is_nan());
        // Subnormal results: absolute error of one smallest number.
        for x in [-88.0_f32, -95.5, -103.0] {
            assert!((f64::from(exp(x)) - f64::from(x).exp()).abs() <= 1.5e-45, "exp({x}) = {:e}", exp(x));
        }
    }
}
