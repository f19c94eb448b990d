//! The exponential function in f32, written so that the compiler vectorises loops over it.
//!
//! Where in the flow: [`Real::exp`](super::Real::exp). `f32::exp` calls the C library for every element, and
//! softmax over a vocabulary and `SwiGLU` need it tens of millions of times per step. This version has no
//! branch, no table and no call.
//!
//! **Invariant:** the bits are the same whether a loop is vectorised or not: each operation is rounded once.

/// 1.5 · 2^23. Adding it to a small number rounds that number to an integer and leaves it in the low bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2 as a sum of two parts. The first has 9 significant bits, so its product with an integer below 2^15
/// is exact.
const LN_2_HIGH: f32 = 355.0 / 512.0;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Below this, the result rounds to 0 (half the smallest subnormal is e^-103.97).
const LOWEST: f32 = -104.0;
/// Above this, the result is infinite (the largest finite number is e^88.72).
const HIGHEST: f32 = 89.0;

/// Computes e^x, within 1.5 units in the last place where the result is normal. It is 0 below -104, infinite
/// from 88.73 and NaN for NaN.
///
/// Method: x = n·ln 2 + r with |r| ≤ 0.35, and e^r by its Taylor series up to r^7. The first omitted term is
/// 0.35^8/8! = 6e-9, a tenth of the rounding error.
#[inline]
pub(super) fn exp(x: f32) -> f32 {
    // Plain comparisons, because they let NaN pass; clamping by min and max would replace it.
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
    // n ranges from -150 to 128, beyond normal exponents, so 2^n is split into two normal factors.
    let n = shifted.to_bits().wrapping_sub(ROUND.to_bits()).cast_signed();
    let half = n >> 1;
    sum * power_of_two(half) * power_of_two(n - half)
}

/// Computes 2^n for -126 ≤ n ≤ 127. Outside that range, which only a NaN argument of `exp` reaches, the
/// result is arbitrary.
#[inline]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits(n.wrapping_add(127).cast_unsigned() << 23)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "special values are exact")]

    use super::exp;

    /// The tolerance is 1.5 units in the last place, relative 1.5 · 2^-23: half a unit from the last product,
    /// the rest from r and the series.
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
        // For subnormal results the absolute error is at most one smallest subnormal.
        for x in [-88.0_f32, -95.5, -103.0] {
            assert!((f64::from(exp(x)) - f64::from(x).exp()).abs() <= 1.5e-45, "exp({x}) = {:e}", exp(x));
        }
    }
}
