//! `placeholder_count`: blanks to be filled in.

use super::interface::{Definition, Error, Fields, Noun, Origin, Request, Response, Rng, plain_count, text};
use crate::constraint::pick::at_least;
use crate::constraint::response::bound_around;

plain_count! {
    /// Blanks such as `[name]`. `IFEval`: `detectable_content:number_placeholders`.
    PlaceholderCount counts placeholders, needs |n| n
}

/// What looks like a placeholder within code is not: it is an index or a list.
fn placeholders(response: &str) -> usize {
    text::Layout::of(response).prose.into_iter().map(in_line).sum()
}

/// Square brackets with a letter in them, on one line. A link, a footnote `[1]`, a check box and an index
/// such as `a[i]` do not count.
fn in_line(line: &str) -> usize {
    let mut count = 0;
    let mut before = None;
    let mut rest = line;
    while let Some(open) = rest.find('[') {
        before = rest[..open].chars().next_back().or(before);
        let Some(close) = rest[open..].find(']').map(|at| open + at) else { break };
        let inside = &rest[open + 1..close];
        rest = &rest[close + 1..];
        let is_index = before.is_some_and(char::is_alphanumeric);
        let is_check_box = matches!(inside, "x" | "X") && line.trim_start().starts_with(['-', '*', '+']);
        let is_blank = inside.contains(char::is_alphabetic) && !rest.starts_with('(');
        count += usize::from(is_blank && !is_index && !is_check_box);
        before = Some(']');
    }
    count
}

impl Origin for PlaceholderCount {
    const KIND: Definition = Definition {
        name: "placeholder_count",
        noun: Noun::new("placeholder", "placeholders"),
        wordings: &[
            "Leave {amount} in square brackets to be filled in, such as [name].",
            "The text must have {amount}, written like [date].",
            "Where details are missing, put blanks such as [place]: {amount} in all.",
        ],
        decided: |request| request.mentions("placeholder, placeholders, blank, blanks"),
        // A text with details that the writer does not know.
        rank: |request| {
            let is_template =
                request.mentions("email, e-mail, letter, invitation, form, template, message, announcement");
            is_template.then_some(250)
        },
        derive_rank: 6,
        ..Definition::BASE
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { bound: fields.bound()? })
    }

    fn draw(_: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        Some(Self { bound: at_least(2..=4, rng) })
    }

    fn derive(response: &Response<'_>, rng: &mut dyn Rng) -> Option<Self> {
        bound_around(placeholders(response.text), 1, rng).map(|bound| Self { bound })
    }
}
