//! `LoRA` adapters: configuration, tensors in one flat buffer, files (GGUF and PEFT).
//!
//! Where in the flow: `train` creates [`LoraWeights`], updates its flat buffer and saves it; `model` reads
//! the pairs in its forward and backward passes. llama.cpp loads the GGUF file, and Python libraries load the
//! PEFT folder. Source: Hu et al. 2021, "`LoRA`: Low-Rank Adaptation of Large Language Models", section 4.1:
//! `y = W x + scaling * B (A x)`.
//!
//! - `target`: the seven projections and their names in GGUF and PEFT
//! - `weights`: the flat buffer and its layout
//! - `slot`: the tensors of an adapter file, and the check that they fit a base
//! - `gguf`, `peft`: the two file formats
//!
//! **Invariant:** in memory and in GGUF files, the rows of `lora_b` are in GGUF order; only `peft.rs`
//! permutes them.

mod error;
mod gguf;
mod peft;
mod slot;
mod target;
#[cfg(test)]
mod tests;
mod weights;

pub use error::Error;
pub use target::{BaseShape, TargetModule};
pub use weights::{LoraConfig, LoraPair, LoraWeights};

impl LoraWeights {
    /// Reads an adapter for a base of this shape from a PEFT folder or a GGUF file.
    ///
    /// # Errors
    /// As [`Self::read_peft`] or [`Self::read_gguf`].
    pub fn read(path: &std::path::Path, base: &BaseShape) -> Result<Self, Error> {
        if path.is_dir() { Self::read_peft(path, base) } else { Self::read_gguf(path, base) }
    }
}
