//! Why an instruction is eliminated, and at which stage.
//!
//! In the flow: the rules and guards give reasons; the journal stores their names.
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
    /// The model answers it, and the answer meets the rules.
    Answer,
    /// The judge says how hard it is.
    Rate,
}

/// Why a node was eliminated, in the order in which the rules look. The paper's rules are numbered as there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The parent does not fit the model's context.
    PromptTooLong,
    /// The child was cut off at the token limit.
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
    /// The child says what models say about themselves.
    Boilerplate,
    /// The child repeats itself.
    Looping,
    /// The child asks for nothing: the model answered or continued instead.
    NotARequest,
    /// The child has an answer in it.
    AnswerInInstruction,
    /// The child has hardly a word that its parent lacks.
    CosmeticEdit,
    /// The child is in another language than its parent.
    WrongLanguage,
    /// Numbers, names, quotations, code or material of the parent are gone.
    LostContent,
    /// A child in depth is about something else.
    Drifted,
    /// A child in breadth is about the same.
    NotNew,
    /// The child asks for far more than its parent.
    OverEscalated,
    /// The child points at material that is not there.
    MissingContext,
    /// The child asks the reader about a life that a model does not have.
    Unanswerable,
    /// The child asks for things that exclude each other.
    Contradictory,
    /// The child has a constraint that does not go with its task.
    Unsuited,
    /// The child is another instruction of its lineage, up to case, spacing and punctuation.
    Duplicate,
    /// No constraint was found that suits the parent.
    NoConstraint,
    /// The pair does not fit the model's context: not judged, so not kept.
    NotJudged,
    /// Rule 1: the child asks for nothing that its parent does not ask for.
    NoGain,
    /// The instruction does not fit the model's context together with an answer.
    AnswerPromptTooLong,
    /// The answer was cut off at the token limit, and so was a brief one.
    AnswerTruncated,
    /// The answer holds broken or control characters.
    AnswerGarbled,
    /// Rule 2: the answer is short and says sorry, so the instruction is too hard to answer.
    Refused,
    /// Rule 3: the answer has only punctuation and stop words.
    AnswerEmpty,
    /// The answer says what models say about themselves.
    AnswerBoilerplate,
    /// The answer asks for what the instruction should have had.
    AsksBack,
    /// The answer repeats itself.
    AnswerLooping,
    /// The answer is the instruction again.
    AnswerEchoes,
    /// The answer is in another language than the instruction.
    AnswerWrongLanguage,
    /// The answer does not meet a constraint.
    ConstraintFailed,
}

impl Reason {
    /// All reasons, in order.
    pub const ALL: [Self; 36] = [
        Self::PromptTooLong,
        Self::Truncated,
        Self::Empty,
        Self::Garbled,
        Self::NoData,
        Self::ScaffoldLeak,
        Self::Copied,
        Self::Boilerplate,
        Self::Looping,
        Self::NotARequest,
        Self::AnswerInInstruction,
        Self::CosmeticEdit,
        Self::WrongLanguage,
        Self::LostContent,
        Self::Drifted,
        Self::NotNew,
        Self::OverEscalated,
        Self::MissingContext,
        Self::Unanswerable,
        Self::Contradictory,
        Self::Unsuited,
        Self::Duplicate,
        Self::NoConstraint,
        Self::NotJudged,
        Self::NoGain,
        Self::AnswerPromptTooLong,
        Self::AnswerTruncated,
        Self::AnswerGarbled,
        Self::Refused,
        Self::AnswerEmpty,
        Self::AnswerBoilerplate,
        Self::AsksBack,
        Self::AnswerLooping,
        Self::AnswerEchoes,
        Self::AnswerWrongLanguage,
        Self::ConstraintFailed,
    ];

    /// Its name in the journal, which is also the name of its rule in verdicts.
    pub fn name(self) -> &'static str {
        match self {
            Self::PromptTooLong => "prompt_too_long",
            Self::Truncated => "truncated",
            Self::Empty => "empty",
            Self::Garbled => "garbled",
            Self::NoData => "no_data",
            Self::ScaffoldLeak => "scaffold_leak",
            Self::Copied => "copied",
            Self::Boilerplate => "boilerplate",
            Self::Looping => "looping",
            Self::NotARequest => "not_a_request",
            Self::AnswerInInstruction => "answer_in_instruction",
            Self::CosmeticEdit => "cosmetic_edit",
            Self::LostContent => "lost_content",
            Self::Drifted => "drifted",
            Self::NotNew => "not_new",
            Self::OverEscalated => "over_escalated",
            Self::MissingContext => "missing_context",
            Self::Unanswerable => "unanswerable",
            Self::Contradictory => "contradictory",
            Self::Unsuited => "unsuited",
            Self::WrongLanguage => "wrong_language",
            Self::Duplicate => "duplicate",
            Self::NoConstraint => "no_constraint",
            Self::NotJudged => "not_judged",
            Self::NoGain => "no_gain",
            Self::AnswerPromptTooLong => "answer_prompt_too_long",
            Self::AnswerTruncated => "answer_truncated",
            Self::AnswerGarbled => "answer_garbled",
            Self::Refused => "refused",
            Self::AnswerEmpty => "answer_empty",
            Self::AnswerBoilerplate => "answer_boilerplate",
            Self::AsksBack => "asks_back",
            Self::AnswerLooping => "answer_looping",
            Self::AnswerEchoes => "answer_echoes",
            Self::AnswerWrongLanguage => "answer_wrong_language",
            Self::ConstraintFailed => "constraint_failed",
        }
    }

    /// The reason of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// The reason that is about the answer's length alone: the instruction is as good as one that was kept,
    /// so its lineage continues from it, and only its row is missing in an export.
    pub(super) const CONTINUES: Self = Self::AnswerTruncated;

    /// Whether generation itself went wrong: the instruction is cut off, the output is empty or broken, or
    /// the prompt was too long. An answer that was cut is no error: its lineage continues.
    pub fn is_an_error(self) -> bool {
        matches!(
            self,
            Self::PromptTooLong
                | Self::Truncated
                | Self::Empty
                | Self::Garbled
                | Self::AnswerPromptTooLong
                | Self::AnswerGarbled
                | Self::AnswerEmpty
        )
    }

    /// The stage whose rules give this reason.
    pub fn stage(self) -> Stage {
        match self {
            Self::NotJudged | Self::NoGain => Stage::Judge,
            Self::AnswerPromptTooLong
            | Self::AnswerTruncated
            | Self::AnswerGarbled
            | Self::Refused
            | Self::AnswerEmpty
            | Self::AnswerBoilerplate
            | Self::AsksBack
            | Self::AnswerLooping
            | Self::AnswerEchoes
            | Self::AnswerWrongLanguage
            | Self::ConstraintFailed => Stage::Answer,
            _ => Stage::Evolve,
        }
    }
}
