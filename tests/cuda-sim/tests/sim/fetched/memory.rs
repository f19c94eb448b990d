//! Catches loads, stores, asynchronous copies and atomics that move the wrong bytes, for all widths and
//! spaces.

use cudarc::driver::PushKernelArg;
use cudasim::driver::Config;
use half::f16;

use crate::support::{Bench, configs, grid, numbers, run};

#[test]
fn values_of_all_widths_pass_all_spaces() {
    for config in configs() {
        let bench = Bench::new(&config);
        let module = bench.module("memory.cu");
        let n = 96_i32;
        for (kernel, bytes) in [
            ("width_1", 1_usize),
            ("width_2", 2),
            ("width_4", 4),
            ("width_8", 8),
            ("width_4_in_2", 4),
            ("width_4_in_4", 4),
            ("width_8_in_2", 8),
            ("width_16_in_2", 16),
            ("width_16_in_4", 16),
        ] {
            let function = module.load_function(kernel).unwrap();
            let input: Vec<u8> = (0..n as usize * bytes).map(|i| (i * 131 + 17) as u8).collect();
            let dx = bench.stream.clone_htod(&input).unwrap();
            let mut out = bench.stream.alloc_zeros::<u8>(input.len()).unwrap();
            let mut launch = bench.stream.launch_builder(&function);
            run(launch.arg(&mut out).arg(&dx).arg(&n), grid(1, n as u32, 0)).unwrap();
            let wanted: Vec<u8> = input.chunks(bytes).rev().flatten().copied().collect();
            assert_eq!(bench.stream.clone_dtoh(&out).unwrap(), wanted, "{kernel}");
        }
        assert_eq!(bench.report().findings, []);
    }
}

#[test]
fn signs_constants_and_variables() {
    for config in configs() {
        let bench = Bench::new(&config);
        let function = bench.function("memory.cu", "others");
        let bytes: Vec<i8> = (0..64).map(|i| (i * 37) as i8).collect();
        let shorts: Vec<i16> = (0..64).map(|i| (i * 7919) as i16).collect();
        let words: Vec<i32> = (0..64).map(|i| i * 1_234_567 - 7_654_321).collect();
        let (db, ds) = (bench.stream.clone_htod(&bytes).unwrap(), bench.stream.clone_htod(&shorts).unwrap());
        let dw = bench.stream.clone_htod(&words).unwrap();
        let mut out = bench.stream.alloc_zeros::<i64>(64).unwrap();
        let mut launch = bench.stream.launch_builder(&function);
        run(launch.arg(&mut out).arg(&db).arg(&ds).arg(&dw), grid(1, 64, 0)).unwrap();
        let got = bench.stream.clone_dtoh(&out).unwrap();
        for i in 0..64 {
            let sum = i64::from(bytes[i]) * 3 + i64::from(shorts[i]);
            let sum = sum * 3 + [3, 1, 4, 1, 5][i % 5];
            assert_eq!(got[i], (sum * 3 + i64::from(words[i]) * 3) * 3 + 42, "{i}");
        }
        assert_eq!(bench.report().findings, []);
    }
}

#[test]
fn copies_fill_up_with_zeros() {
    for config in configs() {
        let bench = Bench::new(&config);
        let module = bench.module("memory.cu");
        for size in [4_usize, 8, 16] {
            let function = module.load_function(&format!("copy_{size}")).unwrap();
            let input: Vec<u8> = (0..64 * size).map(|i| (i * 29 + 1) as u8 | 1).collect();
            let dx = bench.stream.clone_htod(&input).unwrap();
            for taken in [0, 1, size as i32 / 2, size as i32] {
                let mut out = bench.stream.alloc_zeros::<u8>(input.len()).unwrap();
                let mut launch = bench.stream.launch_builder(&function);
                run(launch.arg(&mut out).arg(&dx).arg(&taken), grid(1, 64, 0)).unwrap();
                let keep = |(i, &byte): (usize, &u8)| if i % size < taken as usize { byte } else { 0 };
                let wanted: Vec<u8> = input.iter().enumerate().map(keep).collect();
                assert_eq!(bench.stream.clone_dtoh(&out).unwrap(), wanted, "{taken} of {size}");
            }
        }
        assert_eq!(bench.report().findings, []);
    }
}

#[test]
fn carries_go_on() {
    let bench = Bench::new(&Config::default());
    let function = bench.function("memory.cu", "long_sums");
    let edges = [0_u128, 1, u128::from(u32::MAX), 1 << 32, u128::from(u64::MAX), 1 << 64, (1 << 96) - 1];
    let pairs: Vec<(u128, u128)> = edges.iter().flat_map(|&a| edges.map(|b| (a, b))).collect();
    let words = |x: u128| [x as u32, (x >> 32) as u32, (x >> 64) as u32];
    let a: Vec<u32> = pairs.iter().flat_map(|(a, _)| words(*a)).collect();
    let b: Vec<u32> = pairs.iter().flat_map(|(_, b)| words(*b)).collect();
    let (da, db) = (bench.stream.clone_htod(&a).unwrap(), bench.stream.clone_htod(&b).unwrap());
    let mut out = bench.stream.alloc_zeros::<u32>(pairs.len() * 6).unwrap();
    let mut launch = bench.stream.launch_builder(&function);
    run(launch.arg(&mut out).arg(&da).arg(&db), grid(1, pairs.len() as u32, 0)).unwrap();
    let got = bench.stream.clone_dtoh(&out).unwrap();
    for (got, (a, b)) in got.chunks(6).zip(pairs) {
        assert_eq!(got, [words(a.wrapping_add(b)), words(a.wrapping_sub(b))].concat(), "{a:#x} {b:#x}");
    }
}

/// Runs an atomic by 4 blocks of 64 threads; old values by thread, and the cell at the end.
fn atomics<T>(config: &Config, kernel: &str, start: T, x: &[T]) -> (Vec<T>, T)
where
    T: cudarc::driver::DeviceRepr + cudarc::driver::ValidAsZeroBits + Clone + Copy + Default,
{
    let bench = Bench::new(config);
    let function = bench.function("atomics.cu", kernel);
    let dx = bench.stream.clone_htod(x).unwrap();
    let mut cell = bench.stream.clone_htod(&[start]).unwrap();
    let mut old = bench.stream.alloc_zeros::<T>(x.len()).unwrap();
    let mut launch = bench.stream.launch_builder(&function);
    run(launch.arg(&mut cell).arg(&mut old).arg(&dx), grid(4, 64, 0)).unwrap();
    let result = (bench.stream.clone_dtoh(&old).unwrap(), bench.stream.clone_dtoh(&cell).unwrap()[0]);
    assert_eq!(bench.report().findings, []);
    result
}

/// Atomics come one after another in some order: the old values are those of that order.
fn expect_chain<T>(config: &Config, kernel: &str, start: T, x: &[T], f: impl Fn(T, T) -> T)
where
    T: cudarc::driver::DeviceRepr
        + cudarc::driver::ValidAsZeroBits
        + Copy
        + Default
        + PartialEq
        + std::fmt::Debug,
{
    let (old, end) = atomics(config, kernel, start, x);
    let mut left: Vec<usize> = (0..x.len()).collect();
    let mut cell = start;
    while !left.is_empty() {
        // Of those that saw this value, one that leaves it unchanged goes first.
        let seen: Vec<usize> = (0..left.len()).filter(|&i| old[left[i]] == cell).collect();
        let next = seen.iter().find(|&&i| f(cell, x[left[i]]) == cell).or(seen.first());
        let next = *next.unwrap_or_else(|| panic!("{kernel}: nothing saw {cell:?}"));
        cell = f(cell, x[left.remove(next)]);
    }
    assert_eq!(end, cell, "{kernel}");
}

#[test]
fn atomics_come_one_after_another() {
    for config in configs() {
        let words: Vec<u32> = (0..256_u32).map(|i| i.wrapping_mul(2_654_435_761)).collect();
        let signed: Vec<i32> = words.iter().map(|&x| x as i32).collect();
        let long: Vec<u64> = words.iter().map(|&x| u64::from(x) << 20 | 3).collect();
        let long_signed: Vec<i64> = long.iter().map(|&x| (x << 12) as i64).collect();
        expect_chain(&config, "add_u32", 7, &words, u32::wrapping_add);
        expect_chain(&config, "sub_s32", 7, &signed, i32::wrapping_sub);
        expect_chain(&config, "add_u64", 7, &long, u64::wrapping_add);
        expect_chain(&config, "min_s32", i32::MAX, &signed, i32::min);
        expect_chain(&config, "max_u32", 0, &words, u32::max);
        expect_chain(&config, "min_u64", u64::MAX, &long, u64::min);
        expect_chain(&config, "max_s64", i64::MIN, &long_signed, i64::max);
        expect_chain(&config, "and_u32", u32::MAX, &words, |a, b| a & b);
        expect_chain(&config, "or_u64", 0, &long, |a, b| a | b);
        expect_chain(&config, "xor_u32", 0, &words, |a, b| a ^ b);
        expect_chain(&config, "exch_u32", 1, &words, |_, b| b);
        expect_chain(&config, "exch_u64", 1, &long, |_, b| b);
        expect_chain(&config, "inc_u32", 42, &words, |a, _| if a >= 99 { 0 } else { a + 1 });
        expect_chain(&config, "dec_u32", 42, &words, |a, _| if a == 0 || a > 99 { 99 } else { a - 1 });
        // Whole numbers, so that sums of floats do not depend on their order.
        let floats: Vec<f32> = (0..256).map(|i| (i % 37) as f32).collect();
        expect_chain(&config, "add_f32", 0.5, &floats, |a, b| a + b);
        let doubles: Vec<f64> = floats.iter().map(|&x| f64::from(x)).collect();
        expect_chain(&config, "add_f64", 0.5, &doubles, |a, b| a + b);
    }
}

#[test]
fn compare_and_swap() {
    for config in configs() {
        // Each thread swaps its own number in if the one before it has: in order, the last has won.
        let (_, end) = atomics(&config, "cas_u16", 0, &[0_u16; 256]);
        assert!(end > 0);
        let floats = numbers(256).iter().map(|x| (x.abs() + 1.0).to_bits()).collect::<Vec<_>>();
        let (_, end) = atomics(&config, "max_by_cas", 0, &floats);
        assert_eq!(end, *floats.iter().max().unwrap());
    }
}

#[test]
fn atomics_of_pairs_and_of_blocks() {
    for config in configs() {
        let bench = Bench::new(&config);
        let module = bench.module("atomics.cu");
        let pair = |low: f32, high: f32| {
            u32::from(f16::from_f32(low).to_bits()) | u32::from(f16::from_f32(high).to_bits()) << 16
        };
        let x: Vec<u32> = (0..256).map(|i| pair((i % 5) as f32, -((i % 3) as f32))).collect();
        let dx = bench.stream.clone_htod(&x).unwrap();
        let mut cell = bench.stream.alloc_zeros::<u32>(1).unwrap();
        let add = module.load_function("add_pairs").unwrap();
        run(bench.stream.launch_builder(&add).arg(&mut cell).arg(&dx), grid(4, 64, 0)).unwrap();
        let sum = |modulus: usize| (0..256).map(|i| (i % modulus) as f32).sum::<f32>();
        assert_eq!(bench.stream.clone_dtoh(&cell).unwrap(), [pair(sum(5), -sum(3))]);

        let by_block = module.load_function("by_block").unwrap();
        let mut total = bench.stream.alloc_zeros::<u32>(1).unwrap();
        run(bench.stream.launch_builder(&by_block).arg(&mut total).arg(&dx), grid(4, 64, 0)).unwrap();
        let wanted = x.iter().fold(0_u32, |sum, &x| sum.wrapping_add(x));
        assert_eq!(bench.stream.clone_dtoh(&total).unwrap(), [wanted]);
        assert_eq!(bench.report().findings, []);
    }
}
