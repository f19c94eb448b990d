//! Tests of [`rope`](super): the layout, the factors, backward against central differences.

use super::*;
use crate::ops::check::{
    Guarded, assert_close, assert_gradient, assert_thread_independent, convert, cpu, dot, random,
};

/// (T, heads, D): empty, smallest, around a task, and one real size.
const SHAPES: [(usize, usize, usize); 7] =
    [(0, 2, 4), (1, 1, 2), (15, 3, 6), (16, 2, 8), (17, 1, 34), (33, 5, 64), (129, 9, 64)];

/// Positions of two samples packed after one another.
fn table<T: Real>(tokens: usize, head_dim: usize, factors: Option<&[f32]>) -> Vec<T> {
    let positions: Vec<u32> = (0..tokens).map(|t| (t % (tokens / 2 + 1)) as u32).collect();
    let mut table = Guarded::poisoned(tokens * head_dim);
    fill_table(&positions, &frequencies(head_dim, 1e4, factors, Scaling::None), 1.25, table.as_mut());
    table.into_checked()
}

fn rotated<T: Real>(pool: &CpuPool, table: &[T], heads: usize, head_dim: usize, x: &[T]) -> Vec<T> {
    let mut x = Guarded::from_slice(x);
    forward(pool, table, heads, head_dim, x.as_mut());
    x.into_checked()
}

#[test]
fn neighbours_are_paired_and_factors_divide() {
    let factors = [1.0, 4.0];
    let frequencies = frequencies(4, 100.0, Some(&factors), Scaling::None);
    // theta^0 / 1 and theta^(-2/4) / 4.
    assert!((frequencies[0] - 1.0).abs() <= 1e-15 && (frequencies[1] - 0.025).abs() <= 1e-15);
    let mut table = vec![0.0; 4];
    fill_table(&[3], &frequencies, 1.0, &mut table);
    let x = rotated(&cpu(1), &table, 1, 4, &[1.0, 0.0, 0.0, 1.0]);
    let expected = [3.0_f64.cos(), 3.0_f64.sin(), -0.075_f64.sin(), 0.075_f64.cos()];
    for i in 0..4 {
        assert!((x[i] - expected[i]).abs() <= 1e-15, "element {i}: {} for {}", x[i], expected[i]);
    }
}

/// By the formulas of the paper at D = 64, theta = 10 000, 4096 positions: a pair turns
/// `4096 · theta^(-2i/64) / 2π` times; 32 turns are at pair 10.46, one turn at pair 22.52, so pairs up to 10
/// are as they were, from 23 on divided.
#[test]
fn yarn_divides_slow_pairs_only_and_linear_all() {
    let plain = frequencies(64, 1e4, None, Scaling::None);
    let yarn = Scaling::Yarn { factor: 8.0, original_context: 4096.0 };
    let ratios = |scaling| -> Vec<f64> {
        frequencies(64, 1e4, None, scaling).iter().zip(&plain).map(|(a, b)| a / b).collect()
    };
    let ratio = ratios(yarn);
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-12;
    assert!(ratio[..=10].iter().all(|&r| close(r, 1.0)), "{ratio:?}");
    assert!(ratio[23..].iter().all(|&r| close(r, 0.125)), "{ratio:?}");
    assert!(close(ratio[13], 3.0 / 13.0 / 8.0 + 10.0 / 13.0), "{ratio:?}");
    assert!(close(yarn.magnitude(), 1.0 + 0.1 * 8.0_f64.ln()));
    assert!(ratios(Scaling::Linear { factor: 4.0 }).iter().all(|&r| close(r, 0.25)));
}

#[test]
fn gradient_matches_central_differences() {
    let (tokens, heads, head_dim) = (17, 2, 6);
    let table: Vec<f64> = table(tokens, head_dim, None);
    let x: Vec<f64> = random(tokens * heads * head_dim, 1);
    let d_out: Vec<f64> = random(x.len(), 2);
    let mut d_x = Guarded::from_slice(&d_out);
    backward(&cpu(2), &table, heads, head_dim, d_x.as_mut());
    assert_gradient("x", &x, &d_x.into_checked(), |x| {
        dot(&rotated(&cpu(1), &table, heads, head_dim, x), &d_out)
    });
}

#[test]
fn f32_agrees_with_f64_and_with_any_number_of_threads() {
    for (tokens, heads, head_dim) in SHAPES {
        let factors: Vec<f32> = random::<f32>(head_dim / 2, 5).iter().map(|f| 4.5 + 3.5 * f).collect();
        let (wide, narrow): (Vec<f64>, Vec<f32>) =
            (table(tokens, head_dim, Some(&factors)), table(tokens, head_dim, Some(&factors)));
        let x: Vec<f64> = random(tokens * heads * head_dim, 1);
        let out = rotated(&cpu(1), &wide, heads, head_dim, &x);
        let x: Vec<f32> = convert(&x);
        let out_f32 = assert_thread_independent("x", |pool| rotated(pool, &narrow, heads, head_dim, &x));
        assert_close("x", &out_f32, &out);
    }
}

#[test]
fn cuda_agrees_with_the_cpu() {
    use crate::device::cuda::Dtype;
    use crate::ops::check::{Cuda, on_cuda};
    for (tokens, heads, head_dim) in [(1, 1, 4), (7, 3, 64), (40, 2, 8)] {
        on_cuda(|cuda, act| {
            let table: Vec<f32> = table(tokens, head_dim, None);
            let x = Cuda::rounded(act, &random(tokens * heads * head_dim, 5));
            let mut wanted = x.clone();
            forward(&cpu(1), &table, heads, head_dim, &mut wanted);
            let (table_there, there) = (cuda.put(Dtype::F32, &table), cuda.put(act, &x));
            cuda::rotate(&cuda.device, table_there, heads, head_dim, 1.0, there).unwrap();
            cuda.assert_near("x", act, there, &wanted);
            backward(&cpu(1), &table, heads, head_dim, &mut wanted);
            cuda::rotate(&cuda.device, table_there, heads, head_dim, -1.0, there).unwrap();
            cuda.assert_near("x back", act, there, &wanted);
        });
    }
}
