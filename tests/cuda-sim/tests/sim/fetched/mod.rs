//! Tests that need what `scripts/fetch-cuda-tools` fetches. `make test` runs them, `make check` does not.

// The driver's API.
mod driver;
// Correct kernels.
mod kernels;
// Loads, stores, copies and atomics.
mod memory;
// Kernels with a mistake.
mod mistakes;
// Every instruction between registers.
mod opcodes;
// Tensor cores.
mod tensor;
// Headers of the toolkit.
mod toolkit;
// Instructions between lanes and warps.
mod warp;
