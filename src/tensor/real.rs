//! [`Real`], the trait of numbers that ops compute with.
//!
//! Where in the flow: every op is generic over it.
//!
//! **Invariant:** only f32 and f64 implement it.

use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

/// A floating-point type that ops run in: f32 in training, f64 when gradients are checked.
///
/// **Invariant:** only f32 and f64 implement it, because [`gemm`](super::gemm) relies on that.
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
    /// The number 0.
    const ZERO: Self;
    /// The number 1.
    const ONE: Self;
    /// Negative infinity, the initial value of a running maximum.
    const NEG_INFINITY: Self;

    /// Converts to the nearest value of this type.
    fn from_f64(value: f64) -> Self;
    /// Converts without rounding.
    fn from_f32(value: f32) -> Self;
    /// Converts without rounding.
    fn to_f64(self) -> f64;
    /// e to the power of `self`. In f32 the error is at most 1.5 units in the last place, and loops over it
    /// are vectorised.
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
    /// The larger of the two; if one is NaN, the other one.
    #[must_use]
    fn max(self, other: Self) -> Self;
    /// Absolute value.
    #[must_use]
    fn abs(self) -> Self;
    /// Whether `self` is neither NaN nor infinite.
    fn is_finite(self) -> bool;
    /// The slice itself if `Self` is f32, so that weights can be decoded directly into it; `None` for f64.
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
