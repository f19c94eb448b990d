//! One folder per operation, forward and backward, on the CPU and on a GPU.
//!
//! Where in the flow: `model` and `model/cuda` string ops together to passes, `train` makes the optimizer's
//! step with them.
//!
//! - `mod.rs` states formula, shapes, scratch and source. Its functions are the CPU op: they take a
//!   [`CpuPool`](crate::device::CpuPool) and slices, check all lengths once, and call `cpu.rs`.
//! - `cpu.rs` is the definition: what an op means is what this computes, in f64 too.
//! - `cuda.rs` is a sibling with signatures of its own: it takes a
//!   [`CudaDevice`](crate::device::cuda::CudaDevice) and tensors in that device's memory, launches kernels
//!   from `kernels/`, and can fail. It may split or fuse what the CPU op does.
//! - `tests.rs` compares gradients with central differences, and both backends on the same cases.
//!
//! Shapes are row-major, last axis fastest: B batch, T tokens, M rows (B·T), C `hidden_size`, H heads,
//! K kv heads, D `head_dim`, F `intermediate_size`, V vocab, R rank.
//!
//! **Invariant:** parameter gradients accumulate (`+=`), activation gradients overwrite. An op that can do
//! either takes a `beta`: 0 overwrites without reading, 1 adds.
//! **Invariant:** an op allocates nothing: scratch is passed in, and the op's module says how much it needs.
//! **Invariant:** results are bitwise the same for any number of threads and from run to run: work is cut at
//! boundaries that depend on the shapes alone, and partial sums are added in the order of their index.
//! **Invariant:** wrong lengths panic with both values: they are faults of the caller, not of the input.

pub mod adamw;
pub mod adamw_8bit;
pub mod attention;
pub mod bias;
pub mod cross_entropy;
pub(crate) mod cuda_matrix;
pub mod embedding;
pub mod global_norm;
pub mod linear;
pub mod lora;
pub mod matmul;
mod quant_matrix;
mod reduce;
pub mod residual;
pub mod rms_norm;
pub mod rope;
pub mod rows;
pub mod swiglu;

pub use quant_matrix::QuantMatrix;

#[cfg(test)]
pub(crate) mod check;
#[cfg(test)]
mod check_cuda;
