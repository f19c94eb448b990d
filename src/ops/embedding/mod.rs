//! Token embedding: gathers rows of a frozen, quantized matrix.
//!
//! `out[t] = W[tokens[t]]`. No backward: the base is frozen. In training noise may be added (Jain et al.
//! 2023, arXiv:2310.05914); it is a constant, so it has no gradient either.
//!
//! Shapes: tokens (T); W (V, C) in GGUF blocks; out (T, C).
//! Source: matches `torch.nn.functional.embedding`.

mod cpu;
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use super::QuantMatrix;
use crate::device::CpuPool;
use crate::tensor::Real;
use std::ops::Range;

/// Overwrites `out` (T, C) with the rows of `w` that `tokens` (T) name.
///
/// # Panics
/// If lengths do not fit, or a token is not in the vocabulary (the tokenizer and the model disagree then).
pub fn forward<T: Real>(pool: &CpuPool, w: &QuantMatrix<'_>, tokens: &[u32], out: &mut [T]) {
    let (count, width) = (tokens.len(), w.cols());
    assert_eq!(out.len(), count * width, "length of out (left), {count} tokens of {width} (right)");
    cpu::forward(pool, w, tokens, out);
}

/// Adds noise to `x` (T, C), uniform over ±alpha / √(len · C) with the length of the row's segment; segments
/// cover 0..T. The noise of element (row, column) is drawn from
/// [`rng::uniform`](crate::rng::uniform)`(key, row, column)`.
///
/// # Panics
/// If the segments and `x` do not fit together.
pub fn add_noise<T: Real>(pool: &CpuPool, key: u64, alpha: f64, segments: &[Range<usize>], x: &mut [T]) {
    let tokens = segments.last().map_or(0, |segment| segment.end);
    assert!(tokens > 0 && x.len().is_multiple_of(tokens), "{} numbers for {tokens} tokens", x.len());
    cpu::add_noise(pool, key, alpha, segments, x);
}
