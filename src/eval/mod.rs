//! Whether a tuned model follows instructions better: suites, responses, verdicts, comparisons, what may be
//! concluded.
//!
//! Where in the flow: after training. `cli` loads a model, exchanges its adapter for each contestant, keeps
//! the generations, and prints or draws the [`Evaluation`].
//!
//! - `suite`: what is asked, in six forms; `ifeval`: `IFEval`'s instructions as its own code checks them;
//!   `exact`: one right answer
//! - `responses`, `held_out`: what a contestant says, and how likely it finds held-out answers
//! - `judge`: which of two responses a local model prefers, and whether it can be trusted
//! - `measure`, `compare`, `outcomes`: from verdicts to numbers, for one contestant and for two
//! - `stats`: intervals and tests; `result`: all of it as data
//!
//! **Invariant:** a function of suite, models, adapters, settings and seed; it writes no files and looks at
//! no clock.

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

pub use compare::{Kind, Side, compare, pool};
pub use error::Error;
pub use held_out::{encode as encode_held_out, likelihoods};
pub use judge::{Calibration, MIN_ACCURACY, Margins, Pair, calibrate, judge, preference};
pub use measure::{Measured, RecordLikelihood, checks, contestant, is_right};
pub use responses::{ResponseOptions, respond};
pub use result::Evaluation;
pub use suite::{BUILTIN, BUILTIN_NAME, Item, Suite, Task};
