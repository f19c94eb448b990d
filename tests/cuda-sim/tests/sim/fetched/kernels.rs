//! Catches a correct kernel that gives a wrong result or a finding, in any order of blocks and warps and
//! with all checks on.

use cudarc::driver::{LaunchConfig, PushKernelArg};
use cudasim::driver::Config;

use crate::support::{Bench, configs, grid, numbers, run};

#[test]
fn sums_are_exact() {
    for config in configs() {
        let bench = Bench::new(&config);
        let add = bench.function("basic.cu", "add");
        let (a, b, n) = (numbers(1000), numbers(2000)[1000..].to_vec(), 1000_i32);
        let (da, db) = (bench.stream.clone_htod(&a).unwrap(), bench.stream.clone_htod(&b).unwrap());
        let mut dc = bench.stream.alloc_zeros::<f32>(1000).unwrap();
        let mut launch = bench.stream.launch_builder(&add);
        run(launch.arg(&da).arg(&db).arg(&mut dc).arg(&n), grid(8, 128, 0)).unwrap();
        let c = bench.stream.clone_dtoh(&dc).unwrap();
        assert!(c.iter().zip(a.iter().zip(&b)).all(|(c, (a, b))| *c == a + b));
        assert_eq!(bench.report().findings, []);
    }
}

#[test]
fn a_reduction_is_that_of_its_order() {
    for config in configs() {
        let bench = Bench::new(&config);
        let sum = bench.function("basic.cu", "block_sum");
        let (x, n) = (numbers(5000), 5000_i32);
        let dx = bench.stream.clone_htod(&x).unwrap();
        let mut out = bench.stream.alloc_zeros::<f32>(3).unwrap();
        let mut launch = bench.stream.launch_builder(&sum);
        run(launch.arg(&dx).arg(&mut out).arg(&n), grid(3, 256, 0)).unwrap();
        let got: f64 = bench.stream.clone_dtoh(&out).unwrap().iter().map(|&x| f64::from(x)).sum();
        let wanted: f64 = x.iter().map(|&x| f64::from(x)).sum();
        // 5000 terms below 1 in f32, in a tree: far less than an ulp of 5000 each.
        assert!((got - wanted).abs() <= 1e-3, "{got} {wanted}");
        assert_eq!(bench.report().findings, []);
    }
}

#[test]
fn a_tiled_product_is_bit_equal_to_its_order_of_sums() {
    for config in configs() {
        let bench = Bench::new(&config);
        let matmul = bench.function("basic.cu", "matmul");
        let (m, n, k) = (50, 70, 33);
        let (a, b) = (numbers(m * k), numbers(k * n));
        let (da, db) = (bench.stream.clone_htod(&a).unwrap(), bench.stream.clone_htod(&b).unwrap());
        let mut dc = bench.stream.alloc_zeros::<f32>(m * n).unwrap();
        let config = LaunchConfig { grid_dim: (5, 4, 1), block_dim: (16, 16, 1), shared_mem_bytes: 0 };
        let sizes = [m as i32, n as i32, k as i32];
        let mut launch = bench.stream.launch_builder(&matmul);
        launch.arg(&da).arg(&db).arg(&mut dc).arg(&sizes[0]).arg(&sizes[1]).arg(&sizes[2]);
        run(&mut launch, config).unwrap();
        let c = bench.stream.clone_dtoh(&dc).unwrap();
        for (at, c) in c.iter().enumerate() {
            let (row, column) = (at / n, at % n);
            let wanted = (0..k).fold(0.0, |sum, i| a[row * k + i].mul_add(b[i * n + column], sum));
            assert_eq!(c.to_bits(), wanted.to_bits(), "{row} {column}");
        }
        assert_eq!(bench.report().findings, []);
    }
}

#[test]
fn lanes_that_diverge_come_together() {
    for config in configs() {
        let bench = Bench::new(&config);
        let collatz = bench.function("basic.cu", "collatz");
        let (x, n): (Vec<u32>, _) = ((1..=500).collect(), 500_i32);
        let dx = bench.stream.clone_htod(&x).unwrap();
        let mut out = bench.stream.alloc_zeros::<u32>(500).unwrap();
        let mut launch = bench.stream.launch_builder(&collatz);
        run(launch.arg(&dx).arg(&mut out).arg(&n), grid(4, 128, 0)).unwrap();
        let steps = |mut x: u32| {
            let mut steps = 0;
            while x != 1 {
                x = if x % 2 == 1 { 3 * x + 1 } else { x / 2 };
                steps += 1;
            }
            steps
        };
        let wanted: Vec<u32> = x.into_iter().map(steps).collect();
        assert_eq!(bench.stream.clone_dtoh(&out).unwrap(), wanted);
        assert_eq!(bench.report().findings, []);
    }
}

#[test]
fn atomics_lose_nothing() {
    for config in configs() {
        let bench = Bench::new(&config);
        let histogram = bench.function("basic.cu", "histogram");
        let (x, n): (Vec<u32>, _) = ((0..4000).map(|i| i * i % 1013).collect(), 4000_i32);
        let dx = bench.stream.clone_htod(&x).unwrap();
        let mut bins = bench.stream.alloc_zeros::<u32>(64).unwrap();
        let mut launch = bench.stream.launch_builder(&histogram);
        run(launch.arg(&dx).arg(&mut bins).arg(&n), grid(4, 128, 0)).unwrap();
        let mut wanted = vec![0; 64];
        x.iter().for_each(|x| wanted[*x as usize % 64] += 1);
        assert_eq!(bench.stream.clone_dtoh(&bins).unwrap(), wanted);
        assert_eq!(bench.report().findings, []);
    }
}

#[test]
fn functions_and_slow_paths_of_the_mathematics_run() {
    let bench = Bench::new(&Config::default());
    let calls = bench.function("basic.cu", "calls");
    // The large ones take the path of sinf that reduces by a table.
    let x: Vec<f32> = (0..64).map(|i| if i % 7 == 0 { 1e6 + i as f32 } else { i as f32 * 0.3 }).collect();
    let (mut dx, n) = (bench.stream.clone_htod(&x).unwrap(), 5_i32);
    let mut launch = bench.stream.launch_builder(&calls);
    run(launch.arg(&mut dx).arg(&n), grid(1, 64, 0)).unwrap();
    for (got, x) in bench.stream.clone_dtoh(&dx).unwrap().iter().zip(x) {
        let sum = |x: f32| (0..5).map(|i| f64::from(x * i as f32).sin()).sum::<f64>();
        // Ten values below 1, of 2 ulp each.
        assert!((f64::from(*got) - sum(x) - sum(x + 1.0)).abs() <= 5e-6, "{got} {x}");
    }
    assert_eq!(bench.report().findings, []);
}

#[test]
fn dynamic_shared_memory_has_its_limit() {
    let bench = Bench::new(&Config { checks: true, ..Config::default() });
    let reversed = bench.function("basic.cu", "reversed");
    let (x, n) = (numbers(15_000), 15_000_i32);
    let mut dx = bench.stream.clone_htod(&x).unwrap();
    let launch = |dx: &mut _| {
        let mut launch = bench.stream.launch_builder(&reversed);
        run(launch.arg(dx).arg(&n), grid(1, 128, 60_000))
    };
    assert!(launch(&mut dx).is_err(), "60,000 bytes without asking for them");
    let attribute =
        cudarc::driver::sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    reversed.set_attribute(attribute, 60_000).unwrap();
    assert!(reversed.set_attribute(attribute, 200_000).is_err(), "more than the device has");
    launch(&mut dx).unwrap();
    let wanted: Vec<f32> = x.iter().rev().map(|x| x * 2.0).collect();
    assert_eq!(bench.stream.clone_dtoh(&dx).unwrap(), wanted);
}

#[test]
fn kernels_print() {
    let bench = Bench::new(&Config::default());
    let says = bench.function("basic.cu", "says");
    let mut x = vec![1_i32; 32];
    (x[3], x[20]) = (-7, -1);
    let dx = bench.stream.clone_htod(&x).unwrap();
    let mut launch = bench.stream.launch_builder(&says);
    run(launch.arg(&dx), grid(1, 32, 0)).unwrap();
    bench.stream.synchronize().unwrap();
    assert_eq!(bench.report().printed, "x[3] = -7, -3.50, negative\nx[20] = -1, -0.50, negative\n");
}
