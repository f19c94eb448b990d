//! A CUDA device made of this machine's processor.

pub mod check;
pub mod exec;
pub mod finding;
pub mod isa;
pub mod lower;
pub mod memory;
pub mod ptx;
