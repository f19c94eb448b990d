//! `section_count` and `heading_count`: parts of a response that stand under a line of their own.
//!
//! What looks like one within code is not one.

use super::interface::{
    Body, Bound, Check, Definition, Error, Fact, Fields, Noun, Origin, Request, Response, Rng, Rule, Shape,
    Stage, plain_count, text,
};
use crate::constraint::body::heading;
use crate::constraint::fields::Phrase;
use crate::constraint::pick::{any_bound, exactly, one_of};
use crate::constraint::request::LAYOUT;
use crate::constraint::response::bound_around;

/// Sections that begin with `marker` and a number. `IFEval`: `detectable_format:multiple_sections`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub struct SectionCount {
    /// What stands before the number, in this case.
    pub marker: String,
    /// How many.
    #[serde(flatten)]
    pub bound: Bound,
}

impl Rule for SectionCount {
    fn check(&self, response: &str) -> Check {
        Check::counted(sections(response, &self.marker), self.bound, Self::KIND.noun)
    }

    fn bound(&self) -> Option<Bound> {
        Some(self.bound)
    }

    fn count(&self, response: &str) -> Option<usize> {
        Some(sections(response, &self.marker))
    }

    fn slots(&self) -> Vec<(&'static str, String)> {
        vec![("marker", self.marker.clone())]
    }

    fn validate(&self) -> Result<(), Error> {
        Phrase::SHORT.check(Self::KIND.name, "marker", &self.marker)
    }

    fn least_words(&self) -> usize {
        self.bound.least() as usize * 8
    }

    fn fixed_texts(&self) -> Vec<&str> {
        vec![&self.marker]
    }

    fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
        let section = |(at, group): (usize, &String)| format!("{} {}\n{group}", self.marker, at + 1);
        let groups = body.groups(self.bound)?;
        body.lay_out(groups.iter().enumerate().map(section).collect::<Vec<_>>().join("\n\n"))
    }
}

/// Lines that begin with the marker and a number, with or without markdown before it.
fn sections(response: &str, marker: &str) -> usize {
    let begins = |line: &&&str| {
        let line = line.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '#' | '*' | '_' | '>'));
        let rest = line.strip_prefix(marker).map(str::trim_start);
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    text::Layout::of(response).prose.iter().filter(begins).count()
}

impl Origin for SectionCount {
    const KIND: Definition = Definition {
        name: "section_count",
        noun: Noun::new("section", "sections"),
        wordings: &[
            "Divide the answer into {amount}, each headed \"{marker}\" and its number, such as {marker} 1.",
            "There must be {amount}. Begin each on a new line with {marker} and a number ({marker} 1, ...).",
            "Write {amount} and head them {marker} 1 and so on, each heading on its own line.",
        ],
        facts: &[
            Fact::Layout,
            Fact::BreaksProse,
            Fact::DecidesStart,
            Fact::English,
            Fact::CaseMatters,
            Fact::NeedsDigits,
            Fact::GivenByMaterial,
        ],
        decided: |request| request.mentions(LAYOUT),
        rank: |request| request.rank(&[(Shape::List, 8), (Shape::Open, 11)]),
        derive_rank: 7,
        stages: &[Stage::LayOut],
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { marker: fields.string("marker")?, bound: fields.bound()? })
    }

    fn draw(_: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        let marker = one_of(&["Section", "Part", "SECTION", "Step", "Chapter", "Point"], rng)?;
        Some(Self { marker, bound: exactly(2..=3, rng) })
    }

    fn derive_all(response: &Response<'_>, rng: &mut dyn Rng) -> Vec<Self> {
        let markers = ["Section", "SECTION", "Part", "Step", "Chapter"].into_iter();
        let found = markers.filter_map(|marker| {
            let bound = bound_around(sections(response.text, marker), 2, rng)?;
            Some(Self { marker: marker.to_owned(), bound })
        });
        found.collect()
    }
}

plain_count! {
    /// Markdown headings.
    HeadingCount counts headings, needs |n| n * 8, and {
        fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
            let section = |group: &String| Some(format!("## {}\n{group}", heading(group, 2)?));
            let groups = body.groups(self.bound)?;
            body.lay_out(groups.iter().map(section).collect::<Option<Vec<_>>>()?.join("\n\n"))
        }
    }
}

fn headings(response: &str) -> usize {
    text::Layout::of(response).prose.into_iter().filter_map(text::heading).count()
}

impl Origin for HeadingCount {
    const KIND: Definition = Definition {
        name: "heading_count",
        noun: Noun::new("heading", "headings"),
        wordings: &[
            "Use {amount} in markdown, such as \"## Background\".",
            "Structure the answer with {amount}; a heading is a line that begins with #.",
            "The answer must have {amount} in markdown form (# and a space first).",
        ],
        facts: &[Fact::Layout, Fact::BreaksProse, Fact::DecidesStart, Fact::WithCode],
        decided: |request| request.mentions(LAYOUT),
        rank: |request| request.rank(&[(Shape::Code, 5), (Shape::Open, 12)]),
        derive_rank: 2,
        stages: &[Stage::LayOut],
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { bound: fields.bound()? })
    }

    fn draw(_: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        Some(Self { bound: any_bound(2..=3, rng) })
    }

    fn derive(response: &Response<'_>, rng: &mut dyn Rng) -> Option<Self> {
        bound_around(headings(response.text), 2, rng).map(|bound| Self { bound })
    }
}
