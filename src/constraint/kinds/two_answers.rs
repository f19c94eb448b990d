//! `two_answers`: one response with two different answers in it.

use super::interface::{Check, Definition, Error, Fact, Fields, Origin, Request, Response, Rng, Rule, Shape};

/// Two different answers that are divided by `******`. `IFEval`: `combination:two_responses`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct TwoAnswers;

impl Rule for TwoAnswers {
    fn check(&self, response: &str) -> Check {
        let parts: Vec<&str> = response.split("******").map(str::trim).collect();
        let answers: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
        // An empty part at either end only means a divider before the first answer or after the last.
        let has_gap = parts.len() > 2 && parts[1..parts.len() - 1].contains(&"");
        let passed = answers.len() == 2 && answers[0] != answers[1] && !has_gap;
        let same = if answers.len() == 2 && answers[0] == answers[1] { ", which are the same" } else { "" };
        Check::new(passed, format!("found {} parts separated by `******`{same}", answers.len()))
    }
}

impl Origin for TwoAnswers {
    const KIND: Definition = Definition {
        name: "two_answers",
        wordings: &[
            "Give two different answers, and put ****** (six asterisks) between them and nowhere else.",
            "I want two answers that are not the same, divided by a line of six asterisks: ******",
            "Answer twice, in different ways, with ****** between the first answer and the second.",
        ],
        facts: &[Fact::TwoAnswers, Fact::WithTranslation],
        decided: |request| request.mentions("two, versions, alternatives, options, both, either"),
        rank: |request| request.rank(&[(Shape::Rewriting, 6), (Shape::Open, 21)]),
        derive_rank: 11,
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
