//! What can stop a training run.
//!
//! **Invariant:** every variant leaves the last good checkpoint on disk untouched.

use crate::device::cuda::CudaError;
use crate::explain::{Blame, Explain, Explanation};
use crate::identity::Difference;
use std::path::{Path, PathBuf};

/// Why a training run cannot start or continue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is out of range.
    #[error("`{field}` is {found}, expected {expected}")]
    Config {
        /// Name as in the configuration file.
        field: &'static str,
        /// What was given.
        found: String,
        /// The range.
        expected: &'static str,
    },
    /// The GPU failed.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// One of several GPUs failed.
    #[error("`cuda:{ordinal}` failed, which stopped training on {ranks} GPUs: {cause}")]
    Rank {
        /// Ordinal of the GPU.
        ordinal: usize,
        /// Number of GPUs that train.
        ranks: usize,
        /// Why. Not a source, whose own hint would stand before that of the run.
        cause: CudaError,
    },
    /// The thread that drives one of several GPUs failed.
    #[error("the thread of `cuda:{ordinal}` failed, which stopped training on {ranks} GPUs: {reason}")]
    RankThread {
        /// Ordinal of the GPU.
        ordinal: usize,
        /// Number of GPUs that train.
        ranks: usize,
        /// The message of its panic, or why it could not be started.
        reason: String,
    },
    /// A sum that should be the same on all GPUs is not.
    #[error(
        "the summed gradient has norm {norm} on `cuda:{ordinal}` and {first} on `cuda:{first_ordinal}`, \
         expected the same on both"
    )]
    RanksDiffer {
        /// Ordinal of the GPU whose norm differs.
        ordinal: usize,
        /// Its norm.
        norm: f64,
        /// Ordinal of the first GPU.
        first_ordinal: usize,
        /// The norm on the first GPU.
        first: f64,
    },
    /// Rows would be longer than what the model was made for.
    #[error("`max_seq_len` is {found}, but the model's context is {limit} tokens")]
    ContextTooShort {
        /// The value of `max_seq_len`.
        found: usize,
        /// Longest context of the model, in tokens.
        limit: usize,
    },
    /// The model file has no chat template.
    #[error("the model has no chat template")]
    NoTemplate,
    /// The template does not close an answer with the token that generation stops at.
    #[error("the chat template does not end an answer with the model's end token {end_token}")]
    NoEndOfTurn {
        /// Token id.
        end_token: u32,
    },
    /// The rendered conversation does not start with the prompt that inference would feed.
    #[error(
        "the chat template renders example {example} differently in training and in inference: \
         turn {turn} is not its prompt followed by its answer"
    )]
    TemplateMismatch {
        /// Position among the examples, from 0.
        example: usize,
        /// Position of the answer among the messages, from 0.
        turn: usize,
    },
    /// No example is left.
    #[error(
        "nothing to {purpose} on: of {given} examples, {no_answer} have no answer and {too_long} are longer \
         than `max_seq_len`"
    )]
    NoSamples {
        /// `train` or `validate`.
        purpose: &'static str,
        /// Examples before any was dropped.
        given: usize,
        /// Examples that were dropped because they have no answer.
        no_answer: usize,
        /// Examples that were dropped because they are too long.
        too_long: usize,
    },
    /// A loss or gradient norm that is not a number, or infinite.
    #[error(
        "the {what} is {value} at step {step}{}; the checkpoint at step {checkpoint_step} is kept",
        of_examples(examples)
    )]
    NotFinite {
        /// `loss`, `validation loss` or `gradient norm`.
        what: &'static str,
        /// What was computed.
        value: f64,
        /// The step that was not taken, counted from 1.
        step: u64,
        /// What a resume starts from.
        checkpoint_step: u64,
        /// The examples of the step, counted from 1; empty for a validation pass.
        examples: Vec<usize>,
    },
    /// A loss is so far above the last ones that the user asked to stop.
    #[error(
        "the loss is {loss:.4} at step {step}{}, {z_score:.1} standard deviations above recent losses \
         (limit {limit}); the checkpoint at step {checkpoint_step} is kept",
        of_examples(examples)
    )]
    Spike {
        /// What was computed.
        loss: f64,
        /// Standard deviations above the mean of the last losses.
        z_score: f64,
        /// `max_loss_z_score`.
        limit: f64,
        /// The step that was not taken, counted from 1.
        step: u64,
        /// What a resume starts from.
        checkpoint_step: u64,
        /// The examples of the step, counted from 1.
        examples: Vec<usize>,
    },
    /// A run would need more memory than is available.
    #[error("the run needs {} MiB of memory, but only {} MiB are available", needed >> 20, available >> 20)]
    Memory {
        /// Bytes that it needs.
        needed: u64,
        /// Bytes that are available.
        available: u64,
        /// Bytes that it would need with checkpointing by layer.
        with_checkpointing: u64,
        /// Tokens of the longest row.
        longest_row: usize,
    },
    /// A run would need more memory than a GPU has free.
    #[error(
        "the run needs {} MiB on `cuda:{ordinal}`, but only {} MiB are free",
        needed >> 20,
        available >> 20
    )]
    DeviceMemory {
        /// Ordinal of the GPU.
        ordinal: usize,
        /// Bytes that the run needs on it.
        needed: u64,
        /// Bytes that are free.
        available: u64,
        /// Tokens of the longest row.
        longest_row: usize,
    },
    /// The model has sizes that the kernels do not support.
    #[error(
        "the model has heads of {heads} columns and rows of {rows} weights; on a GPU, expected heads of at \
         most 256 columns, a multiple of 4, and rows of a multiple of 8"
    )]
    HeadSize {
        /// Columns of a head.
        heads: usize,
        /// Hidden or intermediate size.
        rows: usize,
    },
    /// The initial adapter has another shape than the settings ask for.
    #[error("the initial adapter has `{field}` {found}, expected {expected}")]
    InitAdapter {
        /// PEFT's name of the setting.
        field: &'static str,
        /// Its value in the adapter's file.
        found: String,
        /// Its value in the settings.
        expected: String,
    },
    /// The folder holds an adapter, but no checkpoint that says how it was made.
    #[error("`{}` exists, but there is no checkpoint beside it to resume from", path.display())]
    WouldOverwrite {
        /// The adapter.
        path: PathBuf,
    },
    /// Another process trains into the folder.
    #[error("`{}` is in use by another training run", path.display())]
    InUse {
        /// The locked file.
        path: PathBuf,
    },
    /// The checkpoint belongs to another run.
    #[error("`{}` belongs to a different run: {}", path.display(),
        differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    OtherRun {
        /// The checkpoint.
        path: PathBuf,
        /// Every setting that differs, the model and the data included.
        differences: Vec<Difference>,
    },
    /// The checkpoint cannot be used.
    #[error("`{}` is not a usable checkpoint: {reason}", path.display())]
    BadCheckpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Metrics that the checkpoint counts on are missing.
    #[error(
        "`{}` has {found} bytes, expected at least the {expected} of the last checkpoint",
        path.display()
    )]
    MetricsLost {
        /// The metrics file.
        path: PathBuf,
        /// Its size.
        found: u64,
        /// Its size when the checkpoint was written.
        expected: u64,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried, as a verb: `read`, `write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The template does not parse, or the tokenizer cannot be loaded.
    #[error(transparent)]
    Llm(#[from] crate::llm::Error),
    /// The template or the tokenizer refuses a conversation.
    #[error("cannot tokenise example {example}")]
    Example {
        /// Position among the examples, from 0.
        example: usize,
        /// Why.
        #[source]
        source: crate::llm::Error,
    },
    /// The adapter cannot be made with these settings, or cannot be written.
    #[error(transparent)]
    Lora(#[from] crate::lora::Error),
}

/// The examples in words, as ` (examples 3, 8 and 5 more)`; empty if there are none.
pub fn of_examples(examples: &[usize]) -> String {
    const SHOWN: usize = 8;
    if examples.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = examples.iter().take(SHOWN).map(ToString::to_string).collect();
    match examples.len().saturating_sub(SHOWN) {
        0 => format!(" (examples {})", shown.join(", ")),
        more => format!(" (examples {} and {more} more)", shown.join(", ")),
    }
}

impl Explain for Error {
    fn explain(&self) -> Explanation {
        match self {
            Self::Lora(error) => error.explain(),
            Self::Llm(error) => error.explain(),
            Self::Cuda(error) => error.explain(),
            Self::Rank { cause, .. } if !cause.is_failure() => cause.explain(),
            Self::Rank { cause: CudaError::Nccl { .. }, .. } => Blame::Run.hint(
                "the same command resumes from the last checkpoint; for more from NCCL, set \
                 `NCCL_DEBUG=INFO` in the environment",
            ),
            Self::Rank { .. } | Self::RankThread { .. } => Blame::Run.hint(
                "the same command resumes from the last checkpoint, and so does one with as many other GPUs, \
                 such as `--device cuda:0,2`",
            ),
            Self::RanksDiffer { .. } => Blame::Run.hint(
                "the connection between these two GPUs corrupts data: to resume from the last checkpoint \
                 without it, set `NCCL_P2P_DISABLE=1` in the environment",
            ),
            Self::Example { source, .. } => Blame::Usage.hint(source.hint().unwrap_or_else(|| {
                "remove the example, or use only roles that the model's chat template knows".to_owned()
            })),
            Self::Config { .. } | Self::NoEndOfTurn { .. } | Self::TemplateMismatch { .. } => {
                Blame::Usage.no_hint()
            }
            Self::Io { .. } | Self::InUse { .. } => Blame::Run.no_hint(),
            Self::ContextTooShort { limit, .. } => {
                Blame::Usage.hint(format!("use `--max-seq-len {limit}` or less"))
            }
            Self::NoTemplate => {
                Blame::Usage.hint("use an instruct model, whose file has the key `tokenizer.chat_template`")
            }
            Self::NoSamples { too_long, no_answer, .. } if too_long >= no_answer && *too_long > 0 => {
                Blame::Usage.hint("raise `--max-seq-len`: training skips answers that do not fit")
            }
            Self::NoSamples { .. } => Blame::Usage.no_hint(),
            Self::NotFinite { .. } => {
                Blame::Run.hint("lower `--learning-rate`, and check the data for broken samples")
            }
            Self::Spike { .. } => Blame::Usage
                .hint("check these examples, lower `--learning-rate`, or raise `--max-loss-z-score`"),
            Self::Memory { available, with_checkpointing, .. } if with_checkpointing <= available => {
                Blame::Usage.hint("use `--gradient-checkpointing layer`")
            }
            Self::Memory { longest_row, .. } => Blame::Usage.hint(format!(
                "use `--gradient-checkpointing layer` and a `--max-seq-len` below {longest_row}, or a \
                 smaller model"
            )),
            Self::DeviceMemory { longest_row, .. } => Blame::Usage.hint(format!(
                "use `--gradient-checkpointing layer`, a `--max-seq-len` below {longest_row}, `--optim \
                 adamw_8bit`, a smaller `--r` or a smaller model"
            )),
            Self::HeadSize { .. } => Blame::Usage.hint("train on the CPU: leave out `--device`"),
            Self::InitAdapter { .. } => Blame::Usage
                .hint("leave out the option to use the adapter's value, or start without `--init-adapter`"),
            Self::OtherRun { differences, .. } if differences.iter().any(|found| found.name == "format") => {
                Blame::Usage.hint(
                    "another version of evol wrote the checkpoint: finish the run with that version, or use \
                     another `--out` to start over",
                )
            }
            Self::WouldOverwrite { .. } | Self::OtherRun { .. } => {
                Blame::Usage.hint("use another `--out`, or move the old folder away to start over")
            }
            Self::BadCheckpoint { path, .. } => Blame::Usage
                .hint(format!("remove `{}` and the adapter beside it to start over", path.display())),
            Self::MetricsLost { .. } => {
                Blame::Usage.hint("put the file back, or move the folder away to start over")
            }
        }
    }
}

impl Error {
    /// Adds what was being done, and to which path, to an error of the operating system.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}
