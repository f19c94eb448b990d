//! Integers: sums, products, quotients, extremes. All wrap around, as PTX says, unless they have `.sat`.
//!
//! 16-bit registers are rows of 32 bits with zeros above; what is signed is extended where it is read.

#![expect(unsafe_code, reason = "`lanes!` makes handlers, which are unsafe to call")]

use super::lanes::lanes;
use super::{Lanes, Opcode};

/// Low 16 bits of a wrapped result.
fn low16(x: u32) -> u32 {
    x & 0xffff
}

fn s16(x: u32) -> i32 {
    i32::from(x as u16 as i16)
}

pub(super) fn select(op: &Opcode<'_>) -> Option<Lanes> {
    match op.name {
        "add" | "sub" => sum(op),
        "mul" => product(op),
        "mad" => multiply_add(op),
        "mul24" | "mad24" => product_of_24_bits(op),
        "div" | "rem" => quotient(op),
        "min" | "max" => extreme(op),
        "neg" | "abs" => sign(op),
        "sad" => Some(match op.ty() {
            "u32" => lanes!(map3<u32, u32, u32 => u32>, |a: u32, b, c| a.abs_diff(b).wrapping_add(c)),
            "s32" => lanes!(map3<i32, i32, u32 => u32>, |a: i32, b, c| a.abs_diff(b).wrapping_add(c)),
            _ => return None,
        }),
        "dp4a" | "dp2a" => dot(op),
        _ => None,
    }
}

fn sum(op: &Opcode<'_>) -> Option<Lanes> {
    Some(match (op.name, op.ty()) {
        ("add", "s32") if op.has("sat") => lanes!(map2<i32, i32 => i32>, |x: i32, y| x.saturating_add(y)),
        ("sub", "s32") if op.has("sat") => lanes!(map2<i32, i32 => i32>, |x: i32, y| x.saturating_sub(y)),
        ("add", "u16" | "s16") => lanes!(map2<u32, u32 => u32>, |x: u32, y| low16(x.wrapping_add(y))),
        ("sub", "u16" | "s16") => lanes!(map2<u32, u32 => u32>, |x: u32, y| low16(x.wrapping_sub(y))),
        ("add", "u32" | "s32") => lanes!(map2<u32, u32 => u32>, |x: u32, y| x.wrapping_add(y)),
        ("sub", "u32" | "s32") => lanes!(map2<u32, u32 => u32>, |x: u32, y| x.wrapping_sub(y)),
        ("add", "u64" | "s64") => lanes!(map2<u64, u64 => u64>, |x: u64, y| x.wrapping_add(y)),
        ("sub", "u64" | "s64") => lanes!(map2<u64, u64 => u64>, |x: u64, y| x.wrapping_sub(y)),
        _ => return None,
    })
}

fn product(op: &Opcode<'_>) -> Option<Lanes> {
    let kind = op.modifiers().next()?;
    Some(match (kind, op.ty()) {
        ("lo", "u16" | "s16") => lanes!(map2<u32, u32 => u32>, |x: u32, y| low16(x.wrapping_mul(y))),
        ("lo", "u32" | "s32") => lanes!(map2<u32, u32 => u32>, |x: u32, y| x.wrapping_mul(y)),
        ("lo", "u64" | "s64") => lanes!(map2<u64, u64 => u64>, |x: u64, y| x.wrapping_mul(y)),
        ("hi", "u16") => lanes!(map2<u32, u32 => u32>, |x: u32, y: u32| low16(low16(x) * low16(y) >> 16)),
        ("hi", "s16") => lanes!(map2<u32, u32 => u32>, |x, y| low16((s16(x) * s16(y) >> 16) as u32)),
        ("hi", "u32") => lanes!(map2<u32, u32 => u32>, high_u32),
        ("hi", "s32") => lanes!(map2<u32, u32 => u32>, high_s32),
        ("hi", "u64") => lanes!(map2<u64, u64 => u64>, high_u64),
        ("hi", "s64") => lanes!(map2<u64, u64 => u64>, high_s64),
        ("wide", "u16") => lanes!(map2<u32, u32 => u32>, |x, y| low16(x) * low16(y)),
        ("wide", "s16") => lanes!(map2<u32, u32 => i32>, |x, y| s16(x) * s16(y)),
        ("wide", "u32") => lanes!(map2<u32, u32 => u64>, |x, y| u64::from(x) * u64::from(y)),
        ("wide", "s32") => lanes!(map2<i32, i32 => i64>, |x, y| i64::from(x) * i64::from(y)),
        _ => return None,
    })
}

fn multiply_add(op: &Opcode<'_>) -> Option<Lanes> {
    let kind = op.modifiers().next()?;
    Some(match (kind, op.ty()) {
        ("lo", "u16" | "s16") => {
            lanes!(map3<u32, u32, u32 => u32>, |x: u32, y, z| low16(x.wrapping_mul(y).wrapping_add(z)))
        }
        ("lo", "u32" | "s32") => {
            lanes!(map3<u32, u32, u32 => u32>, |x: u32, y, z| x.wrapping_mul(y).wrapping_add(z))
        }
        ("lo", "u64" | "s64") => {
            lanes!(map3<u64, u64, u64 => u64>, |x: u64, y, z| x.wrapping_mul(y).wrapping_add(z))
        }
        ("hi", "s32") if op.has("sat") => {
            lanes!(map3<u32, u32, u32 => i32>, |x, y, z| (high_s32(x, y) as i32).saturating_add(z as i32))
        }
        ("hi", "u32") => lanes!(map3<u32, u32, u32 => u32>, |x, y, z| high_u32(x, y).wrapping_add(z)),
        ("hi", "s32") => lanes!(map3<u32, u32, u32 => u32>, |x, y, z| high_s32(x, y).wrapping_add(z)),
        ("hi", "u64") => lanes!(map3<u64, u64, u64 => u64>, |x, y, z| high_u64(x, y).wrapping_add(z)),
        ("hi", "s64") => lanes!(map3<u64, u64, u64 => u64>, |x, y, z| high_s64(x, y).wrapping_add(z)),
        ("wide", "u16") => {
            lanes!(map3<u32, u32, u32 => u32>, |x, y, z| (low16(x) * low16(y)).wrapping_add(z))
        }
        ("wide", "s16") => {
            lanes!(map3<u32, u32, u32 => u32>, |x, y, z| ((s16(x) * s16(y)) as u32).wrapping_add(z))
        }
        ("wide", "u32") => {
            lanes!(map3<u32, u32, u64 => u64>, |x, y, z: u64| (u64::from(x) * u64::from(y)).wrapping_add(z))
        }
        ("wide", "s32") => {
            lanes!(map3<i32, i32, i64 => i64>, |x, y, z: i64| (i64::from(x) * i64::from(y)).wrapping_add(z))
        }
        _ => return None,
    })
}

fn high_u32(x: u32, y: u32) -> u32 {
    (u64::from(x) * u64::from(y) >> 32) as u32
}

fn high_s32(x: u32, y: u32) -> u32 {
    (i64::from(x as i32) * i64::from(y as i32) >> 32) as u32
}

fn high_u64(x: u64, y: u64) -> u64 {
    (u128::from(x) * u128::from(y) >> 64) as u64
}

fn high_s64(x: u64, y: u64) -> u64 {
    (i128::from(x as i64) * i128::from(y as i64) >> 64) as u64
}

fn u24(x: u32) -> u32 {
    x & 0xff_ffff
}

fn s24(x: u32) -> i32 {
    (x << 8) as i32 >> 8
}

fn product_of_24_bits(op: &Opcode<'_>) -> Option<Lanes> {
    Some(match (op.name, op.modifiers().next()?, op.ty()) {
        ("mul24", "lo", "u32") => lanes!(map2<u32, u32 => u32>, |x, y| u24(x).wrapping_mul(u24(y))),
        ("mul24", "lo", "s32") => lanes!(map2<u32, u32 => i32>, |x, y| s24(x).wrapping_mul(s24(y))),
        ("mad24", "lo", "u32") => {
            lanes!(map3<u32, u32, u32 => u32>, |x, y, z| u24(x).wrapping_mul(u24(y)).wrapping_add(z))
        }
        ("mad24", "lo", "s32") => {
            lanes!(map3<u32, u32, i32 => i32>, |x, y, z| s24(x).wrapping_mul(s24(y)).wrapping_add(z))
        }
        _ => return None,
    })
}

/// Division by zero has an unspecified result in PTX, and must not stop a lane that is not even active: all
/// bits set.
fn quotient(op: &Opcode<'_>) -> Option<Lanes> {
    Some(match (op.name, op.ty()) {
        ("div", "u16") => {
            lanes!(map2<u32, u32 => u32>, |x, y| low16(low16(x).checked_div(low16(y)).unwrap_or(u32::MAX)))
        }
        ("div", "s16") => lanes!(map2<u32, u32 => u32>, |x, y| low16(if s16(y) == 0 {
            u32::MAX
        } else {
            s16(x).wrapping_div(s16(y)) as u32
        })),
        ("div", "u32") => lanes!(map2<u32, u32 => u32>, |x: u32, y| x.checked_div(y).unwrap_or(u32::MAX)),
        ("div", "s32") => {
            lanes!(map2<i32, i32 => i32>, |x: i32, y| if y == 0 { -1 } else { x.wrapping_div(y) })
        }
        ("div", "u64") => lanes!(map2<u64, u64 => u64>, |x: u64, y| x.checked_div(y).unwrap_or(u64::MAX)),
        ("div", "s64") => {
            lanes!(map2<i64, i64 => i64>, |x: i64, y| if y == 0 { -1 } else { x.wrapping_div(y) })
        }
        ("rem", "u16") => {
            lanes!(map2<u32, u32 => u32>, |x, y| low16(low16(x).checked_rem(low16(y)).unwrap_or(x)))
        }
        ("rem", "s16") => lanes!(map2<u32, u32 => u32>, |x, y| low16(if s16(y) == 0 {
            x
        } else {
            s16(x).wrapping_rem(s16(y)) as u32
        })),
        ("rem", "u32") => lanes!(map2<u32, u32 => u32>, |x: u32, y| x.checked_rem(y).unwrap_or(x)),
        ("rem", "s32") => {
            lanes!(map2<i32, i32 => i32>, |x: i32, y| if y == 0 { x } else { x.wrapping_rem(y) })
        }
        ("rem", "u64") => lanes!(map2<u64, u64 => u64>, |x: u64, y| x.checked_rem(y).unwrap_or(x)),
        ("rem", "s64") => {
            lanes!(map2<i64, i64 => i64>, |x: i64, y| if y == 0 { x } else { x.wrapping_rem(y) })
        }
        _ => return None,
    })
}

fn extreme(op: &Opcode<'_>) -> Option<Lanes> {
    Some(match (op.name, op.ty()) {
        ("min", "u16") => lanes!(map2<u32, u32 => u32>, |x, y| low16(x).min(low16(y))),
        ("max", "u16") => lanes!(map2<u32, u32 => u32>, |x, y| low16(x).max(low16(y))),
        ("min", "s16") => lanes!(map2<u32, u32 => u32>, |x, y| low16(s16(x).min(s16(y)) as u32)),
        ("max", "s16") => lanes!(map2<u32, u32 => u32>, |x, y| low16(s16(x).max(s16(y)) as u32)),
        ("min", "u32") => lanes!(map2<u32, u32 => u32>, |x: u32, y| x.min(y)),
        ("max", "u32") => lanes!(map2<u32, u32 => u32>, |x: u32, y| x.max(y)),
        ("min", "s32") if op.has("relu") => lanes!(map2<i32, i32 => i32>, |x: i32, y| x.min(y).max(0)),
        ("max", "s32") if op.has("relu") => lanes!(map2<i32, i32 => i32>, |x: i32, y| x.max(y).max(0)),
        ("min", "s32") => lanes!(map2<i32, i32 => i32>, |x: i32, y| x.min(y)),
        ("max", "s32") => lanes!(map2<i32, i32 => i32>, |x: i32, y| x.max(y)),
        ("min", "u64") => lanes!(map2<u64, u64 => u64>, |x: u64, y| x.min(y)),
        ("max", "u64") => lanes!(map2<u64, u64 => u64>, |x: u64, y| x.max(y)),
        ("min", "s64") => lanes!(map2<i64, i64 => i64>, |x: i64, y| x.min(y)),
        ("max", "s64") => lanes!(map2<i64, i64 => i64>, |x: i64, y| x.max(y)),
        _ => return None,
    })
}

fn sign(op: &Opcode<'_>) -> Option<Lanes> {
    Some(match (op.name, op.ty()) {
        ("neg", "s16") => lanes!(map1<u32 => u32>, |x: u32| low16(x.wrapping_neg())),
        ("neg", "s32") => lanes!(map1<u32 => u32>, |x: u32| x.wrapping_neg()),
        ("neg", "s64") => lanes!(map1<u64 => u64>, |x: u64| x.wrapping_neg()),
        ("abs", "s16") => lanes!(map1<u32 => u32>, |x| low16(s16(x).unsigned_abs())),
        ("abs", "s32") => lanes!(map1<i32 => i32>, |x: i32| x.wrapping_abs()),
        ("abs", "s64") => lanes!(map1<i64 => i64>, |x: i64| x.wrapping_abs()),
        _ => return None,
    })
}

/// Byte `i` of `x`.
fn byte(x: u32, i: u32, signed: bool) -> i32 {
    let byte = (x >> (8 * i)) as u8;
    if signed { i32::from(byte as i8) } else { i32::from(byte) }
}

fn half(x: u32, i: u32, signed: bool) -> i32 {
    let half = (x >> (16 * i)) as u16;
    if signed { i32::from(half as i16) } else { i32::from(half) }
}

fn dot4(a: u32, b: u32, c: u32, a_signed: bool, b_signed: bool) -> u32 {
    (0..4).fold(c, |sum, i| sum.wrapping_add((byte(a, i, a_signed) * byte(b, i, b_signed)) as u32))
}

/// Two halves of `a` by bytes of `b`, from byte `from` on.
fn dot2(a: u32, b: u32, c: u32, from: u32, a_signed: bool, b_signed: bool) -> u32 {
    (0..2).fold(c, |sum, i| {
        sum.wrapping_add(half(a, i, a_signed).wrapping_mul(byte(b, from + i, b_signed)) as u32)
    })
}

fn dot(op: &Opcode<'_>) -> Option<Lanes> {
    let mut types = op.modifiers().rev();
    let (b, a) = (types.next()?, types.next()?);
    let half = types.next().unwrap_or("");
    macro_rules! signs {
        ($f:expr) => {
            match (a, b) {
                ("u32", "u32") => lanes!(map3<u32, u32, u32 => u32>, |a, b, c| $f(a, b, c, false, false)),
                ("u32", "s32") => lanes!(map3<u32, u32, u32 => u32>, |a, b, c| $f(a, b, c, false, true)),
                ("s32", "u32") => lanes!(map3<u32, u32, u32 => u32>, |a, b, c| $f(a, b, c, true, false)),
                ("s32", "s32") => lanes!(map3<u32, u32, u32 => u32>, |a, b, c| $f(a, b, c, true, true)),
                _ => return None,
            }
        };
    }
    Some(match (op.name, half) {
        ("dp4a", _) => signs!(dot4),
        ("dp2a", "lo") => signs!(|a, b, c, p, q| dot2(a, b, c, 0, p, q)),
        ("dp2a", "hi") => signs!(|a, b, c, p, q| dot2(a, b, c, 2, p, q)),
        _ => return None,
    })
}
