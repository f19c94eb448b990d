//! The kinds of constraints and their parameters.
//!
//! What each asks for is defined where it is measured (`check`); the comments here say it in one line, with
//! the kind of `IFEval` that asks for the same, if there is one.
//!
//! **Invariant:** the names and fields here are stored data: they never change their meaning.

use super::bound::{Bound, Noun, TIMES};
use super::named::named;
use super::vocabulary::{Language, Mark, Postscript, Unit};
use serde_json::{Map, Value};

/// A requirement on a response, with its parameters. As JSON:
/// `{"kind":"word_count","relation":"at_least","n":120}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", try_from = "Map<String, Value>")]
#[expect(missing_docs, reason = "the comment on a variant explains its parameters")]
pub enum Constraint {
    /// Words. `length_constraints:number_words`
    WordCount {
        #[serde(flatten)]
        bound: Bound,
    },
    /// Sentences. `length_constraints:number_sentences`
    SentenceCount {
        #[serde(flatten)]
        bound: Bound,
    },
    /// Paragraphs, which blank lines separate.
    ParagraphCount {
        #[serde(flatten)]
        bound: Bound,
    },
    /// Paragraphs, which lines of `***` separate. `length_constraints:number_paragraphs`
    DividedParagraphs {
        #[serde(flatten)]
        bound: Bound,
    },
    /// Items marked by a bullet. `detectable_format:number_bullet_lists`
    BulletCount {
        #[serde(flatten)]
        bound: Bound,
    },
    /// Items marked by a number.
    NumberedCount {
        #[serde(flatten)]
        bound: Bound,
    },
    /// Sections that begin with `marker` and a number. `detectable_format:multiple_sections`
    SectionCount {
        marker: String,
        #[serde(flatten)]
        bound: Bound,
    },
    /// Markdown headings.
    HeadingCount {
        #[serde(flatten)]
        bound: Bound,
    },
    /// Rows of the largest markdown table, without its header.
    TableRows {
        #[serde(flatten)]
        bound: Bound,
    },
    /// Uses of a word or phrase. `keywords:frequency`
    KeywordCount {
        word: String,
        #[serde(flatten)]
        bound: Bound,
    },
    /// Uses of a letter from a to z, in either case. `keywords:letter_frequency`
    LetterCount {
        letter: char,
        #[serde(flatten)]
        bound: Bound,
    },
    /// Passages between double quotation marks.
    QuoteCount {
        #[serde(flatten)]
        bound: Bound,
    },
    /// Blanks such as `[name]`. `detectable_content:number_placeholders`
    PlaceholderCount {
        #[serde(flatten)]
        bound: Bound,
    },
    /// Passages emphasised with asterisks. `detectable_format:number_highlighted_sections`
    HighlightCount {
        #[serde(flatten)]
        bound: Bound,
    },
    /// Words in capital letters, of two letters or more. `change_case:capital_word_frequency`
    CapitalWordCount {
        #[serde(flatten)]
        bound: Bound,
    },
    /// Numbers written in digits.
    NumeralCount {
        #[serde(flatten)]
        bound: Bound,
    },
    /// Numbers with a unit.
    UnitCount {
        unit: Unit,
        #[serde(flatten)]
        bound: Bound,
    },
    /// No sentence has more than `n` words.
    LongestSentence { n: u32 },
    /// There are bullet points, and none has more than `n` words.
    BulletWords { n: u32 },
    /// So many paragraphs, the `nth` of which begins with `word`.
    /// `length_constraints:nth_paragraph_first_word`
    ParagraphStart { paragraphs: u32, nth: u32, word: String },
    /// All of these words or phrases. `keywords:existence`
    Keywords { words: Vec<String> },
    /// None of these. `keywords:forbidden_words`
    ForbiddenWords { words: Vec<String> },
    /// Begins with the phrase. `multi-turn:constrained_start`
    StartPhrase { phrase: String },
    /// Ends with the phrase. `startend:end_checker`
    EndPhrase { phrase: String },
    /// All of it between double quotation marks. `startend:quotation`
    Quoted,
    /// Begins with the request, word for word. `combination:repeat_prompt`
    RepeatRequest { request: String },
    /// A postscript. `detectable_content:postscript`
    Postscript { marker: Postscript },
    /// Two different answers, which `******` separates. `combination:two_responses`
    TwoAnswers,
    /// One of the options, and nothing else. `detectable_format:constrained_response`
    OneOf { options: Vec<String> },
    /// A JSON object or array. `detectable_format:json_format`
    Json,
    /// A JSON object that has these keys.
    JsonKeys { keys: Vec<String> },
    /// A title between double angle brackets. `detectable_format:title`
    Title,
    /// A fenced code block marked as `language`.
    CodeBlock { language: String },
    /// English without capital letters. `change_case:english_lowercase`
    LowerCase,
    /// English in capital letters. `change_case:english_capital`
    UpperCase,
    /// A punctuation mark does not occur. `punctuation:no_comma`
    WithoutMark { mark: Mark },
    /// In that language. `language:response_language`
    Language { language: Language },
    /// No digits.
    NoDigits,
}

named! {
    /// A [`Constraint`] without its parameters.
    #[expect(missing_docs, reason = "named as the constraints")]
    Kind {
        WordCount = "word_count",
        SentenceCount = "sentence_count",
        ParagraphCount = "paragraph_count",
        DividedParagraphs = "divided_paragraphs",
        BulletCount = "bullet_count",
        NumberedCount = "numbered_count",
        SectionCount = "section_count",
        HeadingCount = "heading_count",
        TableRows = "table_rows",
        KeywordCount = "keyword_count",
        LetterCount = "letter_count",
        QuoteCount = "quote_count",
        PlaceholderCount = "placeholder_count",
        HighlightCount = "highlight_count",
        CapitalWordCount = "capital_word_count",
        NumeralCount = "numeral_count",
        UnitCount = "unit_count",
        LongestSentence = "longest_sentence",
        BulletWords = "bullet_words",
        ParagraphStart = "paragraph_start",
        Keywords = "keywords",
        ForbiddenWords = "forbidden_words",
        StartPhrase = "start_phrase",
        EndPhrase = "end_phrase",
        Quoted = "quoted",
        RepeatRequest = "repeat_request",
        Postscript = "postscript",
        TwoAnswers = "two_answers",
        OneOf = "one_of",
        Json = "json",
        JsonKeys = "json_keys",
        Title = "title",
        CodeBlock = "code_block",
        LowerCase = "lower_case",
        UpperCase = "upper_case",
        WithoutMark = "without_mark",
        Language = "language",
        NoDigits = "no_digits",
    }
}

impl Constraint {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::WordCount { .. } => Kind::WordCount,
            Self::SentenceCount { .. } => Kind::SentenceCount,
            Self::ParagraphCount { .. } => Kind::ParagraphCount,
            Self::DividedParagraphs { .. } => Kind::DividedParagraphs,
            Self::BulletCount { .. } => Kind::BulletCount,
            Self::NumberedCount { .. } => Kind::NumberedCount,
            Self::SectionCount { .. } => Kind::SectionCount,
            Self::HeadingCount { .. } => Kind::HeadingCount,
            Self::TableRows { .. } => Kind::TableRows,
            Self::KeywordCount { .. } => Kind::KeywordCount,
            Self::LetterCount { .. } => Kind::LetterCount,
            Self::QuoteCount { .. } => Kind::QuoteCount,
            Self::PlaceholderCount { .. } => Kind::PlaceholderCount,
            Self::HighlightCount { .. } => Kind::HighlightCount,
            Self::CapitalWordCount { .. } => Kind::CapitalWordCount,
            Self::NumeralCount { .. } => Kind::NumeralCount,
            Self::UnitCount { .. } => Kind::UnitCount,
            Self::LongestSentence { .. } => Kind::LongestSentence,
            Self::BulletWords { .. } => Kind::BulletWords,
            Self::ParagraphStart { .. } => Kind::ParagraphStart,
            Self::Keywords { .. } => Kind::Keywords,
            Self::ForbiddenWords { .. } => Kind::ForbiddenWords,
            Self::StartPhrase { .. } => Kind::StartPhrase,
            Self::EndPhrase { .. } => Kind::EndPhrase,
            Self::Quoted => Kind::Quoted,
            Self::RepeatRequest { .. } => Kind::RepeatRequest,
            Self::Postscript { .. } => Kind::Postscript,
            Self::TwoAnswers => Kind::TwoAnswers,
            Self::OneOf { .. } => Kind::OneOf,
            Self::Json => Kind::Json,
            Self::JsonKeys { .. } => Kind::JsonKeys,
            Self::Title => Kind::Title,
            Self::CodeBlock { .. } => Kind::CodeBlock,
            Self::LowerCase => Kind::LowerCase,
            Self::UpperCase => Kind::UpperCase,
            Self::WithoutMark { .. } => Kind::WithoutMark,
            Self::Language { .. } => Kind::Language,
            Self::NoDigits => Kind::NoDigits,
        }
    }

    /// The limit, if it is one on a count.
    pub fn bound(&self) -> Option<Bound> {
        match self {
            Self::WordCount { bound }
            | Self::SentenceCount { bound }
            | Self::ParagraphCount { bound }
            | Self::DividedParagraphs { bound }
            | Self::BulletCount { bound }
            | Self::NumberedCount { bound }
            | Self::SectionCount { bound, .. }
            | Self::HeadingCount { bound }
            | Self::TableRows { bound }
            | Self::KeywordCount { bound, .. }
            | Self::LetterCount { bound, .. }
            | Self::QuoteCount { bound }
            | Self::PlaceholderCount { bound }
            | Self::HighlightCount { bound }
            | Self::CapitalWordCount { bound }
            | Self::NumeralCount { bound }
            | Self::UnitCount { bound, .. } => Some(*bound),
            _ => None,
        }
    }
}

impl Kind {
    /// What a constraint of this kind counts, if it counts.
    pub(super) fn noun(self) -> Noun {
        match self {
            Self::WordCount | Self::LongestSentence | Self::BulletWords => Noun::new("word", "words"),
            Self::SentenceCount => Noun::new("sentence", "sentences"),
            Self::ParagraphCount | Self::DividedParagraphs | Self::ParagraphStart => {
                Noun::new("paragraph", "paragraphs")
            }
            Self::BulletCount => Noun::new("bullet point", "bullet points"),
            Self::NumberedCount => Noun::new("numbered item", "numbered items"),
            Self::SectionCount => Noun::new("section", "sections"),
            Self::HeadingCount => Noun::new("heading", "headings"),
            Self::TableRows => Noun::new("row", "rows"),
            Self::QuoteCount => Noun::new("quotation", "quotations"),
            Self::PlaceholderCount => Noun::new("placeholder", "placeholders"),
            Self::HighlightCount => Noun::new("highlighted part", "highlighted parts"),
            Self::CapitalWordCount => Noun::new("word in capital letters", "words in capital letters"),
            Self::NumeralCount | Self::UnitCount => Noun::new("number", "numbers"),
            _ => TIMES,
        }
    }
}
