//! Tests of an evaluation without a model; those with the real one are in `tests/it/eval.rs`.

mod exact;
mod judge;
mod numbers;
mod stats;
mod suite;
