//! Which constraints cannot be asked together, and why.
//!
//! A pair conflicts if no sensible response meets both, if the two checks would disagree about what they look
//! at (sentences in a list), or if they ask for one thing twice. [`RULES`] is the whole of it; each rule is
//! tried both ways round.
//!
//! **Invariant:** symmetric: `conflict(a, b) == conflict(b, a)`.

use super::{Constraint, Kind, Mark, text};

/// Why `a` and `b` cannot be asked together, if they cannot.
pub fn conflict(a: &Constraint, b: &Constraint) -> Option<&'static str> {
    RULES.iter().find(|rule| (rule.applies)(a, b) || (rule.applies)(b, a)).map(|rule| rule.why)
}

/// Whether `one` can be added to `others`.
pub(super) fn fits<'a>(one: &Constraint, others: impl IntoIterator<Item = &'a Constraint>) -> bool {
    others.into_iter().all(|other| conflict(one, other).is_none())
}

/// Whether no two of them conflict.
pub fn all_compatible(constraints: &[Constraint]) -> bool {
    constraints.iter().enumerate().all(|(at, one)| fits(one, &constraints[..at]))
}

struct Rule {
    why: &'static str,
    applies: fn(&Constraint, &Constraint) -> bool,
}

const RULES: &[Rule] = &[
    Rule {
        why: "both ask for the same kind of thing",
        applies: |a, b| a.kind() == b.kind() && !can_repeat(a, b),
    },
    Rule { why: "a JSON response has no room for it", applies: |a, b| is_json(a) && !goes_with_json(b) },
    Rule { why: "a fixed reply has no room for it", applies: |a, _| a.kind() == Kind::OneOf },
    Rule {
        why: "it is unclear whether it holds for each of two answers or for both together",
        applies: |a, b| a.kind() == Kind::TwoAnswers && !goes_with_two_answers(b.kind()),
    },
    Rule {
        why: "the repeated request counts as part of the response",
        applies: |a, b| a.kind() == Kind::RepeatRequest && !goes_with_repeating(b),
    },
    Rule { why: "it needs more words than are allowed", applies: |a, b| least_words(a) > most_words(b) },
    Rule { why: "so many words need longer or more sentences", applies: needs_more_sentences },
    Rule {
        why: "sentences are not well defined in it",
        applies: |a, b| about_sentences(a) && breaks_sentences(b),
    },
    Rule {
        why: "paragraphs are not well defined in it",
        applies: |a, b| about_paragraphs(a) && breaks_paragraphs(b),
    },
    Rule { why: "both decide the layout", applies: |a, b| is_layout(a.kind()) && is_layout(b.kind()) },
    Rule { why: "both decide how the response begins", applies: |a, b| fixes_start(a) && fixes_start(b) },
    Rule {
        why: "both decide how the response ends",
        applies: |a, b| fixes_end(a.kind()) && fixes_end(b.kind()),
    },
    Rule {
        why: "one is in English and the other is not",
        applies: |a, b| is_foreign(a) && is_english(b.kind()),
    },
    Rule { why: "letters cannot be both small and capital", applies: cases_clash },
    Rule { why: "code has letters of both cases", applies: |a, b| has_code(a) && fixes_case(b.kind()) },
    Rule { why: "the same words are wanted and forbidden", applies: wants_forbidden },
    Rule { why: "the same word is asked for twice", applies: repeats_keyword },
    Rule { why: "it contains the forbidden punctuation", applies: contains_mark },
    Rule { why: "it needs digits", applies: |a, b| a.kind() == Kind::NoDigits && needs_digits(b) },
    Rule { why: "there is no room for so few of a letter", applies: too_few_letters },
];

/// Different words, letters, marks and units can be asked for side by side.
fn can_repeat(a: &Constraint, b: &Constraint) -> bool {
    match (a, b) {
        (Constraint::WithoutMark { mark: a }, Constraint::WithoutMark { mark: b }) => a != b,
        (Constraint::LetterCount { letter: a, .. }, Constraint::LetterCount { letter: b, .. }) => a != b,
        (Constraint::UnitCount { unit: a, .. }, Constraint::UnitCount { unit: b, .. }) => a != b,
        (Constraint::KeywordCount { word: a, .. }, Constraint::KeywordCount { word: b, .. }) => {
            a.to_lowercase() != b.to_lowercase()
        }
        _ => false,
    }
}

fn is_json(constraint: &Constraint) -> bool {
    matches!(constraint.kind(), Kind::Json | Kind::JsonKeys)
}

fn goes_with_json(constraint: &Constraint) -> bool {
    match constraint {
        // Commas, colons and quotes are JSON's own.
        Constraint::WithoutMark { mark } => !matches!(mark, Mark::Comma | Mark::Colon),
        other => matches!(
            other.kind(),
            Kind::Keywords | Kind::ForbiddenWords | Kind::KeywordCount | Kind::WordCount | Kind::NumeralCount
        ),
    }
}

fn goes_with_two_answers(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Keywords
            | Kind::ForbiddenWords
            | Kind::Language
            | Kind::LowerCase
            | Kind::UpperCase
            | Kind::WithoutMark
            | Kind::NoDigits
            | Kind::LongestSentence
    )
}

/// What the request itself cannot break.
fn goes_with_repeating(constraint: &Constraint) -> bool {
    let at_least = constraint.bound().is_some_and(|bound| bound.most() == u32::MAX);
    let kind = constraint.kind();
    at_least
        || matches!(kind, Kind::Keywords | Kind::EndPhrase | Kind::Postscript | Kind::Title | Kind::CodeBlock)
}

/// Words that a response which meets it has at the least: rough, and on the low side.
fn least_words(constraint: &Constraint) -> usize {
    let least = constraint.bound().map_or(0, |bound| bound.least() as usize);
    let length = |text: &String| text::words(text).count();
    match constraint {
        Constraint::WordCount { .. }
        | Constraint::NumeralCount { .. }
        | Constraint::HighlightCount { .. }
        | Constraint::PlaceholderCount { .. }
        | Constraint::CapitalWordCount { .. } => least,
        Constraint::KeywordCount { word, .. } => least * length(word),
        Constraint::SentenceCount { .. }
        | Constraint::BulletCount { .. }
        | Constraint::NumberedCount { .. } => least * 3,
        Constraint::QuoteCount { .. } | Constraint::UnitCount { .. } => least * 2,
        Constraint::TableRows { .. } => (least + 1) * 3,
        Constraint::ParagraphCount { .. }
        | Constraint::DividedParagraphs { .. }
        | Constraint::SectionCount { .. }
        | Constraint::HeadingCount { .. } => least * 8,
        Constraint::ParagraphStart { paragraphs, .. } => *paragraphs as usize * 8,
        // A text has its most frequent letters in every other word or so.
        Constraint::LetterCount { .. } => least / 3,
        Constraint::Keywords { words } => words.iter().map(length).sum(),
        Constraint::StartPhrase { phrase } | Constraint::EndPhrase { phrase } => length(phrase) + 1,
        Constraint::RepeatRequest { request } => length(request) + 1,
        _ => 0,
    }
}

fn most_words(constraint: &Constraint) -> usize {
    match constraint {
        Constraint::WordCount { bound } => bound.most() as usize,
        _ => usize::MAX,
    }
}

/// At least 200 words in at most three sentences.
fn needs_more_sentences(a: &Constraint, b: &Constraint) -> bool {
    match (a, b) {
        (Constraint::WordCount { bound: words }, Constraint::SentenceCount { bound: sentences }) => {
            words.least() as usize > (sentences.most() as usize).saturating_mul(25)
        }
        _ => false,
    }
}

fn about_sentences(constraint: &Constraint) -> bool {
    matches!(constraint.kind(), Kind::SentenceCount | Kind::LongestSentence)
}

fn breaks_sentences(constraint: &Constraint) -> bool {
    let kind = constraint.kind();
    is_list(kind)
        || matches!(
            kind,
            Kind::SectionCount | Kind::HeadingCount | Kind::Postscript | Kind::Title | Kind::CodeBlock
        )
}

fn about_paragraphs(constraint: &Constraint) -> bool {
    matches!(constraint.kind(), Kind::ParagraphCount | Kind::DividedParagraphs | Kind::ParagraphStart)
}

/// Another way to count paragraphs breaks the first.
fn breaks_paragraphs(constraint: &Constraint) -> bool {
    breaks_sentences(constraint) || about_paragraphs(constraint)
}

fn is_list(kind: Kind) -> bool {
    matches!(kind, Kind::BulletCount | Kind::BulletWords | Kind::NumberedCount | Kind::TableRows)
}

fn is_layout(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::BulletCount
            | Kind::BulletWords
            | Kind::NumberedCount
            | Kind::TableRows
            | Kind::SectionCount
            | Kind::HeadingCount
    )
}

fn fixes_start(constraint: &Constraint) -> bool {
    match constraint {
        Constraint::ParagraphStart { nth, .. } => *nth == 1,
        other => matches!(
            other.kind(),
            Kind::StartPhrase
                | Kind::Quoted
                | Kind::RepeatRequest
                | Kind::Title
                | Kind::SectionCount
                | Kind::HeadingCount
        ),
    }
}

fn fixes_end(kind: Kind) -> bool {
    matches!(kind, Kind::EndPhrase | Kind::Quoted | Kind::Postscript | Kind::TableRows | Kind::CodeBlock)
}

fn is_foreign(constraint: &Constraint) -> bool {
    matches!(constraint, Constraint::Language { language } if *language != super::Language::English)
}

/// Kinds with English words in their parameters, or that ask for English.
fn is_english(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Keywords
            | Kind::ForbiddenWords
            | Kind::KeywordCount
            | Kind::LetterCount
            | Kind::StartPhrase
            | Kind::EndPhrase
            | Kind::ParagraphStart
            | Kind::SectionCount
            | Kind::RepeatRequest
            | Kind::UnitCount
            | Kind::Postscript
            | Kind::LowerCase
            | Kind::UpperCase
            | Kind::CapitalWordCount
    )
}

fn fixes_case(kind: Kind) -> bool {
    matches!(kind, Kind::LowerCase | Kind::UpperCase)
}

/// Lower case with upper case, with words in capitals, or with words that have to be written with capitals.
fn cases_clash(a: &Constraint, b: &Constraint) -> bool {
    if !fixes_case(a.kind()) {
        return false;
    }
    let has_capitals = fixed_texts(b).iter().any(|text| text.contains(char::is_uppercase));
    let lower_clash = a.kind() == Kind::LowerCase && (has_capitals || b.kind() == Kind::Postscript);
    // A phrase that is quoted stands in the response as it is quoted; a word that is wanted may be in any
    // case.
    let is_quoted = matches!(b.kind(), Kind::StartPhrase | Kind::EndPhrase | Kind::RepeatRequest);
    let has_small = fixed_texts(b).iter().any(|text| text.contains(char::is_lowercase));
    let upper_clash = a.kind() == Kind::UpperCase && is_quoted && has_small;
    lower_clash
        || upper_clash
        || fixes_case(b.kind())
        || matches!(b.kind(), Kind::CapitalWordCount | Kind::SectionCount)
}

fn has_code(constraint: &Constraint) -> bool {
    constraint.kind() == Kind::CodeBlock
}

/// The words that a constraint wants to stand in the response as they are.
fn fixed_texts(constraint: &Constraint) -> Vec<&str> {
    match constraint {
        Constraint::Keywords { words } => words.iter().map(String::as_str).collect(),
        Constraint::OneOf { options: texts } | Constraint::JsonKeys { keys: texts } => {
            texts.iter().map(String::as_str).collect()
        }
        Constraint::KeywordCount { word, bound } if bound.least() > 0 => vec![word],
        Constraint::ParagraphStart { word, .. } => vec![word],
        Constraint::StartPhrase { phrase } | Constraint::EndPhrase { phrase } => vec![phrase],
        Constraint::SectionCount { marker, .. } => vec![marker],
        Constraint::RepeatRequest { request } => vec![request],
        _ => Vec::new(),
    }
}

fn wants_forbidden(a: &Constraint, b: &Constraint) -> bool {
    let Constraint::ForbiddenWords { words } = a else { return false };
    let forbidden: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
    let is_in = |text: &str| {
        let text = text.to_lowercase();
        forbidden.iter().any(|word| text::count_phrase(&text, word) > 0)
    };
    // A limit on a word that must not occur says nothing.
    let limited = matches!(b, Constraint::KeywordCount { word, .. } if is_in(word));
    limited || fixed_texts(b).into_iter().any(is_in)
}

fn repeats_keyword(a: &Constraint, b: &Constraint) -> bool {
    let (Constraint::KeywordCount { word, .. }, Constraint::Keywords { words }) = (a, b) else {
        return false;
    };
    words.iter().any(|other| other.to_lowercase() == word.to_lowercase())
}

fn contains_mark(a: &Constraint, b: &Constraint) -> bool {
    let Constraint::WithoutMark { mark } = a else { return false };
    // Code comes with marks of its own.
    has_code(b)
        || (*mark == Mark::Colon && b.kind() == Kind::TableRows)
        || fixed_texts(b).iter().any(|text| text.contains(mark.characters()))
}

fn needs_digits(constraint: &Constraint) -> bool {
    matches!(
        constraint.kind(),
        Kind::NumeralCount | Kind::UnitCount | Kind::NumberedCount | Kind::SectionCount | Kind::CodeBlock
    ) || fixed_texts(constraint).iter().any(|text| text.contains(char::is_numeric))
}

/// A cap on a letter that words asked for go beyond: by themselves, or because there are too many of them. A
/// rare letter is in one word of ten or fewer, so that only a cap that leaves ten words for each is safe.
fn too_few_letters(a: &Constraint, b: &Constraint) -> bool {
    let Constraint::LetterCount { letter, bound } = a else { return false };
    let most = bound.most() as usize;
    let in_text = |text: &str| text.to_lowercase().chars().filter(|c| c == letter).count();
    let times = b.bound().map_or(1, |bound| bound.least() as usize);
    let wanted: usize = fixed_texts(b).into_iter().map(|text| in_text(text) * times).sum();
    wanted > most || least_words(b) > most.saturating_add(1).saturating_mul(10)
}

#[cfg(test)]
mod tests;
