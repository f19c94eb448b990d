//! The fifth stage: evaluates a base and its adapters on a suite.
//!
//! - `plan`: the suite, the contestants and the settings; `settings`: what must be equal to resume a folder
//! - `contestant`: the responses of one contestant; `judging`: the judge's comparisons
//! - `stage`: runs all of it and writes the result
//!
//! Files in the folder: `settings.json` (the identity of the evaluation), `generations-NAME.jsonl`,
//! `held-out-NAME.json`, `judge.json`, `preferences.jsonl`, and `eval.json` (the result, written last).
//!
//! **Invariant:** the process may be killed at any instant; rerunning the command gives the same bytes. A
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
