//! Catches wrong logic, shifts, bit fields and byte permutations.

use super::{check, four, one, three, two};

#[test]
fn logic_and_counts() {
    let mut cases = Vec::new();
    macro_rules! of {
        ($($name:literal $ty:ty;)*) => {$(
            cases.push(two(concat!("and.", $name), |x: $ty, y: $ty| x & y));
            cases.push(two(concat!("or.", $name), |x: $ty, y: $ty| x | y));
            cases.push(two(concat!("xor.", $name), |x: $ty, y: $ty| x ^ y));
            cases.push(one(concat!("not.", $name), |x: $ty| !x));
            cases.push(one(concat!("cnot.", $name), |x: $ty| <$ty>::from(x == 0)));
            cases.push(one(concat!("mov.", $name), |x: $ty| x));
        )*};
    }
    of!("b16" u16; "b32" u32; "b64" u64;);
    cases.push(two("and.pred", |x: bool, y: bool| x && y));
    cases.push(two("or.pred", |x: bool, y: bool| x || y));
    cases.push(two("xor.pred", |x: bool, y: bool| x != y));
    cases.push(one("not.pred", |x: bool| !x));
    cases.push(one("popc.b32", |x: u32| (0..32).filter(|i| x >> i & 1 != 0).count() as u32));
    cases.push(one("popc.b64", |x: u64| (0..64).filter(|i| x >> i & 1 != 0).count() as u32));
    cases.push(one("clz.b32", |x: u32| (0..32).rev().take_while(|i| x >> i & 1 == 0).count() as u32));
    cases.push(one("clz.b64", |x: u64| (0..64).rev().take_while(|i| x >> i & 1 == 0).count() as u32));
    cases.push(one("brev.b32", |x: u32| (0..32).fold(0_u32, |sum, i| sum | (x >> i & 1) << (31 - i))));
    cases.push(one("brev.b64", |x: u64| (0..64).fold(0_u64, |sum, i| sum | (x >> i & 1) << (63 - i))));
    for table in [0x00_u32, 0x96, 0xe8, 0xca, 0xfe, 0xff, 0x01, 0x6a] {
        cases.push(three(
            format!("lop3.b32 %w0, %w1, %w2, %w3, {table}; //"),
            move |a: u32, b: u32, c: u32| {
                (0..32).fold(0_u32, |sum, i| {
                    let at = (a >> i & 1) << 2 | (b >> i & 1) << 1 | c >> i & 1;
                    sum | (table >> at & 1) << i
                })
            },
        ));
    }
    check(&cases);
}

#[test]
fn shifts_beyond_the_width() {
    let by = |n: u32, width: u32| if n >= width { None } else { Some(n) };
    let mut cases = vec![
        two("shl.b16", move |x: u16, n: u32| by(n, 16).map_or(0, |n| x << n)),
        two("shl.b32", move |x: u32, n: u32| by(n, 32).map_or(0, |n| x << n)),
        two("shl.b64", move |x: u64, n: u32| by(n, 64).map_or(0, |n| x << n)),
        two("shr.u16", move |x: u16, n: u32| by(n, 16).map_or(0, |n| x >> n)),
        two("shr.u32", move |x: u32, n: u32| by(n, 32).map_or(0, |n| x >> n)),
        two("shr.u64", move |x: u64, n: u32| by(n, 64).map_or(0, |n| x >> n)),
        two("shr.s16", move |x: i16, n: u32| by(n, 16).map_or(if x < 0 { -1 } else { 0 }, |n| x >> n)),
        two("shr.s32", move |x: i32, n: u32| by(n, 32).map_or(if x < 0 { -1 } else { 0 }, |n| x >> n)),
        two("shr.s64", move |x: i64, n: u32| by(n, 64).map_or(if x < 0 { -1 } else { 0 }, |n| x >> n)),
    ];
    for (mode, count) in [("wrap", (|n| n % 32) as fn(u32) -> u32), ("clamp", |n| n.min(32))] {
        // The pair is `b` above `a`.
        cases.push(three(format!("shf.l.{mode}.b32"), move |a: u32, b: u32, n: u32| {
            let pair = u128::from(b) << 32 | u128::from(a);
            ((pair << count(n)) >> 32) as u32
        }));
        cases.push(three(format!("shf.r.{mode}.b32"), move |a: u32, b: u32, n: u32| {
            let pair = u128::from(b) << 32 | u128::from(a);
            (pair >> count(n)) as u32
        }));
    }
    check(&cases);
}

/// "PTX ISA", `bfe`: the pseudo code, bit by bit.
fn extract(x: u64, at: u32, len: u32, width: u32, signed: bool) -> u64 {
    let (at, len) = (at & 0xff, len & 0xff);
    let highest = width - 1;
    let sign = if !signed || len == 0 { 0 } else { x >> (at + len - 1).min(highest) & 1 };
    let bit = |i: u32| if i < len && at + i <= highest { x >> (at + i) & 1 } else { sign };
    (0..width).fold(0, |sum, i| sum | bit(i) << i)
}

/// The same of `bfi`.
fn insert(field: u64, into: u64, at: u32, len: u32, width: u32) -> u64 {
    let (at, len) = (at & 0xff, len & 0xff);
    let bit = |i: u32| if i >= at && i < at + len { field >> (i - at) & 1 } else { into >> i & 1 };
    (0..width).fold(0, |sum, i| sum | bit(i) << i)
}

fn highest(x: u64, width: u32, signed: bool) -> Option<u32> {
    let differs = |i: &u32| x >> i & 1 != if signed { x >> (width - 1) & 1 } else { 0 };
    (0..width).rev().find(differs)
}

#[test]
fn fields_of_bits() {
    let mut cases = vec![
        three("bfe.u32", |x: u32, at: u32, len: u32| extract(x.into(), at, len, 32, false) as u32),
        three("bfe.s32", |x: u32, at: u32, len: u32| extract(x.into(), at, len, 32, true) as u32),
        three("bfe.u64", |x: u64, at: u32, len: u32| extract(x, at, len, 64, false)),
        three("bfe.s64", |x: u64, at: u32, len: u32| extract(x, at, len, 64, true)),
        four("bfi.b32", |x: u32, y: u32, at: u32, len: u32| insert(x.into(), y.into(), at, len, 32) as u32),
        four("bfi.b64", |x: u64, y: u64, at: u32, len: u32| insert(x, y, at, len, 64)),
        two("bmsk.clamp.b32", |at: u32, len: u32| {
            (0..32).fold(0_u32, |sum, i| {
                sum | u32::from(i >= at && u64::from(i) < u64::from(at) + u64::from(len)) << i
            })
        }),
    ];
    macro_rules! find {
        ($($name:literal $ty:ty, $signed:literal;)*) => {$(
            let width = <$ty>::BITS;
            let mask = u64::MAX >> (64 - width);
            cases.push(one(concat!("bfind.", $name), move |x: $ty| {
                highest(x as u64 & mask, width, $signed).unwrap_or(u32::MAX)
            }));
            cases.push(one(concat!("bfind.shiftamt.", $name), move |x: $ty| {
                highest(x as u64 & mask, width, $signed).map_or(u32::MAX, |at| width - 1 - at)
            }));
        )*};
    }
    find!("u32" u32, false; "s32" i32, true; "u64" u64, false; "s64" i64, true;);
    check(&cases);
}

#[test]
fn permutations_of_bytes() {
    // "PTX ISA", `prmt`: bytes that each mode takes, by the two low bits of the selector, lowest byte first.
    let modes: [(&str, [[usize; 4]; 4]); 6] = [
        ("f4e", [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5, 6]]),
        ("b4e", [[0, 7, 6, 5], [1, 0, 7, 6], [2, 1, 0, 7], [3, 2, 1, 0]]),
        ("rc8", [[0; 4], [1; 4], [2; 4], [3; 4]]),
        ("ecl", [[0, 1, 2, 3], [1, 1, 2, 3], [2, 2, 2, 3], [3, 3, 3, 3]]),
        ("ecr", [[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 2, 2], [0, 1, 2, 3]]),
        ("rc16", [[0, 1, 0, 1], [2, 3, 2, 3], [0, 1, 0, 1], [2, 3, 2, 3]]),
    ];
    let bytes = |a: u32, b: u32| [a.to_le_bytes(), b.to_le_bytes()].concat();
    let mut cases = vec![three("prmt.b32", move |a: u32, b: u32, selector: u32| {
        let pick = |i: usize| {
            let nibble = (selector >> (4 * i) & 15) as usize;
            let byte = bytes(a, b)[nibble & 7];
            if nibble & 8 == 0 { byte } else { 0_u8.wrapping_sub(byte >> 7) }
        };
        u32::from_le_bytes([pick(0), pick(1), pick(2), pick(3)])
    })];
    for (mode, table) in modes {
        cases.push(three(format!("prmt.b32.{mode}"), move |a: u32, b: u32, selector: u32| {
            u32::from_le_bytes(table[selector as usize & 3].map(|i| bytes(a, b)[i]))
        }));
    }
    check(&cases);
}
