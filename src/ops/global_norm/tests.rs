//! Tests of [`global_norm`](super).

#![expect(clippy::float_cmp, reason = "one correctly rounded division")]

use super::cpu::LEAF;
use super::{clip_factor, cuda, global_norm};
use crate::ops::check::{convert, cpu, random};

#[test]
fn norm_matches_a_plain_sum() {
    for len in [0, 1, 31, 33, 127, 128, 129, 257, LEAF, LEAF + 1, 7 * LEAF + 5, 4_884_480] {
        let values = random::<f32>(len, 1);
        let plain = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
        let norm = global_norm(&cpu(1), &values);
        // Up to 5e6 roundings in f64, in two orders: 5e6 · 1.1e-16 at worst.
        assert!((norm - plain).abs() <= 1e-9 * plain, "{len} values: {norm}, plainly {plain}");
        assert_eq!(
            norm.to_bits(),
            global_norm::<f64>(&cpu(1), &convert(&values)).to_bits(),
            "f64, {len} values"
        );
        for threads in [2, 3] {
            assert_eq!(
                norm.to_bits(),
                global_norm(&cpu(threads), &values).to_bits(),
                "{threads} threads, {len} values"
            );
        }
    }
}

#[test]
fn nan_reaches_the_norm_and_the_factor() {
    let mut values = vec![1.0_f32; 3 * LEAF];
    values[2 * LEAF] = f32::NAN;
    assert!(global_norm(&cpu(2), &values).is_nan());
    assert!(clip_factor(f64::NAN, 1.0).is_nan());
}

#[test]
fn factor_is_that_of_torch() {
    assert_eq!(clip_factor(0.0, 1.0), 1.0);
    assert_eq!(clip_factor(0.5, 1.0), 1.0);
    // The 1e-6 counts at the limit itself.
    assert_eq!(clip_factor(1.0, 1.0), 1.0 / 1.000_001);
    assert_eq!(clip_factor(4.0, 1.0), 1.0 / 4.000_001);
}

#[test]
fn cuda_agrees_with_the_cpu() {
    use crate::device::cuda::Dtype;
    use crate::ops::check::{cpu, on_cuda, random};
    for len in [0, 1, 1003, 16384, 50_000] {
        on_cuda(|cuda, _| {
            let values: Vec<f32> = random(len, 1);
            let (there, scratch) =
                (cuda.put(Dtype::F32, &values), cuda.room(Dtype::F64, cuda::scratch_len(len)));
            let (got, wanted) =
                (cuda::global_norm(&cuda.device, there, scratch).unwrap(), global_norm(&cpu(1), &values));
            // Both add up in f64.
            assert!((got - wanted).abs() <= 1e-12 * wanted.max(1.0), "{got}, wanted {wanted}");
        });
    }
}
