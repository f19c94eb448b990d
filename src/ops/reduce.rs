//! Sums and maxima over a slice, in a fixed order that suits vector units.
//!
//! A plain `sum()` of floats is a chain of dependent additions that a compiler may not reorder. Here element
//! i goes to lane i mod [`LANES`], and the lanes are combined in pairs at the end. That is many times faster,
//! and the result still depends on the values and their order alone.
//!
//! **Invariant:** no result depends on the width of the machine's vectors.

use crate::tensor::Real;

/// Two AVX-512 registers of f32: enough independent chains to hide the latency of an addition.
const LANES: usize = 32;

/// `Σ a[i] · b[i]`.
#[inline]
pub(super) fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    debug_assert_eq!(a.len(), b.len(), "lengths of a (left) and b (right)");
    let mut lanes = [T::ZERO; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] += a[i] * b[i];
        }
    }
    for (lane, (&a, &b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane += a * b;
    }
    fold(lanes, |a, b| a + b)
}

/// `Σ a[i]`.
#[inline]
pub(super) fn sum<T: Real>(a: &[T]) -> T {
    let mut lanes = [T::ZERO; LANES];
    let (chunks, rest) = a.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] += chunk[i];
        }
    }
    for (lane, &a) in lanes.iter_mut().zip(rest) {
        *lane += a;
    }
    fold(lanes, |a, b| a + b)
}

/// The largest element, -∞ for none. NaN is ignored: the sum of exponentials that follows shows it.
#[inline]
pub(super) fn max<T: Real>(a: &[T]) -> T {
    // A comparison instead of `T::max`, because it is one vector instruction.
    let larger = |a: T, b: T| if b > a { b } else { a };
    let mut lanes = [T::NEG_INFINITY; LANES];
    let (chunks, rest) = a.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] = larger(lanes[i], chunk[i]);
        }
    }
    for (lane, &a) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, a);
    }
    fold(lanes, larger)
}

/// Combines lane i with lane i + n/2 until one is left.
#[inline]
fn fold<T: Real>(mut lanes: [T; LANES], combine: impl Fn(T, T) -> T) -> T {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = combine(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "sums of small integers are exact")]
mod tests {
    use super::*;

    /// Small integers are exact in f32, so any order of addition gives the same sum.
    #[test]
    fn agree_with_plain_loops_at_every_length() {
        for len in 0..=100 {
            let a: Vec<f32> = (0..len).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
            let b: Vec<f32> = (0..len).map(|i| (i * 5 % 13) as f32 - 6.0).collect();
            assert_eq!(dot(&a, &b), a.iter().zip(&b).map(|(a, b)| a * b).sum::<f32>(), "dot, length {len}");
            assert_eq!(sum(&a), a.iter().sum::<f32>(), "sum, length {len}");
            assert_eq!(max(&a), a.iter().copied().fold(f32::NEG_INFINITY, f32::max), "max, length {len}");
        }
    }

    #[test]
    fn nan_reaches_the_sums() {
        let a = [1.0, f32::NAN, 2.0];
        assert!(sum(&a).is_nan());
        assert!(dot(&a, &[0.0; 3]).is_nan());
    }
}
