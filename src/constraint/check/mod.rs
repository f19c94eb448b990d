//! Whether a response meets a constraint, and what was found.
//!
//! Counts are in `measure`, all other rules in `format` and `content`: one function per kind.
//!
//! **Invariant:** a blank response meets no constraint.
//!
//! **Invariant:** `found` says what a reader needs in order to see for themselves.

mod content;
mod format;
mod measure;

pub(super) use content::detect;
pub(super) use format::parse_json;

use super::Constraint;

/// The verdict on a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Whether the response meets the constraint.
    pub passed: bool,
    /// What was found, and what was expected where that is not the same.
    pub found: String,
}

impl Check {
    fn new(passed: bool, found: impl Into<String>) -> Self {
        Self { passed, found: found.into() }
    }
}

impl Constraint {
    /// Looks whether the response meets the constraint, as it stands.
    pub fn check(&self, response: &str) -> Check {
        if response.trim().is_empty() {
            return Check::new(false, "found an empty response");
        }
        if let (Some(bound), Some(count)) = (self.bound(), self.measure(response)) {
            let noun = self.kind().noun();
            let expected = bound.in_words(0, noun);
            let found = format!("found {}, expected {expected}", noun.amount(count as u64));
            return Check::new(bound.holds(count), found);
        }
        match self {
            Self::LongestSentence { n } => content::longest_sentence(response, *n),
            Self::BulletWords { n } => content::bullet_words(response, *n),
            Self::ParagraphStart { paragraphs, nth, word } => {
                content::paragraph_start(response, *paragraphs, *nth, word)
            }
            Self::Keywords { words } => content::keywords(response, words),
            Self::ForbiddenWords { words } => content::forbidden_words(response, words),
            Self::StartPhrase { phrase } => content::start_phrase(response, phrase),
            Self::EndPhrase { phrase } => content::end_phrase(response, phrase),
            Self::RepeatRequest { request } => content::repeat_request(response, request),
            Self::OneOf { options } => content::one_of(response, options),
            Self::LowerCase => content::lower_case(response),
            Self::UpperCase => content::upper_case(response),
            Self::WithoutMark { mark } => content::without_mark(response, *mark),
            Self::Language { language } => content::language(response, *language),
            Self::NoDigits => content::no_digits(response),
            Self::Quoted => format::quoted(response),
            Self::Postscript { marker } => format::postscript(response, *marker),
            Self::TwoAnswers => format::two_answers(response),
            Self::Json => format::json(response),
            Self::JsonKeys { keys } => format::json_keys(response, keys),
            Self::Title => format::title(response),
            Self::CodeBlock { language } => format::code_block(response, language),
            // Every other constraint is a count.
            _ => Check::new(false, "found nothing to count"),
        }
    }

    /// Like [`Constraint::check`], but forgives what models put around an answer: also passes when the
    /// response does without its first line, its last line or both, and without asterisks, in every
    /// combination.
    ///
    /// Source: the loose accuracy of `IFEval`, section 2.2.
    pub fn check_loose(&self, response: &str) -> Check {
        let strict = self.check(response);
        if strict.passed {
            return strict;
        }
        for variant in variants(response) {
            let check = self.check(&variant);
            if check.passed {
                return Check::new(true, format!("{} (loosely)", check.found));
            }
        }
        strict
    }
}

/// The seven other forms of a response that count loosely.
fn variants(response: &str) -> impl Iterator<Item = String> {
    let after_first = response.split_once('\n').map_or("", |(_, rest)| rest);
    let before_last = response.rsplit_once('\n').map_or("", |(rest, _)| rest);
    let middle = after_first.rsplit_once('\n').map_or("", |(rest, _)| rest);
    let shorter = [after_first, before_last, middle].map(str::trim);
    let plain = [response, shorter[0], shorter[1], shorter[2]].map(|variant| variant.replace('*', ""));
    shorter.map(str::to_owned).into_iter().chain(plain)
}

#[cfg(test)]
mod tests;
