//! Tests of [`rms_norm`](super): forward against the formula, backward against central differences.

#![expect(clippy::float_cmp, reason = "these numbers must be equal, not close")]

use super::*;
use crate::device::cuda::Dtype;
use crate::ops::check::{
    Guarded, assert_close, assert_gradient, assert_thread_independent, convert, cpu, dot, random,
};

const EPS: f32 = 1e-5;
/// (M, C): empty, single, around the lanes and the rows of a task, and one real size.
const SHAPES: [(usize, usize); 10] =
    [(0, 8), (3, 1), (1, 31), (5, 33), (17, 64), (33, 127), (2, 128), (3, 129), (4, 257), (130, 576)];

fn run_forward<T: Real>(pool: &CpuPool, rows: usize, x: &[T], weight: &[f32]) -> (Vec<T>, Vec<T>) {
    let mut out = Guarded::poisoned(x.len());
    let mut rstd = Guarded::poisoned(rows);
    forward(pool, x, weight, EPS, out.as_mut(), rstd.as_mut());
    (out.into_checked(), rstd.into_checked())
}

fn run_backward<T: Real>(
    pool: &CpuPool,
    x: &[T],
    weight: &[f32],
    rstd: &[T],
    d_out: &[T],
    before: Option<&[T]>,
) -> Vec<T> {
    let mut d_x = before.map_or_else(|| Guarded::poisoned(x.len()), Guarded::from_slice);
    let beta = if before.is_some() { T::ONE } else { T::ZERO };
    backward(pool, x, weight, rstd, d_out, beta, d_x.as_mut());
    d_x.into_checked()
}

#[test]
fn forward_is_the_formula() {
    let (x, weight) = (vec![3.0_f64, -4.0, 0.0, 0.0], vec![1.0, 2.0, 0.5, -1.0]);
    let (out, rstd) = run_forward(&cpu(1), 2, &x, &weight[..2]);
    // Row 0: mean square 12.5; row 1: 0, so only eps is left.
    let expected = 1.0 / (12.5 + f64::from(EPS)).sqrt();
    assert!((rstd[0] - expected).abs() <= 1e-15, "{} for {expected}", rstd[0]);
    assert!((out[1] + 8.0 * expected).abs() <= 1e-14, "{} for {}", out[1], -8.0 * expected);
    assert_eq!(&out[2..], [0.0, 0.0]);
}

#[test]
fn gradient_matches_central_differences() {
    for (rows, columns) in [(1, 1), (2, 31), (3, 33), (17, 5)] {
        let x: Vec<f64> = random(rows * columns, 1);
        let weight: Vec<f32> = random(columns, 2);
        let d_out: Vec<f64> = random(rows * columns, 3);
        let (_, rstd) = run_forward(&cpu(1), rows, &x, &weight);
        let d_x = run_backward(&cpu(2), &x, &weight, &rstd, &d_out, None);
        assert_gradient("x", &x, &d_x, |x| dot(&run_forward(&cpu(1), rows, x, &weight).0, &d_out));
    }
}

#[test]
fn backward_adds_to_a_residual_gradient() {
    let (x, weight, d_out): (Vec<f64>, Vec<f32>, Vec<f64>) = (random(66, 1), random(33, 2), random(66, 3));
    let before: Vec<f64> = random(66, 4);
    let (_, rstd) = run_forward(&cpu(1), 2, &x, &weight);
    let alone = run_backward(&cpu(1), &x, &weight, &rstd, &d_out, None);
    let added = run_backward(&cpu(1), &x, &weight, &rstd, &d_out, Some(&before));
    for i in 0..added.len() {
        assert_eq!(added[i], before[i] + alone[i], "element {i}");
    }
}

#[test]
fn f32_agrees_with_f64_and_with_any_number_of_threads() {
    for (rows, columns) in SHAPES {
        let (x, weight, d_out): (Vec<f64>, Vec<f32>, Vec<f64>) =
            (random(rows * columns, 1), random(columns, 2), random(rows * columns, 3));
        let (out, rstd) = run_forward(&cpu(1), rows, &x, &weight);
        let d_x = run_backward(&cpu(1), &x, &weight, &rstd, &d_out, None);
        let (x, d_out): (Vec<f32>, Vec<f32>) = (convert(&x), convert(&d_out));
        let out_f32 = assert_thread_independent("out", |pool| run_forward(pool, rows, &x, &weight).0);
        let (_, rstd_f32) = run_forward(&cpu(1), rows, &x, &weight);
        let d_x_f32 =
            assert_thread_independent("d_x", |pool| run_backward(pool, &x, &weight, &rstd_f32, &d_out, None));
        assert_close("out", &out_f32, &out);
        assert_close("rstd", &rstd_f32, &rstd);
        // One column: x̂ = ±1 and d_x is the difference of two equal numbers, all rounding.
        if columns > 1 {
            assert_close("d_x", &d_x_f32, &d_x);
        }
    }
}

#[test]
fn cuda_agrees_with_the_cpu() {
    use crate::ops::check::{Cuda, on_cuda};
    for (rows, columns) in [(1, 4), (3, 64), (5, 576), (2, 4096)] {
        on_cuda(|cuda, act| {
            let [x, d_out, residual] =
                [1, 2, 3].map(|seed| Cuda::rounded(act, &random(rows * columns, seed)));
            let weight: Vec<f32> = random(columns, 4);
            let (device, cpu) = (&cuda.device, &cpu(1));
            let (mut out, mut rstd) = (vec![0.0; rows * columns], vec![0.0; rows]);
            forward(cpu, &x, &weight, 1e-5, &mut out, &mut rstd);
            let [x_there, d_out_there, d_x] = [&x, &d_out, &residual].map(|values| cuda.put(act, values));
            let weight_there = cuda.put(Dtype::F32, &weight);
            let (out_there, rstd_there) = (cuda.room(act, rows * columns), cuda.room(Dtype::F32, rows));
            cuda::forward(device, x_there, weight_there, 1e-5, out_there, rstd_there).unwrap();
            cuda.assert_near("out", act, out_there, &out);
            cuda.assert_near("rstd", Dtype::F32, rstd_there, &rstd);
            let branch = cuda.put(act, &residual);
            let [stream, sum, behind, alone] = [0; 4].map(|_| cuda.room(act, rows * columns));
            let residual_there = cuda::Residual { x: x_there, branch, out: stream };
            cuda::forward_after_residual(device, residual_there, weight_there, 1e-5, behind, rstd_there)
                .unwrap();
            let fused = cuda.get(rstd_there);
            crate::ops::residual::cuda::forward(device, x_there, branch, sum).unwrap();
            cuda::forward(device, sum, weight_there, 1e-5, alone, rstd_there).unwrap();
            assert_eq!(cuda.get(stream), cuda.get(sum));
            assert_eq!(cuda.get(behind), cuda.get(alone));
            assert_eq!(fused, cuda.get(rstd_there));
            cuda::forward(device, x_there, weight_there, 1e-5, out_there, rstd_there).unwrap();
            for beta in [1.0, 0.0] {
                let mut wanted = residual.clone();
                backward(cpu, &x, &weight, &rstd, &d_out, beta, &mut wanted);
                cuda::backward(device, x_there, weight_there, rstd_there, d_out_there, beta, d_x).unwrap();
                cuda.assert_near("d_x", act, d_x, &wanted);
            }
        });
    }
}
