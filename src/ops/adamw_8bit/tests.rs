//! Tests of [`adamw_8bit`](super).

#![expect(clippy::float_cmp, reason = "values of a table are exact")]

use super::{BLOCK, Moment, SIGNED, UNSIGNED, cuda, step};
use crate::device::CpuPool;
use crate::ops::adamw::{self, AdamW};
use crate::ops::check::{assert_thread_independent, cpu, random};

const ADAMW: AdamW =
    AdamW { learning_rate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };

/// Numbers of bitsandbytes' table (0.49): the ends, around zero, and how many there are of each sign.
#[test]
fn the_values_are_those_of_bitsandbytes() {
    let (signed, unsigned) = (&SIGNED.values, &UNSIGNED.values);
    assert!(signed.is_sorted() && unsigned.is_sorted());
    let close = |a: f32, b: f32| (a - b).abs() <= 1e-6 * b.abs();
    // 64 parts of (0.1, 1) at the largest exponent: the last middle is 1 - 0.9 / 128.
    assert!(close(signed[0], -0.992_968_75) && close(signed[254], 0.992_968_75) && signed[255] == 1.0);
    assert!(close(unsigned[254], 1.0 - 0.9 / 256.0) && unsigned[0] == 0.0 && unsigned[255] == 1.0);
    // One part at the smallest: 0.55 of 10^-6; two for squares: 0.325 and 0.775.
    assert!(close(signed[128], 0.55e-6) && close(signed[126], -0.55e-6) && signed[127] == 0.0);
    assert!(close(unsigned[1], 0.325e-6) && close(unsigned[2], 0.775e-6));
    assert_eq!((SIGNED.zero(), UNSIGNED.zero()), (127, 0));
}

#[test]
fn every_number_gets_the_nearest_value() {
    for book in [&*SIGNED, &*UNSIGNED] {
        for (code, &value) in book.values.iter().enumerate() {
            assert_eq!(usize::from(book.encode(value)), code);
        }
        for number in random::<f32>(2000, 3).into_iter().map(|x| if book.zero() == 0 { x.abs() } else { x }) {
            let found = (book.decode(book.encode(number)) - number).abs();
            let best = book.values.iter().map(|value| (value - number).abs()).fold(f32::INFINITY, f32::min);
            assert!(found <= best, "{number}: {found} away, the nearest is {best} away");
        }
    }
}

/// Codes and scales at their start.
fn moment(len: usize, zero: u8) -> (Vec<u8>, Vec<f32>) {
    (vec![zero; len], vec![0.0; len.div_ceil(BLOCK)])
}

/// A quadratic with curvatures over an order of magnitude in every block: both go down, and end as close
/// within a factor.
#[test]
fn a_quadratic_is_descended_as_in_f32() {
    let len = 3 * BLOCK + 17;
    let curvature = |i: usize| 10_f32.powf((i % 100) as f32 / 100.0);
    let loss = |params: &[f32]| -> f32 {
        params.iter().enumerate().map(|(i, p)| curvature(i) * p * p).sum::<f32>() / len as f32
    };
    let start: Vec<f32> = random(len, 1);
    let run = |pool: &CpuPool, eight_bits: bool| {
        let mut params = start.clone();
        let (mut m, mut v) = (moment(len, SIGNED.zero()), moment(len, UNSIGNED.zero()));
        let (mut m32, mut v32) = (vec![0.0; len], vec![0.0; len]);
        for t in 1..=150 {
            let gradients: Vec<f32> =
                params.iter().enumerate().map(|(i, p)| 2.0 * curvature(i) * p).collect();
            if eight_bits {
                let moments = [(&mut m), (&mut v)].map(|(codes, scales)| Moment { codes, scales });
                step(pool, &ADAMW, t, &gradients, 1.0, &mut params, moments);
            } else {
                let state = adamw::State { params: &mut params, m: &mut m32, v: &mut v32 };
                adamw::step(pool, &ADAMW, t, &gradients, 1.0, state);
            }
        }
        params
    };
    let eight = assert_thread_independent("params", |pool| run(pool, true));
    let (before, exact, eight) = (loss(&start), loss(&run(&cpu(1), false)), loss(&eight));
    assert!(exact <= 0.02 * before, "{before} {exact}");
    assert!(eight <= 2.0 * exact, "{eight} in 8 bits, {exact} in f32, {before} before");
}

/// A gradient a million times smaller than its neighbour's: its square is below the smallest value, and must
/// not become 0.
#[test]
fn a_small_square_beside_a_large_one_is_not_divided_away() {
    let mut params = vec![0.0_f32; 2];
    let (mut m, mut v) = (moment(2, SIGNED.zero()), moment(2, UNSIGNED.zero()));
    for t in 1..=20 {
        let moments = [(&mut m), (&mut v)].map(|(codes, scales)| Moment { codes, scales });
        step(&cpu(1), &ADAMW, t, &[1.0, 1e-5], 1.0, &mut params, moments);
    }
    // No step of AdamW with gradients of one sign is longer than the learning rate.
    assert!(params.iter().all(|p| p.abs() <= 20.0 * 0.01 * 1.1), "{params:?}");
    assert!(params[0] < -0.1, "{params:?}");
}

/// The first step moves by the learning rate in either direction, as `AdamW` does: nothing was rounded before
/// it.
#[test]
fn the_first_step_is_exact() {
    let (mut params, gradients) = (vec![0.5_f32; 300], random::<f32>(300, 4));
    let (mut m, mut v) = (moment(300, SIGNED.zero()), moment(300, UNSIGNED.zero()));
    let moments = [(&mut m), (&mut v)].map(|(codes, scales)| Moment { codes, scales });
    step(&cpu(2), &ADAMW, 1, &gradients, 1.0, &mut params, moments);
    for (p, g) in params.iter().zip(&gradients) {
        // f32 rounding of numbers of about 0.5.
        assert!((p - (0.5 - 0.01 * g.signum())).abs() <= 1e-6, "{p} for gradient {g}");
    }
}

#[test]
fn cuda_makes_the_same_bits() {
    use crate::device::cuda::Dtype;
    use crate::ops::check::{on_cuda, random};
    let adamw = AdamW::default();
    for len in [1, 256, 700] {
        on_cuda(|cuda, _| {
            let (mut params, gradients): (Vec<f32>, Vec<f32>) = (random(len, 1), random(len, 2));
            let blocks = len.div_ceil(BLOCK);
            let (mut m, mut v) = (moment(len, SIGNED.zero()), moment(len, UNSIGNED.zero()));
            let put = |codes: &[u8]| {
                let tensor = cuda.room(Dtype::U8, codes.len());
                cuda.device.upload(codes, tensor).unwrap();
                tensor
            };
            let there = [&m, &v].map(|(codes, scales)| cuda::CudaMoment {
                codes: put(codes),
                scales: cuda.put(Dtype::F32, scales),
            });
            let (p_there, g_there) = (cuda.put(Dtype::F32, &params), cuda.put(Dtype::F32, &gradients));
            let books = cuda.put(Dtype::F32, &cuda::books());
            for number in 1..=3 {
                let moments = [&mut m, &mut v].map(|(codes, scales)| Moment { codes, scales });
                step(&cpu(1), &adamw, number, &gradients, 0.5, &mut params, moments);
                cuda::step(&cuda.device, &adamw, number, g_there, 0.5, p_there, there, books).unwrap();
            }
            assert_eq!(cuda.get(p_there), params);
            for (cuda::CudaMoment { codes, scales }, (wanted_codes, wanted_scales)) in
                there.into_iter().zip([&m, &v])
            {
                let mut got = vec![0_u8; len];
                cuda.device.download(codes, &mut got).unwrap();
                assert_eq!(&got, wanted_codes);
                assert_eq!(&cuda.get(scales), wanted_scales);
            }
            assert_eq!(m.1.len(), blocks);
        });
    }
}
