//! What can go wrong with an adapter.
//!
//! Where in the flow: returned by everything in this module; `cli` prints it with [`Error::hint`].
//!
//! **Invariant:** errors about a file name the file, and the tensor or field in it.

use std::io;
use std::path::{Path, PathBuf};

use super::TargetModule;
use crate::explain::{Blame, Explain, Explanation};
use crate::gguf;

/// Why an adapter cannot be made, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The GGUF file is invalid or cannot be written.
    #[error(transparent)]
    Gguf(#[from] gguf::Error),
    /// The operating system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// `adapter_config.json` is not what PEFT writes.
    #[error("`{}` is not a PEFT adapter configuration", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// `adapter_model.safetensors` is damaged.
    #[error("`{}` is not a valid safetensors file", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// Why.
        source: safetensors::SafeTensorError,
    },
    /// No projection has this name.
    #[error(
        "unknown target module `{found}`, expected one of: {}",
        TargetModule::ALL.map(TargetModule::peft_name).join(", ")
    )]
    UnknownModule {
        /// The name given.
        found: String,
    },
    /// A configuration of which no adapter can be made.
    #[error("`{field}` is {found}, expected {expected}")]
    Config {
        /// Field of [`super::LoraConfig`].
        field: &'static str,
        /// Its value.
        found: String,
        /// What is accepted.
        expected: &'static str,
    },
    /// A field of the file asks for something that is not supported, or is of another kind of file.
    #[error("`{field}` in `{}` is `{found}`, expected {expected}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// Key or field.
        field: &'static str,
        /// Its value.
        found: String,
        /// What is accepted.
        expected: String,
    },
    /// The file has no adapter tensor at all.
    #[error("`{}` contains no LoRA tensors", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A tensor that this program cannot use, or that the base has no place for.
    #[error(
        "tensor `{tensor}` in `{}` does not match any projection of a base with {layers} layers",
        path.display()
    )]
    UnknownTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Layers of the base.
        layers: usize,
    },
    /// A module is adapted in some layers and not in others, or has one half only.
    #[error("`{}` has no tensor `{tensor}`, expected shape {expected:?}", path.display())]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its shape, slowest axis first.
        expected: [usize; 2],
    },
    /// A tensor of another base or rank.
    #[error("tensor `{tensor}` in `{}` has shape {found:?}, expected {expected:?}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its shape, slowest axis first.
        found: Vec<usize>,
        /// The shape for this base and the adapter's rank.
        expected: [usize; 2],
    },
    /// A number format that adapters do not come in.
    #[error("tensor `{tensor}` in `{}` has type {found}, expected F32, F16 or BF16", path.display())]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type.
        found: String,
    },
}

impl Explain for Error {
    fn explain(&self) -> Explanation {
        match self {
            Self::Gguf(error) => error.explain(),
            Self::Io { .. } => Blame::Run.no_hint(),
            Self::Shape { .. } | Self::UnknownTensor { .. } | Self::MissingTensor { .. } => Blame::Usage
                .hint(
                    "check that the adapter was trained on this base model, on the linear projections of all \
                 its layers",
                ),
            Self::Field { field: "general.type" | "adapter.type", .. } => {
                Blame::Usage.hint("give an adapter file here, and the model with `--model`")
            }
            Self::Safetensors { .. } => {
                Blame::Usage.hint("the file is damaged or incomplete: copy it again from its source")
            }
            Self::Json { .. }
            | Self::UnknownModule { .. }
            | Self::Config { .. }
            | Self::Field { .. }
            | Self::Empty { .. }
            | Self::Dtype { .. } => Blame::Usage.no_hint(),
        }
    }
}

impl Error {
    pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), action, source }
    }
}
