//! Tests of [`attention`](super): forward against plain loops, backward against central differences.

use super::*;
use crate::ops::check::{
    Guarded, assert_close, assert_gradient, assert_thread_independent, convert, cpu, dot, random,
};

/// One case: heads and the lengths of the packed samples.
struct Case {
    heads: Heads,
    starts: Vec<u32>,
}

impl Case {
    fn new(heads: usize, kv_heads: usize, head_dim: usize, samples: &[usize]) -> Self {
        let mut starts = Vec::new();
        for &len in samples {
            starts.extend(vec![starts.len() as u32; len]);
        }
        Self { heads: Heads { heads, kv_heads, head_dim }, starts }
    }

    /// Around the blocks of 64 queries and 128 keys, samples that end inside and at the edge of blocks, every
    /// kind of grouping, and one real size.
    fn all() -> Vec<Self> {
        vec![
            Self::new(2, 1, 4, &[]),
            Self::new(1, 1, 2, &[1]),
            Self::new(4, 2, 6, &[31, 1, 1]),
            Self::new(2, 2, 8, &[33, 64, 30]),
            Self::new(3, 1, 34, &[128]),
            Self::new(2, 1, 5, &[129]),
            Self::new(4, 2, 8, &[63, 130, 64]),
            Self::new(1, 1, 3, &[257]),
            Self::new(9, 3, 64, &[200, 1, 140]),
        ]
    }

    fn inputs<T: Real>(&self) -> [Vec<T>; 3] {
        let (q, kv) =
            (self.starts.len() * self.heads.q_columns(), self.starts.len() * self.heads.kv_columns());
        // Scores of both signs, some of them large: softmax is then neither flat nor one-hot.
        let wide = |len, seed| random::<f64>(len, seed).iter().map(|x| T::from_f64(2.0 * x)).collect();
        [wide(q, 1), wide(kv, 2), wide(kv, 3)]
    }

    /// `out` and `lse`.
    fn forward<T: Real>(&self, pool: &CpuPool, [q, k, v]: [&[T]; 3]) -> (Vec<T>, Vec<T>) {
        let mut out = Guarded::poisoned(q.len());
        let mut lse = Guarded::poisoned(self.starts.len() * self.heads.heads);
        let inputs = Inputs { heads: self.heads, starts: &self.starts, q, k, v };
        forward(pool, inputs, out.as_mut(), lse.as_mut());
        (out.into_checked(), lse.into_checked())
    }

    /// `d_q`, `d_k`, `d_v`.
    fn backward<T: Real>(&self, pool: &CpuPool, [q, k, v]: [&[T]; 3], d_out: &[T]) -> [Vec<T>; 3] {
        let (out, lse) = self.forward(&cpu(1), [q, k, v]);
        let mut gradients = [q, k, v].map(|x| Guarded::poisoned(x.len()));
        let mut scratch = Guarded::poisoned(scratch_len(self.starts.len(), self.heads));
        let [d_q, d_k, d_v] = &mut gradients;
        let inputs = Inputs { heads: self.heads, starts: &self.starts, q, k, v };
        let saved = Saved { out: &out, lse: &lse, d_out };
        let gradients_mut = Gradients { d_q: d_q.as_mut(), d_k: d_k.as_mut(), d_v: d_v.as_mut() };
        backward(pool, inputs, saved, gradients_mut, scratch.as_mut());
        scratch.into_checked();
        gradients.map(Guarded::into_checked)
    }

    /// The definition, one score at a time.
    fn reference(&self, [q, k, v]: [&[f64]; 3]) -> Vec<f64> {
        let Heads { heads, kv_heads, head_dim } = self.heads;
        let mut out = vec![0.0; q.len()];
        for (t, &start) in self.starts.iter().enumerate() {
            for h in 0..heads {
                let kv = |j: usize| (j * kv_heads + h / (heads / kv_heads)) * head_dim;
                let at = (t * heads + h) * head_dim;
                let score = |j: usize| dot(&q[at..][..head_dim], &k[kv(j)..][..head_dim]);
                let weight = |j: usize| (score(j) / (head_dim as f64).sqrt()).exp();
                let total: f64 = (start as usize..=t).map(weight).sum();
                for j in start as usize..=t {
                    for d in 0..head_dim {
                        out[at + d] += weight(j) / total * v[kv(j) + d];
                    }
                }
            }
        }
        out
    }
}

/// Both are f64; sums of at most 257 terms of order 1 differ by their order only.
#[test]
fn forward_is_the_definition() {
    for case in Case::all() {
        let [q, k, v] = case.inputs::<f64>();
        let (out, _) = case.forward(&cpu(2), [&q, &k, &v]);
        for (i, (a, b)) in out.iter().zip(case.reference([&q, &k, &v])).enumerate() {
            assert!((a - b).abs() <= 1e-12, "{:?} element {i}: {a} for {b}", case.heads);
        }
    }
}

#[test]
fn a_sample_does_not_see_its_neighbours() {
    let case = Case::new(2, 1, 4, &[40, 50, 60]);
    let [q, k, v] = case.inputs::<f32>();
    let (before, _) = case.forward(&cpu(1), [&q, &k, &v]);
    let (mut k_changed, mut v_changed) = (k.clone(), v.clone());
    let middle = 40 * 4..90 * 4;
    k_changed[middle.clone()].fill(9.0);
    v_changed[middle].fill(-9.0);
    let (after, _) = case.forward(&cpu(1), [&q, &k_changed, &v_changed]);
    assert_eq!(before[..40 * 8], after[..40 * 8]);
    assert_ne!(before[40 * 8..90 * 8], after[40 * 8..90 * 8]);
    assert_eq!(before[90 * 8..], after[90 * 8..]);
}

#[test]
fn gradients_match_central_differences() {
    for case in [Case::new(4, 2, 6, &[5, 1, 7]), Case::new(2, 1, 2, &[66, 5]), Case::new(1, 1, 1, &[131])] {
        let [q, k, v] = case.inputs::<f64>();
        let d_out: Vec<f64> = random(q.len(), 4);
        let [d_q, d_k, d_v] = case.backward(&cpu(2), [&q, &k, &v], &d_out);
        let loss = |inputs: [&[f64]; 3]| dot(&case.forward(&cpu(1), inputs).0, &d_out);
        assert_gradient("q", &q, &d_q, |q| loss([q, &k, &v]));
        assert_gradient("k", &k, &d_k, |k| loss([&q, k, &v]));
        assert_gradient("v", &v, &d_v, |v| loss([&q, &k, v]));
    }
}

#[test]
fn f32_agrees_with_f64_and_with_any_number_of_threads() {
    for case in Case::all() {
        let [q, k, v] = case.inputs::<f64>();
        let d_out: Vec<f64> = random(q.len(), 4);
        let (out, lse) = case.forward(&cpu(1), [&q, &k, &v]);
        let wide = case.backward(&cpu(1), [&q, &k, &v], &d_out);
        let [q, k, v]: [Vec<f32>; 3] = [convert(&q), convert(&k), convert(&v)];
        let d_out: Vec<f32> = convert(&d_out);
        let inputs = [&q[..], &k[..], &v[..]];
        let out_f32 = assert_thread_independent("out", |pool| case.forward(pool, inputs).0);
        let lse_f32 = assert_thread_independent("lse", |pool| case.forward(pool, inputs).1);
        assert_close("out", &out_f32, &out);
        assert_close("lse", &lse_f32, &lse);
        for (i, what) in ["d_q", "d_k", "d_v"].into_iter().enumerate() {
            let narrow =
                assert_thread_independent(what, |pool| case.backward(pool, inputs, &d_out)[i].clone());
            // One token sees only itself: p is 1, and the gradients of q and k are 0 but for rounding.
            if case.starts.len() > 1 || what == "d_v" {
                assert_close(what, &narrow, &wide[i]);
            }
        }
    }
}

#[test]
#[should_panic(expected = "token 0 belongs to a sample that starts at 1")]
fn refuses_a_sample_that_starts_in_the_future() {
    let case = Case { heads: Heads { heads: 1, kv_heads: 1, head_dim: 1 }, starts: vec![1] };
    case.forward(&cpu(1), [&[1.0_f32], &[1.0], &[1.0]]);
}

#[test]
fn cuda_agrees_with_the_cpu() {
    assert_cuda_agrees_with_the_cpu([Case::new(2, 1, 4, &[]), Case::new(2, 1, 8, &[33, 5, 30])]);
}

mod slow {
    use super::{Case, assert_cuda_agrees_with_the_cpu};

    /// Kernels are made for heads of up to 64, 128 and 256 columns, and of exactly 64 and 128 in tiles of 64
    /// rows, which samples here fill, end within, start within, and share.
    #[test]
    fn cuda_agrees_with_the_cpu_on_every_kernel() {
        let cases = Case::all().into_iter().filter(|case| case.heads.head_dim.is_multiple_of(4));
        assert_cuda_agrees_with_the_cpu(cases.chain([
            Case::new(2, 1, 64, &[64, 128]),
            Case::new(2, 1, 64, &[5, 7, 90, 1, 30, 60]),
            Case::new(2, 1, 128, &[70, 3]),
            Case::new(4, 1, 128, &[20, 109, 32]),
            Case::new(2, 2, 132, &[35]),
            Case::new(1, 1, 256, &[33]),
        ]));
    }
}

fn assert_cuda_agrees_with_the_cpu(cases: impl IntoIterator<Item = Case>) {
    use crate::device::cuda::Dtype;
    use crate::ops::check::{Cuda, on_cuda};
    for case in cases {
        on_cuda(|cuda, act| {
            let tokens = case.starts.len();
            let [q, k, v] = case.inputs().map(|x: Vec<f32>| Cuda::rounded(act, &x));
            let d_out = Cuda::rounded(act, &random(q.len(), 4));
            let pool = cpu(1);
            let (out, lse) = case.forward(&pool, [&q, &k, &v]);
            let [d_q, d_k, d_v] = case.backward(&pool, [&q, &k, &v], &d_out);
            let mut ends = vec![tokens as u32; tokens];
            for t in (1..tokens).rev() {
                ends[t - 1] = if case.starts[t] == case.starts[t - 1] { ends[t] } else { t as u32 };
            }
            let [q_there, k_there, v_there, d_out_there] = [&q, &k, &v, &d_out].map(|x| cuda.put(act, x));
            let (starts, ends) = (cuda.list(&case.starts), cuda.list(&ends));
            let inputs =
                cuda::CudaInputs { heads: case.heads, starts, ends, q: q_there, k: k_there, v: v_there };
            let [out_there, d_q_there] = [0; 2].map(|_| cuda.room(act, q.len()));
            let [d_k_there, d_v_there] = [0; 2].map(|_| cuda.room(act, k.len()));
            let [lse_there, deltas] = [0; 2].map(|_| cuda.room(Dtype::F32, lse.len()));
            cuda::forward(&cuda.device, inputs, out_there, lse_there).unwrap();
            cuda.assert_near("out", act, out_there, &out);
            let heads = case.heads.heads;
            let by_head: Vec<f32> = (0..lse.len()).map(|i| lse[i % tokens * heads + i / tokens]).collect();
            cuda.assert_near("lse", Dtype::F32, lse_there, &by_head);
            let saved = cuda::CudaSaved { out: out_there, lse: lse_there, d_out: d_out_there };
            let gradients = cuda::CudaGradients { d_q: d_q_there, d_k: d_k_there, d_v: d_v_there };
            cuda::backward(&cuda.device, inputs, saved, gradients, deltas).unwrap();
            cuda.assert_near("d_q", act, d_q_there, &d_q);
            cuda.assert_near("d_k", act, d_k_there, &d_k);
            cuda.assert_near("d_v", act, d_v_there, &d_v);
        });
    }
}
