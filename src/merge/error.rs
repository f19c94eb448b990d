//! What can go wrong with a merge.
//!
//! **Invariant:** whichever it is, no file has been changed.

use crate::explain::{Blame, Explain, Explanation};
use crate::{gguf, llm};
use std::path::PathBuf;

/// Why there is no merged model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The base is unusable, or the result cannot be written.
    #[error(transparent)]
    Gguf(#[from] gguf::Error),
    /// llama.cpp does not open the merged model.
    #[error(transparent)]
    Llm(#[from] llm::Error),
    /// A weight beyond the range of f16.
    #[error(
        "cannot write `{}`: weight {index} of tensor `{tensor}` is {found}, which f16 cannot hold",
        path.display()
    )]
    TooLarge {
        /// The result.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// Of the weight, row by row.
        index: usize,
        /// The weight.
        found: f32,
    },
    /// llama.cpp's quantiser, which does not say why.
    #[error("llama.cpp could not write `{}` as {to}", path.display())]
    Quantize {
        /// The result.
        path: PathBuf,
        /// The format.
        to: &'static str,
    },
    /// The disk refuses.
    #[error("cannot write `{}`", path.display())]
    Io {
        /// The result.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Explain for Error {
    fn explain(&self) -> Explanation {
        match self {
            Self::Gguf(error) => error.explain(),
            Self::Llm(error) => error.explain(),
            Self::TooLarge { .. } => Blame::Usage.hint("use `--type bf16`, which has the range of f32"),
            Self::Quantize { .. } => {
                Blame::Run.hint("check that the disk has room for the model both in f32 and in that format")
            }
            Self::Io { .. } => Blame::Run.no_hint(),
        }
    }
}
