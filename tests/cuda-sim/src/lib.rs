//! A CUDA device simulated on this machine's processor.

#[macro_use]
mod exports;

mod blas;
pub mod check;
pub mod driver;
pub mod exec;
pub mod finding;
pub mod isa;
pub mod loader;
pub mod lower;
pub mod memory;
mod nccl;
pub mod ptx;
pub mod report;
