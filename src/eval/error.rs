//! What can go wrong in an evaluation.
//!
//! **Invariant:** a message names the file or the item, what was found and what was expected.

use crate::explain::{Blame, Explain, Explanation};
use crate::llm;
use std::path::PathBuf;

/// Why there is no evaluation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A suite cannot be read.
    #[error("cannot read the suite `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line of a suite cannot be used.
    #[error("line {line} of the suite `{name}` {reason}")]
    Item {
        /// The suite.
        name: String,
        /// From 1.
        line: usize,
        /// Its field, what was found, what was expected.
        reason: String,
    },
    /// There is nothing to ask.
    #[error("the suite `{name}` has no items")]
    NoItems {
        /// The suite.
        name: String,
    },
    /// The model cannot be asked in a conversation.
    #[error("the model has no chat template, and an evaluation needs one")]
    NoChatTemplate,
    /// The model failed.
    #[error(transparent)]
    Llm(#[from] llm::Error),
    /// Held-out records cannot be tokenised.
    #[error(transparent)]
    Encode(#[from] crate::train::Error),
}

impl Explain for Error {
    fn explain(&self) -> Explanation {
        match self {
            Self::Llm(error) => error.explain(),
            Self::Encode(error) => error.explain(),
            Self::Item { .. } | Self::NoItems { .. } => Blame::Usage
                .hint("`evol eval --help` lists the forms of a suite; each has one JSON object per line"),
            Self::Read { .. } | Self::NoChatTemplate => Blame::Usage.no_hint(),
        }
    }
}
