//! Instructions about the content of a response, its start and its end (`detectable_content:*`,
//! `combination:*`, `startend:*`, `punctuation:*`).
//!
//! Source: arXiv:2311.07911; measured against lm-eval 0.4.13.
//!
//! **Invariant:** phrases are compared in lower case and without surrounding white space.

use std::sync::LazyLock;

use regex::Regex;

use super::Error;
use super::arguments::Arguments;
use super::{pattern, python};

/// A rule about content.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    /// At least this number of `[placeholders]`.
    Placeholders(u64),
    /// A postscript marker anywhere.
    Postscript(Regex),
    /// Two different responses separated by `******`.
    TwoResponses,
    /// The response starts with this prompt.
    RepeatPrompt(String),
    /// The response ends with this phrase.
    End(String),
    /// The whole response is in double quotation marks.
    Quotation,
    /// No comma.
    NoComma,
}

impl Rule {
    /// `detectable_content:postscript`. For two markers the reference has patterns that allow white space
    /// between the letters. Any other marker is a regular expression as it is, so the dots of "P.P.S." match
    /// any character.
    pub(super) fn postscript(arguments: &Arguments<'_>) -> Result<Self, Error> {
        let marker = python::strip(arguments.text("postscript_marker")?);
        let regex = match marker {
            "P.S." => Regex::new(r"p\.[\s\x1c-\x1f]?s\."),
            "P.P.S" => Regex::new(r"p\.[\s\x1c-\x1f]?p\.[\s\x1c-\x1f]?s"),
            _ => Regex::new(&marker.to_lowercase()),
        };
        let regex = regex.map_err(|_| arguments.wrong("postscript_marker", pattern::SUPPORTED_REGEX));
        regex.map(Self::Postscript)
    }

    /// `combination:repeat_prompt`.
    pub(super) fn repeat(prompt: &str) -> Self {
        Self::RepeatPrompt(python::strip(prompt).to_lowercase())
    }

    /// `startend:end_checker`.
    pub(super) fn end(phrase: &str) -> Self {
        Self::End(python::strip(phrase).to_lowercase())
    }

    /// Whether the response follows the rule.
    pub(super) fn follows(&self, response: &str) -> bool {
        let text = python::strip(response);
        match self {
            Self::Placeholders(n) => count_placeholders(response) as u64 >= *n,
            Self::Postscript(marker) => marker.is_match(&response.to_lowercase()),
            Self::TwoResponses => are_two_responses(response),
            Self::RepeatPrompt(prompt) => text.to_lowercase().starts_with(prompt),
            Self::End(phrase) => text.trim_matches('"').to_lowercase().ends_with(phrase),
            Self::Quotation => text.len() > 1 && text.starts_with('"') && text.ends_with('"'),
            Self::NoComma => !response.contains(','),
        }
    }
}

/// Counts pairs of square brackets on the same line, including empty ones.
fn count_placeholders(text: &str) -> usize {
    static BRACKETS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\[.*?\]").expect("a constant pattern"));
    BRACKETS.find_iter(text).count()
}

/// Whether the text has exactly two non-blank parts that differ; only its first and last part may be blank.
fn are_two_responses(text: &str) -> bool {
    let parts: Vec<&str> = text.split("******").map(python::strip).collect();
    let last = parts.len() - 1;
    let inner_is_blank = parts.iter().enumerate().any(|(at, part)| part.is_empty() && at != 0 && at != last);
    let answers: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    !inner_is_blank && matches!(answers[..], [first, second] if first != second)
}
