//! The learning rate of each step.
//!
//! Where in the flow: the loop asks for the rate right before each `AdamW` update.
//!
//! **Invariant:** a pure function of (step, total, config), so a resumed run needs no scheduler state.

use super::config::{Schedule, TrainConfig};

/// Steps of the warm-up: `warmup_steps`, or `ceil(warmup_ratio * total_steps)`, as Hugging Face rounds it.
pub fn warmup_steps(config: &TrainConfig, total_steps: u64) -> u64 {
    config.warmup_steps.unwrap_or((config.warmup_ratio * total_steps as f64).ceil() as u64)
}

/// Learning rate of the update number `step` (counted from 0) out of `total_steps`.
///
/// With w warm-up steps: `peak * step / w` below w, then with p = (step - w) / (total - w) the peak times
/// `(1 + cos(pi p)) / 2`, `1 - p` or 1. These are the formulas of Hugging Face's
/// `get_cosine_schedule_with_warmup` and its siblings, so the first of w > 0 warm-up steps has rate 0:
/// it moves no weight but fills the moments of `AdamW`.
pub fn learning_rate(config: &TrainConfig, step: u64, total_steps: u64) -> f64 {
    let warmup = warmup_steps(config, total_steps);
    let factor = if step < warmup {
        step as f64 / warmup as f64
    } else {
        let p = (step - warmup) as f64 / total_steps.saturating_sub(warmup).max(1) as f64;
        match config.lr_scheduler_type {
            Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * p).cos()),
            Schedule::Linear => 1.0 - p,
            Schedule::ConstantWithWarmup => 1.0,
        }
    };
    config.learning_rate * factor.max(0.0)
}
