//! What stops an evolution. What goes wrong with one instruction is a [`super::Reason`], not an error.

use crate::explain::{Blame, Explain, Explanation};
use crate::{llm, store};

/// Why evolving stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model failed, or the run was interrupted ([`llm::Error::Interrupted`]); the journal holds all
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
        /// What it may be.
        expected: String,
    },
    /// The shards do not make up one run.
    #[error("the shards do not form one run: {}", .problems.join("; "))]
    Shards {
        /// Everything that is wrong with them.
        problems: Vec<String>,
    },
    /// There is nothing to evolve.
    #[error("there are no seeds")]
    NoSeeds,
    /// Chat style was chosen for a model without a chat template.
    #[error("style `chat` needs a chat template, and the model has none")]
    NoChatTemplate,
    /// The journal has the name of a reason that this program does not know.
    #[error("node {id} of the journal was eliminated for the unknown reason `{reason}`")]
    UnknownReason {
        /// The node.
        id: u64,
        /// The unknown name.
        reason: String,
    },
    /// The stored calibration of the judge cannot be read.
    #[error("the judge's calibration in the journal cannot be read: `{found}`")]
    BadCalibration {
        /// The text in the journal.
        found: String,
    },
    /// The journal does not say what a replay needs to know.
    #[error("the journal's record of its configuration cannot be used: {reason}")]
    BadFingerprint {
        /// Which entry, and why.
        reason: String,
    },
    /// The journal has no generations.
    #[error("the journal has no generations")]
    NothingToVerify,
    /// The run was merged from shards, and its texts depend on what was generated together.
    #[error(
        "the run was merged from {shards} shards, and with `scheduled` their output depends on what was \
         generated together"
    )]
    OfShards {
        /// Number of shards.
        shards: String,
    },
    /// The run used other prompt files than those of this program.
    #[error("the run was made with prompts of BLAKE3 `{recorded}`, this evol has `{own}`")]
    OtherPrompts {
        /// Hash of the run's prompts.
        recorded: String,
        /// Hash of the prompts in this program.
        own: String,
    },
    /// An evolved node has no parent in the journal, or no known operator.
    #[error("node {id} of the journal has no parent in it, or an unknown operator ({operator:?})")]
    NoOrigin {
        /// The node.
        id: u64,
        /// The name of its operator in the journal.
        operator: Option<String>,
    },
    /// A node has constraints that this program does not know.
    #[error("node {id} of the journal has a constraint that cannot be read: {reason}")]
    BadConstraint {
        /// The node.
        id: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The stored policy cannot be read.
    #[error("the policy in the journal cannot be read: {reason}")]
    BadPolicy {
        /// What is wrong with it.
        reason: String,
    },
    /// Generation itself fails: to continue would take hours and give nothing.
    #[error(
        "in round {round}, {failed} of {attempts} attempts are empty, cut off or broken (limit {limit}); \
         most common reason: `{reason}`, for example node {example_id}: {example:?}"
    )]
    Failing {
        /// The round.
        round: u32,
        /// Attempts so far.
        attempts: usize,
        /// Attempts that are empty, cut or broken.
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
    /// Nearly everything is eliminated: to continue would take hours and give nothing.
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
                "give every shard once; to resume an unfinished shard, run the command that started it"
            }
            Self::NoSeeds => "give `--seeds FILE`, or leave it out for the built-in seeds",
            Self::NoChatTemplate => "use `--style completion`",
            Self::UnknownReason { .. }
            | Self::BadCalibration { .. }
            | Self::BadConstraint { .. }
            | Self::BadPolicy { .. } => {
                "the journal was changed by hand or by another version of evol: start a new run"
            }
            Self::BadFingerprint { .. } | Self::NoOrigin { .. } => {
                "the journal was changed by hand or by another version of evol, and cannot be replayed"
            }
            Self::OfShards { .. } => "verify each shard instead",
            Self::OtherPrompts { .. } => "replay it with the version of evol that made it",
            Self::Failing { .. } => {
                "start a new run with more tokens (`--max-instruction-tokens`, `--max-answer-tokens`) or \
                 another model; to resume this run regardless, set `max_errors = 1` under `[evolve]`"
            }
            Self::Hopeless { .. } => {
                "start a new run with the other `--style`, a larger model or a lower temperature; to resume \
                 this run regardless, use `--min-yield 0` (`min_yield = 0` under `[evolve]`)"
            }
        };
        Blame::Usage.hint(hint)
    }
}
