//! Why an instruction is eliminated, and at which stage.
//!
//! **Invariant:** a name in the journal never changes its meaning.

/// The stages that a node passes, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The child is generated and meets the rules that need no model.
    Evolve,
    /// The model compares it with its parent.
    Judge,
    /// It is answered, and the answer meets the rules.
    Answer,
}

/// Why a node was eliminated, in the order in which the rules look. The paper's rules are numbered as there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The parent does not fit the model's context.
    PromptTooLong,
    /// The child was cut at the token limit.
    Truncated,
    /// The child has no letters and no digits.
    Empty,
    /// The child holds broken or control characters.
    Garbled,
    /// The operator asked for data and there is none.
    NoData,
    /// Rule 4: the child contains words of the prompt that made it.
    ScaffoldLeak,
    /// The child is its parent, up to case, spacing and punctuation.
    Copied,
    /// The child is another instruction of the run, up to case, spacing and punctuation.
    Duplicate,
    /// The pair does not fit the model's context: not judged, so not kept.
    NotJudged,
    /// Rule 1: the child asks for nothing that its parent does not ask for.
    NoGain,
    /// The instruction does not fit the model's context together with an answer.
    AnswerPromptTooLong,
    /// The answer was cut at the token limit.
    AnswerTruncated,
    /// The answer holds broken or control characters.
    AnswerGarbled,
    /// Rule 2: the answer is short and says sorry, so the instruction is too hard to answer.
    Refused,
    /// Rule 3: the answer has only punctuation and stop words.
    AnswerEmpty,
}

impl Reason {
    /// All, in order.
    pub const ALL: [Self; 15] = [
        Self::PromptTooLong,
        Self::Truncated,
        Self::Empty,
        Self::Garbled,
        Self::NoData,
        Self::ScaffoldLeak,
        Self::Copied,
        Self::Duplicate,
        Self::NotJudged,
        Self::NoGain,
        Self::AnswerPromptTooLong,
        Self::AnswerTruncated,
        Self::AnswerGarbled,
        Self::Refused,
        Self::AnswerEmpty,
    ];

    /// Its name in the journal: of the reason, and of the verdict of its rule.
    pub fn name(self) -> &'static str {
        match self {
            Self::PromptTooLong => "prompt_too_long",
            Self::Truncated => "truncated",
            Self::Empty => "empty",
            Self::Garbled => "garbled",
            Self::NoData => "no_data",
            Self::ScaffoldLeak => "scaffold_leak",
            Self::Copied => "copied",
            Self::Duplicate => "duplicate",
            Self::NotJudged => "not_judged",
            Self::NoGain => "no_gain",
            Self::AnswerPromptTooLong => "answer_prompt_too_long",
            Self::AnswerTruncated => "answer_truncated",
            Self::AnswerGarbled => "answer_garbled",
            Self::Refused => "refused",
            Self::AnswerEmpty => "answer_empty",
        }
    }

    /// The reason of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// The stage whose rules give this reason.
    pub fn stage(self) -> Stage {
        match self {
            Self::PromptTooLong
            | Self::Truncated
            | Self::Empty
            | Self::Garbled
            | Self::NoData
            | Self::ScaffoldLeak
            | Self::Copied
            | Self::Duplicate => Stage::Evolve,
            Self::NotJudged | Self::NoGain => Stage::Judge,
            Self::AnswerPromptTooLong
            | Self::AnswerTruncated
            | Self::AnswerGarbled
            | Self::Refused
            | Self::AnswerEmpty => Stage::Answer,
        }
    }
}
