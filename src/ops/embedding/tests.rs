//! Tests of [`embedding`](super).

use super::{add_noise, forward};
use crate::gguf::GgmlType;
use crate::ops::check::{Guarded, Weights, assert_thread_independent, cpu};

/// A gather moves numbers without computing: both types equal the decoded rows exactly.
#[test]
fn rows_are_the_decoded_ones() {
    for (vocab, width, count, ggml_type) in [
        (5, 32, 0, GgmlType::Q4_1),
        (1, 1, 1, GgmlType::F32),
        (129, 33, 31, GgmlType::F16),
        (127, 31, 257, GgmlType::BF16),
        (257, 288, 33, GgmlType::Q4_0),
        (128, 544, 129, GgmlType::Q8_0),
        (1000, 576, 512, GgmlType::Q4_1),
    ] {
        let w = Weights::random(ggml_type, vocab, width, 1);
        let tokens: Vec<u32> = (0..count).map(|i| ((i * 7919 + vocab - 1) % vocab) as u32).collect();
        let rows = w.decoded();
        let expected: Vec<f64> =
            tokens.iter().flat_map(|&t| &rows[t as usize * width..][..width]).copied().collect();
        for threads in [1, 2] {
            let mut out32 = Guarded::<f32>::poisoned(count * width);
            let mut out64 = Guarded::<f64>::poisoned(count * width);
            forward(&cpu(threads), &w.view(), &tokens, out32.as_mut());
            forward(&cpu(threads), &w.view(), &tokens, out64.as_mut());
            let out32: Vec<f64> = out32.into_checked().into_iter().map(f64::from).collect();
            assert_eq!(out32, expected, "f32 ({vocab}, {width}) {ggml_type}");
            assert_eq!(out64.into_checked(), expected, "f64 ({vocab}, {width}) {ggml_type}");
        }
    }
}

/// Noise is even over ±alpha / √(len · C): its mean square is a third of the bound's. Of 33 · 576 numbers the
/// mean square is within 3 %, about four standard deviations.
#[test]
fn noise_has_the_size_of_its_segment() {
    let (width, segments, alpha) = (576, [0..33, 33..66], 5.0);
    let run = |key, segments: &[std::ops::Range<usize>]| {
        assert_thread_independent("noise", |pool| {
            let mut x = vec![0.0; 66 * width];
            add_noise(pool, key, alpha, segments, &mut x);
            x
        })
    };
    let x = run(1, &segments);
    let bound = alpha / (33.0 * width as f64).sqrt();
    for segment in segments {
        let rows = &x[segment.start * width..segment.end * width];
        assert!(rows.iter().all(|&x| f64::from(x).abs() <= bound * (1.0 + 1e-6)));
        let mean_square = rows.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / rows.len() as f64;
        assert!((mean_square / (bound * bound / 3.0) - 1.0).abs() <= 0.03, "{mean_square}");
    }
    assert!(run(2, &[0..33, 33..66]) != x, "the key is not used");
    // Twice as long: √2 as little.
    let ratio = run(1, std::slice::from_ref(&(0..66)))[5] / x[5];
    assert!((f64::from(ratio) - 0.5_f64.sqrt()).abs() <= 1e-6, "{ratio}");
}

#[test]
#[should_panic(expected = "row 5 of 5")]
fn a_token_outside_the_vocabulary_is_refused() {
    let w = Weights::random(GgmlType::F32, 5, 2, 1);
    forward(&cpu(1), &w.view(), &[5], &mut [0.0_f32; 2]);
}
