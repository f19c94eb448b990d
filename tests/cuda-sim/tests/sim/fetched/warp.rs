//! Catches wrong results between lanes and between warps: shuffles, votes, matches, reductions, barriers.

use cudarc::driver::PushKernelArg;
use cudasim::driver::Config;
use cudasim::exec::Order;

use crate::support::{Bench, configs, grid, run};

fn values() -> Vec<i32> {
    (0..32).map(|i| [3, -1, 7, 0, 2, i32::MIN, i32::MAX, 1][i % 8] ^ (i as i32 / 16)).collect()
}

/// "PTX ISA", `shfl`: the lane that a lane reads, if it is one of its segment.
fn source(mode: usize, lane: usize, delta: usize, width: usize) -> usize {
    let (first, last) = (lane / width * width, lane / width * width + width - 1);
    match mode {
        0 => first + delta % width,
        1 => lane.checked_sub(delta).filter(|&from| from >= first).unwrap_or(lane),
        2 => Some(lane + delta).filter(|&from| from <= last).unwrap_or(lane),
        _ => Some(lane ^ delta).filter(|&from| from <= last).unwrap_or(lane),
    }
}

#[test]
fn shuffles_within_segments() {
    for config in configs() {
        let bench = Bench::new(&config);
        let shuffles = bench.function("warp.cu", "shuffles");
        let x = values();
        let dx = bench.stream.clone_htod(&x).unwrap();
        let mut out = bench.stream.alloc_zeros::<i32>(128).unwrap();
        for width in [1_usize, 2, 4, 8, 16, 32] {
            for delta in [0_usize, 1, 2, 3, 5, 15, 16, 31] {
                let (delta_arg, width_arg) = (delta as i32, width as i32);
                let mut launch = bench.stream.launch_builder(&shuffles);
                run(launch.arg(&mut out).arg(&dx).arg(&delta_arg).arg(&width_arg), grid(1, 32, 0)).unwrap();
                let got = bench.stream.clone_dtoh(&out).unwrap();
                for (at, got) in got.iter().enumerate() {
                    let wanted = x[source(at / 32, at % 32, delta, width)];
                    assert_eq!(*got, wanted, "mode {}, lane {}, {delta} of {width}", at / 32, at % 32);
                }
            }
        }
        assert_eq!(bench.report().findings, []);
    }
}

/// Runs a kernel of one warp that writes `rows` words for each lane.
fn warp_results(config: &Config, kernel: &str, rows: usize, x: &[i32], extra: Option<i32>) -> Vec<Vec<u32>> {
    let bench = Bench::new(config);
    let function = bench.function("warp.cu", kernel);
    let dx = bench.stream.clone_htod(x).unwrap();
    let mut out = bench.stream.alloc_zeros::<u32>(rows * 32).unwrap();
    let mut launch = bench.stream.launch_builder(&function);
    launch.arg(&mut out).arg(&dx);
    if let Some(extra) = &extra {
        launch.arg(extra);
    }
    run(&mut launch, grid(1, 32, 0)).unwrap();
    let got = bench.stream.clone_dtoh(&out).unwrap();
    assert_eq!(bench.report().findings, []);
    got.chunks(32).map(<[u32]>::to_vec).collect()
}

#[test]
fn halves_of_a_warp_vote_apart() {
    for config in configs() {
        for x in [values(), vec![1; 32], vec![2; 32], vec![-5; 32]] {
            let got = warp_results(&config, "votes", 5, &x, None);
            for half in 0..2 {
                let mask = 0xffff_u32 << (16 * half);
                let lanes = 16 * half..16 * half + 16;
                let holds = |&lane: &usize| x[lane] > half as i32;
                let ballot = lanes.clone().filter(holds).fold(0_u32, |bits, lane| bits | 1 << lane);
                for lane in lanes {
                    let lane_got: Vec<u32> = got.iter().map(|row| row[lane]).collect();
                    let (any, all) = (ballot != 0, ballot == mask);
                    let wanted = [ballot, any.into(), all.into(), (all || !any).into(), mask];
                    assert_eq!(lane_got, wanted, "lane {lane}");
                }
            }
        }
    }
}

#[test]
fn lanes_find_their_like() {
    for config in configs() {
        for same in [0, 1] {
            let x = values();
            let got = warp_results(&config, "matches", 6, &x, Some(same));
            for lane in 0..32 {
                let like = (0..32).filter(|&i| x[i] == x[lane]).fold(0_u32, |bits, i| bits | 1 << i);
                let all = if same == 1 { u32::MAX } else { 0 };
                let lane_got: Vec<u32> = got.iter().map(|row| row[lane]).collect();
                assert_eq!(lane_got, [like, like, all, same as u32, all, same as u32], "lane {lane}");
            }
        }
    }
}

#[test]
fn reductions_of_the_lanes_of_a_mask() {
    for config in configs() {
        let x = values();
        let got = warp_results(&config, "reductions", 4, &x, None);
        let of = |thirds: bool| (0..32).filter(move |i| (i % 3 == 0) == thirds).map(|i| values()[i]);
        let sum = |thirds| of(thirds).fold(0_i32, i32::wrapping_add) as u32;
        let unsigned = |thirds| of(thirds).map(|x| x as u32);
        for lane in 0..32 {
            let wanted = if lane % 3 == 0 {
                let xor = unsigned(true).fold(0, |a, b| a ^ b);
                [sum(true), of(true).min().unwrap() as u32, unsigned(true).max().unwrap(), xor]
            } else {
                let (and, or) = unsigned(false).fold((u32::MAX, 0), |(and, or), x| (and & x, or | x));
                [sum(false), unsigned(false).min().unwrap(), of(false).max().unwrap() as u32, and ^ or]
            };
            assert_eq!(got.iter().map(|row| row[lane]).collect::<Vec<_>>(), wanted, "lane {lane}");
        }
    }
}

#[test]
fn reductions_at_barriers() {
    for config in configs() {
        let bench = Bench::new(&config);
        let function = bench.function("warp.cu", "block_reductions");
        // 72 threads: the last warp is not full.
        for x in [vec![1; 72], (0..72).map(|i| i % 5 - 2).collect(), vec![0; 72]] {
            let dx = bench.stream.clone_htod(&x).unwrap();
            let mut out = bench.stream.alloc_zeros::<i32>(3 * 72).unwrap();
            run(bench.stream.launch_builder(&function).arg(&mut out).arg(&dx), grid(1, 72, 0)).unwrap();
            let count = x.iter().filter(|&&x| x > 0).count() as i32;
            let (all, any) = (i32::from(count == 72), i32::from(x.iter().any(|&x| x > 1)));
            let wanted = [vec![count; 72], vec![all; 72], vec![any; 72]].concat();
            assert_eq!(bench.stream.clone_dtoh(&out).unwrap(), wanted);
        }
        assert_eq!(bench.report().findings, []);
    }
}

#[test]
fn named_barriers_hand_over() {
    for order in [Order::Forward, Order::Reverse, Order::Shuffle(3)] {
        let bench = Bench::new(&Config { order, checks: true, ..Config::default() });
        let function = bench.function("warp.cu", "hand_over");
        let (rounds, x) = (5_i32, (0..320).map(|i| i * 7 % 100).collect::<Vec<i32>>());
        let dx = bench.stream.clone_htod(&x).unwrap();
        let mut out = bench.stream.alloc_zeros::<i32>(320).unwrap();
        let mut launch = bench.stream.launch_builder(&function);
        run(launch.arg(&mut out).arg(&dx).arg(&rounds), grid(1, 128, 0)).unwrap();
        let got = bench.stream.clone_dtoh(&out).unwrap();
        for (at, got) in got.iter().enumerate() {
            let (round, i) = (at / 64, at % 64);
            assert_eq!(*got, x[round * 64 + 63 - i] + round as i32, "{at}");
        }
        // The barriers order the buffer: no race.
        assert_eq!(bench.report().findings, []);
    }
}
