//! Catches kernels that include the toolkit's `mma.h`, `cuda_fp16.h` or `cuda_bf16.h` and no longer run.

use cudarc::driver::{DeviceRepr, PushKernelArg, ValidAsZeroBits};
use cudasim::driver::Config;
use half::{bf16, f16};

use crate::support::{Bench, configs, grid, numbers, run};

/// Whole numbers, so that sums are exact in every type.
fn whole(len: usize, scale: f32) -> Vec<f32> {
    numbers(len).into_iter().map(|x| (x * scale).round()).collect()
}

struct Shape {
    kernel: &'static str,
    m: usize,
    n: usize,
    k: usize,
    /// Layouts of a and b: columns first.
    columns: [bool; 2],
}

const fn shape(kernel: &'static str, m: usize, n: usize, k: usize, columns: [bool; 2]) -> Shape {
    Shape { kernel, m, n, k, columns }
}

fn product<In: DeviceRepr, C: DeviceRepr + ValidAsZeroBits + Clone + Default>(
    shape: &Shape,
    scale: f32,
    to: impl Fn(f32) -> In,
    of: impl Fn(&C) -> f32,
) {
    let bench = Bench::new(&Config { checks: true, ..Config::default() });
    let function = bench.function("wmma.cu", shape.kernel);
    let &Shape { m, n, k, columns, .. } = shape;
    let floor = |x: f32| if scale < 0.0 { x.abs() } else { x };
    let (a, b) = (whole(m * k, scale), whole(k * n, scale));
    let (a, b): (Vec<f32>, Vec<f32>) =
        (a.into_iter().map(floor).collect(), b.into_iter().map(floor).collect());
    let upload =
        |values: &[f32]| bench.stream.clone_htod(&values.iter().map(|&x| to(x)).collect::<Vec<_>>()).unwrap();
    let (da, db) = (upload(&a), upload(&b));
    let mut dd = bench.stream.alloc_zeros::<C>(m * n).unwrap();
    run(bench.stream.launch_builder(&function).arg(&mut dd).arg(&da).arg(&db), grid(1, 32, 0)).unwrap();
    let d = bench.stream.clone_dtoh(&dd).unwrap();
    for row in 0..m {
        for column in 0..n {
            let left = |i: usize| a[if columns[0] { i * m + row } else { row * k + i }];
            let right = |i: usize| b[if columns[1] { column * k + i } else { i * n + column }];
            let sum: f32 = (0..k).map(|i| left(i) * right(i)).sum();
            assert_eq!(of(&d[column * m + row]), 2.0 * sum, "{} {row} {column}", shape.kernel);
        }
    }
    assert_eq!(bench.report().findings, []);
}

#[test]
fn wmma_of_all_shapes_types_and_layouts() {
    let half = |x: f32| f16::from_f32(x);
    let single = |x: &f32| *x;
    product(&shape("f16_rr", 16, 16, 16, [false, false]), 50.0, half, single);
    product(&shape("f16_rc", 16, 16, 16, [false, true]), 50.0, half, single);
    product(&shape("f16_cr", 16, 16, 16, [true, false]), 50.0, half, single);
    product(&shape("f16_wide", 32, 8, 16, [false, true]), 50.0, half, single);
    product(&shape("f16_tall", 8, 32, 16, [false, false]), 50.0, half, single);
    product(&shape("bf16_rc", 16, 16, 16, [false, true]), 50.0, bf16::from_f32, single);
    product(&shape("tf32_rc", 16, 16, 8, [false, true]), 50.0, |x| x, single);
    product(&shape("s8_rc", 16, 16, 16, [false, true]), 127.0, |x| x as i8, |x: &i32| *x as f32);
    product(&shape("u8_rr", 16, 16, 16, [false, false]), -255.0, |x| x as u8, |x: &i32| *x as f32);
    product(&shape("f16_all", 16, 16, 16, [false, false]), 5.0, half, |x: &f16| x.to_f32());
}

/// Results of a kernel of `halves.cu`, by operation.
fn pairs(config: &Config, kernel: &str, x: &[f32], y: &[f32]) -> Vec<Vec<f32>> {
    let bench = Bench::new(config);
    let function = bench.function("halves.cu", kernel);
    let (dx, dy) = (bench.stream.clone_htod(x).unwrap(), bench.stream.clone_htod(y).unwrap());
    let mut out = bench.stream.alloc_zeros::<f32>(10 * x.len()).unwrap();
    let mut launch = bench.stream.launch_builder(&function);
    run(launch.arg(&mut out).arg(&dx).arg(&dy), grid(1, x.len() as u32 / 2, 0)).unwrap();
    let got = bench.stream.clone_dtoh(&out).unwrap();
    assert_eq!(bench.report().findings, []);
    got.chunks(x.len()).map(<[f32]>::to_vec).collect()
}

#[test]
fn packed_arithmetic_of_the_headers() {
    let (mut x, mut y) = (numbers(256), numbers(512)[256..].to_vec());
    x.iter_mut().for_each(|x| *x *= 8.0);
    // Away from 0, because they are divided by.
    y.iter_mut().for_each(|y| *y = 3.0_f32.copysign(*y) + *y);
    type Operation = fn(f32, f32) -> f32;
    let operations: [(&str, Operation); 10] = [
        ("add", |a, b| a + b),
        ("sub", |a, b| a - b),
        ("mul", |a, b| a * b),
        ("fma", |a, b| a.mul_add(b, a)),
        ("div", |a, b| a / b),
        ("max", f32::max),
        ("exp", |a, _| a.exp()),
        ("rcp", |_, b| 1.0 / b),
        ("neg", |a, _| -a),
        ("gt", |a, b| f32::from(u8::from(a > b))),
    ];
    for config in configs() {
        // Half a unit in the last place, and as much again for functions that are made of several steps.
        for (kernel, round, unit) in [
            ("half_pairs", (|x| f16::from_f32(x).to_f32()) as fn(f32) -> f32, 1.0 / 1024.0),
            ("brain_pairs", |x| bf16::from_f32(x).to_f32(), 1.0 / 128.0),
        ] {
            let got = pairs(&config, kernel, &x, &y);
            for (row, (name, f)) in got.iter().zip(operations) {
                for (i, &got) in row.iter().enumerate() {
                    let (a, b) = (round(x[i]), round(y[i]));
                    let wanted = f(a, b);
                    // Sums of unlike terms are off by the unit of the product, which was not rounded either.
                    let error = (got - wanted).abs();
                    assert!(
                        error <= unit * wanted.abs() + 1e-7,
                        "{kernel} {name} of {a} and {b}: {got}, wanted {wanted}"
                    );
                }
            }
        }
    }
}
