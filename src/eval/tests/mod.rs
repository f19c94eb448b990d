//! Tests of the evaluation without a model; `tests/it/fetched/eval.rs` tests it with the real one.

mod exact;
mod judge;
mod numbers;
mod stats;
mod suite;
