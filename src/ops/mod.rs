//! One folder per operation, forward and backward.
//!
//! `mod.rs` of an op is its contract: the formula, the shapes, the source; it checks lengths once and matches
//! on [`Device`](crate::device::Device). `cpu.rs` is the definition and the CPU backend; `cuda.rs` launches
//! the kernel of the same meaning from `kernels/`, over tensors of a GPU.
//!
//! Shapes are row-major, last axis fastest: B batch, T tokens, M rows (B·T), C `hidden_size`, H heads,
//! K kv heads, D `head_dim`, F `intermediate_size`, V vocab, R rank.
//!
//! **Invariant:** parameter gradients accumulate (`+=`), activation gradients overwrite, residual adds;
//! what departs from this says so with a `beta` argument.
//! **Invariant:** no allocation in an op: scratch is passed in, and the op's module says how much it needs.
//! **Invariant:** results are bitwise the same for any number of threads and from run to run: work is cut
//! at boundaries that depend on the shapes alone, and partial sums are added in the order of their index.
//! **Invariant:** wrong lengths panic with both values; they are faults of the caller, not of the input.

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
