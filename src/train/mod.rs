//! Training: tokenise, mask, pack, step, schedule, checkpoint, metrics.
//!
//! ```text
//! Example ─▶ encode ─▶ Sample ─▶ pack ─▶ rows ─▶ trainer ─▶ adapter.gguf, peft/
//!                                                   │  ▲
//!                              metrics.jsonl ◀──────┘  └──▶ checkpoint.safetensors
//! ```
//!
//! [`encode()`] turns conversations into token samples with the loss on the answers, [`plan()`] says what a
//! run will cost, [`train`] starts it or resumes it.
//!
//! **Invariant:** the adapter is a function of (model bytes, samples, [`TrainConfig`]) on one machine:
//! neither the clock, nor the number of threads, nor where a run was interrupted changes a bit of it.

mod checkpoint;
mod config;
mod encode;
mod engine;
mod error;
mod flat_tensors;
mod job;
mod loss_scale;
mod metrics;
mod moments;
mod pack;
mod plan;
mod ranks;
mod schedule;
mod spike;
mod tensorboard;
#[cfg(test)]
mod tests;
mod trainer;

pub use config::{Optim, Overlong, Schedule, TrainConfig};
pub use encode::{DropReason, Encoded, Sample, encode};
pub use error::{Error, of_examples};
pub use job::{Backend, Event, Host, Job, Outcome, TrainSummary};
pub use metrics::{EvalMetrics, Metrics, StepMetrics};
pub use plan::{DeviceMemory, MemoryPlan, Plan, device_memory, memory, plan};
pub use schedule::{learning_rate, warmup_steps};
pub use trainer::{seconds_per_token, train};
