//! Loss scaling for half precision: a factor that keeps small gradients from vanishing and large ones from
//! overflowing.
//!
//! Where in the flow: the loop multiplies a window's loss by it, and divides the gradient by it in the
//! update. A window whose gradient is not finite is computed again with half the factor, so no data is lost
//! and a step stays a function of its window.
//!
//! **Invariant:** it is a power of two, so scaling rounds nothing; and it is a function of the gradients so
//! far, kept in the checkpoint.
//! Source: Micikevicius et al. 2018, arXiv:1710.03740, section 3.2; initial value and interval as in
//! PyTorch's `GradScaler`.

/// Binary logarithm of the initial factor.
const START: i32 = 16;
/// Binary logarithm of the largest factor: with 2^24, gradients of 1e-11 are representable.
const LARGEST: i32 = 24;
/// Steps without overflow after which the factor doubles.
const INTERVAL: u32 = 2000;

/// The current factor.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct LossScale {
    log2: i32,
    /// Steps since the factor changed.
    steps: u32,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { log2: START, steps: 0 }
    }
}

impl LossScale {
    /// The factor.
    pub(super) fn factor(&self) -> f32 {
        (self.log2 as f32).exp2()
    }

    /// Updates the factor after a gradient. Returns whether to compute the same window again.
    pub(super) fn try_again_after(&mut self, is_finite: bool) -> bool {
        if !is_finite {
            self.steps = 0;
            // Without a factor left to halve, the overflow has another cause.
            self.log2 -= i32::from(self.log2 >= 0);
            return self.log2 >= 0;
        }
        self.steps += 1;
        if self.steps == INTERVAL {
            *self = Self { log2: (self.log2 + 1).min(LARGEST), steps: 0 };
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_halves_at_once_and_doubles_late() {
        let mut scale = LossScale::default();
        assert!(scale.factor().to_bits() == 65536_f32.to_bits());
        assert!(scale.try_again_after(false));
        assert!(scale.factor().to_bits() == 32768_f32.to_bits());
        for _ in 0..INTERVAL {
            assert!(scale.factor().to_bits() == 32768_f32.to_bits());
            assert!(!scale.try_again_after(true));
        }
        assert!(scale.factor().to_bits() == 65536_f32.to_bits());
        for _ in 0..=START {
            assert!(scale.factor() >= 1.0);
            let again = scale.try_again_after(false);
            assert_eq!(again, scale.factor() >= 1.0);
        }
        assert!(!scale.try_again_after(false), "no factor makes it finite");
    }
}
