//! Instructions about the format of a response (`detectable_format:*`).
//!
//! Source: arXiv:2311.07911; measured against lm-eval 0.4.13.
//!
//! **Invariant:** like the reference, Markdown is read line by line with patterns that know no code fences
//! and no nesting. A horizontal rule of dashes is therefore a bullet point, and `**bold**` is one highlight
//! plus two empty ones between its pairs of asterisks.

use std::sync::LazyLock;

use regex::Regex;

use super::Error;
use super::arguments::Arguments;
use super::{json, pattern, python};

/// The replies of `detectable_format:constrained_response`; one of them must occur anywhere in the response.
const REPLIES: [&str; 3] = ["My answer is yes.", "My answer is no.", "My answer is maybe."];

/// A rule about format.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    /// Exactly this number of bullet points.
    Bullets(u64),
    /// At least this number of highlights.
    Highlights(u64),
    /// At least this number of numbered section marks.
    Sections(Regex, u64),
    /// JSON, optionally in a code fence.
    Json,
    /// A title in double angle brackets.
    Title,
    /// One of three replies.
    ConstrainedResponse,
}

impl Rule {
    /// `detectable_format:multiple_sections`. A section mark is a case-sensitive regular expression followed
    /// by a number.
    pub(super) fn sections(arguments: &Arguments<'_>) -> Result<Self, Error> {
        let mark = python::strip(arguments.text("section_spliter")?);
        let numbered = Regex::new(&format!(r"[\s\x1c-\x1f]?{mark}[\s\x1c-\x1f]?\d+[\s\x1c-\x1f]?"));
        let numbered = numbered.map_err(|_| arguments.wrong("section_spliter", pattern::SUPPORTED_REGEX))?;
        Ok(Self::Sections(numbered, arguments.number("num_sections")?))
    }

    /// Whether the response follows the rule.
    pub(super) fn follows(&self, response: &str) -> bool {
        match self {
            Self::Bullets(n) => count_bullets(response) as u64 == *n,
            Self::Highlights(n) => count_highlights(response) as u64 >= *n,
            Self::Sections(mark, n) => mark.find_iter(response).count() as u64 >= *n,
            Self::Json => json::is_json(without_fence(response)),
            Self::Title => has_title(response),
            Self::ConstrainedResponse => {
                let text = python::strip(response);
                REPLIES.iter().any(|reply| text.contains(reply))
            }
        }
    }
}

/// Counts lines that start with a single asterisk or with a dash. As in the reference, a match includes blank
/// lines before it, and the character after the asterisk may be the line end, so that a lone asterisk
/// swallows the next line.
fn count_bullets(text: &str) -> usize {
    static STAR: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?m)^[\s\x1c-\x1f]*\*[^*].*$").expect("a constant pattern"));
    static DASH: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?m)^[\s\x1c-\x1f]*-.*$").expect("a constant pattern"));
    STAR.find_iter(text).count() + DASH.find_iter(text).count()
}

/// Counts non-blank texts between single asterisks, and between double ones, in two independent passes.
fn count_highlights(text: &str) -> usize {
    static SINGLE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\*([^\n*]*)\*").expect("a constant pattern"));
    static DOUBLE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\*\*([^\n*]*)\*\*").expect("a constant pattern"));
    let count = |pattern: &Regex| {
        let inner = pattern.captures_iter(text).filter_map(|found| found.get(1));
        inner.filter(|inner| !python::strip(inner.as_str()).is_empty()).count()
    };
    count(&SINGLE) + count(&DOUBLE)
}

/// Removes a code fence: each of the four opening forms once, in this order, and the closing one.
fn without_fence(text: &str) -> &str {
    let mut text = python::strip(text);
    for opening in ["```json", "```Json", "```JSON", "```"] {
        text = text.strip_prefix(opening).unwrap_or(text);
    }
    python::strip(text.strip_suffix("```").unwrap_or(text))
}

/// Whether a line has text other than angle brackets and white space between `<<` and its last `>>`.
fn has_title(text: &str) -> bool {
    static TITLE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"<<[^\n]+>>").expect("a constant pattern"));
    TITLE.find_iter(text).any(|found| {
        let inner = found.as_str().trim_start_matches('<').trim_end_matches('>');
        !python::strip(inner).is_empty()
    })
}
