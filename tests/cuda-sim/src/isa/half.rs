//! f16 and bf16, alone and in pairs. Every result is rounded once, from a value that has all its bits.

#![expect(unsafe_code, reason = "`lanes!` makes handlers, which are unsafe to call")]

use super::float::{larger, smaller};
use super::lanes::{lanes, test};
use super::rounding::{self, BF16, F16, Mode, narrow};
use super::{Lanes, Opcode};

/// A 16-bit format.
pub(super) trait Half {
    /// Its value.
    fn wide(bits: u16) -> f32;
    /// The nearest to a value that was rounded to odd.
    fn narrow(value: f64) -> u16;
}

/// IEEE half precision.
pub(super) struct Ieee;
/// The upper half of f32.
pub(super) struct Brain;

impl Half for Ieee {
    fn wide(bits: u16) -> f32 {
        half::f16::from_bits(bits).to_f32()
    }
    fn narrow(value: f64) -> u16 {
        narrow(value, F16, Mode::Nearest) as u16
    }
}

impl Half for Brain {
    fn wide(bits: u16) -> f32 {
        f32::from_bits(u32::from(bits) << 16)
    }
    fn narrow(value: f64) -> u16 {
        narrow(value, BF16, Mode::Nearest) as u16
    }
}

/// Applies a function to the lower halves, and to the upper ones too of a pair.
fn each<H: Half, const PAIR: bool>(x: [u32; 3], f: impl Fn(f64, f64, f64) -> f64) -> u32 {
    let part = |shift: u32| {
        let [x, y, z] = x.map(|x| f64::from(H::wide((x >> shift) as u16)));
        u32::from(H::narrow(f(x, y, z)))
    };
    part(0) | if PAIR { part(16) << 16 } else { 0 }
}

/// As [`each`], for functions that return one of their operands (minimum, maximum).
fn pick<H: Half, const PAIR: bool>(x: [u32; 2], f: impl Fn(f32, f32) -> f32) -> u32 {
    each::<H, PAIR>([x[0], x[1], 0], |x, y, _| f64::from(f(x as f32, y as f32)))
}

fn relu(x: f64) -> f64 {
    if x > 0.0 || x.is_nan() { x } else { 0.0 }
}

fn clamp(x: f64) -> f64 {
    if x > 0.0 { x.min(1.0) } else { 0.0 }
}

fn nan_wins(x: f32, y: f32, f: fn(f32, f32) -> f32) -> f32 {
    if x.is_nan() || y.is_nan() { f32::NAN } else { f(x, y) }
}

macro_rules! half_ops {
    ($op:expr, $H:ty, $PAIR:literal) => {{
        let op = $op;
        let (sat, is_relu, nan) = (op.has("sat"), op.has("relu"), op.has("NaN"));
        Some(match op.name {
            "add" if sat => lanes!(map2<u32, u32 => u32>, |x, y| {
                each::<$H, $PAIR>([x, y, 0], |x, y, _| clamp(rounding::sum(x, y)))
            }),
            "sub" if sat => lanes!(map2<u32, u32 => u32>, |x, y| {
                each::<$H, $PAIR>([x, y, 0], |x, y, _| clamp(rounding::sum(x, -y)))
            }),
            "mul" if sat => lanes!(map2<u32, u32 => u32>, |x, y| {
                each::<$H, $PAIR>([x, y, 0], |x, y, _| clamp(x * y))
            }),
            "add" => lanes!(map2<u32, u32 => u32>, |x, y| {
                each::<$H, $PAIR>([x, y, 0], |x, y, _| rounding::sum(x, y))
            }),
            "sub" => lanes!(map2<u32, u32 => u32>, |x, y| {
                each::<$H, $PAIR>([x, y, 0], |x, y, _| rounding::sum(x, -y))
            }),
            "mul" => lanes!(map2<u32, u32 => u32>, |x, y| each::<$H, $PAIR>([x, y, 0], |x, y, _| x * y)),
            "fma" if is_relu => lanes!(map3<u32, u32, u32 => u32>, |x, y, z| {
                each::<$H, $PAIR>([x, y, z], |x, y, z| relu(rounding::multiply_add(x, y, z)))
            }),
            "fma" if sat => lanes!(map3<u32, u32, u32 => u32>, |x, y, z| {
                each::<$H, $PAIR>([x, y, z], |x, y, z| clamp(rounding::multiply_add(x, y, z)))
            }),
            "fma" => lanes!(map3<u32, u32, u32 => u32>, |x, y, z| {
                each::<$H, $PAIR>([x, y, z], rounding::multiply_add)
            }),
            "min" if nan => lanes!(map2<u32, u32 => u32>, |x, y| {
                pick::<$H, $PAIR>([x, y], |x, y| nan_wins(x, y, smaller))
            }),
            "max" if nan => lanes!(map2<u32, u32 => u32>, |x, y| {
                pick::<$H, $PAIR>([x, y], |x, y| nan_wins(x, y, larger))
            }),
            "min" => lanes!(map2<u32, u32 => u32>, |x, y| pick::<$H, $PAIR>([x, y], smaller)),
            "max" => lanes!(map2<u32, u32 => u32>, |x, y| pick::<$H, $PAIR>([x, y], larger)),
            "neg" => lanes!(map1<u32 => u32>, |x| x ^ if $PAIR { 0x8000_8000 } else { 0x8000 }),
            "abs" => lanes!(map1<u32 => u32>, |x| x & if $PAIR { 0x7fff_7fff } else { 0x7fff }),
            "ex2" => lanes!(map1<u32 => u32>, |x| each::<$H, $PAIR>([x, 0, 0], |x, _, _| x.exp2())),
            "tanh" => lanes!(map1<u32 => u32>, |x| each::<$H, $PAIR>([x, 0, 0], |x, _, _| x.tanh())),
            _ => return None,
        })
    }};
}

pub(super) fn select(op: &Opcode<'_>) -> Option<Lanes> {
    match (op.name, op.ty()) {
        ("setp", "f16" | "bf16") => compare(op),
        ("set", _) => set(op),
        (_, "f16") => half_ops!(op, Ieee, false),
        (_, "bf16") => half_ops!(op, Brain, false),
        (_, "f16x2") => half_ops!(op, Ieee, true),
        (_, "bf16x2") => half_ops!(op, Brain, true),
        _ => None,
    }
}

fn compare(op: &Opcode<'_>) -> Option<Lanes> {
    macro_rules! of {
        ($H:ty, $f:expr) => {
            test!(test2<u32, u32>, |x, y| $f(<$H>::wide(x as u16), <$H>::wide(y as u16)))
        };
    }
    macro_rules! both {
        ($f:expr) => {
            if op.ty() == "f16" { of!(Ieee, $f) } else { of!(Brain, $f) }
        };
    }
    Some(match op.modifiers().next()? {
        "eq" => both!(|x: f32, y: f32| x == y),
        "ne" => both!(|x: f32, y: f32| x < y || x > y),
        "lt" => both!(|x: f32, y: f32| x < y),
        "le" => both!(|x: f32, y: f32| x <= y),
        "gt" => both!(|x: f32, y: f32| x > y),
        "ge" => both!(|x: f32, y: f32| x >= y),
        "equ" => both!(|x: f32, y: f32| !(x < y || x > y)),
        "neu" => both!(|x: f32, y: f32| x != y),
        "ltu" => both!(|x: f32, y: f32| !(x >= y)),
        "leu" => both!(|x: f32, y: f32| !(x > y)),
        "gtu" => both!(|x: f32, y: f32| !(x <= y)),
        "geu" => both!(|x: f32, y: f32| !(x < y)),
        "num" => both!(|x: f32, y: f32| !x.is_nan() && !y.is_nan()),
        "nan" => both!(|x: f32, y: f32| x.is_nan() || y.is_nan()),
        _ => return None,
    })
}

/// `set.CMP.f16x2.f16x2`: 1.0 or 0 for each half.
fn set(op: &Opcode<'_>) -> Option<Lanes> {
    macro_rules! halves {
        ($H:ty, $f:expr) => {
            lanes!(map2<u32, u32 => u32>, |x, y| {
                each::<$H, true>([x, y, 0], |x, y, _| if $f(x, y) { 1.0 } else { 0.0 })
            })
        };
    }
    let mut modifiers = op.modifiers();
    let comparison = modifiers.next()?;
    let types: Vec<_> = modifiers.filter(|word| *word != "ftz").collect();
    macro_rules! both {
        ($f:expr) => {
            match types[..] {
                ["f16x2", "f16x2"] => halves!(Ieee, $f),
                ["bf16x2", "bf16x2"] => halves!(Brain, $f),
                _ => return None,
            }
        };
    }
    Some(match comparison {
        "eq" => both!(|x: f64, y: f64| x == y),
        "ne" => both!(|x: f64, y: f64| x < y || x > y),
        "lt" => both!(|x: f64, y: f64| x < y),
        "le" => both!(|x: f64, y: f64| x <= y),
        "gt" => both!(|x: f64, y: f64| x > y),
        "ge" => both!(|x: f64, y: f64| x >= y),
        "equ" => both!(|x: f64, y: f64| !(x < y || x > y)),
        "neu" => both!(|x: f64, y: f64| x != y),
        "ltu" => both!(|x: f64, y: f64| !(x >= y)),
        "leu" => both!(|x: f64, y: f64| !(x > y)),
        "gtu" => both!(|x: f64, y: f64| !(x <= y)),
        "geu" => both!(|x: f64, y: f64| !(x < y)),
        "nan" => both!(|x: f64, y: f64| x.is_nan() || y.is_nan()),
        "num" => both!(|x: f64, y: f64| !x.is_nan() && !y.is_nan()),
        _ => return None,
    })
}
