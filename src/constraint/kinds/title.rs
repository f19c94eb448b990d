//! `title`: a title between double angle brackets.

use super::interface::{
    Body, Check, Definition, Error, Fact, Fields, Origin, Request, Response, Rng, Rule, Shape, Stage, show,
};

/// A title between double angle brackets. `IFEval`: `detectable_format:title`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Title;

impl Rule for Title {
    /// `<<`, some text and `>>`, on one line.
    fn check(&self, response: &str) -> Check {
        match response.split('\n').find_map(title_of) {
            Some(title) => Check::new(true, format!("found the title {}", show(title))),
            None => Check::new(false, "found no title between << and >>"),
        }
    }

    fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
        body.text = format!("<<{}>>\n\n{}", body.title()?, body.text);
        Some(())
    }
}

fn title_of(line: &str) -> Option<&str> {
    let inside = &line[line.find("<<")? + 2..];
    let inside = &inside[..inside.rfind(">>")?];
    let title = inside.trim_matches(['<', '>']).trim();
    (!title.is_empty()).then_some(title)
}

impl Origin for Title {
    const KIND: Definition = Definition {
        name: "title",
        wordings: &[
            "Give the answer a title between double angle brackets, such as <<A Day Out>>.",
            "There must be a title, written like <<Title>>.",
            "Put a fitting title in << and >> above the text.",
        ],
        facts: &[
            Fact::BreaksProse,
            Fact::DecidesStart,
            Fact::FitsRepeatedRequest,
            Fact::WithCode,
            Fact::WithTranslation,
        ],
        decided: |request| request.mentions("title, titled, headline, slogan, caption"),
        rank: |request| {
            request.rank(&[
                (Shape::Code, 6),
                (Shape::Rewriting, 5),
                (Shape::Calculation, 8),
                (Shape::List, 15),
                (Shape::Open, 23),
            ])
        },
        derive_rank: 10,
        stages: &[Stage::Frame],
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
