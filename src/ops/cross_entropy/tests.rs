//! Tests of [`cross_entropy`](super).

use super::{BLOCK_ROWS, cuda, forward, forward_backward, scratch_len};
use crate::device::CpuPool;
use crate::gguf::GgmlType;
use crate::ops::check::{
    Guarded, Weights, assert_close, assert_gradient, assert_thread_independent, convert, cpu, dot, random,
};
use crate::tensor::Real;

/// (M, C, V, format of W): empty, single, odd, several tiles (8192 columns leave 192 rows per tile), more
/// than one block of rows, and real rows of the head of `SmolLM2` (a quarter of its vocabulary: 8 tiles).
fn cases() -> Vec<(usize, usize, usize, GgmlType)> {
    vec![
        (0, 32, 5, GgmlType::Q4_1),
        (1, 1, 1, GgmlType::F32),
        (31, 33, 127, GgmlType::F16),
        (33, 31, 129, GgmlType::BF16),
        (127, 128, 257, GgmlType::Q4_0),
        (5, 8192, 500, GgmlType::Q8_0),
        (BLOCK_ROWS + 6, 32, 128, GgmlType::Q4_1),
        (64, 576, 12_288, GgmlType::Q4_1),
    ]
}

const SCALE: f64 = 0.125;

fn targets(rows: usize, vocab: usize) -> Vec<u32> {
    // The first and the last entry of the vocabulary are among them.
    (0..rows).map(|i| if i == 1 { vocab - 1 } else { i * 7919 % vocab } as u32).collect()
}

fn run<T: Real>(pool: &CpuPool, w: &Weights, h: &[T], targets: &[u32]) -> (f64, Vec<T>) {
    let w = w.view();
    let mut dh = Guarded::poisoned(h.len());
    let mut scratch = Guarded::poisoned(scratch_len(targets.len(), w.cols(), w.rows()));
    let nll = forward_backward(pool, &w, h, targets, T::from_f64(SCALE), dh.as_mut(), scratch.as_mut());
    let only = forward(pool, &w, h, targets, scratch.as_mut());
    assert_eq!(only.to_bits(), nll.to_bits(), "loss without gradient (left) and with it (right)");
    (nll, dh.into_checked())
}

/// The definition, with all logits of a row at once.
fn reference(w: &Weights, h: &[f64], targets: &[u32]) -> (f64, Vec<f64>) {
    let (weights, vocab, width) = (w.decoded(), w.view().rows(), w.view().cols());
    let (mut nll, mut dh) = (0.0, Vec::with_capacity(h.len()));
    for (h, &target) in h.chunks(width).zip(targets) {
        let logits: Vec<f64> = weights.chunks(width).map(|w| dot(h, w)).collect();
        let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logits.iter().map(|z| (z - max).exp()).sum();
        nll += max + sum.ln() - logits[target as usize];
        let mut row = vec![0.0; width];
        for v in 0..vocab {
            let p = (logits[v] - max).exp() / sum - f64::from(u8::from(v == target as usize));
            for (out, w) in row.iter_mut().zip(&weights[v * width..]) {
                *out += SCALE * p * w;
            }
        }
        dh.extend(row);
    }
    (nll, dh)
}

#[test]
fn f32_and_f64_match_the_definition() {
    for (rows, width, vocab, ggml_type) in cases() {
        let what = format!("({rows}, {width}, {vocab}, {ggml_type})");
        let w = Weights::random(ggml_type, vocab, width, 1);
        let (h, targets) = (random::<f32>(rows * width, 2), targets(rows, vocab));
        let (nll, dh) = reference(&w, &convert(&h), &targets);
        let (nll64, dh64) = run::<f64>(&cpu(2), &w, &convert(&h), &targets);
        // Rounding in f64, with sums of up to 12 288 terms.
        assert!((nll - nll64).abs() <= 1e-11 * nll.max(1.0), "nll in f64 {what}: {nll64}, defined as {nll}");
        for (i, (a, b)) in dh.iter().zip(&dh64).enumerate() {
            assert!((a - b).abs() <= 1e-11 * a.abs().max(1.0), "dh[{i}] in f64 {what}: {b}, defined as {a}");
        }
        let (nll32, dh32) = run(&cpu(2), &w, &h, &targets);
        // A logit is a sum of `width` products in f32: relative error 1e-5 as for every result here.
        assert!((nll - nll32).abs() <= 1e-5 * nll.max(1.0), "nll in f32 {what}: {nll32}, defined as {nll}");
        assert_close(&format!("dh {what}"), &dh32, &dh64);
    }
}

#[test]
fn gradient_of_h() {
    for (rows, width, vocab, ggml_type) in
        [(1, 1, 2, GgmlType::F32), (3, 33, 31, GgmlType::F16), (2, 64, 257, GgmlType::Q4_1)]
    {
        let w = Weights::random(ggml_type, vocab, width, 1);
        let (h, targets) = (random::<f64>(rows * width, 2), targets(rows, vocab));
        let (_, dh) = run(&cpu(1), &w, &h, &targets);
        assert_gradient("h", &h, &dh, |h| SCALE * run(&cpu(1), &w, h, &targets).0);
    }
}

/// Logits in the thousands, whose exponentials overflow, and whose maximum moves from tile to tile: a
/// vocabulary whose weights grow with their index.
#[test]
fn large_and_growing_logits() {
    let (width, vocab) = (8192, 500);
    let w = Weights::random(GgmlType::F32, vocab, width, 1);
    let weights = w.decoded();
    // Along a late row of W: its logit is about 8192/3, all others are far below.
    let late = &weights[450 * width..][..width];
    let h: Vec<f64> = late.iter().chain(late).copied().collect();
    let (nll, dh) = run(&cpu(2), &w, &h, &[450, 3]);
    let (expected, expected_dh) = reference(&w, &h, &[450, 3]);
    assert!(nll.is_finite() && nll > 1000.0, "nll {nll}");
    assert!((nll - expected).abs() <= 1e-9, "nll {nll}, defined as {expected}");
    for (i, (a, b)) in dh.iter().zip(&expected_dh).enumerate() {
        assert!((a - b).abs() <= 1e-11, "dh[{i}]: {a}, defined as {b}");
    }
}

#[test]
fn threads_do_not_change_bits() {
    for (rows, width, vocab, ggml_type) in cases() {
        let w = Weights::random(ggml_type, vocab, width, 1);
        let (h, targets) = (random::<f32>(rows * width, 2), targets(rows, vocab));
        assert_thread_independent("dh", |pool| run(pool, &w, &h, &targets).1);
        let losses = [1, 2, 3].map(|threads| run(&cpu(threads), &w, &h, &targets).0.to_bits());
        assert_eq!(losses, [losses[0]; 3], "loss bits with 1, 2, 3 threads");
    }
}

#[test]
#[should_panic(expected = "target 5 in a vocabulary of 5")]
fn a_target_outside_the_vocabulary_is_refused() {
    let w = Weights::random(GgmlType::F32, 5, 2, 1);
    run(&cpu(1), &w, &[0.0_f32; 2], &[5]);
}

#[test]
fn cuda_agrees_with_the_cpu() {
    assert_cuda_agrees_with_the_cpu(&[(1, 32, 40), (35, 32, 100), (0, 32, 100)]);
}

mod slow {
    #[test]
    fn cuda_agrees_with_the_cpu() {
        // A vocabulary of several tiles, whose last is not whole; more rows than a block.
        super::assert_cuda_agrees_with_the_cpu(&[(3, 64, 9001), (1030, 32, 100)]);
    }
}

/// Shapes are rows, width and vocabulary.
fn assert_cuda_agrees_with_the_cpu(shapes: &[(usize, usize, usize)]) {
    use crate::device::cuda::Arena;
    use crate::ops::check::{Cuda, on_cuda};
    for &(rows, width, vocab) in shapes {
        let w = Weights::random(GgmlType::Q8_0, vocab, width, 1);
        on_cuda(|cuda, act| {
            let h = Cuda::rounded(act, &random(rows * width, 2));
            let targets = targets(rows, vocab);
            let scale = 0.25;
            let mut dh = vec![0.0; h.len()];
            let mut scratch = vec![0.0; scratch_len(rows, width, vocab)];
            let nll = forward_backward(&cpu(1), &w.view(), &h, &targets, scale, &mut dh, &mut scratch);
            let matrix = cuda.matrix(&w);
            let weights = cuda.room(act, cuda::weights_len(width, vocab));
            let mut plan = Arena::default();
            cuda::Scratch::take(&mut plan, act, weights, rows, width, vocab);
            let memory = cuda.device.allocate(&plan).unwrap();
            let scratch = cuda::Scratch::take(&mut memory.arena(), act, weights, rows, width, vocab);
            let (h_there, dh_there, targets) =
                (cuda.put(act, &h), cuda.room(act, h.len()), cuda.list(&targets));
            let run =
                |gradient| cuda::run(&cuda.device, &matrix, h_there, targets, gradient, &scratch).unwrap();
            let limit = if act == crate::device::cuda::Dtype::F32 { 1e-6 } else { 5e-3 };
            for got in [run(None), run(Some(cuda::ScaledGradient { scale, dh: dh_there }))] {
                assert!((got - nll).abs() <= limit * nll.max(1.0), "{got}, wanted {nll}");
            }
            cuda.assert_near("dh", act, dh_there, &dh);
        });
    }
}
