//! `lower_case` and `upper_case`: English in letters of one case.

use super::interface::{
    AnyRule, Body, Check, Definition, Error, Fact, Fields, Origin, Request, Response, Rng, Rule, Shape,
    Stage, show,
};
use crate::constraint::language::{Language, detect};
use crate::constraint::request::{FORMAT, LETTER_CASE};

/// The response has no letter of the other case, has one of this case, and does not show another language.
fn one_case(response: &str, other: &str, is_other: fn(char) -> bool) -> Check {
    if let Some(wrong) = response.split_whitespace().find(|word| word.contains(is_other)) {
        return Check::new(false, format!("found a {other} letter in {}", show(wrong)));
    }
    if !response.contains(|c: char| c.is_lowercase() || c.is_uppercase()) {
        return Check::new(false, "found no letters that have a case");
    }
    let letters = response.chars().filter(|c| c.is_alphabetic()).count();
    match detect(response).filter(|_| letters >= LETTERS_AGAINST_ENGLISH) {
        Some(language) if language != Language::English => {
            Check::new(false, format!("found {}, expected English", language.in_words()))
        }
        _ => Check::new(true, format!("found no {other} letters")),
    }
}

/// Letters from which on another language is believed: a few names and loan words are still English.
const LETTERS_AGAINST_ENGLISH: usize = 30;

/// The reason that both kinds give.
const CLASH: &str = "letters cannot be both small and capital";

/// English without capital letters. `IFEval`: `change_case:english_lowercase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct LowerCase;

impl Rule for LowerCase {
    fn check(&self, response: &str) -> Check {
        one_case(response, "capital", char::is_uppercase)
    }

    /// Whatever needs capital letters.
    fn rules_out(&self, other: AnyRule<'_>) -> Option<&'static str> {
        let has_capitals = |text: &&str| text.contains(char::is_uppercase);
        let clashes =
            [Fact::LetterCase, Fact::CaseMatters, Fact::HasCapitals].iter().any(|&fact| other.has(fact))
                || other.rule.fixed_texts().iter().any(has_capitals);
        clashes.then_some(CLASH)
    }

    fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
        body.text = body.text.to_lowercase();
        Some(())
    }
}

impl Origin for LowerCase {
    const KIND: Definition = Definition {
        name: "lower_case",
        wordings: &[
            "Write everything in English and in lower case, without a single capital letter.",
            "Use no capital letters at all; the answer must be in English.",
            "The whole answer must be English in small letters only.",
        ],
        facts: &[Fact::LetterCase, Fact::English, Fact::FitsTwoAnswers],
        decided: |request| request.mentions(LETTER_CASE) || request.mentions(FORMAT),
        rank: |request| {
            request.rank(&[(Shape::YesNo, 7), (Shape::Short, 7), (Shape::List, 16), (Shape::Open, 25)])
        },
        derive_rank: 31,
        stages: &[Stage::Wrap],
        ..Definition::BASE
    };

    fn read(_: &mut Fields) -> Result<Self, Error> {
        Ok(Self)
    }

    fn draw(_: &Request<'_>, _: &mut dyn Rng) -> Option<Self> {
        Some(Self)
    }

    fn derive(response: &Response<'_>, _: &mut dyn Rng) -> Option<Self> {
        response.is_long().then_some(Self)
    }
}

/// English in capital letters. `IFEval`: `change_case:english_capital`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct UpperCase;

impl Rule for UpperCase {
    fn check(&self, response: &str) -> Check {
        one_case(response, "small", char::is_lowercase)
    }

    /// Whatever needs small letters. A quoted phrase stands in the response as it is; a keyword may be in any
    /// case.
    fn rules_out(&self, other: AnyRule<'_>) -> Option<&'static str> {
        let has_small = |text: &&str| text.contains(char::is_lowercase);
        let clashes = other.has(Fact::LetterCase)
            || other.has(Fact::CaseMatters)
            || (other.has(Fact::Verbatim) && other.rule.fixed_texts().iter().any(has_small));
        clashes.then_some(CLASH)
    }

    fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
        body.text = body.text.to_uppercase();
        Some(())
    }
}

impl Origin for UpperCase {
    const KIND: Definition = Definition {
        name: "upper_case",
        wordings: &[
            "Write everything in English and in capital letters.",
            "Use no small letters at all; the answer must be in English.",
            "The whole answer must be English in capitals only.",
        ],
        facts: &[Fact::LetterCase, Fact::English, Fact::FitsTwoAnswers],
        decided: |request| request.mentions(LETTER_CASE) || request.mentions(FORMAT),
        rank: |request| {
            request.rank(&[(Shape::YesNo, 8), (Shape::Short, 8), (Shape::List, 17), (Shape::Open, 26)])
        },
        derive_rank: 32,
        stages: &[Stage::Wrap],
        ..Definition::BASE
    };

    fn read(_: &mut Fields) -> Result<Self, Error> {
        Ok(Self)
    }

    fn draw(_: &Request<'_>, _: &mut dyn Rng) -> Option<Self> {
        Some(Self)
    }

    fn derive(response: &Response<'_>, _: &mut dyn Rng) -> Option<Self> {
        response.is_long().then_some(Self)
    }
}
