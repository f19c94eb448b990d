//! `without_mark`: a text without a punctuation mark.

use super::interface::{
    AnyRule, Body, Check, Definition, Error, Fact, Fields, Origin, Request, Response, Rng, Rule, Shape, Stage,
};
use super::table_rows::TableRows;
use crate::constraint::named::named;
use rand::seq::IndexedRandom;

named! {
    /// A punctuation mark that an answer can do without.
    Mark {
        /// `,` and its forms in other scripts.
        Comma = "comma",
        /// `!` and its forms.
        Exclamation = "exclamation_mark",
        /// `?` and its forms.
        Question = "question_mark",
        /// `;` and its forms.
        Semicolon = "semicolon",
        /// `:` and its forms.
        Colon = "colon",
        /// `(`, `)` and their full-width forms.
        Parenthesis = "parenthesis",
        /// The en dash and the em dash, but not the hyphen.
        Dash = "dash",
    }
}

impl Mark {
    /// Its name in a wording, in the plural.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Comma => "commas",
            Self::Exclamation => "exclamation marks",
            Self::Question => "question marks",
            Self::Semicolon => "semicolons",
            Self::Colon => "colons",
            Self::Parenthesis => "parentheses",
            Self::Dash => "dashes",
        }
    }

    /// The characters that readers of any script take for this mark.
    pub fn characters(self) -> &'static [char] {
        match self {
            Self::Comma => &[',', '\u{FF0C}', '\u{3001}', '\u{060C}'],
            Self::Exclamation => &['!', '\u{FF01}', '\u{A1}', '\u{203C}', '\u{2049}', '\u{2048}'],
            Self::Question => &['?', '\u{FF1F}', '\u{BF}', '\u{061F}', '\u{2047}', '\u{2048}', '\u{2049}'],
            Self::Semicolon => &[';', '\u{FF1B}', '\u{061B}'],
            Self::Colon => &[':', '\u{FF1A}'],
            Self::Parenthesis => &['(', ')', '\u{FF08}', '\u{FF09}'],
            Self::Dash => &['\u{2013}', '\u{2014}', '\u{2015}'],
        }
    }
}

/// A punctuation mark does not occur. `IFEval`: `punctuation:no_comma`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct WithoutMark {
    /// The mark.
    pub mark: Mark,
}

impl Rule for WithoutMark {
    fn check(&self, response: &str) -> Check {
        let mark = self.mark.in_words();
        match response.matches(self.mark.characters()).count() {
            0 => Check::new(true, format!("found no {mark}")),
            count => Check::new(false, format!("found {mark} ({count} in all)")),
        }
    }

    fn slots(&self) -> Vec<(&'static str, String)> {
        vec![("mark", self.mark.in_words().to_owned())]
    }

    /// JSON has commas and colons of its own.
    fn is_exempt(&self, fact: Fact) -> bool {
        fact == Fact::FitsJson && matches!(self.mark, Mark::Comma | Mark::Colon)
    }

    fn subject(&self) -> Option<String> {
        Some(self.mark.name().to_owned())
    }

    fn rules_out(&self, other: AnyRule<'_>) -> Option<&'static str> {
        let has_mark = |text: &&str| text.contains(self.mark.characters());
        // Code has its own punctuation.
        let clashes = other.has(Fact::Code)
            || (self.mark == Mark::Colon && other.is::<TableRows>())
            || other.rule.fixed_texts().iter().any(has_mark);
        clashes.then_some("it contains the forbidden punctuation")
    }

    fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
        body.leave_out(|part| self.check(part).passed)
    }
}

impl Origin for WithoutMark {
    const KIND: Definition = Definition {
        name: "without_mark",
        wordings: &[
            "Use no {mark}.",
            "Write the whole answer without {mark}.",
            "There must be no {mark} anywhere in the answer.",
        ],
        facts: &[Fact::FitsJson, Fact::FitsTwoAnswers],
        decided: |request| request.mentions("comma, commas, punctuation, question, questions, exclamation"),
        rank: |request| request.rank(&[(Shape::Short, 9), (Shape::List, 18), (Shape::Open, 27)]),
        derive_rank: 29,
        stages: &[Stage::Select],
        ..Definition::BASE
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { mark: fields.named("mark", Mark::ALL, Mark::name)? })
    }

    fn draw(_: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        Some(Self { mark: *Mark::ALL.choose(rng)? })
    }

    /// Only the marks that nearly every longer text has.
    fn derive_all(response: &Response<'_>, _: &mut dyn Rng) -> Vec<Self> {
        let marks: &[Mark] = if response.is_long() { &[Mark::Comma, Mark::Colon] } else { &[] };
        marks.iter().map(|&mark| Self { mark }).collect()
    }
}
