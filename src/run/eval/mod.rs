//! The fifth stage: a base and its adapters on a suite, and what may be concluded.
//!
//! - `plan`: what is asked of whom; `settings`: what has to be the same to reuse a folder
//! - `contestant`: the responses of one contestant; `judging`: the judge's comparisons
//! - `stage`: all of it, and the result
//!
//! Files in the folder: `settings.json` (what decided the rest), `generations-NAME.jsonl`,
//! `held-out-NAME.json`, `judge.json`, `preferences.jsonl`, and `eval.json` (the result, written last).
//!
//! **Invariant:** the process may be killed at any instant, and the same command ends with the same bytes. A
//! folder with other settings is refused.

mod contestant;
mod judging;
mod plan;
mod settings;
mod stage;

pub use contestant::read_generations;
pub use plan::{AdapterKind, BASE, EvalPlan, JudgeChoice, spread};
pub use settings::FILE_NAME as SETTINGS;
pub use stage::{read, run};
