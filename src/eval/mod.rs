//! Evaluation: whether a tuned model follows instructions better than its base.
//!
//! Where in the flow: after training. The caller loads a model, swaps its adapter for each contestant (the
//! base or an adapter), stores the generations, and shows the resulting [`Evaluation`].
//!
//! - `suite`: reads test suites in six formats
//! - `ifeval`: checks `IFEval`'s instructions as its reference implementation does
//! - `exact`: checks a response against the single right answer
//! - `responses`, `held_out`: generate responses, and measure the likelihood of held-out answers
//! - `judge`: asks a local model which of two responses is better, after testing whether it can tell
//! - `measure`, `compare`, `outcomes`: turn verdicts into scores of one contestant and comparisons of two
//! - `stats`: confidence intervals and significance tests
//! - `result`: the evaluation as data
//!
//! **Invariant:** an evaluation depends only on suite, models, adapters, settings and seed. This module
//! writes no files and reads no clock.

mod compare;
mod error;
mod exact;
mod held_out;
pub mod ifeval;
mod judge;
mod measure;
mod outcomes;
mod responses;
pub mod result;
pub mod stats;
mod suite;
#[cfg(test)]
mod tests;

pub use compare::{Side, Variant, compare, pool};
pub use error::Error;
pub use held_out::{encode as encode_held_out, likelihoods};
pub use judge::{Calibration, MIN_ACCURACY, Margins, Pair, calibrate, judge, preference};
pub use measure::{Measurements, RecordLikelihood, checks, is_right, score_contestant};
pub use responses::{ResponseOptions, respond};
pub use result::Evaluation;
pub use suite::{BUILTIN, BUILTIN_NAME, Item, Suite, Task};
