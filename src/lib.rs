//! `evol`: evolve instructions with a local model, filter and answer them, and fine-tune that model
//! with LoRA on the result, offline and on one workstation.
//!
//! The modules in reading order, low to high. A module names only those before it
//! (`tests/it/layout.rs` checks this):
//!
//! - [`explain`]: what an error means for the user: who has to act, and what may help.
//! - [`process`]: memory and processor time of this process.
//! - [`identity`]: what makes two runs the same run, and what differs between two.
//! - [`rng`]: the only randomness; a stream per (run seed, purpose, id).
//! - [`constraint`]: requirements on an answer that code can check.
//! - [`tensor`]: number types, matrix views and the matrix product that ops are built on.
//! - [`gguf`]: the model file format: memory-mapped reader, writer, block formats.
//! - [`device`]: where ops run.
//! - [`llm`]: the local model behind llama.cpp: loading, chat template, batch engine, sampling, label scores.
//! - [`ops`]: one folder per operation, forward and backward.
//! - [`store`]: the run journal in `SQLite`.
//! - [`lora`]: adapter configuration, tensors and files (GGUF and PEFT).
//! - [`merge`]: merging an adapter into its base, written as one model file.
//! - [`model`]: the LLaMA forward and backward passes over [`ops`].
//! - [`dataset`]: records, seeds, import and export formats, splitting.
//! - [`evolve`]: operators, prompts, eliminator, rounds, answering. It makes decisions and writes no files.
//! - [`train`]: tokenise, mask, pack, step, schedule, checkpoint, metrics.
//! - [`eval`]: suites, responses, verdicts, comparisons with intervals and tests.
//! - [`report`]: a run as one HTML page.
//! - [`mod@bench`]: throughput of a model in a real evolution and in training.
//! - [`run`]: a run directory, its files, its identity and its stages.
//! - [`cli`]: arguments → plan → call → print, one file per command.

pub mod bench;
pub mod cli;
pub mod constraint;
pub mod dataset;
pub mod device;
pub mod eval;
pub mod evolve;
pub mod explain;
pub mod gguf;
pub mod identity;
pub mod llm;
pub mod lora;
pub mod merge;
pub mod model;
pub mod ops;
pub mod process;
pub mod report;
pub mod rng;
pub mod run;
pub mod store;
pub mod tensor;
pub mod train;
