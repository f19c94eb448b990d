//! Token embedding: gathers rows of a frozen, quantized matrix.
//!
//! `out[t] = W[tokens[t]]`. No backward: the base is frozen.
//!
//! Shapes: tokens (T); W (V, C) in GGUF blocks; out (T, C).
//! Source: matches `torch.nn.functional.embedding`.

mod cpu;
#[cfg(test)]
mod tests;

use super::QuantMatrix;
use crate::device::Device;
use crate::tensor::Real;

/// Overwrites `out` (T, C) with the rows of `w` that `tokens` (T) name.
///
/// # Panics
/// If lengths do not fit, or a token is not in the vocabulary (the tokenizer and the model disagree then).
pub fn forward<T: Real>(device: &Device, w: &QuantMatrix<'_>, tokens: &[u32], out: &mut [T]) {
    let (count, width) = (tokens.len(), w.cols());
    assert_eq!(out.len(), count * width, "length of out (left), {count} tokens of {width} (right)");
    match device {
        Device::Cpu(cpu) => cpu::forward(cpu, w, tokens, out),
    }
}
