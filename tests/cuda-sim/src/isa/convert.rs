//! `cvt`: between all types, in all directions of rounding.
//!
//! The common ones have a handler of their own. The others share one that reads from a constant what to do.

#![expect(unsafe_code, reason = "`lanes!` makes handlers, which are unsafe to call")]

use super::lanes::lanes;
use super::rounding::{self, BF16, F16, Format, Mode, TF32, narrow};
use super::{Lanes, Opcode};

/// A type of `cvt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Unsigned(u32),
    Signed(u32),
    Half(Format),
    Single,
    Double,
}

impl Type {
    const ALL: [Self; 13] = [
        Self::Unsigned(8),
        Self::Signed(8),
        Self::Unsigned(16),
        Self::Signed(16),
        Self::Unsigned(32),
        Self::Signed(32),
        Self::Unsigned(64),
        Self::Signed(64),
        Self::Half(F16),
        Self::Half(BF16),
        Self::Half(TF32),
        Self::Single,
        Self::Double,
    ];

    fn parse(text: &str) -> Option<usize> {
        let names =
            ["u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64", "f16", "bf16", "tf32", "f32", "f64"];
        names.iter().position(|name| *name == text)
    }

    fn is_double(self) -> bool {
        matches!(self, Self::Unsigned(64) | Self::Signed(64) | Self::Double)
    }

    fn is_integer(self) -> bool {
        matches!(self, Self::Unsigned(_) | Self::Signed(_))
    }
}

const MODES: [Mode; 5] = [Mode::Nearest, Mode::Zero, Mode::Down, Mode::Up, Mode::NearestAway];
const TO_INTEGRAL: u32 = 1 << 12;
const SATURATE: u32 = 1 << 13;
const FLUSH: u32 = 1 << 14;
const RELU: u32 = 1 << 15;

/// The constant that the general handler reads, and that handler; `None` if the opcode is no conversion.
pub fn general(op: &Opcode<'_>) -> Option<(Lanes, u32)> {
    let mut types = op.modifiers().rev();
    let (from, to) = (Type::parse(types.next()?)?, Type::parse(types.next()?)?);
    let mode = op.rounding().unwrap_or(Mode::Nearest);
    let mode_at = MODES.iter().position(|other| *other == mode)?;
    let flag = |modifier: &str, bit: u32| if op.has(modifier) { bit } else { 0 };
    let integral = ["rni", "rzi", "rmi", "rpi"].iter().any(|word| op.has(word));
    let code = from as u32
        | (to as u32) << 4
        | (mode_at as u32) << 8
        | if integral { TO_INTEGRAL } else { 0 }
        | flag("sat", SATURATE)
        | flag("ftz", FLUSH)
        | flag("relu", RELU);
    let lanes = match (Type::ALL[from].is_double(), Type::ALL[to].is_double()) {
        (false, false) => lanes!(map2<u32, u32 => u32>, |x, code| convert(u64::from(x), code) as u32),
        (false, true) => lanes!(map2<u32, u32 => u64>, |x, code| convert(u64::from(x), code)),
        (true, false) => lanes!(map2<u64, u32 => u32>, |x, code| convert(x, code) as u32),
        (true, true) => lanes!(map2<u64, u32 => u64>, convert),
    };
    Some((lanes, code))
}

/// The common conversions, and those of two numbers into a pair.
pub(super) fn select(op: &Opcode<'_>) -> Option<Lanes> {
    if op.name != "cvt" {
        return None;
    }
    let mut types = op.modifiers().rev();
    let (from, to) = (types.next()?, types.next()?);
    let mode = op.rounding().unwrap_or(Mode::Nearest);
    let is_plain = !op.has("sat") && !op.has("ftz") && !op.has("relu");
    let integral = ["rni", "rzi", "rmi", "rpi"].iter().any(|word| op.has(word));
    if mode == Mode::Nearest && !integral {
        match (to, op.has("relu")) {
            ("f16x2", false) => return Some(lanes!(map2<f32, f32 => u32>, |x, y| pair(x, y, F16))),
            ("bf16x2", false) => return Some(lanes!(map2<f32, f32 => u32>, |x, y| bf16(x) << 16 | bf16(y))),
            ("f16x2", true) => {
                return Some(lanes!(map2<f32, f32 => u32>, |x, y| pair(relu(x), relu(y), F16)));
            }
            ("bf16x2", true) => {
                return Some(lanes!(map2<f32, f32 => u32>, |x, y| pair(relu(x), relu(y), BF16)));
            }
            _ => {}
        }
    }
    if mode == Mode::Zero && !op.has("relu") {
        match to {
            "f16x2" => return Some(lanes!(map2<f32, f32 => u32>, |x, y| pair_to_zero(x, y, F16))),
            "bf16x2" => return Some(lanes!(map2<f32, f32 => u32>, |x, y| pair_to_zero(x, y, BF16))),
            _ => {}
        }
    }
    if !is_plain {
        return None;
    }
    Some(match (from, to) {
        ("s32", "s64" | "u64") => lanes!(map1<i32 => i64>, i64::from),
        ("u32", "s64" | "u64") => lanes!(map1<u32 => u64>, u64::from),
        ("s64" | "u64", "s32" | "u32") => lanes!(map1<u64 => u32>, |x| x as u32),
        ("s32", "f32") if mode == Mode::Nearest => lanes!(map1<i32 => f32>, |x| x as f32),
        ("u32", "f32") if mode == Mode::Nearest => lanes!(map1<u32 => f32>, |x| x as f32),
        ("f32", "s32") if op.has("rzi") => lanes!(map1<f32 => i32>, |x| x as i32),
        ("f32", "s32") if op.has("rni") => lanes!(map1<f32 => i32>, |x: f32| x.round_ties_even() as i32),
        ("f32", "f32") if op.has("rni") => lanes!(map1<f32 => f32>, |x: f32| x.round_ties_even()),
        ("f32", "f32") if op.has("rzi") => lanes!(map1<f32 => f32>, |x: f32| x.trunc()),
        ("f32", "f32") if op.has("rmi") => lanes!(map1<f32 => f32>, |x: f32| x.floor()),
        ("f32", "f32") if op.has("rpi") => lanes!(map1<f32 => f32>, |x: f32| x.ceil()),
        ("f16", "f32") => lanes!(map1<u32 => f32>, |x| half::f16::from_bits(x as u16).to_f32()),
        ("bf16", "f32") => lanes!(map1<u32 => u32>, |x| x << 16),
        ("f32", "f16") if mode == Mode::Nearest && !integral => {
            lanes!(map1<f32 => u32>, |x| narrow(f64::from(x), F16, Mode::Nearest))
        }
        ("f32", "bf16") if mode == Mode::Nearest && !integral => lanes!(map1<f32 => u32>, bf16),
        ("f32", "f64") => lanes!(map1<f32 => f64>, f64::from),
        ("f64", "f32") if mode == Mode::Nearest && !integral => lanes!(map1<f64 => f32>, |x| x as f32),
        _ => return None,
    })
}

fn relu(x: f32) -> f32 {
    if x > 0.0 || x.is_nan() { x } else { 0.0 }
}

/// The first in the upper half.
fn pair(upper: f32, lower: f32, format: Format) -> u32 {
    narrow(f64::from(upper), format, Mode::Nearest) << 16 | narrow(f64::from(lower), format, Mode::Nearest)
}

fn pair_to_zero(upper: f32, lower: f32, format: Format) -> u32 {
    narrow(f64::from(upper), format, Mode::Zero) << 16 | narrow(f64::from(lower), format, Mode::Zero)
}

/// The nearest bf16, without branches.
fn bf16(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    if x.is_nan() { 0x7fff } else { rounded }
}

/// One number.
fn convert(x: u64, code: u32) -> u64 {
    let (from, to) = (Type::ALL[code as usize & 15], Type::ALL[code as usize >> 4 & 15]);
    let mode = MODES[code as usize >> 8 & 7];
    let saturates = code & SATURATE != 0;
    if let Some(integer) = as_integer(x, from) {
        if to.is_integer() {
            return from_integer(integer, to, saturates);
        }
        if to == Type::Double {
            let value = integer as f64;
            return rounding::direct_f64(value, (integer - value as i128) as f64, mode).to_bits();
        }
        return from_float(rounding::integer(integer), to, mode, code);
    }
    let value = as_float(x, from);
    let value = if code & FLUSH != 0 && from == Type::Single {
        f64::from(super::float::flush(value as f32))
    } else {
        value
    };
    if to.is_integer() {
        if value.is_nan() {
            return nan_to_integer(from, to);
        }
        // Whole numbers are cut to their range, with or without `.sat`.
        let whole = rounding::integral(value, mode);
        return from_integer(whole as i128, to, true);
    }
    let value = if code & TO_INTEGRAL != 0 { rounding::integral(value, mode) } else { value };
    from_float(value, to, mode, code)
}

/// "PTX ISA" 9.0, `cvt`: 0 unless one of the types has 64 bits.
fn nan_to_integer(from: Type, to: Type) -> u64 {
    match to {
        Type::Unsigned(bits) | Type::Signed(bits) if from == Type::Double || bits == 64 => 1 << (bits - 1),
        _ => 0,
    }
}

fn as_integer(x: u64, ty: Type) -> Option<i128> {
    match ty {
        Type::Unsigned(bits) => Some(i128::from(x & u64::MAX >> (64 - bits))),
        Type::Signed(bits) => Some(i128::from((x << (64 - bits)) as i64 >> (64 - bits))),
        _ => None,
    }
}

fn from_integer(value: i128, ty: Type, saturates: bool) -> u64 {
    let (low, high, bits) = match ty {
        Type::Unsigned(bits) => (0, (1_i128 << bits) - 1, bits),
        Type::Signed(bits) => (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1, bits),
        _ => return 0,
    };
    let value = if saturates { value.clamp(low, high) } else { value };
    // A destination that is wider than its type is extended by the sign.
    let bits = if matches!(ty, Type::Signed(8)) { 32 } else { bits };
    value as u64 & u64::MAX >> (64 - bits)
}

fn as_float(x: u64, ty: Type) -> f64 {
    match ty {
        Type::Half(F16) => f64::from(half::f16::from_bits(x as u16).to_f32()),
        Type::Half(BF16) => f64::from(f32::from_bits((x as u32) << 16)),
        Type::Double => f64::from_bits(x),
        _ => f64::from(f32::from_bits(x as u32)),
    }
}

fn from_float(value: f64, ty: Type, mode: Mode, code: u32) -> u64 {
    let mut value = value;
    if code & SATURATE != 0 {
        value = if value > 0.0 { value.min(1.0) } else { 0.0 };
    }
    if code & RELU != 0 && value <= 0.0 {
        value = 0.0;
    }
    match ty {
        Type::Half(TF32) => u64::from(narrow(value, TF32, mode) << 13),
        Type::Half(format) => u64::from(narrow(value, format, mode)),
        Type::Single => {
            let single = rounding::to_f32(value, mode);
            let single = if code & FLUSH != 0 { super::float::flush(single) } else { single };
            u64::from(single.to_bits())
        }
        _ => value.to_bits(),
    }
}
