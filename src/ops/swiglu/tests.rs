//! Tests of [`swiglu`](super): forward against the formula, backward against central differences.

use super::*;
use crate::ops::check::{
    Guarded, assert_close, assert_gradient, assert_thread_independent, convert, cpu, dot, random,
};

/// Empty, single, around vector widths and a task, and 3 rows of a real F.
const LENGTHS: [usize; 10] = [0, 1, 31, 33, 127, 128, 129, 257, 8193, 3 * 1536];

/// Numbers over (-6, 6), where σ is curved.
fn wide<T: Real>(len: usize, seed: u64) -> Vec<T> {
    random::<f64>(len, seed).into_iter().map(|x| T::from_f64(6.0 * x)).collect()
}

fn run_forward<T: Real>(pool: &CpuPool, gate: &[T], up: &[T]) -> Vec<T> {
    let mut out = Guarded::poisoned(gate.len());
    forward(pool, gate, up, out.as_mut());
    out.into_checked()
}

/// `d_gate` and `d_up`, one after the other.
fn run_backward<T: Real>(pool: &CpuPool, d_out: &[T], gate: &[T], up: &[T]) -> Vec<T> {
    let (mut d_gate, mut d_up) = (Guarded::from_slice(gate), Guarded::from_slice(up));
    backward(pool, d_out, d_gate.as_mut(), d_up.as_mut());
    [d_gate.into_checked(), d_up.into_checked()].concat()
}

#[test]
fn forward_is_the_formula_also_far_out() {
    let gate = [0.0_f64, 1.0, -1.0, 800.0, -800.0];
    let out = run_forward(&cpu(1), &gate, &[2.0; 5]);
    let silu_1 = 1.0 / (1.0 + (-1.0_f64).exp());
    // The last: σ(-800) is 0 in f64, and 0 · 800 is -0.
    for (i, expected) in [0.0, 2.0 * silu_1, 2.0 * (silu_1 - 1.0), 1600.0, 0.0].into_iter().enumerate() {
        assert!((out[i] - expected).abs() <= 1e-15, "element {i}: {} for {expected}", out[i]);
    }
}

#[test]
fn gradient_matches_central_differences() {
    let (gate, up, d_out): (Vec<f64>, Vec<f64>, Vec<f64>) = (wide(65, 1), wide(65, 2), random(65, 3));
    let gradients = run_backward(&cpu(2), &d_out, &gate, &up);
    assert_gradient("gate", &gate, &gradients[..65], |gate| dot(&run_forward(&cpu(1), gate, &up), &d_out));
    assert_gradient("up", &up, &gradients[65..], |up| dot(&run_forward(&cpu(1), &gate, up), &d_out));
}

#[test]
fn f32_agrees_with_f64_and_with_any_number_of_threads() {
    for len in LENGTHS {
        let (gate, up, d_out): (Vec<f64>, Vec<f64>, Vec<f64>) = (wide(len, 1), wide(len, 2), random(len, 3));
        let out = run_forward(&cpu(1), &gate, &up);
        let gradients = run_backward(&cpu(1), &d_out, &gate, &up);
        let (gate, up, d_out): (Vec<f32>, Vec<f32>, Vec<f32>) =
            (convert(&gate), convert(&up), convert(&d_out));
        let out_f32 = assert_thread_independent("out", |pool| run_forward(pool, &gate, &up));
        let gradients_f32 =
            assert_thread_independent("gradients", |pool| run_backward(pool, &d_out, &gate, &up));
        assert_close("out", &out_f32, &out);
        assert_close("gradients", &gradients_f32, &gradients);
    }
}

#[test]
fn cuda_agrees_with_the_cpu() {
    use crate::ops::check::{Cuda, on_cuda};
    for len in [4, 1000, 4100] {
        on_cuda(|cuda, act| {
            let [gate, up] = [1, 2].map(|seed| Cuda::rounded(act, &wide(len, seed)));
            let d_out = Cuda::rounded(act, &random(len, 3));
            let mut out = vec![0.0; len];
            forward(&cpu(1), &gate, &up, &mut out);
            let [g, u, d] = [&gate, &up, &d_out].map(|values| cuda.put(act, values));
            let there = cuda.room(act, len);
            cuda::forward(&cuda.device, g, u, there).unwrap();
            cuda.assert_near("out", act, there, &out);
            let (mut d_gate, mut d_up) = (gate.clone(), up.clone());
            backward(&cpu(1), &d_out, &mut d_gate, &mut d_up);
            cuda::backward(&cuda.device, d, g, u).unwrap();
            cuda.assert_near("d_gate", act, g, &d_gate);
            cuda.assert_near("d_up", act, u, &d_up);
        });
    }
}
