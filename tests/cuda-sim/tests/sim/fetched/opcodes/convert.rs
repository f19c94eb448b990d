//! Catches wrong conversions (`cvt`) between all types.

use super::float::{MODES, Mode, direct};
use super::values::{Bf16, Bf16x2, F16, F16x2};
use super::{Case, check, one, two};

/// A direction of rounding to whole numbers.
type Integral = fn(f64) -> f64;

const INTEGRAL: [(&str, Integral); 4] =
    [("rni", f64::round_ties_even), ("rzi", f64::trunc), ("rmi", f64::floor), ("rpi", f64::ceil)];

/// Cut to the range of the type. NaN: "PTX ISA", `cvt`.
macro_rules! whole {
    ($x:expr, $ty:ty, $is_wide:expr) => {{
        let x: f64 = $x;
        // `as` saturates in Rust too.
        if !x.is_nan() {
            x as $ty
        } else if $is_wide || <$ty>::BITS == 64 {
            (1 as $ty) << (<$ty>::BITS - 1)
        } else {
            0
        }
    }};
}

#[test]
fn from_floats_to_whole_numbers() {
    let mut cases = Vec::new();
    for (name, round) in INTEGRAL {
        macro_rules! of {
            ($($ty_name:literal $ty:ty;)*) => {$(
                let opcode = format!("cvt.{name}.{}.f32", $ty_name);
                cases.push(one(opcode, move |x: f32| whole!(round(x.into()), $ty, false)));
                let opcode = format!("cvt.{name}.{}.f64", $ty_name);
                cases.push(one(opcode, move |x: f64| whole!(round(x), $ty, true)));
                let opcode = format!("cvt.{name}.{}.f16", $ty_name);
                cases.push(one(opcode, move |x: F16| whole!(round(x.value()), $ty, false)));
            )*};
        }
        of!("s32" i32; "u32" u32; "s64" i64; "u64" u64; "s16" i16; "u16" u16;);
        cases.push(one(format!("cvt.{name}.f32.f32"), move |x: f32| round(x.into()) as f32));
        cases.push(one(format!("cvt.{name}.f64.f64"), round));
    }
    check(&cases);
}

/// A whole number in f64, and what is missing of it.
fn parts(x: i128) -> (f64, f64) {
    (x as f64, (x - (x as f64) as i128) as f64)
}

#[test]
fn from_whole_numbers_to_floats() {
    let mut cases: Vec<Case> = Vec::new();
    for (name, mode) in MODES {
        cases.push(one(format!("cvt.{name}.f32.s32"), move |x: i32| direct(parts(x.into()), mode)));
        cases.push(one(format!("cvt.{name}.f32.u32"), move |x: u32| direct(parts(x.into()), mode)));
        cases.push(one(format!("cvt.{name}.f32.s64"), move |x: i64| direct(parts(x.into()), mode)));
        cases.push(one(format!("cvt.{name}.f32.u64"), move |x: u64| direct(parts(x.into()), mode)));
        cases.push(one(format!("cvt.{name}.f32.f64"), move |x: f64| direct((x, 0.0), mode)));
    }
    cases.push(one("cvt.rn.f64.s32", |x: i32| f64::from(x)));
    cases.push(one("cvt.rn.f64.u32", |x: u32| f64::from(x)));
    cases.push(one("cvt.rn.f64.s64", |x: i64| x as f64));
    cases.push(one("cvt.rn.f64.u64", |x: u64| x as f64));
    cases.push(one("cvt.rn.f16.s32", |x: i32| F16::nearest((x.into(), 0.0))));
    cases.push(one("cvt.rn.f16.u16", |x: u16| F16::nearest((x.into(), 0.0))));
    cases.push(one("cvt.f64.f32", |x: f32| f64::from(x)));
    check(&cases);
}

#[test]
fn between_whole_numbers() {
    let mut cases = Vec::new();
    macro_rules! of {
        ($($from_name:literal $from:ty => $($to_name:literal $to:ty),*;)*) => {$($(
            cases.push(one(concat!("cvt.", $to_name, ".", $from_name), |x: $from| x as $to));
            // To a type that holds all values, PTX knows no `.sat`.
            if i128::from(<$from>::MIN) < <$to>::MIN.into() || i128::from(<$from>::MAX) > <$to>::MAX.into() {
                cases.push(one(concat!("cvt.sat.", $to_name, ".", $from_name), |x: $from| {
                    i128::from(x).clamp(<$to>::MIN.into(), <$to>::MAX.into()) as $to
                }));
            }
        )*)*};
    }
    of!(
        "s16" i16 => "s32" i32, "u32" u32, "s64" i64, "u16" u16;
        "u16" u16 => "s32" i32, "u64" u64, "s16" i16;
        "s32" i32 => "s64" i64, "u64" u64, "s16" i16, "u16" u16, "u32" u32;
        "u32" u32 => "s64" i64, "u64" u64, "s16" i16, "u16" u16, "s32" i32;
        "s64" i64 => "s32" i32, "u32" u32, "u16" u16, "u64" u64;
        "u64" u64 => "s32" i32, "u32" u32, "s16" i16, "s64" i64;
    );
    // Bytes are the low bits of wider registers.
    cases.push(one("cvt.u32.u8", |x: u16| u32::from(x as u8)));
    cases.push(one("cvt.s32.s8", |x: u16| i32::from(x as i8)));
    cases.push(one("cvt.s64.s8", |x: u32| i64::from(x as i8)));
    cases.push(one("cvt.sat.u8.s32", |x: i32| x.clamp(0, 255) as u32));
    cases.push(one("cvt.sat.s8.s32", |x: i32| x.clamp(-128, 127)));
    check(&cases);
}

#[test]
fn halves_and_pairs() {
    let mut cases: Vec<Case> = vec![
        one("cvt.f32.f16", |x: F16| x.value() as f32),
        one("cvt.f64.f16", |x: F16| x.value()),
        one("cvt.f32.bf16", |x: Bf16| x.value() as f32),
        one("cvt.rn.f16.f32", |x: f32| F16::nearest((x.into(), 0.0))),
        one("cvt.rn.f16.f64", |x: f64| F16::nearest((x, 0.0))),
        one("cvt.rn.bf16.f32", |x: f32| Bf16::nearest((x.into(), 0.0))),
        one("cvt.rn.relu.bf16.f32", |x: f32| Bf16::nearest((if x <= 0.0 { 0.0 } else { x.into() }, 0.0))),
        one("cvt.sat.f32.f32", |x: f32| if x > 0.0 { x.min(1.0) } else { 0.0 }),
        one("cvt.ftz.f32.f32", |x: f32| if x.is_subnormal() { 0.0_f32.copysign(x) } else { x }),
        // The first source is the upper half.
        two("cvt.rn.f16x2.f32", |x: f32, y: f32| {
            F16x2::of_parts([F16::nearest((y.into(), 0.0)), F16::nearest((x.into(), 0.0))])
        }),
        two("cvt.rn.bf16x2.f32", |x: f32, y: f32| {
            Bf16x2::of_parts([Bf16::nearest((y.into(), 0.0)), Bf16::nearest((x.into(), 0.0))])
        }),
        one("cvt.rna.tf32.f32", |x: f32| {
            if x.is_finite() { Some(f32::from_bits((x.to_bits() + 0x1000) & !0x1fff)) } else { None }
        }),
    ];
    let to_zero = |x: f32| {
        let near = Bf16::nearest((x.into(), 0.0));
        if near.value().abs() > f64::from(x).abs() { Bf16(near.0 - 1) } else { near }
    };
    cases.push(one("cvt.rz.bf16.f32", to_zero));
    cases.push(one("cvt.rz.f16.f32", |x: f32| {
        let near = F16::nearest((x.into(), 0.0));
        if near.value().abs() > f64::from(x).abs() { F16(near.0 - 1) } else { near }
    }));
    assert_eq!(MODES[1].1, Mode::Zero);
    check(&cases);
}
