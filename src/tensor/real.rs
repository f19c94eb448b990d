//! [`Real`]: what an op may do with a number.

use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

/// A floating-point type that ops run in: f32 at work, f64 when gradients are checked.
///
/// **Invariant:** only f32 and f64 implement it; [`gemm`](super::gemm) relies on that.
pub trait Real:
    Copy
    + Debug
    + Default
    + Display
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
    + sealed::Sealed
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The smallest number: the start of a running maximum.
    const NEG_INFINITY: Self;

    /// Nearest value.
    fn from_f64(value: f64) -> Self;
    /// Exact in both types.
    fn from_f32(value: f32) -> Self;
    /// Exact in both types.
    fn to_f64(self) -> f64;
    /// e to the power of `self`; in f32 within 1.5 units in the last place, and fit for vector code.
    #[must_use]
    fn exp(self) -> Self;
    /// Natural logarithm.
    #[must_use]
    fn ln(self) -> Self;
    /// Square root.
    #[must_use]
    fn sqrt(self) -> Self;
    /// Sine of an angle in radians.
    #[must_use]
    fn sin(self) -> Self;
    /// Cosine of an angle in radians.
    #[must_use]
    fn cos(self) -> Self;
    /// The larger one; if one is NaN, the other.
    #[must_use]
    fn max(self, other: Self) -> Self;
    /// Absolute value.
    #[must_use]
    fn abs(self) -> Self;
    /// NaN or infinite is not.
    fn is_finite(self) -> bool;
    /// The slice itself if `Self` is f32: weights decode to f32, and need no detour then.
    fn as_f32_mut(values: &mut [Self]) -> Option<&mut [f32]>;
}

mod sealed {
    /// Keeps [`Real`](super::Real) closed.
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

macro_rules! impl_real {
    ($t:ident, $exp:path, |$values:ident| $as_f32:expr) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const NEG_INFINITY: Self = $t::NEG_INFINITY;

            #[inline]
            fn from_f64(value: f64) -> Self {
                value as $t
            }
            #[inline]
            fn from_f32(value: f32) -> Self {
                $t::from(value)
            }
            #[inline]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline]
            fn exp(self) -> Self {
                $exp(self)
            }
            #[inline]
            fn ln(self) -> Self {
                $t::ln(self)
            }
            #[inline]
            fn sqrt(self) -> Self {
                $t::sqrt(self)
            }
            #[inline]
            fn sin(self) -> Self {
                $t::sin(self)
            }
            #[inline]
            fn cos(self) -> Self {
                $t::cos(self)
            }
            #[inline]
            fn max(self, other: Self) -> Self {
                $t::max(self, other)
            }
            #[inline]
            fn abs(self) -> Self {
                $t::abs(self)
            }
            #[inline]
            fn is_finite(self) -> bool {
                $t::is_finite(self)
            }
            #[inline]
            fn as_f32_mut($values: &mut [Self]) -> Option<&mut [f32]> {
                $as_f32
            }
        }
    };
}

impl_real!(f32, super::exp::exp, |values| Some(values));
impl_real!(f64, f64::exp, |_values| None);
