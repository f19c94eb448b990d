//! Causal attention with grouped heads, over rows in which several samples are packed.
//!
//! For query head h and its kv head `h / (H/K)`, with keys j from the start of t's sample up to t:
//! `s[t,j] = q[t]·k[j] / √D`, `p[t,j] = e^(s[t,j] - lse[t])`, `lse[t] = ln Σ_j e^s[t,j]`,
//! `out[t] = Σ_j p[t,j] v[j]`. Backward, with `δ[t] = d_out[t]·out[t]` and
//! `d_s[t,j] = p[t,j] · (d_out[t]·v[j] - δ[t])`: `d_q[t] = Σ_j d_s[t,j] k[j] / √D`,
//! `d_k[j] = Σ_t d_s[t,j] q[t] / √D`, `d_v[j] = Σ_t p[t,j] d_out[t]`, the last two summed over the query
//! heads of the group, in their order.
//!
//! Shapes: q, out, `d_q`, `d_out` (T, H, D); k, v, `d_k`, `d_v` (T, K, D); starts (T): where the sample of
//! token t begins; lse (T, H).
//! Saved: q, k, v, out, lse. Scores live only in blocks on the stack: no T×T buffer exists. Scratch for
//! backward: [`scratch_len`], the `d_k` and `d_v` of every query head before they are summed.
//! Source: Dao 2023, arXiv:2307.08691 (`FlashAttention`-2), algorithms 1 and 2; grouped heads: Ainslie et al.
//! 2023, arXiv:2305.13245; parity with `torch.nn.functional.scaled_dot_product_attention`.

mod cpu;
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use crate::device::CpuPool;
use crate::tensor::Real;

/// How the columns of q, k and v are divided into heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// H: query heads.
    pub heads: usize,
    /// K: key and value heads; divides H.
    pub kv_heads: usize,
    /// D: columns of one head.
    pub head_dim: usize,
}

impl Heads {
    /// Columns of q.
    fn q_columns(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Columns of k, and of v.
    fn kv_columns(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}

/// What forward and backward read.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a, T> {
    /// The division into heads.
    pub heads: Heads,
    /// (T): the first token of the sample that token t belongs to; at most t, never decreasing.
    pub starts: &'a [u32],
    /// (T, H, D), rotated.
    pub q: &'a [T],
    /// (T, K, D), rotated.
    pub k: &'a [T],
    /// (T, K, D).
    pub v: &'a [T],
}

/// What backward needs of forward, and the gradient of its output.
#[derive(Debug, Clone, Copy)]
pub struct Saved<'a, T> {
    /// (T, H, D).
    pub out: &'a [T],
    /// (T, H).
    pub lse: &'a [T],
    /// (T, H, D).
    pub d_out: &'a [T],
}

/// What backward overwrites.
#[derive(Debug)]
pub struct Gradients<'a, T> {
    /// (T, H, D).
    pub d_q: &'a mut [T],
    /// (T, K, D).
    pub d_k: &'a mut [T],
    /// (T, K, D).
    pub d_v: &'a mut [T],
}

/// Numbers of scratch that [`backward`] needs for `tokens` tokens.
pub fn scratch_len(tokens: usize, heads: Heads) -> usize {
    2 * tokens * heads.q_columns()
}

/// Overwrites `out` (T, H, D) and `lse` (T, H).
///
/// # Panics
/// If lengths do not fit, or a token belongs to a sample that starts after it.
pub fn forward<T: Real>(pool: &CpuPool, inputs: Inputs<'_, T>, out: &mut [T], lse: &mut [T]) {
    assert_inputs(&inputs);
    assert_eq!(out.len(), inputs.q.len(), "lengths of out (left) and q (right)");
    assert_eq!(
        lse.len(),
        inputs.starts.len() * inputs.heads.heads,
        "length of lse (left), tokens times heads"
    );
    cpu::forward(pool, inputs, out, lse);
}

/// Overwrites the gradients of q, k and v.
///
/// # Panics
/// If lengths do not fit, or a token belongs to a sample that starts after it.
pub fn backward<T: Real>(
    pool: &CpuPool,
    inputs: Inputs<'_, T>,
    saved: Saved<'_, T>,
    gradients: Gradients<'_, T>,
    scratch: &mut [T],
) {
    assert_inputs(&inputs);
    let (q, kv) = (inputs.q.len(), inputs.k.len());
    assert_eq!(saved.out.len(), q, "lengths of out (left) and q (right)");
    assert_eq!(saved.d_out.len(), q, "lengths of d_out (left) and q (right)");
    assert_eq!(
        saved.lse.len(),
        inputs.starts.len() * inputs.heads.heads,
        "length of lse, tokens times heads"
    );
    assert_eq!(gradients.d_q.len(), q, "lengths of d_q (left) and q (right)");
    assert_eq!(gradients.d_k.len(), kv, "lengths of d_k (left) and k (right)");
    assert_eq!(gradients.d_v.len(), kv, "lengths of d_v (left) and v (right)");
    let needed = scratch_len(inputs.starts.len(), inputs.heads);
    assert!(scratch.len() >= needed, "scratch of {} numbers for {needed}", scratch.len());
    cpu::backward(pool, inputs, saved, gradients, &mut scratch[..needed]);
}

fn assert_inputs<T: Real>(inputs: &Inputs<'_, T>) {
    let Inputs { heads, starts, q, k, v } = inputs;
    let Heads { heads: query, kv_heads, .. } = *heads;
    assert!(kv_heads > 0 && query.is_multiple_of(kv_heads), "{query} heads in {kv_heads} groups");
    assert_eq!(q.len(), starts.len() * heads.q_columns(), "length of q (left), tokens times columns (right)");
    assert_eq!(
        k.len(),
        starts.len() * heads.kv_columns(),
        "length of k (left), tokens times columns (right)"
    );
    assert_eq!(v.len(), k.len(), "lengths of v (left) and k (right)");
    assert!(starts.is_sorted(), "a sample starts before the one it follows");
    for (t, &start) in starts.iter().enumerate() {
        assert!(start as usize <= t, "token {t} belongs to a sample that starts at {start}");
    }
}
