//! Drawing a token from logits, without state.
//!
//! Where in the flow: the engine calls [`Sampler::draw`] once per generated token of a sequence.
//!
//! The procedure, in this order (that of Hugging Face's generation):
//! 1. repetition penalty `p` (Keskar et al. 2019, as in llama.cpp): for each token that this completion has
//!    generated already, a positive logit is divided by `p`, any other multiplied. The prompt's tokens are
//!    not penalised: a rewriting must be free to repeat what it rewrites;
//! 2. temperature 0: the likeliest token. Otherwise logits are divided by the temperature;
//! 3. top-k, then top-p (Holtzman et al. 2020; the token that crosses the limit is kept), then min-p;
//! 4. Gumbel-max: the token with the largest `logit + g`, `g = -ln(-ln u)`, where the uniform `u` is a
//!    function of (key, position, token). This is an exact draw from the softmax.
//!
//! **Invariant:** a draw is a pure function of its arguments; ties go to the smaller token id. No shared
//! generator: neighbours in a batch, restarts and retries cannot shift anybody's noise.

use super::{Error, Sampling};
use crate::rng;

impl Sampling {
    /// Refuses numbers that make no sense.
    ///
    /// # Errors
    /// Names the field, its value and what is accepted.
    pub fn check(&self) -> Result<(), Error> {
        // Ranges are written so that NaN is outside.
        let ranges = [
            ("temperature", self.temperature, 0.0..=100.0, "0 to 100"),
            ("top_p", self.top_p, 0.0..=1.0, "0 to 1"),
            ("min_p", self.min_p, 0.0..=1.0, "0 to 1"),
            ("repetition_penalty", self.repetition_penalty, 0.01..=100.0, "0.01 to 100"),
        ];
        match ranges.into_iter().find(|(_, found, range, _)| !range.contains(found)) {
            None => Ok(()),
            Some((field, found, _, expected)) => Err(Error::Sampling { field, found, expected }),
        }
    }
}

/// Draws tokens; holds scratch memory only.
#[derive(Debug, Default)]
pub struct Sampler {
    /// (token, logit) that are still in play.
    candidates: Vec<(u32, f32)>,
}

impl Sampler {
    /// The token at `position` (0 for the first generated one) of the completion with this `key`.
    /// `logits` (V); `generated`: what this completion has so far, in any order.
    ///
    /// # Errors
    /// A logit is not a number.
    pub fn draw(
        &mut self,
        logits: &[f32],
        sampling: &Sampling,
        generated: &[u32],
        key: u64,
        position: u64,
    ) -> Result<u32, Error> {
        if let Some(token) = logits.iter().position(|logit| logit.is_nan()) {
            return Err(Error::NotANumber { token });
        }
        self.candidates.clear();
        self.candidates.extend((0..).zip(logits.iter().copied()));
        self.penalize(sampling.repetition_penalty, generated);
        if sampling.temperature <= 0.0 {
            return Ok(likeliest(&self.candidates));
        }
        for (_, logit) in &mut self.candidates {
            *logit /= sampling.temperature;
        }
        self.keep_top_k(sampling.top_k);
        self.keep_top_p(sampling.top_p);
        self.keep_min_p(sampling.min_p);
        Ok(self.gumbel_max(key, position))
    }

    fn penalize(&mut self, penalty: f32, generated: &[u32]) {
        let mut seen = generated.to_vec();
        seen.sort_unstable();
        seen.dedup();
        for token in seen {
            let logit = &mut self.candidates[token as usize].1;
            *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
        }
    }

    fn keep_top_k(&mut self, k: usize) {
        if (1..self.candidates.len()).contains(&k) {
            self.candidates.select_nth_unstable_by(k - 1, by_likelihood);
            self.candidates.truncate(k);
        }
    }

    /// Keeps the shortest prefix of the ranking whose probability is at least `p`.
    fn keep_top_p(&mut self, p: f32) {
        if p >= 1.0 || self.candidates.len() < 2 {
            return;
        }
        let max = highest(&self.candidates);
        let weight = |logit: f32| f64::from(logit - max).exp();
        // Summed in token order: the order that selection leaves is not specified.
        self.candidates.sort_unstable_by_key(|&(token, _)| token);
        let total: f64 = self.candidates.iter().map(|&(_, logit)| weight(logit)).sum();
        // The nucleus is usually small: rank a growing head instead of the whole vocabulary.
        let mut ranked = 64;
        loop {
            ranked = ranked.min(self.candidates.len());
            if ranked < self.candidates.len() {
                self.candidates.select_nth_unstable_by(ranked - 1, by_likelihood);
            }
            self.candidates[..ranked].sort_unstable_by(by_likelihood);
            let mut sum = 0.0;
            let crossing = self.candidates[..ranked].iter().position(|&(_, logit)| {
                sum += weight(logit) / total;
                sum >= f64::from(p)
            });
            if let Some(last) = crossing {
                self.candidates.truncate(last + 1);
                return;
            }
            if ranked == self.candidates.len() {
                return;
            }
            ranked *= 8;
        }
    }

    fn keep_min_p(&mut self, p: f32) {
        if p > 0.0 {
            let least = highest(&self.candidates) + p.min(1.0).ln();
            self.candidates.retain(|&(_, logit)| logit >= least);
        }
    }

    fn gumbel_max(&self, key: u64, position: u64) -> u32 {
        let noisy = self.candidates.iter().map(|&(token, logit)| {
            let u = rng::uniform(key, position, u64::from(token));
            (token, f64::from(logit) - (-u.ln()).ln())
        });
        let better = |a: (u32, f64), b: (u32, f64)| {
            if b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)).is_gt() { b } else { a }
        };
        noisy.reduce(better).expect("every filter keeps the likeliest token").0
    }
}

/// Descending by logit; equal logits ascending by token.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that sorting wants")]
fn by_likelihood(a: &(u32, f32), b: &(u32, f32)) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

fn likeliest(candidates: &[(u32, f32)]) -> u32 {
    candidates.iter().copied().min_by(by_likelihood).expect("a vocabulary is not empty").0
}

fn highest(candidates: &[(u32, f32)]) -> f32 {
    candidates.iter().fold(f32::NEG_INFINITY, |max, &(_, logit)| max.max(logit))
}
