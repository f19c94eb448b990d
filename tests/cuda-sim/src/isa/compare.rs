//! Comparisons and choices.

#![expect(unsafe_code, reason = "`lanes!` makes handlers, which are unsafe to call")]

use super::lanes::{lanes, test};
use super::{Lanes, Opcode};

pub(super) fn select(op: &Opcode<'_>) -> Option<Lanes> {
    match op.name {
        "setp" => setp(op),
        "set" => set(op),
        "selp" => selp(op),
        "slct" => slct(op),
        "testp" => testp(op),
        _ => None,
    }
}

/// The comparison of two numbers by its name, as `$make!(function)`.
macro_rules! ordered {
    ($name:expr, $ty:ty, $make:ident) => {
        match $name {
            "eq" => $make!(|x: $ty, y: $ty| x == y),
            "ne" => $make!(|x: $ty, y: $ty| x < y || x > y),
            "lt" | "lo" => $make!(|x: $ty, y: $ty| x < y),
            "le" | "ls" => $make!(|x: $ty, y: $ty| x <= y),
            "gt" | "hi" => $make!(|x: $ty, y: $ty| x > y),
            "ge" | "hs" => $make!(|x: $ty, y: $ty| x >= y),
            _ => return None,
        }
    };
}

/// The comparisons above, and those that also hold for NaN.
macro_rules! unordered {
    ($name:expr, $ty:ty, $make:ident) => {
        match $name {
            "equ" => $make!(|x: $ty, y: $ty| !(x < y || x > y)),
            "neu" => $make!(|x: $ty, y: $ty| x != y),
            "ltu" => $make!(|x: $ty, y: $ty| !(x >= y)),
            "leu" => $make!(|x: $ty, y: $ty| !(x > y)),
            "gtu" => $make!(|x: $ty, y: $ty| !(x <= y)),
            "geu" => $make!(|x: $ty, y: $ty| !(x < y)),
            "num" => $make!(|x: $ty, y: $ty| !x.is_nan() && !y.is_nan()),
            "nan" => $make!(|x: $ty, y: $ty| x.is_nan() || y.is_nan()),
            name => ordered!(name, $ty, $make),
        }
    };
}

fn setp(op: &Opcode<'_>) -> Option<Lanes> {
    let name = op.modifiers().next()?;
    macro_rules! of_u16 {
        ($f:expr) => {
            test!(test2<u32, u32>, |x, y| ($f)(x as u16, y as u16))
        };
    }
    macro_rules! of_s16 {
        ($f:expr) => {
            test!(test2<u32, u32>, |x, y| ($f)(x as i16, y as i16))
        };
    }
    macro_rules! of_u32 {
        ($f:expr) => {
            test!(test2<u32, u32>, $f)
        };
    }
    macro_rules! of_s32 {
        ($f:expr) => {
            test!(test2<i32, i32>, $f)
        };
    }
    macro_rules! of_u64 {
        ($f:expr) => {
            test!(test2<u64, u64>, $f)
        };
    }
    macro_rules! of_s64 {
        ($f:expr) => {
            test!(test2<i64, i64>, $f)
        };
    }
    macro_rules! of_f32 {
        ($f:expr) => {
            test!(test2<f32, f32>, $f)
        };
    }
    macro_rules! of_f64 {
        ($f:expr) => {
            test!(test2<f64, f64>, $f)
        };
    }
    Some(match op.ty() {
        "b16" | "u16" => ordered!(name, u16, of_u16),
        "s16" => ordered!(name, i16, of_s16),
        "b32" | "u32" => ordered!(name, u32, of_u32),
        "s32" => ordered!(name, i32, of_s32),
        "b64" | "u64" => ordered!(name, u64, of_u64),
        "s64" => ordered!(name, i64, of_s64),
        "f32" => unordered!(name, f32, of_f32),
        "f64" => unordered!(name, f64, of_f64),
        _ => return None,
    })
}

/// All ones or zeros, or 1.0 or 0 if the destination is f32.
fn set(op: &Opcode<'_>) -> Option<Lanes> {
    let types: Vec<_> = op.modifiers().filter(|word| *word != "ftz").collect();
    let &[name, to, from] = types.as_slice() else { return None };
    macro_rules! ones {
        ($ty:ty, $f:expr) => {
            lanes!(map2<$ty, $ty => u32>, |x, y| if ($f)(x, y) { u32::MAX } else { 0 })
        };
    }
    macro_rules! one {
        ($ty:ty, $f:expr) => {
            lanes!(map2<$ty, $ty => f32>, |x, y| if ($f)(x, y) { 1.0 } else { 0.0 })
        };
    }
    macro_rules! s32_ones {
        ($f:expr) => {
            ones!(i32, $f)
        };
    }
    macro_rules! u32_ones {
        ($f:expr) => {
            ones!(u32, $f)
        };
    }
    macro_rules! f32_ones {
        ($f:expr) => {
            ones!(f32, $f)
        };
    }
    macro_rules! s32_one {
        ($f:expr) => {
            one!(i32, $f)
        };
    }
    macro_rules! f32_one {
        ($f:expr) => {
            one!(f32, $f)
        };
    }
    Some(match (to, from) {
        ("u32" | "s32", "s32") => ordered!(name, i32, s32_ones),
        ("u32" | "s32", "u32" | "b32") => ordered!(name, u32, u32_ones),
        ("u32" | "s32", "f32") => unordered!(name, f32, f32_ones),
        ("f32", "s32") => ordered!(name, i32, s32_one),
        ("f32", "f32") => unordered!(name, f32, f32_one),
        _ => return None,
    })
}

fn selp(op: &Opcode<'_>) -> Option<Lanes> {
    use super::lanes::choose;
    use crate::ptx::Class::{Double, Predicate, Word};
    Some(match op.ty() {
        "b16" | "u16" | "s16" | "f16" | "bf16" | "b32" | "u32" | "s32" | "f32" => Lanes {
            run: [choose::<u32>, choose::<u32>],
            destination: Word,
            sources: &[Word, Word, Predicate],
        },
        "b64" | "u64" | "s64" | "f64" => Lanes {
            run: [choose::<u64>, choose::<u64>],
            destination: Double,
            sources: &[Double, Double, Predicate],
        },
        _ => return None,
    })
}

/// The first if the third is not negative.
fn slct(op: &Opcode<'_>) -> Option<Lanes> {
    let mut types = op.modifiers().rev();
    let (from, to) = (types.next()?, types.next()?);
    let double = matches!(to, "b64" | "u64" | "s64" | "f64");
    Some(match (double, from) {
        (false, "s32") => lanes!(map3<u32, u32, i32 => u32>, |x, y, c| if c >= 0 { x } else { y }),
        (true, "s32") => lanes!(map3<u64, u64, i32 => u64>, |x, y, c| if c >= 0 { x } else { y }),
        (false, "f32") => lanes!(map3<u32, u32, f32 => u32>, |x, y, c| if c >= 0.0 { x } else { y }),
        (true, "f32") => lanes!(map3<u64, u64, f32 => u64>, |x, y, c| if c >= 0.0 { x } else { y }),
        _ => return None,
    })
}

fn testp(op: &Opcode<'_>) -> Option<Lanes> {
    macro_rules! of {
        ($ty:ty) => {
            match op.modifiers().next()? {
                "finite" => test!(test1<$ty>, |x: $ty| x.is_finite()),
                "infinite" => test!(test1<$ty>, |x: $ty| x.is_infinite()),
                "number" => test!(test1<$ty>, |x: $ty| !x.is_nan()),
                "notanumber" => test!(test1<$ty>, |x: $ty| x.is_nan()),
                "normal" => test!(test1<$ty>, |x: $ty| x.is_normal()),
                "subnormal" => test!(test1<$ty>, |x: $ty| x.is_subnormal()),
                _ => return None,
            }
        };
    }
    Some(match op.ty() {
        "f32" => of!(f32),
        "f64" => of!(f64),
        _ => return None,
    })
}
