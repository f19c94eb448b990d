//! Catches products on tensor cores that differ from products written as loops.

use cudarc::driver::{LaunchConfig, PushKernelArg};
use cudasim::driver::Config;
use cudasim::exec::Order;
use half::{bf16, f16};

use crate::support::{Bench, configs, grid, numbers, run};

#[test]
fn a_product_with_copies_on_their_way_and_two_buffers() {
    for order in [Order::Forward, Order::Reverse] {
        let bench = Bench::new(&Config { order, checks: true, profiles: true, ..Config::default() });
        let gemm = bench.function("tensor.cu", "gemm_bf16");
        let (m, n, k) = (64_usize, 128_usize, 96_usize);
        let round = |values: Vec<f32>| values.into_iter().map(bf16::from_f32).collect::<Vec<_>>();
        let (a, b) = (round(numbers(m * k)), round(numbers(k * n)));
        let bits = |values: &[bf16]| values.iter().map(|x| x.to_bits()).collect::<Vec<u16>>();
        let (da, db) =
            (bench.stream.clone_htod(&bits(&a)).unwrap(), bench.stream.clone_htod(&bits(&b)).unwrap());
        let mut dc = bench.stream.alloc_zeros::<f32>(m * n).unwrap();
        let sizes = [m as i32, n as i32, k as i32];
        let config = LaunchConfig {
            grid_dim: (n as u32 / 64, m as u32 / 64, 1),
            block_dim: (128, 1, 1),
            shared_mem_bytes: 0,
        };
        let mut launch = bench.stream.launch_builder(&gemm);
        launch.arg(&da).arg(&db).arg(&mut dc).arg(&sizes[0]).arg(&sizes[1]).arg(&sizes[2]);
        run(&mut launch, config).unwrap();
        let c = bench.stream.clone_dtoh(&dc).unwrap();
        for (at, c) in c.iter().enumerate() {
            let (row, column) = (at / n, at % n);
            let term = |i: usize| (a[row * k + i].to_f32(), b[i * n + column].to_f32());
            let wanted = (0..k).map(term).fold(0.0_f32, |sum, (x, y)| x.mul_add(y, sum));
            // The simulator's order of sums is that of the inner index.
            assert_eq!(c.to_bits(), wanted.to_bits(), "{row} {column}");
        }
        let report = bench.report();
        assert_eq!(report.findings, []);
        assert_eq!(report.counters["gemm_bf16"].mma, (m / 16 * (n / 8) * (k / 16)) as u64);
    }
}

/// Element (row, column) of a matrix in registers: (register, lane, element).
type Place = fn(usize, usize, usize) -> (usize, usize, usize);

/// Source: "PTX ISA", figures of the fragments: by row and column, with `per` elements a register.
fn place_a(row: usize, column: usize, per: usize) -> (usize, usize, usize) {
    (row / 8 + column / (4 * per) * 2, row % 8 * 4 + column / per % 4, column % per)
}

fn place_b(row: usize, column: usize, per: usize) -> (usize, usize, usize) {
    (row / (4 * per), column * 4 + row / per % 4, row % per)
}

fn place_c(row: usize, column: usize, _per: usize) -> (usize, usize, usize) {
    (row / 8 * 2 + column % 2, row % 8 * 4 + column / 2, 0)
}

fn registers(
    values: &[f64],
    width: usize,
    count: usize,
    per: usize,
    place: Place,
    bits: &dyn Fn(f64) -> u32,
) -> Vec<u32> {
    let mut words = vec![0; count * 32];
    for (at, &value) in values.iter().enumerate() {
        let (register, lane, element) = place(at / width, at % width, per);
        words[register * 32 + lane] |= bits(value) << (element * 32 / per);
    }
    words
}

fn shape(
    kernel: &str,
    k: usize,
    per: usize,
    scale: f64,
    to: &dyn Fn(f64) -> u32,
    c_bits: &dyn Fn(f64) -> u32,
    of_c: &dyn Fn(u32) -> f64,
) {
    let bench = Bench::new(&Config::default());
    let function = bench.function("tensor.cu", kernel);
    // Whole numbers, so that every sum is exact in any order.
    let whole = |len| numbers(len).into_iter().map(|x| (f64::from(x) * scale).round()).collect::<Vec<f64>>();
    let (a, b, c) = (whole(16 * k), whole(k * 8), whole(16 * 8));
    let (a_count, b_count) = (16 * k / 32 / per, 8 * k / 32 / per);
    let upload = |words: &[u32]| bench.stream.clone_htod(words).unwrap();
    let da = upload(&registers(&a, k, a_count, per, place_a, to));
    let db = upload(&registers(&b, 8, b_count, per, place_b, to));
    let dc = upload(&registers(&c, 8, 4, 1, place_c, c_bits));
    let mut dd = bench.stream.alloc_zeros::<u32>(128).unwrap();
    let mut launch = bench.stream.launch_builder(&function);
    run(launch.arg(&da).arg(&db).arg(&dc).arg(&mut dd), grid(1, 32, 0)).unwrap();
    let d = bench.stream.clone_dtoh(&dd).unwrap();
    for row in 0..16 {
        for column in 0..8 {
            let products = (0..k).map(|i| a[row * k + i] * b[i * 8 + column]);
            let (register, lane, _) = place_c(row, column, 1);
            let got = of_c(d[register * 32 + lane]);
            assert_eq!(got, c[row * 8 + column] + products.sum::<f64>(), "{kernel} {row} {column}");
        }
    }
}

#[test]
fn shapes_of_whole_numbers() {
    let byte = |x: f64| u32::from(x as i8 as u8);
    let (to, of) = (|x: f64| x as i32 as u32, |x: u32| f64::from(x as i32));
    shape("mma_s8_k32", 32, 4, 127.0, &byte, &to, &of);
    shape("mma_s8_k16", 16, 4, 127.0, &byte, &to, &of);
}

#[test]
fn shapes_of_floats() {
    let half = |x: f64| u32::from(f16::from_f64(x).to_bits());
    let brain = |x: f64| u32::from(bf16::from_f64(x).to_bits());
    let single = |x: f64| (x as f32).to_bits();
    let of = |x: u32| f64::from(f32::from_bits(x));
    shape("mma_f16_k16", 16, 2, 100.0, &half, &single, &of);
    shape("mma_f16_k8", 8, 2, 100.0, &half, &single, &of);
    shape("mma_bf16_k8", 8, 2, 100.0, &brain, &single, &of);
    shape("mma_tf32_k8", 8, 1, 100.0, &single, &single, &of);
    shape("mma_tf32_k4", 4, 1, 100.0, &single, &single, &of);
}

#[test]
fn attention_by_tiles_is_attention() {
    for config in configs() {
        let bench = Bench::new(&Config { profiles: true, ..config });
        let function = bench.function("attention.cu", "attention");
        let (heads, length, size) = (2_usize, 192_usize, 64_usize);
        let all = numbers(3 * heads * length * size);
        let rounded: Vec<bf16> = all.iter().map(|&x| bf16::from_f32(2.0 * x)).collect();
        let parts: Vec<&[bf16]> = rounded.chunks(heads * length * size).collect();
        let upload = |values: &[bf16]| bench.stream.clone_htod(values).unwrap();
        let (q, k, v) = (upload(parts[0]), upload(parts[1]), upload(parts[2]));
        let mut out = bench.stream.alloc_zeros::<bf16>(heads * length * size).unwrap();
        let mut lse = bench.stream.alloc_zeros::<f32>(heads * length).unwrap();
        let (count, scale) = (length as i32, 1.0 / (size as f32).sqrt());
        let mut launch = bench.stream.launch_builder(&function);
        launch.arg(&q).arg(&k).arg(&v).arg(&mut out).arg(&mut lse).arg(&count).arg(&scale);
        let grid_dim = ((length / 64) as u32, heads as u32, 1);
        run(&mut launch, LaunchConfig { grid_dim, block_dim: (128, 1, 1), shared_mem_bytes: 0 }).unwrap();
        let (out, lse) = (bench.stream.clone_dtoh(&out).unwrap(), bench.stream.clone_dtoh(&lse).unwrap());
        for at in 0..heads * length {
            let (first, row) = (at / length * length, at % length);
            let vector = |values: &[bf16], row: usize| -> Vec<f64> {
                values[(first + row) * size..][..size].iter().map(|x| x.to_f64()).collect()
            };
            let query = vector(parts[0], row);
            let dot = |x: Vec<f64>| x.iter().zip(&query).map(|(x, y)| x * y).sum::<f64>();
            let weights: Vec<f64> =
                (0..=row).map(|key| (dot(vector(parts[1], key)) * f64::from(scale)).exp()).collect();
            let total: f64 = weights.iter().sum();
            // Sums of f32 of numbers below 10: some units of 1e-6.
            assert!((f64::from(lse[at]) - total.ln()).abs() <= 1e-5, "{at}");
            for i in 0..size {
                let sum: f64 = weights.iter().enumerate().map(|(key, w)| w * vector(parts[2], key)[i]).sum();
                let error = (out[at * size + i].to_f64() - sum / total).abs();
                // Weights and results are rounded to bf16: 2^-8 each, of values up to 2.
                assert!(error <= 2.0 * 2.0 / 256.0, "{at} {i}: {error}");
            }
        }
        let report = bench.report();
        assert_eq!(report.findings, []);
        // Tiles on and below the diagonal alone: 6 of 9, 4 warps, 8 x 4 products of scores and as many of
        // values.
        assert_eq!(report.counters["attention"].mma, (heads * 6 * 4 * 64) as u64);
    }
}
