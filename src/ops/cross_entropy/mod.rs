//! Cross-entropy over the vocabulary, together with the output head that makes the logits.
//!
//! `z = h · Wᵀ`, `nll = Σ_rows (logsumexp(z) - z[target])`,
//! backward `dh = scale · (softmax(z) - onehot(target)) · W`.
//!
//! Shapes: h, dh (M, C), only the rows that have a target; targets (M); W (V, C) in GGUF blocks.
//! Scratch: [`scratch_len`] numbers.
//! Source: parity with `torch.nn.functional.cross_entropy(reduction="sum")` after `lm_head`; the running
//! rescaling is that of Milakov & Gimelshein 2018, arXiv:1805.02867, and `FlashAttention`.
//!
//! Why one pass over tiles of the vocabulary: a row of logits has V numbers (49 152 in the default model, 128
//! 256 in Llama 3), and the gradient needs all of them, normalised. Storing them costs hundreds of megabytes,
//! or short chunks of rows with all of W decoded twice per chunk; computing them twice costs half as much
//! again. Here each tile of W is decoded once, its logits live in a cache-sized buffer, and exp(z - m) · W is
//! added to dh at once, with m the running maximum; when m grows, the sums so far are scaled down. The
//! division by the sum and the target's row come last. So the arithmetic is that of the two unavoidable
//! products, and memory does not grow with V.

mod cpu;
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use super::QuantMatrix;
use super::linear::rows_per_pass;
use crate::device::CpuPool;
use crate::tensor::Real;

/// Rows of h per block; blocks are computed one after the other.
const BLOCK_ROWS: usize = 1024;

/// Running values per row: maximum, sum of exponentials, logit of the target.
const STATS: usize = 3;

/// Numbers of scratch for at most `rows` rows under a head (`vocab_size`, `hidden_size`): a tile of decoded
/// weights, its logits, and the running values.
pub fn scratch_len(rows: usize, hidden_size: usize, vocab_size: usize) -> usize {
    let (rows, tile) = (rows.min(BLOCK_ROWS), rows_per_pass(hidden_size, vocab_size));
    tile * hidden_size + rows * tile + rows * STATS
}

/// Sum over rows of the negative log-likelihood, in nats.
///
/// # Panics
/// If lengths do not fit, a target is not in the vocabulary, or `scratch` is shorter than [`scratch_len`].
pub fn forward<T: Real>(
    pool: &CpuPool,
    w: &QuantMatrix<'_>,
    h: &[T],
    targets: &[u32],
    scratch: &mut [T],
) -> f64 {
    assert_lengths(w, h.len(), targets, scratch.len());
    cpu::forward(pool, w, h, targets, scratch)
}

/// As [`forward`], and overwrites `dh` (M, C) with the gradient of `scale` times the sum. The returned sum is
/// not scaled.
///
/// # Panics
/// As [`forward`].
pub fn forward_backward<T: Real>(
    pool: &CpuPool,
    w: &QuantMatrix<'_>,
    h: &[T],
    targets: &[u32],
    scale: T,
    dh: &mut [T],
    scratch: &mut [T],
) -> f64 {
    assert_lengths(w, h.len(), targets, scratch.len());
    assert_eq!(dh.len(), h.len(), "length of dh (left) and h (right)");
    cpu::forward_backward(pool, w, h, targets, scale, dh, scratch)
}

fn assert_lengths(w: &QuantMatrix<'_>, h: usize, targets: &[u32], scratch: usize) {
    let rows = targets.len();
    assert_eq!(h, rows * w.cols(), "length of h (left), {rows} targets of {} (right)", w.cols());
    if let Some(target) = targets.iter().find(|&&target| target as usize >= w.rows()) {
        panic!("target {target} in a vocabulary of {}", w.rows());
    }
    let needed = scratch_len(rows, w.cols(), w.rows());
    assert!(scratch >= needed, "scratch of {scratch} for {needed} numbers");
}
