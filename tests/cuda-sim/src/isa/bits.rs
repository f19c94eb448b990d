//! Bits: logic, shifts, fields, permutations, moves.

#![expect(unsafe_code, reason = "`lanes!` makes handlers, which are unsafe to call")]

use super::lanes::{combine, lanes};
use super::{Lanes, Opcode};
use crate::ptx::Class;

pub(super) fn select(op: &Opcode<'_>) -> Option<Lanes> {
    match op.name {
        "and" | "or" | "xor" | "not" | "cnot" | "mov" => logic(op),
        "shl" | "shr" | "shf" => shift(op),
        "bfe" | "bfi" | "bfind" | "bmsk" | "szext" => field(op),
        "popc" | "clz" | "brev" => count(op),
        "prmt" => permutation(op),
        "lop3" => Some(lanes!(map4<u32, u32, u32, u32 => u32>, lookup)),
        _ => None,
    }
}

fn logic(op: &Opcode<'_>) -> Option<Lanes> {
    let width = match op.ty() {
        "pred" => return predicate(op.name),
        "b16" | "b32" | "u16" | "s16" | "u32" | "s32" | "f32" | "f16" | "bf16" | "f16x2" | "bf16x2" => 32,
        "b64" | "u64" | "s64" | "f64" => 64,
        _ => return None,
    };
    Some(match (op.name, width) {
        ("and", 32) => lanes!(map2<u32, u32 => u32>, |x, y| x & y),
        ("and", _) => lanes!(map2<u64, u64 => u64>, |x, y| x & y),
        ("or", 32) => lanes!(map2<u32, u32 => u32>, |x, y| x | y),
        ("or", _) => lanes!(map2<u64, u64 => u64>, |x, y| x | y),
        ("xor", 32) => lanes!(map2<u32, u32 => u32>, |x, y| x ^ y),
        ("xor", _) => lanes!(map2<u64, u64 => u64>, |x, y| x ^ y),
        ("not", _) if op.ty() == "b16" => lanes!(map1<u32 => u32>, |x: u32| !x & 0xffff),
        ("not", 32) => lanes!(map1<u32 => u32>, |x: u32| !x),
        ("not", _) => lanes!(map1<u64 => u64>, |x: u64| !x),
        ("cnot", 32) => lanes!(map1<u32 => u32>, |x| u32::from(x == 0)),
        ("cnot", _) => lanes!(map1<u64 => u64>, |x| u64::from(x == 0)),
        (_, 32) => lanes!(map1<u32 => u32>, |x| x),
        _ => lanes!(map1<u64 => u64>, |x| x),
    })
}

/// Predicates are bit masks: what holds for a bit holds for all lanes.
fn predicate(name: &str) -> Option<Lanes> {
    macro_rules! masks {
        ($sources:expr, $f:expr) => {{
            unsafe fn run(rows: *mut u8, r: &[u32; 5], mask: u32) {
                // SAFETY: as promised by the caller.
                unsafe { combine(rows, r, mask, $f) }
            }
            Lanes { run: [run, run], destination: Class::Predicate, sources: $sources }
        }};
    }
    const ONE: &[Class] = &[Class::Predicate];
    const TWO: &[Class] = &[Class::Predicate, Class::Predicate];
    Some(match name {
        "and" => masks!(TWO, |x, y| x & y),
        "or" => masks!(TWO, |x, y| x | y),
        "xor" => masks!(TWO, |x, y| x ^ y),
        "not" => masks!(ONE, |x, _| !x),
        "mov" => masks!(ONE, |x, _| x),
        _ => return None,
    })
}

/// Shifts by more than the width give 0, or copies of the sign.
fn shift(op: &Opcode<'_>) -> Option<Lanes> {
    if op.name == "shf" {
        return funnel(op);
    }
    Some(match (op.name, op.ty()) {
        ("shl", "b16") => {
            lanes!(map2<u32, u32 => u32>, |x: u32, n| if n < 16 { x << (n & 15) & 0xffff } else { 0 })
        }
        ("shl", "b32") => lanes!(map2<u32, u32 => u32>, |x: u32, n| if n < 32 { x << (n & 31) } else { 0 }),
        ("shl", "b64") => lanes!(map2<u64, u32 => u64>, |x: u64, n| if n < 64 { x << (n & 63) } else { 0 }),
        ("shr", "b16" | "u16") => {
            lanes!(map2<u32, u32 => u32>, |x: u32, n| if n < 16 { (x & 0xffff) >> (n & 15) } else { 0 })
        }
        ("shr", "s16") => lanes!(map2<u32, u32 => u32>, |x: u32, n: u32| {
            (i32::from(x as u16 as i16) >> n.min(15)) as u32 & 0xffff
        }),
        ("shr", "b32" | "u32") => {
            lanes!(map2<u32, u32 => u32>, |x: u32, n| if n < 32 { x >> (n & 31) } else { 0 })
        }
        ("shr", "s32") => lanes!(map2<i32, u32 => i32>, |x: i32, n: u32| x >> n.min(31)),
        ("shr", "b64" | "u64") => {
            lanes!(map2<u64, u32 => u64>, |x: u64, n| if n < 64 { x >> (n & 63) } else { 0 })
        }
        ("shr", "s64") => lanes!(map2<i64, u32 => i64>, |x: i64, n: u32| x >> n.min(63)),
        _ => return None,
    })
}

fn funnel(op: &Opcode<'_>) -> Option<Lanes> {
    fn pair(low: u32, high: u32) -> u64 {
        u64::from(high) << 32 | u64::from(low)
    }
    Some(match (op.modifiers().next()?, op.has("clamp")) {
        ("l", false) => {
            lanes!(map3<u32, u32, u32 => u32>, |a, b, n: u32| (pair(a, b) << (n & 31) >> 32) as u32)
        }
        ("l", true) => {
            lanes!(map3<u32, u32, u32 => u32>, |a, b, n: u32| (pair(a, b) << n.min(32) >> 32) as u32)
        }
        ("r", false) => lanes!(map3<u32, u32, u32 => u32>, |a, b, n: u32| (pair(a, b) >> (n & 31)) as u32),
        ("r", true) => lanes!(map3<u32, u32, u32 => u32>, |a, b, n: u32| (pair(a, b) >> n.min(32)) as u32),
        _ => return None,
    })
}

/// `len` bits of `x` from `from` on, with `width` bits in all; signed ones are extended by the highest bit of
/// the field.
fn extract(x: u64, from: u32, len: u32, width: u32, signed: bool) -> u64 {
    let (from, len) = (from & 0xff, len & 0xff);
    if len == 0 {
        return 0;
    }
    let sign_at = from.saturating_add(len - 1).min(width - 1);
    let sign = signed && x >> sign_at & 1 != 0;
    let kept = if from < width { x >> from } else { 0 };
    let field = if len >= 64 { u64::MAX } else { (1 << len) - 1 };
    // Above the number there is the sign too.
    let there = if from < width { u64::MAX >> (64 - width) >> from } else { 0 } & field;
    let value = kept & there;
    if sign { value | !there } else { value }
}

fn insert(field: u64, into: u64, at: u32, len: u32, width: u32) -> u64 {
    let (at, len) = (at & 0xff, len & 0xff);
    if at >= width || len == 0 {
        return into;
    }
    let ones = if len >= 64 { u64::MAX } else { (1 << len) - 1 };
    let mask = ones << at;
    into & !mask | field << at & mask
}

/// Position of the highest bit that differs from the sign, or all ones.
fn find(x: u64, width: u32, signed: bool, as_shift: bool) -> u32 {
    let x = if signed && x >> (width - 1) & 1 != 0 { !x } else { x } & u64::MAX >> (64 - width);
    if x == 0 {
        return u32::MAX;
    }
    let at = 63 - x.leading_zeros();
    if as_shift { width - 1 - at } else { at }
}

fn field(op: &Opcode<'_>) -> Option<Lanes> {
    Some(match (op.name, op.ty(), op.has("shiftamt")) {
        ("bfe", "u32", _) => {
            lanes!(map3<u32, u32, u32 => u32>, |x, from, len| {
                extract(u64::from(x), from, len, 32, false) as u32
            })
        }
        ("bfe", "s32", _) => {
            lanes!(map3<u32, u32, u32 => u32>, |x, from, len| {
                extract(u64::from(x), from, len, 32, true) as u32
            })
        }
        ("bfe", "u64", _) => {
            lanes!(map3<u64, u32, u32 => u64>, |x, from, len| extract(x, from, len, 64, false))
        }
        ("bfe", "s64", _) => {
            lanes!(map3<u64, u32, u32 => u64>, |x, from, len| extract(x, from, len, 64, true))
        }
        ("bfi", "b32", _) => lanes!(map4<u32, u32, u32, u32 => u32>, |field, into, at, len| {
            insert(u64::from(field), u64::from(into), at, len, 32) as u32
        }),
        ("bfi", "b64", _) => {
            lanes!(map4<u64, u64, u32, u32 => u64>, |f, into, at, len| insert(f, into, at, len, 64))
        }
        ("bfind", "u32", false) => lanes!(map1<u32 => u32>, |x| find(u64::from(x), 32, false, false)),
        ("bfind", "u32", true) => lanes!(map1<u32 => u32>, |x| find(u64::from(x), 32, false, true)),
        ("bfind", "s32", false) => lanes!(map1<u32 => u32>, |x| find(u64::from(x), 32, true, false)),
        ("bfind", "s32", true) => lanes!(map1<u32 => u32>, |x| find(u64::from(x), 32, true, true)),
        ("bfind", "u64", false) => lanes!(map1<u64 => u32>, |x| find(x, 64, false, false)),
        ("bfind", "u64", true) => lanes!(map1<u64 => u32>, |x| find(x, 64, false, true)),
        ("bfind", "s64", false) => lanes!(map1<u64 => u32>, |x| find(x, 64, true, false)),
        ("bfind", "s64", true) => lanes!(map1<u64 => u32>, |x| find(x, 64, true, true)),
        ("bmsk", "b32", _) if op.has("clamp") => lanes!(map2<u32, u32 => u32>, |at: u32, len: u32| {
            let ones = u64::MAX.checked_shr(64 - len.min(32)).unwrap_or(0);
            if at < 32 { (ones << at) as u32 } else { 0 }
        }),
        ("szext", "u32", _) if op.has("clamp") => lanes!(map2<u32, u32 => u32>, |x: u32, len: u32| {
            if len >= 32 { x } else { x & ((1 << len) - 1) }
        }),
        _ => return None,
    })
}

fn count(op: &Opcode<'_>) -> Option<Lanes> {
    Some(match (op.name, op.ty()) {
        ("popc", "b32") => lanes!(map1<u32 => u32>, |x: u32| x.count_ones()),
        ("popc", "b64") => lanes!(map1<u64 => u32>, |x: u64| x.count_ones()),
        ("clz", "b32") => lanes!(map1<u32 => u32>, |x: u32| x.leading_zeros()),
        ("clz", "b64") => lanes!(map1<u64 => u32>, |x: u64| x.leading_zeros()),
        ("brev", "b32") => lanes!(map1<u32 => u32>, |x: u32| x.reverse_bits()),
        ("brev", "b64") => lanes!(map1<u64 => u64>, |x: u64| x.reverse_bits()),
        _ => return None,
    })
}

/// Four of eight bytes by the nibbles of a selector, whose highest bit replicates the byte's sign.
fn permute(a: u32, b: u32, selector: u32) -> u32 {
    let bytes = u64::from(b) << 32 | u64::from(a);
    (0..4).fold(0, |result, i| {
        let nibble = selector >> (4 * i) & 15;
        let byte = (bytes >> (8 * (nibble & 7))) as u8;
        let byte = if nibble & 8 != 0 { (byte as i8 >> 7) as u8 } else { byte };
        result | u32::from(byte) << (8 * i)
    })
}

fn permutation(op: &Opcode<'_>) -> Option<Lanes> {
    macro_rules! by_selector {
        ($selectors:expr) => {
            lanes!(map3<u32, u32, u32 => u32>, |a, b, n| permute(a, b, $selectors[n as usize & 3]))
        };
    }
    Some(match op.modifiers().nth(1).unwrap_or("") {
        "" => lanes!(map3<u32, u32, u32 => u32>, permute),
        "f4e" => {
            by_selector!([0x3210, 0x4321, 0x5432, 0x6543])
        }
        "b4e" => {
            by_selector!([0x5670, 0x6701, 0x7012, 0x0123])
        }
        "rc8" => {
            by_selector!([0x0000, 0x1111, 0x2222, 0x3333])
        }
        "ecl" => {
            by_selector!([0x3210, 0x3211, 0x3222, 0x3333])
        }
        "ecr" => {
            by_selector!([0x0000, 0x1110, 0x2210, 0x3210])
        }
        "rc16" => {
            by_selector!([0x1010, 0x3232, 0x1010, 0x3232])
        }
        _ => return None,
    })
}

/// Any function of three bits, by its table.
fn lookup(a: u32, b: u32, c: u32, table: u32) -> u32 {
    (0..8).filter(|i| table >> i & 1 != 0).fold(0, |result, i| {
        let side = |x: u32, bit: u32| if i >> bit & 1 != 0 { x } else { !x };
        result | side(a, 2) & side(b, 1) & side(c, 0)
    })
}
