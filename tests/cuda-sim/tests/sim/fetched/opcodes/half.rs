//! Catches wrong f16 and bf16 arithmetic, alone and in pairs.

use super::values::{Bf16, Bf16x2, F16, F16x2, exact_sum};
use super::{Case, check, one, three, two};

/// `x y + z` of 16-bit numbers without an error: the product is exact in f64.
fn fused(x: f64, y: f64, z: f64) -> (f64, f64) {
    exact_sum(x * y, z)
}

fn smaller(x: f64, y: f64) -> f64 {
    if x.is_nan() || y < x || y == x && y.is_sign_negative() { y } else { x }
}

fn larger(x: f64, y: f64) -> f64 {
    if x.is_nan() || y > x || y == x && y.is_sign_positive() { y } else { x }
}

fn or_nan(x: f64, y: f64, f: fn(f64, f64) -> f64) -> f64 {
    if x.is_nan() || y.is_nan() { f64::NAN } else { f(x, y) }
}

macro_rules! arithmetic {
    ($cases:ident, $name:literal, $One:ident, $Two:ident) => {{
        let cases: &mut Vec<Case> = &mut $cases;
        let pairwise = |x: $Two, y: $Two, f: &dyn Fn($One, $One) -> $One| {
            let ([a, b], [c, d]) = (x.parts(), y.parts());
            $Two::of_parts([f(a, c), f(b, d)])
        };
        let ops: [(&str, fn(f64, f64) -> (f64, f64)); 7] = [
            ("add.rn", exact_sum),
            ("sub.rn", |x, y| exact_sum(x, -y)),
            ("mul.rn", |x, y| (x * y, 0.0)),
            ("min", |x, y| (smaller(x, y), 0.0)),
            ("max", |x, y| (larger(x, y), 0.0)),
            ("min.NaN", |x, y| (or_nan(x, y, smaller), 0.0)),
            ("max.NaN", |x, y| (or_nan(x, y, larger), 0.0)),
        ];
        for (op, f) in ops {
            let of = move |x: $One, y: $One| $One::nearest(f(x.value(), y.value()));
            cases.push(two(format!("{op}.{}", $name), of));
            cases.push(two(format!("{op}.{}x2", $name), move |x: $Two, y: $Two| pairwise(x, y, &of)));
        }
        let of = |x: $One, y: $One, z: $One| fused(x.value(), y.value(), z.value());
        cases.push(three(concat!("fma.rn.", $name), move |x: $One, y: $One, z: $One| {
            $One::nearest(of(x, y, z))
        }));
        cases.push(three(concat!("fma.rn.", $name, "x2"), move |x: $Two, y: $Two, z: $Two| {
            let ([a, b], [c, d], [e, f]) = (x.parts(), y.parts(), z.parts());
            $Two::of_parts([$One::nearest(of(a, c, e)), $One::nearest(of(b, d, f))])
        }));
        cases.push(three(concat!("fma.rn.relu.", $name), move |x: $One, y: $One, z: $One| {
            let (high, low) = of(x, y, z);
            $One::nearest(if high < 0.0 || high == 0.0 { (0.0, 0.0) } else { (high, low) })
        }));
        cases.push(one(concat!("neg.", $name), |x: $One| $One(x.0 ^ 0x8000)));
        cases.push(one(concat!("abs.", $name), |x: $One| $One(x.0 & 0x7fff)));
        cases.push(one(concat!("neg.", $name, "x2"), |x: $Two| $Two(x.0 ^ 0x8000_8000)));
        cases.push(one(concat!("abs.", $name, "x2"), |x: $Two| $Two(x.0 & 0x7fff_7fff)));
    }};
}

#[test]
fn halves_are_rounded_once() {
    let mut cases = Vec::new();
    arithmetic!(cases, "f16", F16, F16x2);
    check(&cases);
}

#[test]
fn brain_floats_are_rounded_once() {
    let mut cases = Vec::new();
    arithmetic!(cases, "bf16", Bf16, Bf16x2);
    check(&cases);
}

#[test]
fn halves_clamped_and_approximated() {
    let clamp = |x: f64| if x > 0.0 { x.min(1.0) } else { 0.0 };
    check(&[
        two("add.sat.f16", move |x: F16, y: F16| F16::nearest((clamp(x.value() + y.value()), 0.0))),
        two("mul.sat.f16", move |x: F16, y: F16| F16::nearest((clamp(x.value() * y.value()), 0.0))),
        one("ex2.approx.f16", |x: F16| F16::nearest((x.value().exp2(), 0.0))).within(1),
        one("tanh.approx.f16", |x: F16| F16::nearest((x.value().tanh(), 0.0))).within(1),
        one("tanh.approx.bf16", |x: Bf16| Bf16::nearest((x.value().tanh(), 0.0))).within(1),
        one("ex2.approx.ftz.bf16", |x: Bf16| {
            let flush = |x: Bf16| if x.0 & 0x7f80 == 0 { Bf16(x.0 & 0x8000) } else { x };
            flush(Bf16::nearest((flush(x).value().exp2(), 0.0)))
        })
        .within(1),
    ]);
}
