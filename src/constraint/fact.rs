//! What other kinds and requests need to know about a kind.
//!
//! A kind lists its facts; `conflict`, `request` and `impose` have the rules that follow from them. So a new
//! kind states its facts, and no rule has to learn its name.

/// Something that holds for all constraints of a kind, except those that are exempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
    /// The response is JSON.
    Json,
    /// A JSON response can meet it.
    FitsJson,
    /// It is the whole response and leaves no room for anything else.
    WholeReply,
    /// The response is two answers.
    TwoAnswers,
    /// It means the same for one answer and for two.
    FitsTwoAnswers,
    /// The response repeats the request.
    RepeatsRequest,
    /// The text of a request cannot break it.
    FitsRepeatedRequest,
    /// It looks at the sentences of prose.
    Sentences,
    /// It looks at paragraphs.
    Paragraphs,
    /// It adds parts that are neither sentences nor paragraphs.
    BreaksProse,
    /// It decides how the whole response is laid out.
    Layout,
    /// It decides how the response begins.
    DecidesStart,
    /// It decides how the response ends.
    DecidesEnd,
    /// It asks for a language other than English.
    Foreign,
    /// Its parameters are English, or it asks for English.
    English,
    /// It decides whether letters are small or capital.
    LetterCase,
    /// Changing the case of its letters breaks it.
    CaseMatters,
    /// It brings capital letters that no parameter shows.
    HasCapitals,
    /// The texts in its parameters must be in the response with the same case.
    Verbatim,
    /// It brings code into the response.
    Code,
    /// It cannot be met without digits.
    NeedsDigits,
    /// It goes with a request for code.
    WithCode,
    /// It goes with a request for a translation.
    WithTranslation,
    /// In a request to rewrite a text, that text decides it.
    GivenByMaterial,
    /// Any answer with several things to say can be given this form, but only in some amounts, so it is tried
    /// more often.
    ImposedOften,
}
