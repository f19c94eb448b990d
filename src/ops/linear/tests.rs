//! Tests of [`linear`](super).

use super::{backward, cuda, forward, rows_per_pass, scratch_len};
use crate::gguf::GgmlType;
use crate::ops::check::{
    Guarded, Weights, assert_close, assert_gradient, assert_thread_independent, convert, cpu, dot, random,
};
use crate::ops::matmul::LowRank;
use crate::tensor::{Matrix, Real};

/// (M, in, out, format of W): empty, single, odd around vector and tile widths, several passes over W, and
/// the `up` projection of `SmolLM2` in its real format.
fn cases() -> Vec<(usize, usize, usize, GgmlType)> {
    vec![
        (0, 32, 5, GgmlType::Q4_1),
        (2, 0, 3, GgmlType::F32),
        (3, 4, 0, GgmlType::F32),
        (1, 1, 1, GgmlType::F32),
        (31, 33, 127, GgmlType::F16),
        (33, 31, 129, GgmlType::BF16),
        (127, 128, 257, GgmlType::Q4_0),
        (129, 96, 193, GgmlType::Q8_0),
        (257, 129, 1, GgmlType::F32),
        (33, 8192, 400, GgmlType::Q4_1),
        (5, 512, 67, GgmlType::Q4_K),
        (5, 768, 31, GgmlType::Q6_K),
        (512, 576, 1536, GgmlType::Q4_1),
    ]
}

fn run_forward<T: Real>(threads: usize, w: &Weights, rows: usize, x: &[T]) -> Vec<T> {
    let w = w.view();
    let mut y = Guarded::poisoned(rows * w.rows());
    let mut scratch = Guarded::poisoned(scratch_len(w.cols(), w.rows()));
    forward(&cpu(threads), &w, rows, x, None, y.as_mut(), scratch.as_mut());
    scratch.into_checked();
    y.into_checked()
}

fn run_backward<T: Real>(threads: usize, w: &Weights, rows: usize, dy: &[T], onto: Option<&[T]>) -> Vec<T> {
    let w = w.view();
    let (mut dx, beta) = match onto {
        Some(onto) => (Guarded::from_slice(onto), T::ONE),
        None => (Guarded::poisoned(rows * w.cols()), T::ZERO),
    };
    let mut scratch = Guarded::poisoned(scratch_len(w.cols(), w.rows()));
    backward(&cpu(threads), &w, rows, dy, None, beta, dx.as_mut(), scratch.as_mut());
    dx.into_checked()
}

/// `y[i][o] = Σ_j x[i][j] · w[o][j]` by plain loops in f64.
fn reference(rows: usize, inputs: usize, outputs: usize, x: &[f64], w: &[f64]) -> Vec<f64> {
    let mut y = Vec::with_capacity(rows * outputs);
    for i in 0..rows {
        for o in 0..outputs {
            y.push(dot(&x[i * inputs..][..inputs], &w[o * inputs..][..inputs]));
        }
    }
    y
}

#[test]
fn f32_and_f64_match_plain_loops() {
    for (rows, inputs, outputs, ggml_type) in cases() {
        let what = format!("({rows}, {inputs}, {outputs}, {ggml_type})");
        let w = Weights::random(ggml_type, outputs, inputs, 1);
        let (x, dy) = (random::<f32>(rows * inputs, 2), random::<f32>(rows * outputs, 3));
        let y = reference(rows, inputs, outputs, &convert(&x), &w.decoded());
        assert_close(&format!("y {what}"), &run_forward(2, &w, rows, &x), &y);
        let y64 = run_forward::<f64>(2, &w, rows, &convert(&x));
        // Sums of up to 8192 terms below 1 in f64: 8192 · 1.1e-16 is the worst case of rounding.
        assert!(y.iter().zip(&y64).all(|(a, b)| (a - b).abs() <= 1e-12), "y in f64 {what}");

        let dx64 = run_backward::<f64>(2, &w, rows, &convert(&dy), None);
        assert_close(&format!("dx {what}"), &run_backward(2, &w, rows, &dy, None), &dx64);
        let onto = random::<f32>(rows * inputs, 4);
        let sum: Vec<f64> = dx64.iter().zip(&onto).map(|(dx, onto)| dx + f64::from(*onto)).collect();
        assert_close(&format!("dx added {what}"), &run_backward(2, &w, rows, &dy, Some(&onto)), &sum);
    }
}

/// With an addition of rank 3 the result is the one without it, plus that product by plain loops: over the
/// edges of tiles, over several passes, and where there is no weight at all.
#[test]
fn a_product_of_low_rank_is_added_once() {
    let alpha = 1.25;
    for (rows, inputs, outputs, ggml_type) in cases() {
        let w = Weights::random(ggml_type, outputs, inputs, 1);
        let what = format!("({rows}, {inputs}, {outputs}, {ggml_type})");
        let (x, dy) = (random::<f64>(rows * inputs, 2), random::<f64>(rows * outputs, 3));
        let left = random::<f64>(rows * 3, 4);
        let plus = |sum: Vec<f64>, right: &[f64], columns: usize| -> Vec<f64> {
            let part = |i: usize| {
                let (row, column) = (i / columns, i % columns);
                (0..3).map(|r| alpha * left[row * 3 + r] * right[r * columns + column]).sum::<f64>()
            };
            sum.into_iter().enumerate().map(|(i, sum)| sum + part(i)).collect()
        };
        let low_rank = |right| {
            let right: &[f64] = right;
            let columns = right.len() / 3;
            let left = Matrix::new(&left, rows, 3);
            Some(LowRank { alpha, left, right: Matrix::new(right, 3, columns) })
        };
        // As in `f32_and_f64_match_plain_loops`.
        let same = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-12);
        let mut scratch = vec![0.0; scratch_len(inputs, outputs)];
        let right = random::<f64>(3 * outputs, 5);
        let mut y = vec![f64::NAN; rows * outputs];
        forward(&cpu(2), &w.view(), rows, &x, low_rank(&right), &mut y, &mut scratch);
        assert!(same(&y, &plus(run_forward(2, &w, rows, &x), &right, outputs)), "y {what}");
        let right = random::<f64>(3 * inputs, 6);
        let mut dx = vec![f64::NAN; rows * inputs];
        backward(&cpu(2), &w.view(), rows, &dy, low_rank(&right), 0.0, &mut dx, &mut scratch);
        assert!(same(&dx, &plus(run_backward(2, &w, rows, &dy, None), &right, inputs)), "dx {what}");
    }
}

#[test]
fn gradient_of_x() {
    for (rows, inputs, outputs, ggml_type) in
        [(1, 1, 1, GgmlType::F32), (3, 33, 5, GgmlType::F16), (2, 64, 31, GgmlType::Q4_1)]
    {
        let w = Weights::random(ggml_type, outputs, inputs, 1);
        let (x, g) = (random::<f64>(rows * inputs, 2), random::<f64>(rows * outputs, 3));
        let dx = run_backward(1, &w, rows, &g, None);
        assert_gradient("x", &x, &dx, |x| dot(&run_forward(1, &w, rows, x), &g));
    }
}

#[test]
fn threads_do_not_change_bits() {
    for (rows, inputs, outputs, ggml_type) in cases() {
        let w = Weights::random(ggml_type, outputs, inputs, 1);
        let (x, dy) = (random::<f32>(rows * inputs, 2), random::<f32>(rows * outputs, 3));
        let scratch = vec![0.0; scratch_len(inputs, outputs)];
        assert_thread_independent("y", |pool| {
            let mut y = vec![0.0; dy.len()];
            forward(pool, &w.view(), rows, &x, None, &mut y, &mut scratch.clone());
            y
        });
        assert_thread_independent("dx", |pool| {
            let mut dx = vec![0.0; x.len()];
            backward(pool, &w.view(), rows, &dy, None, 0.0, &mut dx, &mut scratch.clone());
            dx
        });
    }
}

#[test]
fn passes_are_whole_tiles_and_bounded() {
    assert_eq!(rows_per_pass(576, 1536), 1536);
    assert_eq!(rows_per_pass(576, 49_152), 1728);
    assert_eq!(scratch_len(576, 49_152), 1728 * 576);
    assert_eq!(rows_per_pass(100_000_000, 500), 192);
    assert_eq!(rows_per_pass(0, 3), 3);
}

#[test]
#[should_panic(expected = "length of x or dx (left), 2 rows of 32 (right)")]
fn a_wrong_length_is_refused() {
    let w = Weights::random(GgmlType::Q4_1, 3, 32, 1);
    run_forward::<f32>(1, &w, 2, &[0.0; 63]);
}

#[test]
fn cuda_agrees_with_the_cpu() {
    assert_cuda_agrees_with_the_cpu(&[GgmlType::F32, GgmlType::Q4_K]);
}

mod slow {
    #[test]
    fn cuda_agrees_with_the_cpu_in_every_format() {
        super::assert_cuda_agrees_with_the_cpu(&super::GgmlType::TRAINABLE);
    }
}

/// Decoded weights are those of the CPU, bit for bit; products are near its own.
fn assert_cuda_agrees_with_the_cpu(formats: &[GgmlType]) {
    use crate::ops::check::{Cuda, on_cuda};
    for &ggml_type in formats {
        let (rows, inputs, outputs) = (5, 256, 24);
        let w = Weights::random(ggml_type, outputs, inputs, 1);
        on_cuda(|cuda, act| {
            let matrix = cuda.matrix(&w);
            let scratch = cuda.room(act, outputs * inputs);
            matrix.decode(&cuda.device, scratch).unwrap();
            let decoded: Vec<f32> = convert(&w.decoded());
            assert_eq!(cuda.get(scratch), Cuda::rounded(act, &decoded), "{ggml_type}");
            let (x, dy) = (
                Cuda::rounded(act, &random(rows * inputs, 2)),
                Cuda::rounded(act, &random(rows * outputs, 3)),
            );
            let (x_there, dy_there) = (cuda.put(act, &x), cuda.put(act, &dy));
            let (y_there, dx_there) = (cuda.room(act, rows * outputs), cuda.put(act, &x));
            cuda::forward(&cuda.device, &matrix, rows, x_there, 0.0, y_there, scratch).unwrap();
            cuda.assert_near("y", act, y_there, &run_forward(1, &w, rows, &x));
            cuda::backward(&cuda.device, &matrix, rows, dy_there, 1.0, dx_there, scratch).unwrap();
            cuda.assert_near("dx", act, dx_there, &run_backward(1, &w, rows, &dy, Some(&x)));
        });
    }
}
