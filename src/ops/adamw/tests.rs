//! Tests of [`adamw`](super).

use super::{AdamW, State, cuda, step};
use crate::ops::check::{Guarded, assert_close, assert_thread_independent, convert, cpu, random};
use crate::tensor::Real;

const ADAMW: AdamW = AdamW { learning_rate: 0.01, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1 };

/// Three steps of two parameters by torch's formulas, worked out apart from this code in double precision:
/// `p *= 1-lr·λ; m = β₁m+(1-β₁)g; v = β₂v+(1-β₂)g²; p -= lr·m̂/(√v̂+ε)`.
#[test]
fn three_steps_by_hand() {
    let gradients = [[0.1, -2.0], [-0.3, 0.0], [0.05, 1.5]];
    let expected = [
        [0.489_500_000_999_999_9, -1.238_750_000_05],
        [0.493_903_458_457_862_4, -1.230_724_772_630_457_3],
        [0.496_190_654_241_211_3, -1.229_185_106_557_123_8],
    ];
    let (mut params, mut m, mut v) = ([0.5, -1.25], [0.0; 2], [0.0; 2]);
    for (i, (gradients, expected)) in gradients.iter().zip(expected).enumerate() {
        // Half the scale on twice the gradient.
        let doubled = gradients.map(|g| 2.0 * g);
        let state = State { params: &mut params, m: &mut m, v: &mut v };
        step(&cpu(1), &ADAMW, i as u64 + 1, &doubled, 0.5, state);
        for (p, e) in params.iter().zip(expected) {
            // Same formula, another order of a handful of roundings in f64.
            assert!((p - e).abs() <= 1e-15, "step {}: {p}, by hand {e}", i + 1);
        }
    }
    // 0.29300000000000026 and -0.012 by the same sheet.
    assert!((m[1] + 0.012).abs() <= 1e-16 && (v[1] - 0.293).abs() <= 1e-15, "moments {m:?} {v:?}");
}

fn run<T: Real>(pool: &crate::device::CpuPool, len: usize) -> Vec<T> {
    let params: Vec<T> = convert(&random::<f32>(len, 1));
    let mut params = Guarded::from_slice(&params);
    let (mut m, mut v) = (Guarded::from_slice(&vec![T::ZERO; len]), Guarded::from_slice(&vec![T::ZERO; len]));
    for i in 1..=3 {
        let gradients: Vec<T> = convert(&random::<f32>(len, 1 + i));
        let state = State { params: params.as_mut(), m: m.as_mut(), v: v.as_mut() };
        step(pool, &ADAMW, i, &gradients, 0.7, state);
    }
    [params.into_checked(), m.into_checked(), v.into_checked()].concat()
}

/// The last is the adapter of `SmolLM2` at rank 16.
const LENGTHS: [usize; 9] = [0, 1, 31, 33, 127, 128, 129, 257, 4_884_480];

#[test]
fn f32_matches_f64_and_threads_do_not_change_bits() {
    for len in LENGTHS {
        let narrow = assert_thread_independent("p, m, v", |pool| run(pool, len));
        assert_close(&format!("p, m, v of {len}"), &narrow, &run::<f64>(&cpu(2), len));
    }
}

/// No gradient ever: torch leaves the parameter to weight decay alone, and 0/(0 + ε) is 0.
#[test]
fn zero_gradients_only_decay() {
    let (mut params, mut m, mut v) = ([2.0], [0.0], [0.0]);
    step(&cpu(1), &ADAMW, 1, &[0.0], 1.0, State { params: &mut params, m: &mut m, v: &mut v });
    assert_eq!((params, m, v), ([2.0 * (1.0 - 0.01 * 0.1)], [0.0], [0.0]));
}

/// Both corrections are 1 by then; the exponent must not overflow.
#[test]
fn very_late_steps_are_finite() {
    let (mut params, mut m, mut v) = ([2.0_f32], [0.0], [0.0]);
    step(&cpu(1), &ADAMW, u64::MAX, &[1.0], 1.0, State { params: &mut params, m: &mut m, v: &mut v });
    assert!(params[0].is_finite() && params[0] < 2.0);
}

#[test]
#[should_panic(expected = "steps are counted from 1, found 0")]
fn step_zero_is_refused() {
    step::<f32>(&cpu(1), &ADAMW, 0, &[], 1.0, State { params: &mut [], m: &mut [], v: &mut [] });
}

#[test]
fn cuda_makes_the_same_bits() {
    use crate::device::cuda::Dtype;
    use crate::ops::check::on_cuda;
    let adamw = AdamW { weight_decay: 0.1, ..AdamW::default() };
    for len in [1, 4, 1003] {
        on_cuda(|cuda, _| {
            let (mut params, gradients): (Vec<f32>, Vec<f32>) = (random(len, 1), random(len, 2));
            let (mut m, mut v) = (vec![0.0; len], vec![0.0; len]);
            let [p_there, g_there, m_there, v_there] =
                [&params, &gradients, &m, &v].map(|values| cuda.put(Dtype::F32, values));
            for number in 1..=3 {
                let state = State { params: &mut params, m: &mut m, v: &mut v };
                step(&cpu(1), &adamw, number, &gradients, 0.5, state);
                let state = cuda::CudaState { params: p_there, m: m_there, v: v_there };
                cuda::step(&cuda.device, &adamw, number, g_there, 0.5, state).unwrap();
            }
            for (tensor, wanted) in [(p_there, &params), (m_there, &m), (v_there, &v)] {
                let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&cuda.get(tensor)), bits(wanted));
            }
        });
    }
}
