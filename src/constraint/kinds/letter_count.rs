//! `letter_count`: uses of a letter.

use super::interface::{
    AnyRule, Bound, Check, Definition, Error, Fact, Fields, Origin, Request, Rng, Rule, Shape,
};
use crate::constraint::fields::bad;
use crate::constraint::pick::at_least;
use crate::constraint::request::LETTERS;
use rand::seq::IndexedRandom;

/// Uses of a letter from a to z, in either case. `IFEval`: `keywords:letter_frequency`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct LetterCount {
    /// The letter, in lower case.
    pub letter: char,
    /// How often it is used.
    #[serde(flatten)]
    pub bound: Bound,
}

fn uses(text: &str, letter: char) -> usize {
    text.to_lowercase().chars().filter(|&c| c == letter).count()
}

impl Rule for LetterCount {
    fn check(&self, response: &str) -> Check {
        Check::counted(uses(response, self.letter), self.bound, Self::KIND.noun)
    }

    fn bound(&self) -> Option<Bound> {
        Some(self.bound)
    }

    fn count(&self, response: &str) -> Option<usize> {
        Some(uses(response, self.letter))
    }

    fn slots(&self) -> Vec<(&'static str, String)> {
        vec![("letter", self.letter.to_string())]
    }

    fn validate(&self) -> Result<(), Error> {
        if self.letter.is_ascii_lowercase() {
            return Ok(());
        }
        let found = format!("`{}`", self.letter);
        Err(bad(Self::KIND.name, "letter", found, "a lower-case letter from `a` to `z`"))
    }

    fn subject(&self) -> Option<String> {
        Some(self.letter.to_string())
    }

    /// The most frequent letters occur in about every other word.
    fn least_words(&self) -> usize {
        self.bound.least() as usize / 3
    }

    /// Texts that have the letter too often, or too many words to do with so few. A rare letter occurs in one
    /// word of ten or fewer, so only a limit that leaves ten words for each is safe.
    fn rules_out(&self, other: AnyRule<'_>) -> Option<&'static str> {
        let most = self.bound.most() as usize;
        let times = other.rule.bound().map_or(1, |bound| bound.least() as usize);
        let texts = other.rule.fixed_texts().into_iter();
        let wanted: usize = texts.map(|text| uses(text, self.letter) * times).sum();
        let needs_more =
            wanted > most || other.rule.least_words() > most.saturating_add(1).saturating_mul(10);
        needs_more.then_some("there is no room for so few of a letter")
    }
}

impl Origin for LetterCount {
    const KIND: Definition = Definition {
        name: "letter_count",
        wordings: &[
            "Use the letter \"{letter}\" {amount}.",
            "The letter \"{letter}\" must occur {amount} in the answer.",
            "Choose your words so that the letter \"{letter}\" appears {amount}.",
        ],
        facts: &[Fact::English, Fact::GivenByMaterial],
        decided: |request| request.mentions(LETTERS),
        rank: |request| request.rank(&[(Shape::Open, 17)]),
        ..Definition::BASE
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { letter: fields.letter("letter")?, bound: fields.bound()? })
    }

    fn draw(_: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        // Letters that are neither frequent nor rare.
        let letter = *['b', 'c', 'f', 'g', 'k', 'p', 'v', 'w'].choose(rng)?;
        Some(Self { letter, bound: at_least(3..=8, rng) })
    }
}
