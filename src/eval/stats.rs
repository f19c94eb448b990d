//! Confidence intervals and significance tests.
//!
//! Where in the flow: `measure` and `compare` turn verdicts into [`Estimate`]s and p-values with it.
//!
//! - Share of independent items: Wilson's interval (Wilson 1927). For 0 right of 10, the bootstrap would give
//!   an interval of zero width.
//! - Difference of two such shares on the same items: the adjusted Wald interval of Bonett and Price (2012).
//! - Everything else (shares of constraints that come in groups, means, ratios): the percentile bootstrap
//!   over items (Efron 1979), which keeps the values of one item together.
//! - Wins against losses: the exact sign test. On verdicts of two contestants it is the exact form of
//!   `McNemar`'s test.
//!
//! `tests/oracle/eval_statistics.py` compares all of them with scipy and statsmodels.
//!
//! **Invariant:** resampling depends only on the seed, so the same verdicts have the same interval on every
//! machine.

use super::result::Estimate;
use crate::rng;

/// Number of bootstrap resamples. Between seeds, the ends of a 95 % interval then move by about a hundredth
/// of its width.
pub const RESAMPLES: usize = 4000;

/// The 97.5 % quantile of the standard normal distribution, for a two-sided level of 95 %.
const Z_95: f64 = 1.959_963_984_540_054;

/// The 80 % quantile of the standard normal distribution: the power that [`items_needed`] plans for.
const Z_80: f64 = 0.841_621_233_572_914_3;

/// The share `right / n` of independent items with Wilson's interval; `None` if `n` is 0.
pub fn share(right: usize, n: usize) -> Option<Estimate> {
    if n == 0 {
        return None;
    }
    let (p, n_items) = (right as f64 / n as f64, n as f64);
    let z2 = Z_95 * Z_95;
    let centre = (p + z2 / (2.0 * n_items)) / (1.0 + z2 / n_items);
    let half =
        Z_95 / (1.0 + z2 / n_items) * (p * (1.0 - p) / n_items + z2 / (4.0 * n_items * n_items)).sqrt();
    // At shares of 0 and 1, rounding could leave the share itself outside of the interval.
    Some(Estimate { value: p, low: (centre - half).clamp(0.0, p), high: (centre + half).clamp(p, 1.0), n })
}

/// Computes a statistic over `n` items with its percentile bootstrap interval. `statistic` gets the indices
/// of the items: all of them, or a resample with replacement.
///
/// The result is `None` if the statistic has no finite value for the items themselves or for more than one in
/// fifty resamples: these are the extreme ones, and an interval without them would be too narrow.
pub fn bootstrap(
    n: usize,
    seed: u64,
    purpose: &str,
    statistic: impl Fn(&mut dyn Iterator<Item = usize>) -> Option<f64>,
) -> Option<Estimate> {
    let value = statistic(&mut (0..n)).filter(|value| value.is_finite())?;
    let key = rng::key(seed, "eval.bootstrap", &[u64::from_le_bytes(purpose_id(purpose))]);
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

/// Hashes a purpose to the id of a random stream.
fn purpose_id(purpose: &str) -> [u8; 8] {
    let hash = blake3::hash(purpose.as_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    [a, b, c, d, e, f, g, h]
}

/// The quantile `q` of sorted values, interpolated between neighbours (R's type 7, numpy's default).
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = q * last as f64;
    let (below, fraction) = (position.floor() as usize, position.fract());
    let above = (below + 1).min(last);
    Some(sorted[below] + fraction * (sorted[above] - sorted[below]))
}

/// The mean of `values` with its bootstrap interval.
pub fn mean(values: &[f64], seed: u64, purpose: &str) -> Option<Estimate> {
    ratio(values, &vec![1.0; values.len()], seed, purpose)
}

/// The sum of `parts` divided by the sum of `wholes`, with its bootstrap interval over items: a share of
/// constraints, or nats per token. `None` if the wholes add up to 0.
///
/// # Panics
/// If there are not as many parts as wholes.
pub fn ratio(parts: &[f64], wholes: &[f64], seed: u64, purpose: &str) -> Option<Estimate> {
    assert_eq!(parts.len(), wholes.len(), "one whole per part");
    bootstrap(parts.len(), seed, purpose, |items| {
        let (part, whole) = items.fold((0.0, 0.0), |sum, at| (sum.0 + parts[at], sum.1 + wholes[at]));
        (whole > 0.0).then(|| part / whole)
    })
}

/// The p-value of the exact two-sided sign test: the probability that wins and losses are at least this far
/// apart if each is equally likely. It is 1 if there are none.
///
/// Source: Conover, Practical Nonparametric Statistics, section 3.4. On discordant pairs it is the exact test
/// of `McNemar`.
pub fn sign_test(wins: usize, losses: usize) -> f64 {
    let n = wins + losses;
    let less = wins.min(losses);
    // The binomial terms are summed as logarithms, from k = 0, because 2^-n underflows to 0 for n > 1074.
    let mut term = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for k in 0..=less {
        tail += term.exp();
        term += ((n - k) as f64).ln() - ((k + 1) as f64).ln();
    }
    // If wins and losses are equal, both tails contain the middle term.
    (2.0 * tail).min(1.0)
}

/// The difference of two shares on the same `n` items, with the adjusted Wald interval for paired
/// proportions. `wins` and `losses` are the items that only one of the two got right. The interval has a
/// positive width even without such items. `None` if `n` is 0.
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

/// The number of items at which a difference of this size reaches p < 0.05 with a power of 0.8, if wins and
/// losses keep their shares. `None` if there is no difference.
///
/// Source: Connor 1987, Sample size for testing differences in proportions for the paired-sample design,
/// Biometrics 43.
pub fn items_needed(wins: usize, losses: usize, n: usize) -> Option<u64> {
    if wins == losses || n == 0 {
        return None;
    }
    let discordant = (wins + losses) as f64 / n as f64;
    let difference = (wins as f64 - losses as f64) / n as f64;
    // With only wins or only losses the variance is 0, and rounding can make it negative.
    let spread = (discordant - difference * difference).max(0.0).sqrt();
    let items = ((Z_95 * discordant.sqrt() + Z_80 * spread) / difference).powi(2);
    Some(items.ceil() as u64)
}

/// The length-controlled win rate: the win rate that responses of equal length would have. It is a logistic
/// regression of the outcome on the difference of lengths, evaluated at a difference of 0. `None` if lengths
/// do not vary or determine the outcome.
///
/// `outcomes` are 1 for a win, ½ for a tie and 0 for a loss; `lengths` are differences in words, first minus
/// second. They enter as `tanh(difference / standard deviation)`, which limits the influence of very long
/// responses (Dubois et al. 2024, equation 2).
pub fn length_controlled(outcomes: &[f64], lengths: &[f64]) -> Option<f64> {
    let n = lengths.len() as f64;
    let mean = lengths.iter().sum::<f64>() / n;
    let deviation = (lengths.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / n).sqrt();
    if deviation.partial_cmp(&0.0) != Some(std::cmp::Ordering::Greater) {
        return None;
    }
    let x: Vec<f64> = lengths.iter().map(|length| (length / deviation).tanh()).collect();
    let (mut intercept, mut slope) = (0.0_f64, 0.0_f64);
    // Newton's method; the log-likelihood is concave in intercept and slope.
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
        // Divergence means that lengths separate wins from losses. This form also catches NaN.
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
