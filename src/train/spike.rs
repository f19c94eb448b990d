//! Detection of loss spikes: a broken batch, or the start of a divergence.
//!
//! Where in the flow: the loop checks every loss before the update; the losses to compare with are part of
//! the checkpoint.
//!
//! **Invariant:** a function of the last [`WINDOW`] losses.
//! Source: the outlier detector of `llm.c`, with its window.

use super::checkpoint::Exact;
use std::collections::VecDeque;

/// Losses to compare with.
pub(super) const WINDOW: usize = 128;
/// Losses before the first check: the deviation of a few means nothing.
const LEAST: usize = 16;
/// Standard deviations above which a spike is reported. Of 10,000 losses that vary by chance alone, none is
/// so far out.
pub(super) const NOTABLE: f64 = 6.0;

/// How many standard deviations `loss` is above the mean of `recent`; `None` if those are few or all equal.
pub(super) fn z_score(recent: &VecDeque<Exact>, loss: f64) -> Option<f64> {
    if recent.len() < LEAST {
        return None;
    }
    let count = recent.len() as f64;
    let mean = recent.iter().map(|loss| loss.0).sum::<f64>() / count;
    let variance = recent.iter().map(|loss| (loss.0 - mean).powi(2)).sum::<f64>() / count;
    let z = (loss - mean) / variance.sqrt();
    z.is_finite().then_some(z)
}

/// Adds a loss to the window.
pub(super) fn remember(recent: &mut VecDeque<Exact>, loss: f64) {
    if recent.len() == WINDOW {
        recent.pop_front();
    }
    recent.push_back(Exact(loss));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_far_above_the_last_ones_stands_out() {
        let mut recent = VecDeque::new();
        for i in 0..LEAST - 1 {
            remember(&mut recent, 2.0 + 0.1 * (i % 2) as f64);
            assert_eq!(z_score(&recent, 9.0), None);
        }
        remember(&mut recent, 2.1);
        // Mean 2.05, deviation 0.05.
        let z = z_score(&recent, 2.55).unwrap();
        assert!((z - 10.0).abs() <= 1e-9, "{z}");
        assert!(z_score(&recent, 1.0).unwrap() < 0.0, "better is no outlier");
        for _ in 0..WINDOW {
            remember(&mut recent, 1.0);
        }
        assert_eq!((recent.len(), z_score(&recent, 5.0)), (WINDOW, None));
    }
}
