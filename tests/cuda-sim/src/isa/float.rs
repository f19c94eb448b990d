//! f32 and f64: arithmetic, extremes, and the functions that hardware approximates.
//!
//! `.approx` functions are the exact ones here, rounded: real ones differ by an ulp or two. `.ftz`
//! (subnormals are zeros) and `.sat` are instructions of their own, that [`lower`](crate::lower) puts around
//! the others.

#![expect(unsafe_code, reason = "`lanes!` makes handlers, which are unsafe to call")]

use super::lanes::lanes;
use super::rounding::{self, Mode, to_f32};
use super::{Lanes, Opcode};

pub(super) fn select(op: &Opcode<'_>) -> Option<Lanes> {
    match op.ty() {
        "f32" => single(op),
        "f64" => double(op),
        _ => None,
    }
}

/// Subnormals are zeros of the same sign.
pub fn flush(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { 0.0_f32.copysign(x) } else { x }
}

/// Clamps to [0, 1]; NaN becomes 0.
pub fn saturate(x: f32) -> f32 {
    if x > 0.0 { x.min(1.0) } else { 0.0 }
}

/// The handlers of `.ftz` and `.sat`.
pub fn flushing() -> Lanes {
    lanes!(map1<f32 => f32>, flush)
}

/// See [`flushing`].
pub fn saturating(ty: &str) -> Lanes {
    if ty == "f64" {
        lanes!(map1<f64 => f64>, |x: f64| if x > 0.0 { x.min(1.0) } else { 0.0 })
    } else {
        lanes!(map1<f32 => f32>, saturate)
    }
}

/// -0 is below +0, and a NaN loses against a number.
pub(super) fn smaller(x: f32, y: f32) -> f32 {
    if x < y || y.is_nan() {
        x
    } else if y < x || x.is_nan() {
        y
    } else {
        f32::from_bits(x.to_bits() | y.to_bits())
    }
}

pub(super) fn larger(x: f32, y: f32) -> f32 {
    if x > y || y.is_nan() {
        x
    } else if y > x || x.is_nan() {
        y
    } else {
        f32::from_bits(x.to_bits() & y.to_bits())
    }
}

/// `f(x, y)`, or NaN if either is NaN.
fn or_nan(x: f32, y: f32, f: impl Fn(f32, f32) -> f32) -> f32 {
    if x.is_nan() || y.is_nan() { f32::from_bits(0x7fff_ffff) } else { f(x, y) }
}

/// One handler for each direction but the nearest.
macro_rules! directed {
    ($mode:expr, $M:ident => $lanes:expr) => {
        match $mode {
            Mode::Zero => {
                const $M: Mode = Mode::Zero;
                $lanes
            }
            Mode::Down => {
                const $M: Mode = Mode::Down;
                $lanes
            }
            Mode::Up => {
                const $M: Mode = Mode::Up;
                $lanes
            }
            _ => return None,
        }
    };
}

fn single(op: &Opcode<'_>) -> Option<Lanes> {
    let mode = op.rounding().unwrap_or(Mode::Nearest);
    if mode != Mode::Nearest {
        return single_directed(op.name, mode);
    }
    Some(match op.name {
        "add" => lanes!(map2<f32, f32 => f32>, |x, y| x + y),
        "sub" => lanes!(map2<f32, f32 => f32>, |x, y| x - y),
        "mul" => lanes!(map2<f32, f32 => f32>, |x, y| x * y),
        "fma" | "mad" => lanes!(map3<f32, f32, f32 => f32>, |x: f32, y, z| x.mul_add(y, z)),
        "div" => lanes!(map2<f32, f32 => f32>, |x, y| x / y),
        "rcp" => lanes!(map1<f32 => f32>, |x| 1.0 / x),
        "sqrt" => lanes!(map1<f32 => f32>, |x: f32| x.sqrt()),
        // In f64, so that only the result is rounded.
        "rsqrt" => lanes!(map1<f32 => f32>, |x: f32| (1.0 / f64::from(x).sqrt()) as f32),
        "min" if op.has("NaN") => lanes!(map2<f32, f32 => f32>, |x, y| or_nan(x, y, smaller)),
        "max" if op.has("NaN") => lanes!(map2<f32, f32 => f32>, |x, y| or_nan(x, y, larger)),
        "min" if !op.has("xorsign") => lanes!(map2<f32, f32 => f32>, smaller),
        "max" if !op.has("xorsign") => lanes!(map2<f32, f32 => f32>, larger),
        "neg" => lanes!(map1<f32 => f32>, |x: f32| -x),
        "abs" => lanes!(map1<f32 => f32>, |x: f32| x.abs()),
        "copysign" => lanes!(map2<f32, f32 => f32>, |sign: f32, x: f32| x.copysign(sign)),
        "ex2" => lanes!(map1<f32 => f32>, |x: f32| x.exp2()),
        "lg2" => lanes!(map1<f32 => f32>, |x: f32| x.log2()),
        "sin" => lanes!(map1<f32 => f32>, |x: f32| x.sin()),
        "cos" => lanes!(map1<f32 => f32>, |x: f32| x.cos()),
        "tanh" => lanes!(map1<f32 => f32>, |x: f32| x.tanh()),
        _ => return None,
    })
}

fn single_directed(name: &str, mode: Mode) -> Option<Lanes> {
    fn wide(x: f32) -> f64 {
        f64::from(x)
    }
    Some(match name {
        "add" => {
            directed!(mode, M => lanes!(map2<f32, f32 => f32>, |x, y| {
                to_f32(rounding::sum_towards(wide(x), wide(y), M), M)
            }))
        }
        "sub" => {
            directed!(mode, M => lanes!(map2<f32, f32 => f32>, |x, y: f32| {
                to_f32(rounding::sum_towards(wide(x), wide(-y), M), M)
            }))
        }
        "mul" => directed!(mode, M => lanes!(map2<f32, f32 => f32>, |x, y| to_f32(wide(x) * wide(y), M))),
        "fma" | "mad" => directed!(mode, M => lanes!(map3<f32, f32, f32 => f32>, |x, y, z| {
            to_f32(rounding::sum_towards(wide(x) * wide(y), wide(z), M), M)
        })),
        "div" => {
            directed!(mode, M => lanes!(map2<f32, f32 => f32>, |x, y| {
                to_f32(rounding::quotient(wide(x), wide(y)), M)
            }))
        }
        "rcp" => {
            directed!(mode, M => lanes!(map1<f32 => f32>, |x| to_f32(rounding::quotient(1.0, wide(x)), M)))
        }
        "sqrt" => directed!(mode, M => lanes!(map1<f32 => f32>, |x| to_f32(rounding::root(wide(x)), M))),
        _ => return None,
    })
}

fn double(op: &Opcode<'_>) -> Option<Lanes> {
    let mode = op.rounding().unwrap_or(Mode::Nearest);
    if mode != Mode::Nearest {
        return Some(match op.name {
            "add" => directed!(mode, M => lanes!(map2<f64, f64 => f64>, |x, y| rounding::sum_f64(x, y, M))),
            "sub" => {
                directed!(mode, M => lanes!(map2<f64, f64 => f64>, |x, y: f64| rounding::sum_f64(x, -y, M)))
            }
            "mul" => {
                directed!(mode, M => lanes!(map2<f64, f64 => f64>, |x, y| rounding::product_f64(x, y, M)))
            }
            _ => return None,
        });
    }
    Some(match op.name {
        "add" => lanes!(map2<f64, f64 => f64>, |x, y| x + y),
        "sub" => lanes!(map2<f64, f64 => f64>, |x, y| x - y),
        "mul" => lanes!(map2<f64, f64 => f64>, |x, y| x * y),
        "fma" | "mad" => lanes!(map3<f64, f64, f64 => f64>, |x: f64, y, z| x.mul_add(y, z)),
        "div" => lanes!(map2<f64, f64 => f64>, |x, y| x / y),
        "rcp" => lanes!(map1<f64 => f64>, |x| 1.0 / x),
        "rsqrt" => lanes!(map1<f64 => f64>, |x: f64| 1.0 / x.sqrt()),
        "sqrt" => lanes!(map1<f64 => f64>, |x: f64| x.sqrt()),
        "min" => lanes!(map2<f64, f64 => f64>, |x: f64, y: f64| {
            if x == y { f64::from_bits(x.to_bits() | y.to_bits()) } else { x.min(y) }
        }),
        "max" => lanes!(map2<f64, f64 => f64>, |x: f64, y: f64| {
            if x == y { f64::from_bits(x.to_bits() & y.to_bits()) } else { x.max(y) }
        }),
        "neg" => lanes!(map1<f64 => f64>, |x: f64| -x),
        "abs" => lanes!(map1<f64 => f64>, |x: f64| x.abs()),
        "copysign" => lanes!(map2<f64, f64 => f64>, |sign: f64, x: f64| x.copysign(sign)),
        _ => return None,
    })
}
