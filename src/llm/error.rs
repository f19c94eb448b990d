//! What can go wrong with a model, its adapter, its template or a run of it.
//!
//! Where in the flow: every fallible function of `llm` returns [`Error`]; the command line prints it and
//! [`Error::hint`].
//!
//! **Invariant:** what goes wrong with one prompt (too long) is an outcome, not an error; an error ends the
//! call and leaves nothing behind.

use std::io;
use std::path::{Path, PathBuf};

use super::ComputeFormat;
use crate::explain::{self, Blame, Explain, Explanation};
use crate::gguf;

/// Why the model cannot be used, or a call of it failed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it and its fields mean")]
pub enum Error {
    #[error("interrupted")]
    Interrupted,
    #[error(transparent)]
    Gguf(#[from] gguf::Error),
    #[error("cannot start llama.cpp's backend: {reason}")]
    Backend { reason: String },
    #[error("llama.cpp cannot load the model `{path}`")]
    Load { path: PathBuf },
    #[error("path `{path}` is not valid UTF-8 without NUL bytes, which llama.cpp requires")]
    Path { path: PathBuf },
    #[error("the model `{path}` does not generate text token by token ({reason})")]
    NotGenerative { path: PathBuf, reason: &'static str },
    #[error("the adapter `{path}` does not fit the model: {reason}")]
    AdapterMismatch { path: PathBuf, reason: String },
    #[error("llama.cpp cannot load the adapter `{path}`")]
    AdapterLoad { path: PathBuf },
    #[error("the batch width is {found}, expected 1 to {max}")]
    BatchWidth { found: usize, max: usize },
    #[error("the number of threads is {found}, expected 1 to {max}")]
    Threads { found: usize, max: usize },
    #[error("{gpu_layers} layers run on a GPU, whose results cannot be `exact`: expected `scheduled`")]
    ExactOnGpu { gpu_layers: u32 },
    #[error("llama.cpp cannot allocate memory for {sequences} sequences of {tokens} tokens")]
    Context { sequences: usize, tokens: usize },
    #[error("llama.cpp failed on a batch of {rows} tokens: {reason}")]
    Decode { rows: usize, reason: String },
    #[error("llama.cpp returned no embedding for a text")]
    Embedding,
    #[error("the model computed a logit that is not a number for token {token}")]
    NotANumber { token: usize },
    #[error("the model `{path}` cannot be converted to {format}: {reason}", format = format.name())]
    Convert { path: PathBuf, format: ComputeFormat, reason: String },
    #[error("cannot {action} `{path}` in the cache of converted models")]
    Cache { path: PathBuf, action: &'static str, source: io::Error },
    #[error("the sampling parameter `{field}` is {found}, expected {expected}")]
    Sampling { field: &'static str, found: f32, expected: &'static str },
    #[error("the restriction of request {id} leaves no token to draw")]
    NothingToDraw { id: u64 },
    #[error("the prompt of request {id} has no tokens")]
    EmptyPrompt { id: u64 },
    #[error("a text of {bytes} bytes is too long to tokenise, expected at most {max}")]
    TextTooLong { bytes: usize, max: usize },
    #[error("{tokens} tokens, expected 1 to {max}")]
    TokenCount { tokens: usize, max: usize },
    #[error("token {token} is not in the vocabulary of {n_vocab} tokens")]
    UnknownToken { token: u32, n_vocab: usize },
    #[error("labels {first:?} and {second:?} start with the same token {token}")]
    LabelOverlap { first: String, second: String, token: u32 },
    #[error("label {label:?} has no tokens")]
    EmptyLabel { label: String },
    #[error("a message has the role {role:?}, expected `system`, `user` or `assistant`")]
    Role { role: String },
    #[error("the model's chat template cannot be used: {reason}")]
    Template { reason: String },
    #[error("the model's chat template writes message {message} ({role}) {times} times, expected once")]
    TemplateMessage { message: usize, role: String, times: usize },
}

impl Explain for Error {
    fn explain(&self) -> Explanation {
        match self {
            Self::Gguf(error) => error.explain(),
            Self::Interrupted => Blame::Interrupted.no_hint(),
            Self::Load { path } => Blame::Usage.hint(format!(
                "llama.cpp's log says why: `evol doctor -v --model {}`",
                explain::quoted(&explain::word(path))
            )),
            Self::AdapterMismatch { .. } | Self::AdapterLoad { .. } => {
                Blame::Usage.hint("use the base model that the adapter was trained on")
            }
            Self::NotGenerative { .. } => Blame::Usage.hint("use a decoder-only language model"),
            Self::Context { .. } => Blame::Run.hint("use a smaller batch width or shorter prompts"),
            Self::Convert { .. } => Blame::Usage.hint("use the model as it is: `--compute-format as-is`"),
            Self::Cache { .. } => Blame::Run.hint(
                "make room on that disk, set XDG_CACHE_HOME to another folder, or use `--compute-format \
                 as-is`",
            ),
            Self::LabelOverlap { .. } => {
                Blame::Usage.hint("choose labels that differ in their first token in this vocabulary")
            }
            Self::Template { .. } | Self::TemplateMessage { .. } => {
                Blame::Usage.hint("use `--style completion`, which needs no chat template")
            }
            Self::Backend { .. } | Self::Decode { .. } | Self::NotANumber { .. } => Blame::Run.no_hint(),
            Self::Path { .. }
            | Self::BatchWidth { .. }
            | Self::Threads { .. }
            | Self::ExactOnGpu { .. }
            | Self::Embedding
            | Self::Sampling { .. }
            | Self::NothingToDraw { .. }
            | Self::EmptyPrompt { .. }
            | Self::TextTooLong { .. }
            | Self::TokenCount { .. }
            | Self::UnknownToken { .. }
            | Self::EmptyLabel { .. }
            | Self::Role { .. } => Blame::Usage.no_hint(),
        }
    }
}

impl Error {
    pub(super) fn template(error: &impl ToString) -> Self {
        Self::Template { reason: error.to_string() }
    }

    /// For a failure of `action` on a file or folder of the conversion cache.
    pub(super) fn cache(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Cache { path, action, source }
    }

    pub(super) fn load(path: &Path) -> Self {
        Self::Load { path: path.to_owned() }
    }
}
