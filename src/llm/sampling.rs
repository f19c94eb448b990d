//! Drawing a token from logits.
//!
//! Where in the flow: the engine calls [`Sampler::draw`] once per generated token of a sequence.
//!
//! The procedure, in this order (that of Hugging Face's generation):
//! 0. restriction: tokens that are banned, or not among those allowed, are removed;
//! 1. repetition penalty `p` (Keskar et al. 2019, as in llama.cpp): for each token that this completion has
//!    generated so far, a positive logit is divided by `p`, any other multiplied. Tokens of the prompt are
//!    not penalised, because a rewriting must be free to repeat what it rewrites. Then
//!    `presence_penalty + count * frequency_penalty` is subtracted (as in `OpenAI`'s interface);
//! 2. temperature 0: the likeliest token. Otherwise logits are divided by the temperature;
//! 3. top-k, then top-p (Holtzman et al. 2020; the token that crosses the limit is kept), then min-p;
//! 4. Gumbel-max: the token with the largest `logit + g`, `g = -ln(-ln u)`, where the uniform `u` is a
//!    function of (key, position, token). This is an exact draw from the softmax.
//!
//! **Invariant:** a draw is a pure function of its arguments; ties go to the smaller token id. There is no
//! shared generator, so neighbours in a batch, restarts and retries cannot shift the noise of a completion.

use super::{Error, Request, Restriction, Sampling};
use crate::rng;

impl Sampling {
    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// Names the field, its value and what is accepted.
    pub fn check(&self) -> Result<(), Error> {
        // Ranges are written so that NaN fails.
        let ranges = [
            ("frequency_penalty", self.frequency_penalty, -100.0..=100.0, "-100 to 100"),
            ("presence_penalty", self.presence_penalty, -100.0..=100.0, "-100 to 100"),
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

/// Logits this far below the largest, in nats after the temperature, are never drawn: together they have less
/// than 49k e^-30 = 5e-9 of the probability in a vocabulary of 49k tokens.
const NEGLIGIBLE: f32 = 30.0;

impl Request {
    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// Names the field, its value and what is accepted.
    pub fn check(&self) -> Result<(), Error> {
        self.sampling.check()?;
        if matches!(&self.restriction, Restriction::Only(tokens) if tokens.is_empty()) {
            return Err(Error::NothingToDraw { id: self.id });
        }
        Ok(())
    }
}

/// Draws tokens. Its only state is scratch memory.
#[derive(Debug, Default)]
pub struct Sampler {
    /// All logits, after restriction and penalties.
    logits: Vec<f32>,
    /// Token and logit of the remaining candidates.
    candidates: Vec<(u32, f32)>,
}

impl Sampler {
    /// Draws the token at `position` (0 for the first generated one) of the completion of `request`, with the
    /// noise of `key`. `logits` is (V); `generated` are the tokens of this completion so far, in any order.
    ///
    /// # Errors
    /// A logit is not a number, or the restriction leaves no token.
    pub fn draw(
        &mut self,
        logits: &[f32],
        request: &Request,
        generated: &[u32],
        key: u64,
        position: u64,
    ) -> Result<u32, Error> {
        let sampling = &request.sampling;
        self.restrict(logits, &request.restriction);
        self.penalize(sampling, generated);
        // No early exit, so that the two passes over the vocabulary are vector instructions.
        if self.logits.iter().fold(false, |found, logit| found | logit.is_nan())
            && let Some(token) = self.logits.iter().position(|logit| logit.is_nan())
        {
            return Err(Error::NotANumber { token });
        }
        let max = self.logits.iter().fold(f32::NEG_INFINITY, |max, &logit| max.max(logit));
        if max == f32::NEG_INFINITY {
            return Err(Error::NothingToDraw { id: request.id });
        }
        if sampling.temperature <= 0.0 {
            // No logit is above the largest, so this counts the smaller ids.
            return Ok(self.logits.iter().take_while(|logit| **logit < max).count() as u32);
        }
        let total = self.collect(max, sampling);
        self.keep_top_k(sampling.top_k);
        self.keep_top_p(sampling.top_p, total);
        self.keep_min_p(sampling.min_p);
        Ok(self.gumbel_max(key, position))
    }

    fn restrict(&mut self, logits: &[f32], restriction: &Restriction) {
        self.logits.clear();
        match restriction {
            Restriction::None => self.logits.extend_from_slice(logits),
            Restriction::Ban(tokens) => {
                self.logits.extend_from_slice(logits);
                for &token in tokens {
                    if let Some(logit) = self.logits.get_mut(token as usize) {
                        *logit = f32::NEG_INFINITY;
                    }
                }
            }
            Restriction::Only(tokens) => {
                self.logits.resize(logits.len(), f32::NEG_INFINITY);
                for token in tokens.iter().map(|&token| token as usize).filter(|&token| token < logits.len())
                {
                    self.logits[token] = logits[token];
                }
            }
        }
    }

    fn penalize(&mut self, sampling: &Sampling, generated: &[u32]) {
        let Sampling { repetition_penalty, frequency_penalty, presence_penalty, .. } = *sampling;
        let mut seen = generated.to_vec();
        seen.sort_unstable();
        for same in seen.chunk_by(|a, b| a == b) {
            let logit = &mut self.logits[same[0] as usize];
            *logit = if *logit > 0.0 { *logit / repetition_penalty } else { *logit * repetition_penalty };
            *logit -= presence_penalty + frequency_penalty * same.len() as f32;
        }
    }

    /// Collects the tokens that can be drawn, in the order of their ids, by lowering a threshold from the
    /// largest logit until everything that the filters keep is above it. Returns the sum of the weights
    /// `exp((logit - max) / temperature)` of all tokens, if top-p needs it.
    fn collect(&mut self, max: f32, sampling: &Sampling) -> Option<f64> {
        let scale = sampling.temperature.recip();
        let total =
            (sampling.top_k == 0 && sampling.top_p < 1.0).then(|| sum_of_weights(&self.logits, max, scale));
        let unfiltered = sampling.top_k == 0 && total.is_none();
        let mut depth = if unfiltered { NEGLIGIBLE } else { NEGLIGIBLE / 4.0 };
        loop {
            let floor = max - depth * sampling.temperature;
            self.candidates.clear();
            let kept = (0..).zip(&self.logits).filter(|(_, logit)| **logit >= floor);
            self.candidates.extend(kept.map(|(token, logit)| (token, (logit - max) * scale)));
            let enough = match total {
                Some(total) => {
                    let above: f64 = self.candidates.iter().map(|&(_, logit)| f64::from(logit).exp()).sum();
                    above >= f64::from(sampling.top_p) * total
                }
                None => self.candidates.len() >= sampling.top_k,
            };
            if enough || depth >= NEGLIGIBLE {
                return total;
            }
            depth *= 2.0;
        }
    }

    fn keep_top_k(&mut self, k: usize) {
        if (1..self.candidates.len()).contains(&k) {
            self.candidates.select_nth_unstable_by(k - 1, by_likelihood);
            self.candidates.truncate(k);
        }
    }

    /// Keeps the shortest prefix of the ranking whose probability is at least `p`; `total` as from `collect`.
    fn keep_top_p(&mut self, p: f32, total: Option<f64>) {
        if p >= 1.0 {
            return;
        }
        self.candidates.sort_unstable_by(by_likelihood);
        let weights = self.candidates.iter().map(|&(_, logit)| f64::from(logit).exp());
        let needed = f64::from(p) * total.unwrap_or_else(|| weights.clone().sum());
        let mut sum = 0.0;
        let mut weights = weights;
        let crossing = weights.position(|weight| {
            sum += weight;
            sum >= needed
        });
        if let Some(last) = crossing {
            self.candidates.truncate(last + 1);
        }
    }

    fn keep_min_p(&mut self, p: f32) {
        if p > 0.0 {
            // The largest is 0 here.
            let least = p.min(1.0).ln();
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

/// Orders by descending logit, and equal logits by ascending token.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that sorting wants")]
fn by_likelihood(a: &(u32, f32), b: &(u32, f32)) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// `exp((logit - max) * scale)` over all logits, to about 1e-6 of the sum.
///
/// The sum only decides where the nucleus ends, so a polynomial in single precision is enough (Cephes'
/// `expf`, relative error below 2e-7). It is written so that it becomes vector instructions, with an order of
/// summation that does not depend on their width.
fn sum_of_weights(logits: &[f32], max: f32, scale: f32) -> f64 {
    const LANES: usize = 16;
    let mut lanes = [0.0_f32; LANES];
    let mut total = 0.0;
    // Short runs in single precision, then double: 49k small terms after a large one would be rounded away.
    for block in logits.chunks(64 * LANES) {
        for chunk in block.chunks(LANES) {
            for (lane, logit) in lanes.iter_mut().zip(chunk) {
                *lane += exp((logit - max) * scale);
            }
        }
        total += lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
        lanes = [0.0; LANES];
    }
    total
}

/// e^x for x ≤ 0; 0 below -87.
#[inline]
fn exp(x: f32) -> f32 {
    let clamped = x.max(-87.0);
    let n = (clamped * std::f32::consts::LOG2_E).round_ties_even();
    // ln 2 in two parts, so that `n * ln 2` is exact to the last bits.
    let r = clamped - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4_f32;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * r + coefficient;
    }
    let mantissa = p * r * r + r + 1.0;
    let power = f32::from_bits((((n as i32) + 127) << 23) as u32);
    if x < -87.0 { 0.0 } else { mantissa * power }
}
