//! `repeat_request`: the request, word for word, before the answer.

use super::interface::{
    Body, Check, Definition, Error, Fact, Fields, Origin, Request, Rng, Rule, Stage, show, text,
};
use crate::constraint::fields::Phrase;
use crate::constraint::wording::quote;

/// Begins with the request, word for word. `IFEval`: `combination:repeat_prompt`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub struct RepeatRequest {
    /// What is repeated.
    pub request: String,
}

/// The longest request that is drawn, in characters.
const MAX_DRAWN: usize = 300;

impl Rule for RepeatRequest {
    fn check(&self, response: &str) -> Check {
        let passed = response.trim().to_lowercase().starts_with(&self.request.trim().to_lowercase());
        Check::new(passed, format!("the response begins with {}", show(response)))
    }

    fn slots(&self) -> Vec<(&'static str, String)> {
        vec![("request", quote(&self.request))]
    }

    fn validate(&self) -> Result<(), Error> {
        let request = Phrase { max: 4000, may_span_lines: true, ..Phrase::SHORT };
        request.check(Self::KIND.name, "request", &self.request)
    }

    fn least_words(&self) -> usize {
        text::words(&self.request).count() + 1
    }

    fn fixed_texts(&self) -> Vec<&str> {
        vec![&self.request]
    }

    fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
        body.text = format!("{}\n\n{}", self.request, body.text);
        Some(())
    }
}

impl Origin for RepeatRequest {
    const KIND: Definition = Definition {
        name: "repeat_request",
        wordings: &[
            "Before you answer, repeat this word for word: {request}",
            "Start by copying the following exactly, and answer after it: {request}",
            "The answer must begin with these words, unchanged: {request}",
        ],
        facts: &[Fact::RepeatsRequest, Fact::DecidesStart, Fact::English, Fact::Verbatim, Fact::WithCode],
        rank: |_| Some(3),
        stages: &[Stage::Frame],
        ..Definition::BASE
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { request: fields.string("request")? })
    }

    fn draw(request: &Request<'_>, _: &mut dyn Rng) -> Option<Self> {
        let request = request.text.trim();
        (request.chars().count() <= MAX_DRAWN).then(|| Self { request: request.to_owned() })
    }
}
