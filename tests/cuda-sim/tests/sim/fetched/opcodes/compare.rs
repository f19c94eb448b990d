//! Catches wrong comparisons and selections.

use super::values::{Bf16, F16, F16x2};
use super::{check, three, two};

type Test = fn(std::cmp::Ordering) -> bool;

const ORDERED: [(&str, Test); 6] = [
    ("eq", |order| order.is_eq()),
    ("ne", |order| order.is_ne()),
    ("lt", |order| order.is_lt()),
    ("le", |order| order.is_le()),
    ("gt", |order| order.is_gt()),
    ("ge", |order| order.is_ge()),
];

#[test]
fn comparisons_of_whole_numbers() {
    let mut cases = Vec::new();
    for (name, test) in ORDERED {
        macro_rules! of {
            ($($ty_name:literal $ty:ty;)*) => {$(
                cases.push(two(format!("setp.{name}.{}", $ty_name), move |x: $ty, y: $ty| test(x.cmp(&y))));
            )*};
        }
        of!("u16" u16; "s16" i16; "u32" u32; "s32" i32; "u64" u64; "s64" i64;);
        cases.push(two(
            format!("set.{name}.u32.s32"),
            move |x: i32, y: i32| if test(x.cmp(&y)) { u32::MAX } else { 0 },
        ));
        cases.push(two(
            format!("set.{name}.u32.u32"),
            move |x: u32, y: u32| if test(x.cmp(&y)) { u32::MAX } else { 0 },
        ));
        cases.push(two(
            format!("set.{name}.f32.s32"),
            move |x: i32, y: i32| if test(x.cmp(&y)) { 1_f32 } else { 0.0 },
        ));
    }
    for (name, is) in [("lo", "lt"), ("ls", "le"), ("hi", "gt"), ("hs", "ge")] {
        let test = ORDERED.iter().find(|(other, _)| *other == is).unwrap().1;
        cases.push(two(format!("setp.{name}.u32"), move |x: u32, y: u32| test(x.cmp(&y))));
    }
    cases.push(two("setp.eq.b16", |x: u16, y: u16| x == y));
    cases.push(two("setp.ne.b32", |x: u32, y: u32| x != y));
    cases.push(two("setp.eq.b64", |x: u64, y: u64| x == y));
    check(&cases);
}

#[test]
fn comparisons_with_nan() {
    let mut cases = Vec::new();
    for unordered in [false, true] {
        for (name, test) in ORDERED {
            let name = if unordered { format!("{name}u") } else { name.to_owned() };
            let holds = move |x: f64, y: f64| x.partial_cmp(&y).map_or(unordered, test);
            cases.push(two(format!("setp.{name}.f32"), move |x: f32, y: f32| holds(x.into(), y.into())));
            cases.push(two(format!("setp.{name}.f64"), holds));
            cases.push(two(format!("setp.{name}.f16"), move |x: F16, y: F16| holds(x.value(), y.value())));
            cases.push(two(format!("setp.{name}.bf16"), move |x: Bf16, y: Bf16| holds(x.value(), y.value())));
            cases.push(two(format!("set.{name}.u32.f32"), move |x: f32, y: f32| {
                if holds(x.into(), y.into()) { u32::MAX } else { 0 }
            }));
            cases.push(two(format!("set.{name}.f16x2.f16x2"), move |x: F16x2, y: F16x2| {
                let [low, high] = [0, 1].map(|i| holds(x.parts()[i].value(), y.parts()[i].value()));
                F16x2::of_parts([low, high].map(|is| F16::nearest((f64::from(u8::from(is)), 0.0))))
            }));
            let flushed = |x: f32| if x.is_subnormal() { 0.0 } else { f64::from(x) };
            cases.push(two(format!("setp.{name}.ftz.f32"), move |x: f32, y: f32| {
                holds(flushed(x), flushed(y))
            }));
        }
    }
    cases.push(two("setp.num.f32", |x: f32, y: f32| !x.is_nan() && !y.is_nan()));
    cases.push(two("setp.nan.f64", |x: f64, y: f64| x.is_nan() || y.is_nan()));
    check(&cases);
}

#[test]
fn choices() {
    check(&[
        three("selp.b16", |x: u16, y: u16, p: bool| if p { x } else { y }),
        three("selp.b32", |x: u32, y: u32, p: bool| if p { x } else { y }),
        three("selp.f32", |x: f32, y: f32, p: bool| if p { x } else { y }),
        three("selp.b64", |x: u64, y: u64, p: bool| if p { x } else { y }),
        three("slct.u32.s32", |x: u32, y: u32, z: i32| if z >= 0 { x } else { y }),
        three("slct.f32.s32", |x: f32, y: f32, z: i32| if z >= 0 { x } else { y }),
        three("slct.u64.f32", |x: u64, y: u64, z: f32| if z >= 0.0 { x } else { y }),
        super::one("testp.finite.f32", |x: f32| x.is_finite()),
        super::one("testp.infinite.f32", |x: f32| x.is_infinite()),
        super::one("testp.number.f32", |x: f32| !x.is_nan()),
        super::one("testp.notanumber.f64", |x: f64| x.is_nan()),
        super::one("testp.normal.f32", |x: f32| x.is_normal()),
        super::one("testp.subnormal.f64", |x: f64| x.is_subnormal()),
    ]);
}
