//! Helper: types of operands: their registers, edge values, and when two results are equal.

/// Registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Predicate,
    Half,
    Word,
    Double,
}

impl Class {
    pub(super) fn letter(self) -> char {
        match self {
            Self::Predicate => 'p',
            Self::Half => 'h',
            Self::Word => 'w',
            Self::Double => 'd',
        }
    }

    pub(super) fn bits(self) -> u32 {
        match self {
            Self::Predicate => 1,
            Self::Half => 16,
            Self::Word => 32,
            Self::Double => 64,
        }
    }
}

/// A type of operands.
pub(super) trait Value: Sized {
    const CLASS: Class;
    fn edges() -> Vec<u64>;
    fn of(bits: u64) -> Self;
    /// `None` where the result is left open.
    fn bits(self) -> Option<u64>;
    fn same(got: u64, wanted: u64, _ulps: u32) -> bool {
        got == wanted
    }
}

const NUMBERS: [u64; 30] = [
    0,
    1,
    2,
    3,
    7,
    8,
    15,
    16,
    17,
    31,
    32,
    33,
    63,
    64,
    65,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x3210,
    0x7fff,
    0x8000,
    0x9abc,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0x8000_0001,
    0xdead_beef,
    0xffff_ffff,
];

macro_rules! whole {
    ($($ty:ty => $class:ident),*) => {$(
        impl Value for $ty {
            const CLASS: Class = Class::$class;
            fn edges() -> Vec<u64> {
                let mut edges: Vec<u64> = NUMBERS.iter().map(|&x| x as $ty as u64).collect();
                edges.extend([<$ty>::MIN, <$ty>::MAX, <$ty>::MAX - 1].map(|x| x as u64));
                let mask = u64::MAX >> (64 - Class::$class.bits());
                edges.iter_mut().for_each(|x| *x &= mask);
                edges.sort_unstable();
                edges.dedup();
                edges
            }
            fn of(bits: u64) -> Self { bits as $ty }
            fn bits(self) -> Option<u64> { Some(self as u64 & u64::MAX >> (64 - Class::$class.bits())) }
        }
    )*};
}
whole!(u16 => Half, i16 => Half, u32 => Word, i32 => Word, u64 => Double, i64 => Double);

impl Value for bool {
    const CLASS: Class = Class::Predicate;
    fn edges() -> Vec<u64> {
        vec![0, 1]
    }
    fn of(bits: u64) -> Self {
        bits != 0
    }
    fn bits(self) -> Option<u64> {
        Some(u64::from(self))
    }
}

impl<T: Value> Value for Option<T> {
    const CLASS: Class = T::CLASS;
    fn edges() -> Vec<u64> {
        T::edges()
    }
    fn of(bits: u64) -> Self {
        Some(T::of(bits))
    }
    fn bits(self) -> Option<u64> {
        self.and_then(T::bits)
    }
    fn same(got: u64, wanted: u64, ulps: u32) -> bool {
        T::same(got, wanted, ulps)
    }
}

/// Numbers in an order in which neighbours are one unit in the last place apart; NaN is like NaN.
macro_rules! float {
    ($ty:ident, $class:ident, $int:ty, $more:expr) => {
        impl Value for $ty {
            const CLASS: Class = Class::$class;
            fn edges() -> Vec<u64> {
                let positive = [
                    0.0,
                    1.0,
                    0.5,
                    1.5,
                    2.5,
                    3.0,
                    0.1,
                    1.0 + $ty::EPSILON,
                    1.0 - $ty::EPSILON / 2.0,
                    100.7,
                    $ty::MIN_POSITIVE,
                    $ty::from_bits(1),
                    $ty::MIN_POSITIVE - $ty::from_bits(1),
                    $ty::MAX,
                    $ty::INFINITY,
                    $ty::NAN,
                    16_777_217.0,
                    2_147_483_648.0,
                    4_294_967_295.0,
                    9.3e18,
                    1e-20,
                    1e30,
                ];
                let mut edges: Vec<u64> =
                    positive.iter().flat_map(|x| [*x, -*x]).map(|x| u64::from(x.to_bits())).collect();
                edges.extend($more.map(|x: $ty| u64::from(x.to_bits())));
                edges
            }
            fn of(bits: u64) -> Self {
                $ty::from_bits(bits as $int)
            }
            fn bits(self) -> Option<u64> {
                Some(u64::from(self.to_bits()))
            }
            fn same(got: u64, wanted: u64, ulps: u32) -> bool {
                let (got, wanted) = ($ty::of(got), $ty::of(wanted));
                if got.is_nan() || wanted.is_nan() {
                    return got.is_nan() && wanted.is_nan();
                }
                let place = |x: $ty| {
                    let magnitude = i128::from(x.abs().to_bits());
                    if x.is_sign_negative() { -magnitude - 1 } else { magnitude }
                };
                (place(got) - place(wanted)).unsigned_abs() <= u128::from(ulps)
            }
        }
    };
}
float!(f32, Word, u32, [0.499_999_97, 8_388_607.5, -2_147_483_904.0]);
float!(
    f64,
    Double,
    u64,
    [0.499_999_999_999_999_94, 4_503_599_627_370_495.5, 3.5e38, 1e-40, 65_520.0, 1e300, -1e-310]
);

/// Bits of the 16-bit formats, alone and in pairs.
macro_rules! half {
    ($one:ident, $two:ident, $format:expr) => {
        #[derive(Debug, Clone, Copy)]
        pub(super) struct $one(pub(super) u16);
        #[derive(Debug, Clone, Copy)]
        pub(super) struct $two(pub(super) u32);

        impl $one {
            pub(super) fn value(self) -> f64 {
                $format.value(self.0)
            }
            /// The nearest to `high + low`.
            pub(super) fn nearest((high, low): (f64, f64)) -> Self {
                Self($format.nearest(high, low))
            }
        }

        impl Value for $one {
            const CLASS: Class = Class::Half;
            fn edges() -> Vec<u64> {
                let values =
                    [0.0, 1.0, 1.5, 2.5, 0.1, 3.3e-5, 1e-7, 5e-8, 255.0, 65504.0, f64::INFINITY, f64::NAN];
                let nearest = |x| u64::from($format.nearest(x, 0.0));
                let mut edges: Vec<u64> = values.iter().flat_map(|x| [nearest(*x), nearest(-*x)]).collect();
                edges.extend([1, 0x8001, $format.largest(), $format.largest() | 0x8000].map(u64::from));
                edges
            }
            fn of(bits: u64) -> Self {
                Self(bits as u16)
            }
            fn bits(self) -> Option<u64> {
                Some(u64::from(self.0))
            }
            fn same(got: u64, wanted: u64, ulps: u32) -> bool {
                let (x, y) = ($format.value(got as u16), $format.value(wanted as u16));
                if x.is_nan() || y.is_nan() {
                    return x.is_nan() && y.is_nan();
                }
                let place =
                    |bits: u64| if bits & 0x8000 != 0 { -((bits & 0x7fff) as i64) - 1 } else { bits as i64 };
                (place(got) - place(wanted)).unsigned_abs() <= u64::from(ulps)
            }
        }

        impl $two {
            pub(super) fn parts(self) -> [$one; 2] {
                [$one(self.0 as u16), $one((self.0 >> 16) as u16)]
            }
            pub(super) fn of_parts([low, high]: [$one; 2]) -> Self {
                Self(u32::from(low.0) | u32::from(high.0) << 16)
            }
        }

        impl Value for $two {
            const CLASS: Class = Class::Word;
            fn edges() -> Vec<u64> {
                let edges = $one::edges();
                (0..edges.len()).map(|i| edges[i] | edges[(i * 7 + 3) % edges.len()] << 16).collect()
            }
            fn of(bits: u64) -> Self {
                Self(bits as u32)
            }
            fn bits(self) -> Option<u64> {
                Some(u64::from(self.0))
            }
            fn same(got: u64, wanted: u64, ulps: u32) -> bool {
                $one::same(got & 0xffff, wanted & 0xffff, ulps) && $one::same(got >> 16, wanted >> 16, ulps)
            }
        }
    };
}
half!(F16, F16x2, Format { mantissa: 10, exponent: 5 });
half!(Bf16, Bf16x2, Format { mantissa: 7, exponent: 8 });

/// A 16-bit format by the bits of its parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    mantissa: i32,
    exponent: i32,
}

impl Format {
    fn bias(self) -> i32 {
        (1 << (self.exponent - 1)) - 1
    }

    pub(super) fn largest(self) -> u16 {
        (((1 << self.exponent) - 1) << self.mantissa) as u16 - 1
    }

    pub(super) fn value(self, bits: u16) -> f64 {
        let sign = if bits & 0x8000 != 0 { -1.0 } else { 1.0 };
        let exponent = i32::from(bits & 0x7fff) >> self.mantissa;
        let mantissa = f64::from(i32::from(bits) & ((1 << self.mantissa) - 1)) / 2_f64.powi(self.mantissa);
        sign * match exponent {
            0 => mantissa * 2_f64.powi(1 - self.bias()),
            e if e == (1 << self.exponent) - 1 => {
                if mantissa == 0.0 {
                    f64::INFINITY
                } else {
                    f64::NAN
                }
            }
            e => (1.0 + mantissa) * 2_f64.powi(e - self.bias()),
        }
    }

    /// The nearest to `high + low`, where `low` is less than half a unit of `high`; ties to even.
    pub(super) fn nearest(self, high: f64, low: f64) -> u16 {
        let sign = if high.is_sign_negative() { 0x8000 } else { 0 };
        if high.is_nan() {
            return self.largest() + 2;
        }
        if high == 0.0 || high.is_infinite() {
            return sign | if high == 0.0 { 0 } else { self.largest() + 1 };
        }
        let (x, rest) = (high.abs(), if sign == 0 { low } else { -low });
        let exponent = (x.log2().floor() as i32).max(1 - self.bias());
        // log2 may be off by one beside a power of two.
        let exponent = if x < 2_f64.powi(exponent) { (exponent - 1).max(1 - self.bias()) } else { exponent };
        let unit = 2_f64.powi(exponent - self.mantissa);
        let (whole, part) = ((x / unit).floor(), x / unit - (x / unit).floor());
        let up = part > 0.5 || part == 0.5 && (rest > 0.0 || rest == 0.0 && whole % 2.0 != 0.0);
        let count = whole as u64 + u64::from(up);
        // A count of units is the bits of the number, but for the exponent's part.
        let steps = (exponent - (1 - self.bias())) as u64;
        let bits = count + (steps << self.mantissa);
        sign | bits.min(u64::from(self.largest()) + 1) as u16
    }
}

/// `x + y` without an error: the rounded sum and what is missing (Knuth's two-sum).
pub(super) fn exact_sum(x: f64, y: f64) -> (f64, f64) {
    let sum = x + y;
    if !sum.is_finite() {
        return (sum, 0.0);
    }
    let part = sum - x;
    (sum, (x - (sum - part)) + (y - part))
}
