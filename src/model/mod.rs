//! LLaMA's forward and backward passes over `ops`, on a quantized, frozen base.
//!
//! Where in the flow: `train` opens a file with [`Llama::load`], makes one [`Workspace`], and calls
//! [`Llama::forward_backward`] for every packed row; gradients accumulate in a
//! [`LoraWeights`](crate::lora::LoraWeights) of the adapter's layout.
//!
//! - `config`: sizes and constants from the metadata; unsupported variants are refused here
//! - `weights`: the tensors of the file, checked once
//! - `row`: packed rows, their randomness and summed losses
//! - `workspace`: all memory of a pass; `checkpointing`: which part of it is recomputed instead of kept
//! - `adapter`: branches and gradients by (layer, projection)
//! - `forward`, `backward`: the passes, as sequences of ops
//! - `cuda`: the same on a GPU
//!
//! **Invariant:** weights are read-only; only adapter tensors have gradients.
//! **Invariant:** a pass allocates nothing: the [`Workspace`] is made before the first one.
//! **Invariant:** a pass is a function of (file, adapter, row, noise), whatever the number of threads.

mod adapter;
mod backward;
mod checkpointing;
mod config;
mod cuda;
mod error;
mod forward;
mod row;
#[cfg(test)]
mod tests;
mod weights;
mod workspace;

pub use checkpointing::GradientCheckpointing;
pub use config::ModelConfig;
pub use cuda::{CudaBytes, CudaModel};
pub use error::Error;
pub use row::{LossSum, Noise, PackedRow};
pub use weights::Llama;
pub use workspace::{Purpose, Workspace};
