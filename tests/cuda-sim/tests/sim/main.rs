//! The simulated device as `cudarc` and NVRTC use it.

#![expect(unsafe_code, reason = "launching a kernel is unsafe")]

mod blas;
mod driver;
mod kernels;
mod memory;
mod mistakes;
mod nccl;
mod opcodes;
mod ptx;
mod support;
mod tensor;
mod toolkit;
mod warp;
