//! Rotary position embedding, in place, in the layout of GGUF's `llama` models.
//!
//! In every head the pair `(x[2i], x[2i+1])` is rotated by `position · frequency[i]`,
//! `frequency[i] = theta^(-2i/D) / factor[i]`, where the factors are the file's `rope_freqs` or 1.
//! Backward rotates by the negative angle: a rotation is orthogonal.
//!
//! A context that was extended after training has other frequencies ([`Scaling`]), and `YaRN` also multiplies
//! the rotated vectors by a magnitude m. It is a factor of cosine and sine, so backward with the same table
//! is the transpose.
//!
//! Neighbours are paired ("NORM" in llama.cpp), not halves ("NeoX", Hugging Face): converters permute the
//! rows of the q and k weights accordingly. The other layout on these files gives plausible, wrong text.
//!
//! Shapes: positions (T); table (T, D/2, 2) of cosine and sine; x, `d_x` (T, heads, D).
//! Saved: nothing but the table, which all layers share.
//! Source: Su et al. 2021, arXiv:2104.09864, section 3.2.2; `rope_freqs` as in llama.cpp's `ggml_rope_ext`;
//! Chen et al. 2023, arXiv:2306.15595 (linear); Peng et al. 2023, arXiv:2309.00071 (`YaRN`), with the bounds
//! as `ggml_rope_yarn_corr_dims` rounds them.

mod cpu;
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use crate::device::CpuPool;
use crate::tensor::Real;

/// How the context was extended after training.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Scaling {
    /// It was not.
    #[default]
    None,
    /// Positions are divided by a factor.
    Linear {
        /// More than 0.
        factor: f64,
    },
    /// Frequencies of slow pairs are divided by a factor, those of fast ones are not, and between the two
    /// they are interpolated.
    Yarn {
        /// More than 0.
        factor: f64,
        /// Context before the extension, in tokens.
        original_context: f64,
    },
}

/// Turns over the original context above which a pair is left alone, and below which it is divided in full:
/// the paper's β and α, with llama.cpp's values for all `llama` models.
const YARN_TURNS: [f64; 2] = [32.0, 1.0];

impl Scaling {
    /// The factor on rotated vectors: 0.1 ln(factor) + 1 with `YaRN` (section 3.4 of the paper), else 1.
    pub fn magnitude(self) -> f64 {
        match self {
            Self::Yarn { factor, .. } if factor > 1.0 => 1.0 + 0.1 * factor.ln(),
            _ => 1.0,
        }
    }

    /// The factor on the frequency of pair `i` of a head.
    fn of_pair(self, i: usize, head_dim: usize, theta: f64) -> f64 {
        match self {
            Self::None => 1.0,
            Self::Linear { factor } => 1.0 / factor,
            Self::Yarn { factor, original_context } => {
                let pair = |turns: f64| {
                    let full_turns = original_context / (turns * std::f64::consts::TAU);
                    head_dim as f64 * full_turns.ln() / (2.0 * theta.ln())
                };
                let [fast, slow] = YARN_TURNS.map(pair);
                let (low, high) = (fast.floor().max(0.0), slow.ceil().min(head_dim as f64 - 1.0));
                let divided = ((i as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
                divided / factor + (1.0 - divided)
            }
        }
    }
}

/// Radians per position for each pair of a head of `head_dim`.
///
/// # Panics
/// If `head_dim` is odd, or `factors` has not one number per pair.
pub fn frequencies(head_dim: usize, theta: f64, factors: Option<&[f32]>, scaling: Scaling) -> Vec<f64> {
    assert!(head_dim.is_multiple_of(2), "pairs in a head of {head_dim}");
    if let Some(factors) = factors {
        assert_eq!(factors.len(), head_dim / 2, "factors (left) for the pairs of a head (right)");
    }
    let factor = |i: usize| factors.map_or(1.0, |factors| f64::from(factors[i]));
    let base = |i: usize| theta.powf(-((2 * i) as f64) / head_dim as f64) / factor(i);
    (0..head_dim / 2).map(|i| base(i) * scaling.of_pair(i, head_dim, theta)).collect()
}

/// Overwrites `table` (T, D/2, 2) with `magnitude` times the cosine and sine of every angle, computed in f64.
///
/// # Panics
/// If lengths do not fit.
pub fn fill_table<T: Real>(positions: &[u32], frequencies: &[f64], magnitude: f64, table: &mut [T]) {
    let len = positions.len() * frequencies.len() * 2;
    assert_eq!(table.len(), len, "length of table (left), positions times head_dim (right)");
    let mut cells = table.as_chunks_mut::<2>().0.iter_mut();
    for &position in positions {
        for (frequency, cell) in frequencies.iter().zip(&mut cells) {
            let (sin, cos) = (f64::from(position) * frequency).sin_cos();
            *cell = [T::from_f64(magnitude * cos), T::from_f64(magnitude * sin)];
        }
    }
}

/// Rotates `x` (T, heads, D) by the angles of `table` (T, D/2, 2).
///
/// # Panics
/// If lengths do not fit.
pub fn forward<T: Real>(pool: &CpuPool, table: &[T], heads: usize, head_dim: usize, x: &mut [T]) {
    assert_eq!(x.len(), table.len() * heads, "length of x (left), heads times length of table (right)");
    assert!(head_dim.is_multiple_of(2), "pairs in a head of {head_dim}");
    cpu::rotate(pool, table, heads, head_dim, T::ONE, x);
}

/// Rotates `d_x` (T, heads, D) back by the same angles, and multiplies by the same magnitude.
///
/// # Panics
/// If lengths do not fit.
pub fn backward<T: Real>(pool: &CpuPool, table: &[T], heads: usize, head_dim: usize, d_x: &mut [T]) {
    assert_eq!(d_x.len(), table.len() * heads, "length of d_x (left), heads times length of table (right)");
    assert!(head_dim.is_multiple_of(2), "pairs in a head of {head_dim}");
    cpu::rotate(pool, table, heads, head_dim, -T::ONE, d_x);
}
