//! [`attention`](super) on the CPU: blocks of queries against blocks of keys, products by `gemm`.
//!
//! Forward: a task is one block of queries of one head. Backward: a task is one head, which goes over all
//! blocks in order; the gradients of keys and values are summed over the group afterwards.
//!
//! A block of queries may contain the end of one sample and the start of the next, so masking is by row. Keys
//! before the first query's sample and after the last query are skipped.

use super::{Gradients, Inputs, Saved};
use crate::device::CpuPool;
use crate::ops::reduce;
use crate::tensor::{Matrix, MatrixMut, Real, gemm};
use rayon::prelude::*;

/// Queries per block.
const QUERIES: usize = 64;
/// Keys per block. A block of scores is 32 KB in f32: with its queries, keys and values it fits the
/// second-level cache.
const KEYS: usize = 128;
/// Tokens per task when gradients are summed over a group.
const TOKENS_PER_TASK: usize = 64;

/// One block of scores or probabilities, row-major with [`KEYS`] columns.
type Block<T> = [T; QUERIES * KEYS];

impl<'a, T: Real> Inputs<'a, T> {
    /// 1/√D.
    fn scale(&self) -> T {
        T::ONE / T::from_f64(self.heads.head_dim as f64).sqrt()
    }

    /// Rows `from..from + rows` of one query head of a (T, H, D) buffer.
    fn query_head(&self, buffer: &'a [T], from: usize, rows: usize, head: usize) -> Matrix<'a, T> {
        let (columns, head_dim) = (self.heads.q_columns(), self.heads.head_dim);
        Matrix::strided(&buffer[from * columns + head * head_dim..], rows, head_dim, columns)
    }

    /// Rows `from..from + rows` of the kv head of a query head, of a (T, K, D) buffer.
    fn kv_head(&self, buffer: &'a [T], from: usize, rows: usize, head: usize) -> Matrix<'a, T> {
        let (columns, head_dim) = (self.heads.kv_columns(), self.heads.head_dim);
        let kv = head / (self.heads.heads / self.heads.kv_heads);
        Matrix::strided(&buffer[from * columns + kv * head_dim..], rows, head_dim, columns)
    }

    /// The keys that query `t` may see, counted from the first key of the block at `key`.
    fn visible(&self, t: usize, key: usize, keys: usize) -> std::ops::Range<usize> {
        let from = (self.starts[t] as usize).clamp(key, key + keys) - key;
        let to = (t + 1).clamp(key, key + keys) - key;
        from..to.max(from)
    }

    /// First key and number of keys of each block that the queries `from..from + rows` can see.
    fn key_blocks(&self, from: usize, rows: usize) -> impl Iterator<Item = (usize, usize)> + use<T> {
        let end = from + rows;
        (self.starts[from] as usize..end).step_by(KEYS).map(move |key| (key, KEYS.min(end - key)))
    }
}

pub(super) fn forward<T: Real>(pool: &CpuPool, inputs: Inputs<'_, T>, out: &mut [T], lse: &mut [T]) {
    let (tokens, heads) = (inputs.starts.len(), inputs.heads.heads);
    if tokens == 0 || heads == 0 {
        return;
    }
    let out = MatrixMut::new(out, tokens, inputs.heads.q_columns());
    let lse = MatrixMut::new(lse, tokens, heads);
    pool.run(|| forward_tasks(inputs, 0, 0, out, lse));
}

/// Halves the tokens, then the heads, until one block of queries of one head is left.
fn forward_tasks<T: Real>(
    inputs: Inputs<'_, T>,
    token: usize,
    head: usize,
    out: MatrixMut<'_, T>,
    lse: MatrixMut<'_, T>,
) {
    let (blocks, heads) = (lse.rows().div_ceil(QUERIES), lse.cols());
    if blocks > 1 {
        let at = blocks / 2 * QUERIES;
        let ((out_0, out_1), (lse_0, lse_1)) = (out.split_rows(at), lse.split_rows(at));
        rayon::join(
            || forward_tasks(inputs, token, head, out_0, lse_0),
            || forward_tasks(inputs, token + at, head, out_1, lse_1),
        );
    } else if heads > 1 {
        let at = heads / 2;
        let (out_0, out_1) = out.split_cols(at * inputs.heads.head_dim);
        let (lse_0, lse_1) = lse.split_cols(at);
        rayon::join(
            || forward_tasks(inputs, token, head, out_0, lse_0),
            || forward_tasks(inputs, token, head + at, out_1, lse_1),
        );
    } else {
        forward_block(inputs, token, head, out, lse);
    }
}

/// Softmax in one pass: each block of keys rescales the results of the blocks before it (algorithm 1).
fn forward_block<T: Real>(
    inputs: Inputs<'_, T>,
    token: usize,
    head: usize,
    mut out: MatrixMut<'_, T>,
    mut lse: MatrixMut<'_, T>,
) {
    let rows = out.rows();
    let q = inputs.query_head(inputs.q, token, rows, head);
    let mut block: Block<T> = [T::ZERO; QUERIES * KEYS];
    let mut peaks = [T::NEG_INFINITY; QUERIES];
    let mut totals = [T::ZERO; QUERIES];
    let mut beta = T::ZERO;
    for (key, keys) in inputs.key_blocks(token, rows) {
        let k = inputs.kv_head(inputs.k, key, keys, head);
        gemm(inputs.scale(), q, k.t(), T::ZERO, MatrixMut::strided(&mut block, rows, keys, KEYS));
        for r in 0..rows {
            let scores = &mut block[r * KEYS..][..keys];
            let visible = inputs.visible(token + r, key, keys);
            let shrink = softmax_row(scores, visible, &mut peaks[r], &mut totals[r]);
            // The first block overwrites `out`, so there is nothing to rescale.
            if beta != T::ZERO && shrink != T::ONE {
                out.row_mut(r).iter_mut().for_each(|x| *x *= shrink);
            }
        }
        let v = inputs.kv_head(inputs.v, key, keys, head);
        gemm(T::ONE, Matrix::strided(&block, rows, keys, KEYS), v, beta, out.reborrow());
        beta = T::ONE;
    }
    for r in 0..rows {
        let factor = T::ONE / totals[r];
        out.row_mut(r).iter_mut().for_each(|x| *x *= factor);
        lse.row_mut(r)[0] = peaks[r] + totals[r].ln();
    }
}

/// Turns the visible scores of one row into e^(score - peak) and the others into 0, and updates the running
/// peak and total. Returns what everything summed so far must be multiplied by.
fn softmax_row<T: Real>(scores: &mut [T], visible: std::ops::Range<usize>, peak: &mut T, total: &mut T) -> T {
    scores[..visible.start].fill(T::ZERO);
    scores[visible.end..].fill(T::ZERO);
    let scores = &mut scores[visible];
    if scores.is_empty() {
        return T::ONE;
    }
    let before = *peak;
    let block_peak = reduce::max(scores);
    if block_peak > before {
        *peak = block_peak;
    }
    let after = *peak;
    for score in scores.iter_mut() {
        *score = (*score - after).exp();
    }
    let shrink = (before - after).exp();
    *total = *total * shrink + reduce::sum(scores);
    shrink
}

pub(super) fn backward<T: Real>(
    pool: &CpuPool,
    inputs: Inputs<'_, T>,
    saved: Saved<'_, T>,
    gradients: Gradients<'_, T>,
    scratch: &mut [T],
) {
    let (tokens, columns) = (inputs.starts.len(), inputs.heads.q_columns());
    if tokens == 0 || columns == 0 {
        return;
    }
    let Gradients { d_q, d_k, d_v } = gradients;
    let (head_k, head_v) = scratch.split_at_mut(tokens * columns);
    pool.run(|| {
        let [d_q, all_k, all_v] =
            [d_q, &mut *head_k, &mut *head_v].map(|buffer| MatrixMut::new(buffer, tokens, columns));
        backward_tasks(inputs, saved, 0, d_q, all_k, all_v);
        sum_groups(inputs, head_k, d_k);
        sum_groups(inputs, head_v, d_v);
    });
}

/// Halves the heads until one is left.
fn backward_tasks<T: Real>(
    inputs: Inputs<'_, T>,
    saved: Saved<'_, T>,
    head: usize,
    d_q: MatrixMut<'_, T>,
    d_k: MatrixMut<'_, T>,
    d_v: MatrixMut<'_, T>,
) {
    let heads = d_q.cols() / inputs.heads.head_dim;
    if heads == 1 {
        return backward_head(inputs, saved, head, d_q, d_k, d_v);
    }
    let at = heads / 2;
    let columns = at * inputs.heads.head_dim;
    let ((q_0, q_1), (k_0, k_1)) = (d_q.split_cols(columns), d_k.split_cols(columns));
    let (v_0, v_1) = d_v.split_cols(columns);
    rayon::join(
        || backward_tasks(inputs, saved, head, q_0, k_0, v_0),
        || backward_tasks(inputs, saved, head + at, q_1, k_1, v_1),
    );
}

/// Algorithm 2 with the loops swapped: queries outside, so that δ is computed once per query.
fn backward_head<T: Real>(
    inputs: Inputs<'_, T>,
    saved: Saved<'_, T>,
    head: usize,
    mut d_q: MatrixMut<'_, T>,
    mut d_k: MatrixMut<'_, T>,
    mut d_v: MatrixMut<'_, T>,
) {
    let (tokens, scale) = (d_q.rows(), inputs.scale());
    for t in 0..tokens {
        d_k.row_mut(t).fill(T::ZERO);
        d_v.row_mut(t).fill(T::ZERO);
    }
    let mut p: Block<T> = [T::ZERO; QUERIES * KEYS];
    let mut d_s: Block<T> = [T::ZERO; QUERIES * KEYS];
    for token in (0..tokens).step_by(QUERIES) {
        let rows = QUERIES.min(tokens - token);
        let q = inputs.query_head(inputs.q, token, rows, head);
        let d_out = inputs.query_head(saved.d_out, token, rows, head);
        let delta = deltas(inputs, saved, head, token, rows);
        let mut beta = T::ZERO;
        for (key, keys) in inputs.key_blocks(token, rows) {
            let k = inputs.kv_head(inputs.k, key, keys, head);
            let v = inputs.kv_head(inputs.v, key, keys, head);
            gemm(scale, q, k.t(), T::ZERO, MatrixMut::strided(&mut p, rows, keys, KEYS));
            gemm(T::ONE, d_out, v.t(), T::ZERO, MatrixMut::strided(&mut d_s, rows, keys, KEYS));
            for r in 0..rows {
                let lse = saved.lse[(token + r) * inputs.heads.heads + head];
                let visible = inputs.visible(token + r, key, keys);
                let (p, d_s) = (&mut p[r * KEYS..][..keys], &mut d_s[r * KEYS..][..keys]);
                score_gradient_row(p, d_s, visible, lse, delta[r]);
            }
            let (p, d_s) = (Matrix::strided(&p, rows, keys, KEYS), Matrix::strided(&d_s, rows, keys, KEYS));
            gemm(T::ONE, p.t(), d_out, T::ONE, rows_of(&mut d_v, key, keys));
            gemm(scale, d_s.t(), q, T::ONE, rows_of(&mut d_k, key, keys));
            gemm(scale, d_s, k, beta, rows_of(&mut d_q, token, rows));
            beta = T::ONE;
        }
    }
}

/// δ of each query of a block.
fn deltas<T: Real>(
    inputs: Inputs<'_, T>,
    saved: Saved<'_, T>,
    head: usize,
    token: usize,
    rows: usize,
) -> [T; QUERIES] {
    let (columns, head_dim) = (inputs.heads.q_columns(), inputs.heads.head_dim);
    let mut delta = [T::ZERO; QUERIES];
    for (r, delta) in delta[..rows].iter_mut().enumerate() {
        let at = (token + r) * columns + head * head_dim;
        *delta = reduce::dot(&saved.out[at..][..head_dim], &saved.d_out[at..][..head_dim]);
    }
    delta
}

/// Scores become probabilities, and gradients of probabilities become gradients of scores; both are 0 where
/// the query cannot see.
fn score_gradient_row<T: Real>(
    p: &mut [T],
    d_s: &mut [T],
    visible: std::ops::Range<usize>,
    lse: T,
    delta: T,
) {
    for row in [&mut *p, &mut *d_s] {
        row[..visible.start].fill(T::ZERO);
        row[visible.end..].fill(T::ZERO);
    }
    for (p, d_s) in p[visible.clone()].iter_mut().zip(&mut d_s[visible]) {
        *p = (*p - lse).exp();
        *d_s = *p * (*d_s - delta);
    }
}

/// Rows `from..from + rows` of a matrix.
fn rows_of<'a, T: Real>(matrix: &'a mut MatrixMut<'_, T>, from: usize, rows: usize) -> MatrixMut<'a, T> {
    matrix.reborrow().split_rows(from).1.split_rows(rows).0
}

/// Adds up the gradients of the query heads of each group, in the order of the heads.
fn sum_groups<T: Real>(inputs: Inputs<'_, T>, per_head: &[T], out: &mut [T]) {
    let heads = inputs.heads;
    let (head_dim, group) = (heads.head_dim, heads.heads / heads.kv_heads);
    out.par_chunks_mut(TOKENS_PER_TASK * heads.kv_columns())
        .zip(per_head.par_chunks(TOKENS_PER_TASK * heads.q_columns()))
        .for_each(|(out, per_head)| {
            let groups = per_head.chunks_exact(group * head_dim);
            for (out, group) in out.chunks_exact_mut(head_dim).zip(groups) {
                let (first, others) = group.split_at(head_dim);
                out.copy_from_slice(first);
                for head in others.chunks_exact(head_dim) {
                    out.iter_mut().zip(head).for_each(|(out, &x)| *out += x);
                }
            }
        });
}
