//! Errors that stop an evolution. A problem with one instruction is not an error, but a [`super::Reason`].

use super::Reason;
use crate::explain::{Blame, Explain, Explanation};
use crate::{llm, store};

/// Why evolving stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model failed, or the run was interrupted ([`llm::Error::Interrupted`]). The journal contains all
    /// finished chunks.
    #[error(transparent)]
    Llm(#[from] llm::Error),
    /// The journal cannot be used.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A field of the configuration is out of range.
    #[error("`{field}` is `{found}`, expected {expected}")]
    Config {
        /// The field.
        field: &'static str,
        /// Its value.
        found: String,
        /// The range.
        expected: String,
    },
    /// The shards to merge do not form one run.
    #[error("the shards do not form one run: {}", .problems.join("; "))]
    Shards {
        /// All problems that were found.
        problems: Vec<String>,
    },
    /// The list of seeds is empty.
    #[error("there are no seeds")]
    NoSeeds,
    /// Chat style was requested, but the model has no chat template.
    #[error("style `chat` needs a chat template, and the model has none")]
    NoChatTemplate,
    /// The journal has a reason of elimination that this version does not know.
    #[error("node {id} of the journal has the unknown elimination reason `{reason}`")]
    UnknownReason {
        /// The node.
        id: u64,
        /// The unknown reason.
        reason: String,
    },
    /// The stored calibration of the judge cannot be read.
    #[error("the judge's calibration in the journal cannot be read: `{found}`")]
    BadCalibration {
        /// The stored text.
        found: String,
    },
    /// The journal's record of the configuration is unusable for a replay.
    #[error("the configuration recorded in the journal cannot be used: {reason}")]
    BadIdentity {
        /// The entry, and what is wrong with it.
        reason: String,
    },
    /// There is nothing to replay.
    #[error("the journal has no generations")]
    NothingToVerify,
    /// A merged run whose output depends on the batches of its shards.
    #[error(
        "the run was merged from {shards} shards, and with `scheduled` output depends on what was generated \
         together"
    )]
    OfShards {
        /// The number of shards.
        shards: String,
    },
    /// The run was made with other prompt files than this program's.
    #[error(
        "the run was made with other prompts: their BLAKE3 is `{recorded}`, that of this evol is `{own}`"
    )]
    OtherPrompts {
        /// BLAKE3 of the run's prompts.
        recorded: String,
        /// BLAKE3 of this program's prompts.
        own: String,
    },
    /// An evolved node whose parent is missing, or whose operator is unknown.
    #[error("node {id} of the journal has a missing parent or an unknown operator ({operator:?})")]
    NoOrigin {
        /// The node.
        id: u64,
        /// The recorded operator.
        operator: Option<String>,
    },
    /// A node has a constraint that this version does not know.
    #[error("node {id} of the journal has a constraint that cannot be read: {reason}")]
    BadConstraint {
        /// The node.
        id: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The policy in the journal cannot be read.
    #[error("the policy in the journal cannot be read: {reason}")]
    BadPolicy {
        /// What is wrong with it.
        reason: String,
    },
    /// Generation itself fails so often that continuing would waste hours.
    #[error(
        "in round {round}, {failed} of {attempts} attempts are empty, cut off or broken (limit {limit}); \
         most common reason: `{reason}`, for example node {example_id}: {example:?}"
    )]
    Failing {
        /// The round.
        round: u32,
        /// Attempts so far.
        attempts: usize,
        /// Attempts that are empty, cut off or broken.
        failed: usize,
        /// `max_errors`.
        limit: f64,
        /// The most frequent reason.
        reason: String,
        /// A node that was eliminated for it.
        example_id: u64,
        /// Its instruction.
        example: String,
    },
    /// So much is eliminated that continuing would waste hours.
    #[error(
        "in round {round}, only {alive} of {attempts} attempts are alive (limit {limit}); most common \
         reason: `{reason}`, for example node {example_id}: {example:?}"
    )]
    Hopeless {
        /// The round.
        round: u32,
        /// Attempts so far.
        attempts: usize,
        /// Attempts that are not eliminated.
        alive: usize,
        /// `min_yield`.
        limit: f64,
        /// The most frequent reason.
        reason: String,
        /// A node that was eliminated for it.
        example_id: u64,
        /// Its instruction.
        example: String,
    },
}

impl Explain for Error {
    fn explain(&self) -> Explanation {
        let hint = match self {
            Self::Llm(error) => return error.explain(),
            Self::Store(error) => return error.explain(),
            Self::Config { .. } | Self::NothingToVerify => return Blame::Usage.no_hint(),
            Self::Shards { .. } => {
                "give every shard once; to resume an unfinished shard, rerun the command that started it"
            }
            Self::NoSeeds => "give `--seeds FILE`, or leave it out for the built-in seeds",
            Self::NoChatTemplate => "use `--style completion`",
            Self::UnknownReason { .. }
            | Self::BadCalibration { .. }
            | Self::BadConstraint { .. }
            | Self::BadPolicy { .. } => {
                "the journal was changed by hand or by another version of evol: start a new run"
            }
            Self::BadIdentity { .. } | Self::NoOrigin { .. } => {
                "the journal was changed by hand or by another version of evol, and cannot be replayed"
            }
            Self::OfShards { .. } => "verify each shard instead",
            Self::OtherPrompts { .. } => "replay it with the version of evol that made it",
            Self::Failing { .. } => {
                "start a new run with more tokens (`--max-instruction-tokens`) or another model; to resume \
                 this run regardless, set `max_errors = 1` under `[evolve]`"
            }
            Self::Hopeless { reason, .. } if reason == Reason::AnswerTruncated.name() => {
                "start a new run with longer answers (`--max-answer-tokens`); to resume this run regardless, \
                 use `--min-yield 0` (`min_yield = 0` under `[evolve]`)"
            }
            Self::Hopeless { .. } => {
                "start a new run with the other `--style`, a larger model or a lower temperature; to resume \
                 this run regardless, use `--min-yield 0` (`min_yield = 0` under `[evolve]`)"
            }
        };
        Blame::Usage.hint(hint)
    }
}
