//! `quoted` and `quote_count`: all of a response, or passages of it, between double quotation marks.

use super::interface::{
    Body, Check, Definition, Error, Fact, Fields, Noun, Origin, Request, Response, Rng, Rule, Shape, Stage,
    plain_count, show, text,
};
use crate::constraint::pick::at_least;
use crate::constraint::response::bound_around;

/// Phrases about quotations and people who speak.
const DECIDED: &str = "quote, quotes, quotation, quotations, dialogue, conversation";

/// The whole response is between double quotation marks. `IFEval`: `startend:quotation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Quoted;

impl Rule for Quoted {
    /// Straight quotes or a pair of curly ones, with something between them.
    fn check(&self, response: &str) -> Check {
        let response = response.trim();
        let between = |open, close| response.strip_prefix(open)?.strip_suffix(close);
        let inside = between('"', '"').or_else(|| between('\u{201C}', '\u{201D}'));
        let passed = inside.is_some_and(|inside| !inside.trim().is_empty());
        let ends: String = response.chars().take(1).chain(response.chars().last()).collect();
        Check::new(passed, format!("the response begins and ends with {}", show(&ends)))
    }

    fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
        body.text = format!("\"{}\"", body.text.replace('"', "'"));
        Some(())
    }
}

impl Origin for Quoted {
    const KIND: Definition = Definition {
        name: "quoted",
        wordings: &[
            "Put the whole answer between double quotation marks.",
            "The first and the last character of the answer must be a double quotation mark.",
            "Present all of it as one quotation, in double quotation marks.",
        ],
        facts: &[Fact::DecidesStart, Fact::DecidesEnd, Fact::WithTranslation],
        decided: |request| request.mentions(DECIDED),
        rank: |request| request.rank(&[(Shape::Rewriting, 4), (Shape::Short, 6), (Shape::Open, 24)]),
        derive_rank: 9,
        stages: &[Stage::Wrap],
        ..Definition::BASE
    };

    fn read(_: &mut Fields) -> Result<Self, Error> {
        Ok(Self)
    }

    fn draw(_: &Request<'_>, _: &mut dyn Rng) -> Option<Self> {
        Some(Self)
    }

    fn derive(_: &Response<'_>, _: &mut dyn Rng) -> Option<Self> {
        Some(Self)
    }
}

plain_count! {
    /// Passages between double quotation marks.
    QuoteCount counts quotes, needs |n| n * 2
}

/// Passages between straight or curly double quotation marks, with a letter or digit, within a paragraph.
fn quotes(response: &str) -> usize {
    let mut count = 0;
    for paragraph in text::paragraphs(response) {
        let mut open: Option<(char, bool)> = None;
        for c in paragraph.chars() {
            match (open, c) {
                (None, '"') => open = Some(('"', false)),
                (None, '\u{201C}') => open = Some(('\u{201D}', false)),
                (Some((close, has_text)), c) if c == close => {
                    count += usize::from(has_text);
                    open = None;
                }
                (Some((close, has_text)), c) => open = Some((close, has_text || c.is_alphanumeric())),
                (None, _) => {}
            }
        }
    }
    count
}

impl Origin for QuoteCount {
    const KIND: Definition = Definition {
        name: "quote_count",
        noun: Noun::new("quotation", "quotations"),
        wordings: &[
            "Include {amount} in double quotation marks.",
            "The answer must have {amount} (words between double quotation marks).",
            "Work in {amount}, each between \" and \".",
        ],
        decided: |request| request.mentions(DECIDED),
        // A text in which people may speak.
        rank: |request| {
            let is_narrative =
                request.mentions("story, tale, scene, interview, speech, diary, letter, imagine, character");
            is_narrative.then_some(251)
        },
        derive_rank: 24,
        ..Definition::BASE
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { bound: fields.bound()? })
    }

    fn draw(_: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        Some(Self { bound: at_least(1..=2, rng) })
    }

    fn derive(response: &Response<'_>, rng: &mut dyn Rng) -> Option<Self> {
        let count = if response.is_english { quotes(response.text) } else { 0 };
        bound_around(count, 1, rng).map(|bound| Self { bound })
    }
}
