//! Catches wrong f32 and f64 arithmetic in all rounding modes, and approximations that are too coarse.

use super::values::exact_sum;
use super::{Case, check, one, three, two};

/// A direction of rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Nearest,
    Zero,
    Down,
    Up,
}

pub(super) const MODES: [(&str, Mode); 4] =
    [("rn", Mode::Nearest), ("rz", Mode::Zero), ("rm", Mode::Down), ("rp", Mode::Up)];

/// `high + low` as f32, where `low` is what is missing of `high`.
pub(super) fn direct((high, low): (f64, f64), mode: Mode) -> f32 {
    // To odd first: then the nearest f32 is that of the exact value.
    let odd = match low.partial_cmp(&0.0) {
        Some(std::cmp::Ordering::Greater) if high.to_bits() & 1 == 0 => next(high, true),
        Some(std::cmp::Ordering::Less) if high.to_bits() & 1 == 0 => next(high, false),
        _ => high,
    };
    let nearest = odd as f32;
    if mode == Mode::Nearest || !high.is_finite() || f64::from(nearest) == high && low == 0.0 {
        return nearest;
    }
    let above = f64::from(nearest) > high || f64::from(nearest) == high && low < 0.0;
    let up = match mode {
        Mode::Up => true,
        Mode::Down => false,
        _ => high < 0.0,
    };
    match (above, up) {
        (true, false) => nearest.next_down(),
        (false, true) => nearest.next_up(),
        _ => nearest,
    }
}

fn next(x: f64, up: bool) -> f64 {
    if up { x.next_up() } else { x.next_down() }
}

/// A sum that is zero has the sign of its terms if they agree, else `-` only if rounded down.
fn sum(x: f64, y: f64, mode: Mode) -> f32 {
    let exact = exact_sum(x, y);
    if exact == (0.0, 0.0) && x.is_sign_negative() != y.is_sign_negative() {
        return if mode == Mode::Down { -0.0 } else { 0.0 };
    }
    direct(exact, mode)
}

#[test]
fn sums_and_products_in_all_directions() {
    let mut cases = Vec::new();
    for (name, mode) in MODES {
        // Products of two f32 are exact in f64.
        cases.push(two(format!("add.{name}.f32"), move |x: f32, y: f32| sum(x.into(), y.into(), mode)));
        cases.push(two(format!("sub.{name}.f32"), move |x: f32, y: f32| sum(x.into(), f64::from(-y), mode)));
        cases.push(two(format!("mul.{name}.f32"), move |x: f32, y: f32| {
            direct((f64::from(x) * f64::from(y), 0.0), mode)
        }));
        cases.push(three(format!("fma.{name}.f32"), move |x: f32, y: f32, z: f32| {
            sum(f64::from(x) * f64::from(y), z.into(), mode)
        }));
        cases.push(two(format!("div.{name}.f32"), move |x: f32, y: f32| quotient(x, y, mode)));
        cases.push(one(format!("rcp.{name}.f32"), move |x: f32| quotient(1.0, x, mode)));
        cases.push(one(format!("sqrt.{name}.f32"), move |x: f32| {
            let root = f64::from(x).sqrt();
            // What is missing of the root has the sign of `x - root * root`.
            direct(
                (
                    root,
                    if root.is_finite() {
                        (-root).mul_add(root, f64::from(x)).signum() * tiny(root, x)
                    } else {
                        0.0
                    },
                ),
                mode,
            )
        }));
    }
    check(&cases);
}

/// Less than a unit of `root`, or 0 if the root is exact.
fn tiny(root: f64, x: f32) -> f64 {
    if root * root == f64::from(x) && (-root).mul_add(root, f64::from(x)) == 0.0 { 0.0 } else { root * 1e-17 }
}

fn quotient(x: f32, y: f32, mode: Mode) -> f32 {
    let (x, y) = (f64::from(x), f64::from(y));
    let quotient = x / y;
    let rest = if quotient.is_finite() && quotient != 0.0 { (-quotient).mul_add(y, x) / y } else { 0.0 };
    direct((quotient, rest), mode)
}

#[test]
fn f64_to_nearest_and_the_directions_of_sums() {
    let mut cases = vec![
        two("add.f64", |x: f64, y: f64| x + y),
        two("sub.f64", |x: f64, y: f64| x - y),
        two("mul.f64", |x: f64, y: f64| x * y),
        two("div.rn.f64", |x: f64, y: f64| x / y),
        three("fma.rn.f64", |x: f64, y: f64, z: f64| x.mul_add(y, z)),
        one("rcp.rn.f64", |x: f64| 1.0 / x),
        one("sqrt.rn.f64", f64::sqrt),
        one("neg.f64", |x: f64| -x),
        one("abs.f64", f64::abs),
        two("copysign.f64", |sign: f64, x: f64| x.copysign(sign)),
    ];
    for (name, mode) in &MODES[1..] {
        let mode = *mode;
        cases.push(two(format!("add.{name}.f64"), move |x: f64, y: f64| {
            let (high, low) = exact_sum(x, y);
            // The two-sum is not exact where its parts overflow.
            if !high.is_finite() || !low.is_finite() {
                return None;
            }
            if high == 0.0 && x.is_sign_negative() != y.is_sign_negative() {
                return Some(if mode == Mode::Down { -0.0 } else { 0.0 });
            }
            let down = mode == Mode::Down || mode == Mode::Zero && high > 0.0;
            Some(if low < 0.0 && down {
                high.next_down()
            } else if low > 0.0 && !down {
                high.next_up()
            } else {
                high
            })
        }));
    }
    check(&cases);
}

fn smaller(x: f64, y: f64) -> f64 {
    match (x.is_nan(), y.is_nan()) {
        (true, _) => y,
        (_, true) => x,
        _ if x < y || x == y && x.is_sign_negative() => x,
        _ => y,
    }
}

fn larger(x: f64, y: f64) -> f64 {
    -smaller(-x, -y)
}

fn nan_wins(x: f64, y: f64, f: fn(f64, f64) -> f64) -> f64 {
    if x.is_nan() || y.is_nan() { f64::NAN } else { f(x, y) }
}

#[test]
fn extremes_and_signs() {
    let mut cases = Vec::new();
    for (name, f) in [("min", smaller as fn(f64, f64) -> f64), ("max", larger)] {
        cases.push(two(format!("{name}.f32"), move |x: f32, y: f32| f(x.into(), y.into()) as f32));
        cases.push(two(format!("{name}.f64"), f));
        cases.push(two(format!("{name}.NaN.f32"), move |x: f32, y: f32| {
            nan_wins(x.into(), y.into(), f) as f32
        }));
    }
    cases.push(one("neg.f32", |x: f32| f32::from_bits(x.to_bits() ^ 1 << 31)));
    cases.push(one("abs.f32", |x: f32| f32::from_bits(x.to_bits() & !(1 << 31))));
    cases.push(two("copysign.f32", |sign: f32, x: f32| x.copysign(sign)));
    check(&cases);
}

fn flush(x: f32) -> f32 {
    if x.is_subnormal() { 0.0_f32.copysign(x) } else { x }
}

fn clamp(x: f32) -> f32 {
    if x > 0.0 { x.min(1.0) } else { 0.0 }
}

#[test]
fn subnormals_flushed_and_results_clamped() {
    check(&[
        two("add.ftz.f32", |x: f32, y: f32| flush(flush(x) + flush(y))),
        two("mul.ftz.f32", |x: f32, y: f32| flush(flush(x) * flush(y))),
        three("fma.rn.ftz.f32", |x: f32, y: f32, z: f32| flush(flush(x).mul_add(flush(y), flush(z)))),
        two("add.sat.f32", |x: f32, y: f32| clamp(x + y)),
        two("mul.ftz.sat.f32", |x: f32, y: f32| clamp(flush(flush(x) * flush(y)))),
        three("fma.rn.sat.f32", |x: f32, y: f32, z: f32| clamp(x.mul_add(y, z))),
        two("max.ftz.f32", |x: f32, y: f32| larger(flush(x).into(), flush(y).into()) as f32),
        one("neg.ftz.f32", |x: f32| flush(-x)),
        one("abs.ftz.f32", |x: f32| flush(x.abs())),
    ]);
}

/// The exact function in f64, rounded: what is simulated may be off by the error of an f32 library function,
/// an ulp or two.
fn approximate(opcode: &str, f: fn(f64) -> f64) -> Case {
    one(opcode, move |x: f32| f(x.into()) as f32).within(2)
}

#[test]
fn approximations() {
    // Far from 0, sine and cosine of hardware have no meaning.
    let near = |f: fn(f64) -> f64| {
        move |x: f32| if x.is_finite() && x.abs() > 1e6 { None } else { Some(f(x.into()) as f32) }
    };
    check(&[
        approximate("ex2.approx.f32", f64::exp2),
        approximate("lg2.approx.f32", f64::log2),
        approximate("rcp.approx.f32", |x| 1.0 / x),
        approximate("rsqrt.approx.f32", |x| 1.0 / x.sqrt()),
        approximate("sqrt.approx.f32", f64::sqrt),
        approximate("tanh.approx.f32", f64::tanh),
        one("sin.approx.f32", near(f64::sin)).within(2),
        one("cos.approx.f32", near(f64::cos)).within(2),
        two("div.approx.f32", |x: f32, y: f32| x / y).within(2),
        one("ex2.approx.ftz.f32", |x: f32| flush(f64::from(flush(x)).exp2() as f32)).within(2),
        one("rcp.approx.ftz.f32", |x: f32| flush(1.0 / flush(x))).within(2),
        one("rsqrt.approx.ftz.f32", |x: f32| flush((1.0 / f64::from(flush(x)).sqrt()) as f32)).within(2),
    ]);
}
