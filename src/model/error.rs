//! What can be wrong with a model that is otherwise a valid GGUF file.
//!
//! Where in the flow: returned by [`super::Llama::load`]; `cli` prints it with [`Error::hint`].
//!
//! **Invariant:** every error names the file and the key or tensor in it.

use std::path::PathBuf;

use crate::explain::{Blame, Explain, Explanation};
use crate::gguf;

/// Why a model cannot be trained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A key or tensor is missing, of the wrong type, or in a format that is not decoded.
    #[error(transparent)]
    Gguf(#[from] gguf::Error),
    /// Another architecture: other formulas, under names that may look the same.
    #[error("`{}` has architecture `{found}`, expected `llama`", path.display())]
    Architecture {
        /// The file.
        path: PathBuf,
        /// `general.architecture`.
        found: String,
    },
    /// A variant of the architecture that is not computed here, or sizes that do not go together.
    #[error("key `{key}` in `{}` is `{found}`, expected {expected}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// What is accepted.
        expected: String,
    },
    /// A tensor does not have the shape that the configuration says.
    #[error("tensor `{tensor}` in `{}` has shape {found:?}, expected {expected:?}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its shape, slowest axis first.
        found: Vec<usize>,
        /// The shape by the configuration.
        expected: Vec<usize>,
    },
    /// A weight from which every result would become NaN.
    #[error(
        "weight {index} of tensor `{tensor}` in `{}` is {found}, expected a finite number",
        path.display()
    )]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// Of the weight, row by row.
        index: usize,
        /// `NaN`, `inf` or `-inf`.
        found: f32,
    },
    /// A tensor that the forward pass would leave out, and then compute another model.
    #[error("tensor `{tensor}` in `{}` is not part of a dense LLaMA model", path.display())]
    UnexpectedTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
}

impl Explain for Error {
    fn explain(&self) -> Explanation {
        let hint = match self {
            Self::Gguf(error) => return error.explain(),
            Self::Architecture { found, .. } => {
                return Blame::Usage.hint(format!(
                    "a `{found}` model can evolve instructions if llama.cpp runs it; training needs the \
                     LLaMA architecture (Llama 2 and 3, SmolLM2, TinyLlama, Mistral)"
                ));
            }
            Self::Key { .. } => {
                "training supports dense LLaMA models, with plain RoPE or RoPE scaled by `linear`, `yarn` or \
                 `rope_freqs`"
            }
            Self::NotFinite { .. } => "the file is damaged: fetch it again or convert the model again",
            Self::Shape { .. } => {
                "the file is damaged or written by an unknown converter: convert the model again"
            }
            Self::UnexpectedTensor { .. } => {
                "training supports dense LLaMA models, without experts or extra norms"
            }
        };
        Blame::Usage.hint(hint)
    }
}
