//! One step of `AdamW` over the flat buffer of all adapter parameters.
//!
//! With g the scaled gradient and t the step, counted from 1:
//! `m = β₁m + (1-β₁)g`, `v = β₂v + (1-β₂)g²`,
//! `p = p·(1 - lr·λ) - lr/(1-β₁ᵗ) · m / (√v/√(1-β₂ᵗ) + ε)`.
//!
//! Shapes: p, g, m, v (N). The bias corrections are computed in f64 on the host, once per step; elements are
//! updated in their own type.
//! Source: Loshchilov & Hutter 2019, arXiv:1711.05101; parity with `torch.optim.AdamW` (ε outside the root of
//! the corrected v, decay decoupled and applied first).

mod cpu;
pub(crate) mod cuda;
#[cfg(test)]
mod tests;

use crate::device::CpuPool;
use crate::tensor::Real;

/// The optimiser's constants, and the learning rate of the step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// lr of this step, from the schedule.
    pub learning_rate: f64,
    /// β₁: decay of the mean of gradients.
    pub beta1: f64,
    /// β₂: decay of the mean of their squares.
    pub beta2: f64,
    /// ε, added outside the root.
    pub epsilon: f64,
    /// λ, decoupled: not part of the gradient.
    pub weight_decay: f64,
}

impl Default for AdamW {
    /// torch's defaults, but no weight decay, as in PEFT and the Hugging Face trainer.
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// Parameters and the two moments, all of one length; moments start at 0.
#[derive(Debug)]
pub struct State<'a, T> {
    /// Parameters.
    pub params: &'a mut [T],
    /// Running mean of gradients.
    pub m: &'a mut [T],
    /// Running mean of squared gradients.
    pub v: &'a mut [T],
}

/// Makes step number `step` (counted from 1) with `gradients` times `gradient_scale`, the clip factor.
///
/// # Panics
/// If lengths differ, or `step` is 0.
pub fn step<T: Real>(
    pool: &CpuPool,
    adamw: &AdamW,
    step: u64,
    gradients: &[T],
    gradient_scale: f64,
    state: State<'_, T>,
) {
    let len = gradients.len();
    assert_eq!(state.params.len(), len, "parameters (left) and gradients (right)");
    assert_eq!(state.m.len(), len, "first moments (left) and gradients (right)");
    assert_eq!(state.v.len(), len, "second moments (left) and gradients (right)");
    assert!(step > 0, "steps are counted from 1, found {step}");
    let factors = Factors::new(adamw, step, gradient_scale);
    cpu::step(pool, &factors, gradients, state);
}

/// The numbers that are the same for all elements of a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factors<T> {
    pub(super) gradient_scale: T,
    /// 1 - lr·λ.
    pub(super) keep: T,
    /// 1 - β₁: torch computes m as m + (g - m)(1-β₁).
    pub(super) one_minus_beta1: T,
    pub(super) beta2: T,
    pub(super) one_minus_beta2: T,
    /// lr/(1-β₁ᵗ).
    pub(super) step_size: T,
    /// √(1-β₂ᵗ).
    pub(super) root_correction: T,
    pub(super) epsilon: T,
}

impl<T: Real> Factors<T> {
    pub(super) fn new(adamw: &AdamW, step: u64, gradient_scale: f64) -> Self {
        // With more steps than an i32 holds both powers have long been 0.
        let exponent = i32::try_from(step).unwrap_or(i32::MAX);
        Self {
            gradient_scale: T::from_f64(gradient_scale),
            keep: T::from_f64(1.0 - adamw.learning_rate * adamw.weight_decay),
            one_minus_beta1: T::from_f64(1.0 - adamw.beta1),
            beta2: T::from_f64(adamw.beta2),
            one_minus_beta2: T::from_f64(1.0 - adamw.beta2),
            step_size: T::from_f64(adamw.learning_rate / (1.0 - adamw.beta1.powi(exponent))),
            root_correction: T::from_f64((1.0 - adamw.beta2.powi(exponent)).sqrt()),
            epsilon: T::from_f64(adamw.epsilon),
        }
    }
}
