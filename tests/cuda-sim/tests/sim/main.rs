//! The simulated GPU as `cudarc` and NVRTC use it.
//!
//! Modules here need nothing that is fetched; those that need NVRTC or `ptxas` are in [`fetched`], which
//! `make check` skips by that name. The header of each module says what it would catch.

#![expect(unsafe_code, reason = "launching a kernel is unsafe")]

// cuBLAS.
mod blas;
// Tests that need NVRTC or `ptxas`.
mod fetched;
// NCCL.
mod nccl;
// The reader of PTX.
mod ptx;
// Helper: the device, kernels by file, inputs.
mod support;
