//! Intervals and tests: what may be said about a suite of this size.
//!
//! Where in the flow: `measure` and `compare` turn verdicts into [`Estimate`]s and p-values here.
//!
//! - A share of independent items has Wilson's interval (Wilson 1927): of 0 right in 10 the bootstrap would
//!   say that it is 0 for sure.
//! - A difference of two such shares on the same items has the adjusted Wald interval of Bonett and Price
//!   (2012).
//! - Everything else (shares of constraints that come in groups, means, ratios) has the percentile bootstrap
//!   over items (Efron 1979), which keeps what belongs to one item together.
//! - Wins against losses: the exact sign test; on verdicts of two contestants that is the exact form of
//!   `McNemar`'s test.
//!
//! `tests/oracle/eval_statistics.py` compares all of it with scipy and statsmodels.
//!
//! **Invariant:** resampling is a function of the seed: the same verdicts have the same interval on every
//! machine.

use super::result::Estimate;
use crate::rng;

/// Resamples of a bootstrap: the ends of a 95 % interval move by about a hundredth of its width between
/// seeds.
pub const RESAMPLES: usize = 4000;

/// 97.5 % quantile of the normal distribution.
const Z_95: f64 = 1.959_963_984_540_054;

/// 80 % quantile: the power that [`needed`] plans for.
const Z_80: f64 = 0.841_621_233_572_914_3;

/// A share of independent items with Wilson's interval; `None` of nothing.
pub fn share(right: usize, n: usize) -> Option<Estimate> {
    if n == 0 {
        return None;
    }
    let (p, n_items) = (right as f64 / n as f64, n as f64);
    let z2 = Z_95 * Z_95;
    let centre = (p + z2 / (2.0 * n_items)) / (1.0 + z2 / n_items);
    let half =
        Z_95 / (1.0 + z2 / n_items) * (p * (1.0 - p) / n_items + z2 / (4.0 * n_items * n_items)).sqrt();
    // At the ends rounding could leave the share itself out.
    Some(Estimate { value: p, low: (centre - half).clamp(0.0, p), high: (centre + half).clamp(p, 1.0), n })
}

/// A number over `n` items, computed by `statistic` from indices into them (all of them, or a resample with
/// repetitions), with the percentile bootstrap. `None` if it is not a number for all of them, or for more
/// than one in fifty of the resamples: those are the extreme ones, and an interval without them would be too
/// narrow.
pub fn bootstrap(
    n: usize,
    seed: u64,
    purpose: &str,
    statistic: impl Fn(&mut dyn Iterator<Item = usize>) -> Option<f64>,
) -> Option<Estimate> {
    let value = statistic(&mut (0..n)).filter(|value| value.is_finite())?;
    let key = rng::key(seed, "eval.bootstrap", &[u64::from_le_bytes(first_bytes(purpose))]);
    let mut draws: Vec<f64> = (0..RESAMPLES as u64)
        .filter_map(|resample| {
            let draw = |at: usize| (rng::uniform(key, resample, at as u64) * n as f64) as usize;
            statistic(&mut (0..n).map(draw)).filter(|value| value.is_finite())
        })
        .collect();
    if draws.len() * 50 < RESAMPLES * 49 {
        return None;
    }
    draws.sort_by(f64::total_cmp);
    let (low, high) = (quantile(&draws, 0.025)?, quantile(&draws, 0.975)?);
    Some(Estimate { value, low: low.min(value), high: high.max(value), n })
}

/// A purpose as an id of a stream.
fn first_bytes(purpose: &str) -> [u8; 8] {
    let hash = blake3::hash(purpose.as_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    [a, b, c, d, e, f, g, h]
}

/// Of sorted values, interpolated between neighbours (R's type 7, numpy's default).
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = q * last as f64;
    let (below, part) = (place.floor() as usize, place.fract());
    let above = (below + 1).min(last);
    Some(sorted[below] + part * (sorted[above] - sorted[below]))
}

/// The mean of `values` with its bootstrap interval.
pub fn mean(values: &[f64], seed: u64, purpose: &str) -> Option<Estimate> {
    ratio(values, &vec![1.0; values.len()], seed, purpose)
}

/// The sum of `parts` by the sum of `wholes`, item by item: a share of constraints, nats per token.
///
/// # Panics
/// If there are not as many parts as wholes.
pub fn ratio(parts: &[f64], wholes: &[f64], seed: u64, purpose: &str) -> Option<Estimate> {
    assert_eq!(parts.len(), wholes.len(), "one whole for each part");
    bootstrap(parts.len(), seed, purpose, |items| {
        let (part, whole) = items.fold((0.0, 0.0), |sum, at| (sum.0 + parts[at], sum.1 + wholes[at]));
        (whole > 0.0).then(|| part / whole)
    })
}

/// Exact two-sided sign test: how likely wins and losses are at least as far apart if a coin decides each. 1
/// where there are none.
///
/// Source: Conover, Practical Nonparametric Statistics, section 3.4. On discordant pairs it is the exact test
/// of `McNemar`.
pub fn sign_test(wins: usize, losses: usize) -> f64 {
    let n = wins + losses;
    let less = wins.min(losses);
    // Terms of the binomial distribution from the outside in, in logarithms: 2^-n alone is 0 beyond n = 1074.
    let mut term = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for k in 0..=less {
        tail += term.exp();
        term += ((n - k) as f64).ln() - ((k + 1) as f64).ln();
    }
    // Where both are equal, the middle term is in both tails.
    (2.0 * tail).min(1.0)
}

/// The difference of two shares of the same items, from those that only one of both got right, with the
/// adjusted Wald interval for paired proportions, which does not shrink to a point where there are none.
/// `None` of nothing.
///
/// Source: Bonett and Price 2012, Adjusted Wald confidence interval for a difference of binomial proportions
/// based on paired data, Journal of Educational and Behavioral Statistics 37.
pub fn paired_difference(wins: usize, losses: usize, n: usize) -> Option<Estimate> {
    if n == 0 {
        return None;
    }
    let value = (wins as f64 - losses as f64) / n as f64;
    let items = n as f64 + 2.0;
    let (won, lost) = ((wins as f64 + 1.0) / items, (losses as f64 + 1.0) / items);
    let centre = won - lost;
    let half = Z_95 * ((won + lost - centre * centre) / items).sqrt();
    Some(Estimate {
        value,
        low: (centre - half).clamp(-1.0, value),
        high: (centre + half).clamp(value, 1.0),
        n,
    })
}

/// Items that a difference like this one needs for p < 0.05 with a power of 0.8, if wins and losses keep
/// their shares. `None`: there is no difference.
///
/// Source: Connor 1987, Sample size for testing differences in proportions for the paired-sample design,
/// Biometrics 43.
pub fn needed(wins: usize, losses: usize, n: usize) -> Option<u64> {
    if wins == losses || n == 0 {
        return None;
    }
    let discordant = (wins + losses) as f64 / n as f64;
    let difference = (wins as f64 - losses as f64) / n as f64;
    // Nothing but wins (or losses) leaves no variance; the square root is of 0 then, or a rounding below.
    let spread = (discordant - difference * difference).max(0.0).sqrt();
    let items = ((Z_95 * discordant.sqrt() + Z_80 * spread) / difference).powi(2);
    Some(items.ceil() as u64)
}

/// The share of wins, ties counting half, that responses of equal length would have: a logistic regression of
/// the outcome on the difference of lengths, read off at 0. `None` if lengths do not vary or decide
/// everything.
///
/// `outcomes`: 1 win, ½ tie, 0 loss. `lengths`: difference of lengths, first minus other, in words. Lengths
/// enter as `tanh(difference / standard deviation)`, so that very long ones do not decide alone (Dubois et
/// al. 2024, equation 2).
pub fn length_controlled(outcomes: &[f64], lengths: &[f64]) -> Option<f64> {
    let n = lengths.len() as f64;
    let mean = lengths.iter().sum::<f64>() / n;
    let deviation = (lengths.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / n).sqrt();
    if deviation.partial_cmp(&0.0) != Some(std::cmp::Ordering::Greater) {
        return None;
    }
    let x: Vec<f64> = lengths.iter().map(|length| (length / deviation).tanh()).collect();
    let (mut intercept, mut slope) = (0.0_f64, 0.0_f64);
    // Newton's method on a concave function of two numbers.
    for _ in 0..50 {
        let mut gradient = [0.0; 2];
        let mut hessian = [0.0; 3];
        for (&x, &y) in x.iter().zip(outcomes) {
            let p = logistic(intercept + slope * x);
            let weight = p * (1.0 - p);
            gradient[0] += y - p;
            gradient[1] += (y - p) * x;
            hessian[0] += weight;
            hessian[1] += weight * x;
            hessian[2] += weight * x * x;
        }
        let determinant = hessian[0] * hessian[2] - hessian[1] * hessian[1];
        if !(determinant > 1e-12 && slope.abs() < 30.0 && intercept.abs() < 30.0) {
            return None;
        }
        let step = [
            (hessian[2] * gradient[0] - hessian[1] * gradient[1]) / determinant,
            (hessian[0] * gradient[1] - hessian[1] * gradient[0]) / determinant,
        ];
        intercept += step[0];
        slope += step[1];
        if step[0].abs() + step[1].abs() <= 1e-10 {
            return Some(logistic(intercept));
        }
    }
    None
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
