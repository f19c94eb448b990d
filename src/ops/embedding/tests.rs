//! Tests of [`embedding`](super).

use super::forward;
use crate::gguf::GgmlType;
use crate::ops::check::{Guarded, Weights, cpu};

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

#[test]
#[should_panic(expected = "row 5 of 5")]
fn a_token_outside_the_vocabulary_is_refused() {
    let w = Weights::random(GgmlType::F32, 5, 2, 1);
    forward(&cpu(1), &w.view(), &[5], &mut [0.0_f32; 2]);
}
