//! What can go wrong with a GGUF file.
//!
//! Where in the flow: every fallible function of this module returns [`Error`], which names the file;
//! what is wrong inside the file is a [`Problem`].
//!
//! **Invariant:** every message says what was found and what was expected, so that nobody needs a hex
//! editor to understand it.

use std::io;
use std::path::{Path, PathBuf};

use super::{GgmlType, ValueType};
use crate::explain::{Blame, Explain, Explanation};

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// The file or its folder.
        path: PathBuf,
        /// What was tried, such as `open`.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The content is not a valid GGUF file.
    #[error("`{}` is not a usable GGUF file: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The file changed its size while it was mapped.
    #[error("`{}` changed while it was in use: it had {before} bytes and now has {now}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Size when it was mapped.
        before: u64,
        /// Size now.
        now: u64,
    },
    /// A metadata key is absent.
    #[error("`{}` has no key `{key}`, expected {expected}", path.display())]
    MissingKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The type or values that were expected.
        expected: String,
    },
    /// A metadata key is of another type.
    #[error("key `{key}` in `{}` has type {found}, expected {expected}", path.display())]
    KeyType {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// Type in the file.
        found: ValueType,
        /// What was expected.
        expected: &'static str,
    },
    /// A metadata key has a value that cannot be used.
    #[error("key `{key}` in `{}` is `{found}`, expected {expected}", path.display())]
    KeyValue {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// Value in the file.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A tensor is absent.
    #[error("`{}` has no tensor `{tensor}`", path.display())]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// A tensor is in a format that is not decoded here.
    #[error(
        "tensor `{tensor}` in `{}` has type {found}, which training does not support; expected one of: {}",
        path.display(),
        list(&GgmlType::TRAINABLE)
    )]
    NotTrainable {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its format.
        found: GgmlType,
    },
}

/// What is wrong inside a file. Offsets and sizes are in bytes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message of each variant names its fields")]
pub enum Problem {
    #[error("it is empty")]
    Empty,
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it starts with bytes {found:02x?}, expected `GGUF`")]
    Magic { found: [u8; 4] },
    #[error("it has the opposite byte order (version field {version:#010x})")]
    ByteOrder { version: u32 },
    #[error("it has GGUF version {version}, expected 2 or 3")]
    Version { version: u32 },
    #[error("it ends after {file_bytes} bytes, in {reading}: at least {missing} bytes are missing")]
    TruncatedHeader { reading: String, file_bytes: u64, missing: u64 },
    #[error(
        "it ends after {file_bytes} of {expected_bytes} bytes: {missing} bytes are missing, \
         tensor `{tensor}` is the first that is incomplete"
    )]
    TruncatedData { tensor: String, file_bytes: u64, expected_bytes: u64, missing: u64 },
    #[error("it declares {found} {what}, expected at most {limit}")]
    Count { what: &'static str, found: u64, limit: u64 },
    #[error("{what} has {found} bytes, expected at most {limit}")]
    StringLength { what: String, found: u64, limit: u64 },
    #[error("{what} is not UTF-8")]
    NotUtf8 { what: String },
    #[error("{what} is empty")]
    EmptyName { what: String },
    #[error("key `{key}` occurs twice")]
    DuplicateKey { key: String },
    #[error("key `{key}` has unknown type id {id}, expected 0 to 12")]
    UnknownValueType { key: String, id: u32 },
    #[error("key `{key}` is an array of arrays, expected an array of plain values")]
    NestedArray { key: String },
    #[error("key `{key}` holds byte {found} for a bool, expected 0 or 1")]
    Bool { key: String, found: u8 },
    #[error("key `general.alignment` is {found}, expected a power of two as u32")]
    Alignment { found: String },
    #[error("tensor `{tensor}` occurs twice")]
    DuplicateTensor { tensor: String },
    #[error("tensor `{tensor}` has {found} dimensions, expected 1 to 4")]
    Dimensions { tensor: String, found: u32 },
    #[error("tensor `{tensor}` has shape {shape:?} (fastest axis first), which contains a zero")]
    ZeroDimension { tensor: String, shape: Vec<u64> },
    #[error("tensor `{tensor}` has shape {shape:?} (fastest axis first), which is too large to address")]
    ShapeOverflow { tensor: String, shape: Vec<u64> },
    #[error(
        "tensor `{tensor}` has unknown ggml type id {id}{}, expected one of: {}",
        removed(*id),
        list(GgmlType::ALL)
    )]
    UnknownGgmlType { tensor: String, id: u32 },
    #[error("tensor `{tensor}` of type {ggml_type} has rows of {row} weights, expected a multiple of {}",
        ggml_type.block_weights())]
    RowLength { tensor: String, ggml_type: GgmlType, row: u64 },
    #[error("tensor `{tensor}` starts at data offset {offset}, expected a multiple of {alignment}")]
    Misaligned { tensor: String, offset: u64, alignment: u64 },
    #[error("tensors `{first}` and `{second}` overlap in the data")]
    Overlap { first: String, second: String },
}

impl Explain for Error {
    fn explain(&self) -> Explanation {
        match self {
            Self::Invalid { problem, .. } => Blame::Usage.hint(problem.hint()),
            Self::NotTrainable { .. } => Blame::Usage.hint(format!(
                "llama.cpp can run this file; to train on it, requantise it to one of: {}",
                list(&GgmlType::TRAINABLE)
            )),
            Self::MissingTensor { .. } | Self::MissingKey { .. } => Blame::Usage
                .hint("check that this is a whole model and not an adapter or one part of a split model"),
            Self::Changed { .. } => {
                Blame::Usage.hint("wait until the file is completely written, then try again")
            }
            Self::KeyType { .. } | Self::KeyValue { .. } => Blame::Usage.no_hint(),
            Self::Io { action, .. } => Blame::of_file_action(action).no_hint(),
        }
    }
}

impl Error {
    pub(super) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), action, source }
    }
}

impl Problem {
    fn hint(&self) -> &'static str {
        match self {
            Self::Empty | Self::TruncatedHeader { .. } | Self::TruncatedData { .. } => {
                "the download was probably cut short: fetch the file again and compare its SHA-256"
            }
            Self::Magic { .. } | Self::NotAFile => {
                "give a `.gguf` file (not safetensors, a folder or an archive)"
            }
            Self::ByteOrder { .. } => "convert the model for this machine's byte order",
            Self::Version { version: 1 } => {
                "convert the original model again: version 1 files are no longer read"
            }
            Self::UnknownGgmlType { id, .. } if removed(*id).is_empty() => {
                "the file may be newer than this program: use another quantisation of the model"
            }
            Self::UnknownGgmlType { .. } => "use another quantisation of the model, such as Q4_0 or Q8_0",
            Self::Count { .. }
            | Self::Version { .. }
            | Self::StringLength { .. }
            | Self::NotUtf8 { .. }
            | Self::EmptyName { .. }
            | Self::DuplicateKey { .. }
            | Self::UnknownValueType { .. }
            | Self::NestedArray { .. }
            | Self::Bool { .. }
            | Self::Alignment { .. }
            | Self::DuplicateTensor { .. }
            | Self::Dimensions { .. }
            | Self::ZeroDimension { .. }
            | Self::ShapeOverflow { .. }
            | Self::RowLength { .. }
            | Self::Misaligned { .. }
            | Self::Overlap { .. } => {
                "the file is damaged or written by an unknown converter: fetch it again or convert the model \
                 again"
            }
        }
    }
}

/// Names the formats that ggml once had: such files are old, not new.
fn removed(id: u32) -> &'static str {
    match id {
        4 => " (q4_2, removed from ggml)",
        5 => " (q4_3, removed from ggml)",
        31 => " (q4_0_4_4, removed from ggml)",
        32 => " (q4_0_4_8, removed from ggml)",
        33 => " (q4_0_8_8, removed from ggml)",
        36 => " (iq4_nl_4_4, removed from ggml)",
        37 => " (iq4_nl_4_8, removed from ggml)",
        38 => " (iq4_nl_8_8, removed from ggml)",
        _ => "",
    }
}

fn list(types: &[GgmlType]) -> String {
    types.iter().map(|t| t.name()).collect::<Vec<_>>().join(", ")
}
