//! `language`: a response in a given language.

use super::interface::{Check, Definition, Error, Fact, Fields, Origin, Request, Response, Rng, Rule, Shape};
use crate::constraint::language::{Language, detect};
use rand::seq::IndexedRandom;

/// In that language. `IFEval`: `language:response_language`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct InLanguage {
    /// The language.
    pub language: Language,
}

impl Rule for InLanguage {
    fn check(&self, response: &str) -> Check {
        let Some(found) = detect(response) else {
            return Check::new(false, "found no text whose language shows");
        };
        let message = format!("found {}, expected {}", found.in_words(), self.language.in_words());
        Check::new(found == self.language, message)
    }

    fn slots(&self) -> Vec<(&'static str, String)> {
        vec![("language", self.language.in_words().to_owned())]
    }

    fn is_exempt(&self, fact: Fact) -> bool {
        fact == Fact::Foreign && self.language == Language::English
    }
}

const DRAWN: [Language; 5] =
    [Language::French, Language::German, Language::Italian, Language::Portuguese, Language::Spanish];

/// Phrases about languages, and about what is different in each.
const DECIDED: &str = "language, english, french, german, spanish, italian, portuguese, chinese, japanese, \
     russian, latin, translate, rhyme, rhymes, pun, spelling, grammar";

impl Origin for InLanguage {
    const KIND: Definition = Definition {
        name: "language",
        wordings: &[
            "Write the whole answer in {language}.",
            "The answer must be in {language}, all of it.",
            "Use {language} and no other language for the answer.",
        ],
        facts: &[Fact::Foreign, Fact::FitsTwoAnswers, Fact::GivenByMaterial],
        decided: |request| request.mentions(DECIDED),
        rank: |request| request.rank(&[(Shape::List, 21), (Shape::Open, 29)]),
        derive_rank: 34,
        ..Definition::BASE
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { language: fields.named("language", Language::ALL, Language::name)? })
    }

    fn draw(_: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        Some(Self { language: *DRAWN.choose(rng)? })
    }

    fn derive(response: &Response<'_>, _: &mut dyn Rng) -> Option<Self> {
        let language = response.language.filter(|_| response.is_long() && !response.is_english);
        language.map(|language| Self { language })
    }
}
