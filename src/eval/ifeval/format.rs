//! The form of a response (`detectable_format:*`).
//!
//! Source: arXiv:2311.07911; measured against lm-eval 0.4.13.
//!
//! **Invariant:** Markdown is read line by line with patterns, as in the reference: no fence, no nesting, so
//! a rule of dashes is a bullet and `**bold**` is one highlight and, between the pairs, two empty ones.

use std::sync::LazyLock;

use regex::Regex;

use super::Error;
use super::arguments::Arguments;
use super::{json, pattern, python};

/// The replies that `detectable_format:constrained_response` accepts, anywhere in the response.
const REPLIES: [&str; 3] = ["My answer is yes.", "My answer is no.", "My answer is maybe."];

/// A rule about form.
#[derive(Debug, Clone)]
pub(super) enum Rule {
    /// Exactly so many bullet points.
    Bullets(u64),
    /// At least so many highlights.
    Highlights(u64),
    /// At least so many numbered section marks.
    Sections(Regex, u64),
    /// JSON, in a fence or not.
    Json,
    /// A title in double angle brackets.
    Title,
    /// One of three replies.
    ConstrainedResponse,
}

impl Rule {
    /// `detectable_format:multiple_sections`. The mark is a regular expression in the case given; a number
    /// follows.
    pub(super) fn sections(arguments: &Arguments<'_>) -> Result<Self, Error> {
        let mark = python::strip(arguments.text("section_spliter")?);
        let numbered = Regex::new(&format!(r"[\s\x1c-\x1f]?{mark}[\s\x1c-\x1f]?\d+[\s\x1c-\x1f]?"));
        let numbered =
            numbered.map_err(|_| arguments.wrong("section_spliter", pattern::not_a_regex(mark)))?;
        Ok(Self::Sections(numbered, arguments.number("num_sections")?))
    }

    /// The check itself.
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

/// Lines that begin with one asterisk (and not two) or with a dash. Blank lines before one belong to it, and
/// the character after an asterisk may be the line's end: a lone asterisk takes the next line with it.
fn count_bullets(text: &str) -> usize {
    static STAR: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?m)^[\s\x1c-\x1f]*\*[^*].*$").expect("a constant pattern"));
    static DASH: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?m)^[\s\x1c-\x1f]*-.*$").expect("a constant pattern"));
    STAR.find_iter(text).count() + DASH.find_iter(text).count()
}

/// Texts between single asterisks and texts between double ones, each counted by its own reading of the
/// response; what is blank between its asterisks does not count.
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

/// Without a code fence: of the four openings each is taken off once, in this order, and the closing one.
fn without_fence(text: &str) -> &str {
    let mut text = python::strip(text);
    for opening in ["```json", "```Json", "```JSON", "```"] {
        text = text.strip_prefix(opening).unwrap_or(text);
    }
    python::strip(text.strip_suffix("```").unwrap_or(text))
}

/// Something between `<<` and the last `>>` of a line that is more than angle brackets and blanks.
fn has_title(text: &str) -> bool {
    static TITLE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"<<[^\n]+>>").expect("a constant pattern"));
    TITLE.find_iter(text).any(|found| {
        let inner = found.as_str().trim_start_matches('<').trim_end_matches('>');
        !python::strip(inner).is_empty()
    })
}
