//! Rounding in software: to any binary format, in any direction.
//!
//! A sum, product or quotient is first rounded to odd in f64 (Boldo and Melquiond 2008: cut, and the last bit
//! says whether anything was cut), from where any narrower format is rounded to rightly.

/// Directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Towards the nearest value, ties to even.
    Nearest,
    /// Towards zero.
    Zero,
    /// Towards negative infinity.
    Down,
    /// Towards infinity.
    Up,
    /// Towards the nearest value, ties away from zero.
    NearestAway,
}

impl Mode {
    /// `rn` and its like; the ones for whole numbers have an `i`.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "rn" | "rni" => Self::Nearest,
            "rz" | "rzi" => Self::Zero,
            "rm" | "rmi" => Self::Down,
            "rp" | "rpi" => Self::Up,
            "rna" => Self::NearestAway,
            _ => return None,
        })
    }

    /// Whether what was cut off a magnitude makes it one larger. `rest` is compared with one half.
    fn goes_up(self, negative: bool, is_odd: bool, rest: std::cmp::Ordering, is_exact: bool) -> bool {
        use std::cmp::Ordering::{Equal, Greater};
        match self {
            Self::Nearest => rest == Greater || rest == Equal && is_odd,
            Self::NearestAway => rest != std::cmp::Ordering::Less,
            Self::Zero => false,
            Self::Down => negative && !is_exact,
            Self::Up => !negative && !is_exact,
        }
    }
}

/// A binary format of at most 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Stored bits of the fraction.
    pub fraction: u32,
    /// Bits of the exponent.
    pub exponent: u32,
}

/// IEEE half precision.
pub const F16: Format = Format { fraction: 10, exponent: 5 };
/// The upper half of f32.
pub const BF16: Format = Format { fraction: 7, exponent: 8 };
/// The part of an f32 that tensor cores read.
pub const TF32: Format = Format { fraction: 10, exponent: 8 };
/// IEEE single precision.
pub const F32: Format = Format { fraction: 23, exponent: 8 };

/// Bits of `value` in a format. NaN becomes the one that NVIDIA's processors make: all ones but the sign.
pub fn narrow(value: f64, format: Format, mode: Mode) -> u32 {
    let Format { fraction, exponent } = format;
    let infinity = ((1_u64 << exponent) - 1) << fraction;
    if value.is_nan() {
        return (1 << (fraction + exponent)) - 1;
    }
    let negative = value.is_sign_negative();
    let sign = u64::from(negative) << (fraction + exponent);
    let magnitude = value.abs();
    if magnitude == 0.0 || magnitude.is_infinite() {
        return (sign | if magnitude == 0.0 { 0 } else { infinity }) as u32;
    }
    let bits = magnitude.to_bits();
    let (stored, low) = ((bits >> 52) as i32, bits & ((1 << 52) - 1));
    // Subnormals of f64 are below everything that these formats hold but for the direction of rounding.
    let (significand, power) = if stored == 0 { (low, -1022) } else { (low | 1 << 52, stored - 1023) };
    let smallest = 2 - (1 << (exponent - 1));
    let cut = 52 - fraction as i32 + (smallest - power).max(0);
    let (kept, rest, is_exact) = if cut > 60 {
        (0, std::cmp::Ordering::Less, false)
    } else {
        let cut_off = significand & ((1 << cut) - 1);
        (significand >> cut, cut_off.cmp(&(1 << (cut - 1))), cut_off == 0)
    };
    let rounded = kept + u64::from(mode.goes_up(negative, kept & 1 != 0, rest, is_exact));
    let below = (power - smallest).max(0) as u64;
    // A carry out of the fraction makes the exponent one larger, as it should.
    let result = (below << fraction) + rounded;
    let largest = infinity - 1;
    let overflow = match mode {
        Mode::Zero => largest,
        Mode::Down if !negative => largest,
        Mode::Up if negative => largest,
        _ => infinity,
    };
    (sign | if result >= infinity { overflow } else { result }) as u32
}

/// `value` plus an error that is smaller than its last bit, rounded to odd.
fn to_odd(value: f64, error: f64) -> f64 {
    let bits = value.to_bits();
    if error == 0.0 || error.is_nan() || !value.is_finite() || bits & 1 != 0 {
        return value;
    }
    f64::from_bits(if (error > 0.0) == (value > 0.0) { bits | 1 } else { bits - 1 })
}

/// The exact rounding error of `x + y` (Knuth's two-sum).
fn sum_error(x: f64, y: f64, sum: f64) -> f64 {
    let y_part = sum - x;
    (x - (sum - y_part)) + (y - y_part)
}

/// `x + y`, rounded to odd.
pub fn sum(x: f64, y: f64) -> f64 {
    let sum = x + y;
    to_odd(sum, sum_error(x, y, sum))
}

/// As [`sum`], rounded in a direction: a sum of opposite terms is -0 when rounded down (IEEE 754, 6.3).
pub fn sum_towards(x: f64, y: f64, mode: Mode) -> f64 {
    let sum = sum(x, y);
    let is_balance = sum == 0.0 && x.is_sign_negative() != y.is_sign_negative();
    if is_balance && mode == Mode::Down { -0.0 } else { sum }
}

/// `x · y + z` with factors of at most 26 bits, rounded to odd.
pub fn multiply_add(x: f64, y: f64, z: f64) -> f64 {
    sum(x * y, z)
}

/// `x / y`, rounded to odd.
pub fn quotient(x: f64, y: f64) -> f64 {
    let quotient = x / y;
    to_odd(quotient, (-quotient).mul_add(y, x) * y.signum())
}

/// √x, rounded to odd.
pub fn root(x: f64) -> f64 {
    let root = x.sqrt();
    to_odd(root, (-root).mul_add(root, x))
}

/// A whole number of up to 64 bits, rounded to odd.
pub fn integer(x: i128) -> f64 {
    let value = x as f64;
    to_odd(value, (x - value as i128) as f64)
}

/// `sum` (rounded to nearest) and what it lacks, in a direction.
pub fn direct_f64(value: f64, error: f64, mode: Mode) -> f64 {
    if error == 0.0 || error.is_nan() || value.is_nan() {
        return value;
    }
    match mode {
        Mode::Down if error < 0.0 => value.next_down(),
        Mode::Up if error > 0.0 => value.next_up(),
        Mode::Zero if value > 0.0 && error < 0.0 => value.next_down(),
        Mode::Zero if value < 0.0 && error > 0.0 => value.next_up(),
        _ => value,
    }
}

/// `x + y` in a direction.
pub fn sum_f64(x: f64, y: f64, mode: Mode) -> f64 {
    let sum = x + y;
    if sum == 0.0 {
        return sum_towards(x, y, mode);
    }
    direct_f64(sum, sum_error(x, y, sum), mode)
}

/// `x · y` in a direction.
pub fn product_f64(x: f64, y: f64, mode: Mode) -> f64 {
    let product = x * y;
    direct_f64(product, x.mul_add(y, -product), mode)
}

/// Rounds to an integer.
pub fn integral(x: f64, mode: Mode) -> f64 {
    match mode {
        Mode::Nearest => x.round_ties_even(),
        Mode::Zero => x.trunc(),
        Mode::Down => x.floor(),
        Mode::Up => x.ceil(),
        Mode::NearestAway => x.round(),
    }
}

/// f32 of a narrowed value.
pub fn to_f32(value: f64, mode: Mode) -> f32 {
    f32::from_bits(narrow(value, F32, mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values at which rounding has something to decide.
    fn values() -> Vec<f64> {
        let mut values =
            vec![0.0, -0.0, 1.0, 1.5, 65504.0, 65519.9, 65520.0, 1e-8, 5.96e-8, 2.98e-8, 1e300, 1e-310];
        for i in 0..2000_u64 {
            let bits = i.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            values.push(f64::from(f32::from_bits((bits >> 32) as u32)));
            values.push(f64::from_bits(bits & 0xfff | 0x3ff0_0000_0000_0000 | (i % 2048) << 41));
        }
        values.retain(|value| !value.is_nan());
        values
    }

    #[test]
    fn to_nearest_is_what_the_processor_and_half_do() {
        for value in values() {
            for value in [value, -value] {
                assert_eq!(narrow(value, F32, Mode::Nearest), (value as f32).to_bits(), "{value:e}");
                let half = half::f16::from_f32(value as f32).to_bits();
                assert_eq!(narrow(f64::from(value as f32), F16, Mode::Nearest), u32::from(half), "{value:e}");
                let half = half::bf16::from_f32(value as f32).to_bits();
                assert_eq!(
                    narrow(f64::from(value as f32), BF16, Mode::Nearest),
                    u32::from(half),
                    "{value:e}"
                );
            }
        }
    }

    #[test]
    fn directions_enclose_the_value() {
        for value in values().into_iter().filter(|value| value.abs() < 3e38) {
            for value in [value, -value] {
                let [down, up, zero] =
                    [Mode::Down, Mode::Up, Mode::Zero].map(|mode| f64::from(to_f32(value, mode)));
                assert!(down <= value && value <= up, "{down:e} {value:e} {up:e}");
                assert_eq!(zero.to_bits(), if value.is_sign_negative() { up } else { down }.to_bits());
                let is_exact = f64::from(value as f32) == value;
                assert!(
                    if is_exact { down == up } else { (down as f32).next_up() == up as f32 },
                    "{value:e}"
                );
            }
        }
    }

    #[test]
    fn infinities_overflow_by_direction() {
        let largest = f32::MAX.to_bits();
        assert_eq!(narrow(1e300, F32, Mode::Zero), largest);
        assert_eq!(narrow(1e300, F32, Mode::Down), largest);
        assert_eq!(narrow(1e300, F32, Mode::Up), f32::INFINITY.to_bits());
        assert_eq!(narrow(-1e300, F32, Mode::Up), f32::MIN.to_bits());
        assert_eq!(narrow(f64::NAN, F16, Mode::Nearest), 0x7fff);
        assert_eq!(
            narrow(f64::from(f32::from_bits(0x3f80_1000)), TF32, Mode::NearestAway),
            0x3f80_2000 >> 13
        );
    }

    #[test]
    fn sums_are_rounded_once() {
        // 1 + 2^-24 + 2^-60: in f64 the last part is lost, and the tie would go to even.
        let (x, y) = (1.0 + 2_f64.powi(-24), 2_f64.powi(-60));
        assert_eq!(to_f32(x + y, Mode::Nearest), 1.0);
        assert_eq!(to_f32(sum(x, y), Mode::Nearest), 1.0_f32.next_up());
        assert_eq!(to_f32(sum(x, -y), Mode::Nearest), 1.0);
        assert_eq!(to_f32(quotient(1.0, 3.0), Mode::Up), (1.0_f32 / 3.0).max(0.333_333_34));
        assert_eq!(
            to_f32(integer((1 << 40) + (1 << 16) + 1), Mode::Nearest),
            ((1_u64 << 40) + (1 << 17)) as f32
        );
    }
}
