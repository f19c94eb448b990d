//! `keywords`, `forbidden_words` and `keyword_count`: words and phrases that occur, or do not.
//!
//! They are looked for as whole words, in any case: "art" is not in "party".

use super::interface::{
    AnyRule, Body, Bound, Check, Definition, Error, Fact, Fields, Origin, Request, Response, Rng, Rule,
    Shape, Stage, show, text,
};
use crate::constraint::fields::{Phrase, check_phrases};
use crate::constraint::pick::{at_least, one_of, some_of};
use crate::constraint::request::{LENGTH, LETTERS};
use crate::constraint::wording::{list, quote};
use rand::RngExt;
use rand::seq::IndexedRandom;

/// Phrases about words that must or must not occur.
const MENTION: &str = "mention, mentioning, include, includes, using, without, avoid, keyword";

/// All of these words or phrases. `IFEval`: `keywords:existence`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Keywords {
    /// The words.
    pub words: Vec<String>,
}

/// The words that occur, and those that do not.
fn part<'a>(response: &str, words: &'a [String]) -> (Vec<&'a str>, Vec<&'a str>) {
    let lower = response.to_lowercase();
    words.iter().map(String::as_str).partition(|word| text::count_phrase(&lower, &word.to_lowercase()) > 0)
}

fn shown(words: &[&str]) -> String {
    words.iter().map(|word| show(word)).collect::<Vec<_>>().join(", ")
}

impl Rule for Keywords {
    fn check(&self, response: &str) -> Check {
        let (present, missing) = part(response, &self.words);
        match missing.as_slice() {
            [] => Check::new(true, format!("found {}", shown(&present))),
            missing => Check::new(false, format!("did not find {}", shown(missing))),
        }
    }

    fn slots(&self) -> Vec<(&'static str, String)> {
        vec![("words", list(&self.words, "and"))]
    }

    fn validate(&self) -> Result<(), Error> {
        check_phrases(Self::KIND.name, "words", &self.words, 1)
    }

    fn least_words(&self) -> usize {
        self.words.iter().map(|word| text::words(word).count()).sum()
    }

    fn fixed_texts(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }
}

/// Words that fit into nearly any text.
const EASY_WORDS: [&str; 10] =
    ["because", "example", "together", "simple", "change", "reason", "people", "often", "small", "later"];

impl Origin for Keywords {
    const KIND: Definition = Definition {
        name: "keywords",
        wordings: &[
            "Use {words} in the answer.",
            "The answer must mention {words}.",
            "Work in {words} somewhere.",
        ],
        facts: &[Fact::English, Fact::FitsJson, Fact::FitsTwoAnswers, Fact::FitsRepeatedRequest],
        decided: |request| request.mentions(LENGTH) || request.mentions(MENTION),
        rank: |request| request.rank(&[(Shape::List, 11), (Shape::Open, 14)]),
        derive_rank: 21,
        ..Definition::BASE
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { words: fields.strings("words")? })
    }

    fn draw(request: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        let mut words = vec![one_of(&EASY_WORDS, rng)?];
        words.extend(one_of(&request.content, rng).filter(|word| *word != words[0]));
        Some(Self { words })
    }

    fn derive(response: &Response<'_>, rng: &mut dyn Rng) -> Option<Self> {
        if !response.is_english {
            return None;
        }
        let n = rng.random_range(1..=3);
        Some(Self { words: response.own_words.sample(rng, n).cloned().collect() })
    }
}

/// None of these words or phrases. `IFEval`: `keywords:forbidden_words`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub struct ForbiddenWords {
    /// The words.
    pub words: Vec<String>,
}

impl Rule for ForbiddenWords {
    fn check(&self, response: &str) -> Check {
        let (present, _) = part(response, &self.words);
        match present.as_slice() {
            [] => Check::new(true, "found none of the words"),
            present => Check::new(false, format!("found {}", shown(present))),
        }
    }

    fn slots(&self) -> Vec<(&'static str, String)> {
        vec![("words", list(&self.words, "or"))]
    }

    fn validate(&self) -> Result<(), Error> {
        check_phrases(Self::KIND.name, "words", &self.words, 1)
    }

    fn rules_out(&self, other: AnyRule<'_>) -> Option<&'static str> {
        let forbidden: Vec<String> = self.words.iter().map(|word| word.to_lowercase()).collect();
        let is_in = |text: &str| {
            let text = text.to_lowercase();
            forbidden.iter().any(|word| text::count_phrase(&text, word) > 0)
        };
        // A limit on a word that must not occur says nothing.
        let limited = other.is::<KeywordCount>() && other.rule.subject().is_some_and(|word| is_in(&word));
        let wanted = limited || other.rule.fixed_texts().into_iter().any(is_in);
        wanted.then_some("the same words are wanted and forbidden")
    }

    fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
        body.leave_out(|part| self.check(part).passed)
    }
}

/// Words that writers reach for, so that doing without them is an effort.
const FILLERS: [&str; 12] = [
    "very",
    "really",
    "important",
    "great",
    "good",
    "many",
    "also",
    "however",
    "always",
    "just",
    "various",
    "interesting",
];

impl Origin for ForbiddenWords {
    const KIND: Definition = Definition {
        name: "forbidden_words",
        wordings: &[
            "Do not use {words} anywhere.",
            "Find a way to answer without {words}.",
            "The answer must never say {words}.",
        ],
        facts: &[Fact::English, Fact::FitsJson, Fact::FitsTwoAnswers],
        decided: |request| request.mentions(LENGTH) || request.mentions(MENTION),
        rank: |request| request.rank(&[(Shape::List, 12), (Shape::Open, 15)]),
        derive_rank: 33,
        stages: &[Stage::Select],
        ..Definition::BASE
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { words: fields.strings("words")? })
    }

    fn draw(request: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        let n = rng.random_range(1..=3);
        let mut words = some_of(&FILLERS, n, rng);
        words.retain(|word| !request.content.contains(word));
        Some(Self { words })
    }

    fn derive(response: &Response<'_>, rng: &mut dyn Rng) -> Option<Self> {
        if !response.is_long() {
            return None;
        }
        let lower = response.text.to_lowercase();
        let absent: Vec<&str> =
            FILLERS.iter().copied().filter(|word| text::count_phrase(&lower, word) == 0).collect();
        let n = rng.random_range(1..=3);
        Some(Self { words: some_of(&absent, n, rng) })
    }
}

/// Uses of a word or phrase. `IFEval`: `keywords:frequency`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub struct KeywordCount {
    /// The word or phrase.
    pub word: String,
    /// How often it is used.
    #[serde(flatten)]
    pub bound: Bound,
}

fn uses(response: &str, word: &str) -> usize {
    text::count_phrase(&response.to_lowercase(), &word.to_lowercase())
}

impl Rule for KeywordCount {
    fn check(&self, response: &str) -> Check {
        Check::counted(uses(response, &self.word), self.bound, Self::KIND.noun)
    }

    fn bound(&self) -> Option<Bound> {
        Some(self.bound)
    }

    fn count(&self, response: &str) -> Option<usize> {
        Some(uses(response, &self.word))
    }

    fn slots(&self) -> Vec<(&'static str, String)> {
        vec![("word", quote(&self.word))]
    }

    fn validate(&self) -> Result<(), Error> {
        Phrase::SHORT.check(Self::KIND.name, "word", &self.word)
    }

    fn subject(&self) -> Option<String> {
        Some(self.word.to_lowercase())
    }

    fn least_words(&self) -> usize {
        self.bound.least() as usize * text::words(&self.word).count()
    }

    fn fixed_texts(&self) -> Vec<&str> {
        if self.bound.least() > 0 { vec![&self.word] } else { Vec::new() }
    }

    fn rules_out(&self, other: AnyRule<'_>) -> Option<&'static str> {
        let is_same = |other: &&str| other.to_lowercase() == self.word.to_lowercase();
        let is_keyword = other.is::<Keywords>() && other.rule.fixed_texts().iter().any(is_same);
        is_keyword.then_some("the same word is asked for twice")
    }
}

impl Origin for KeywordCount {
    const KIND: Definition = Definition {
        name: "keyword_count",
        wordings: &[
            "Use {word} {amount}.",
            "The answer must contain {word} {amount}.",
            "Let {word} appear {amount}.",
        ],
        facts: &[Fact::English, Fact::FitsJson],
        decided: |request| request.mentions(LENGTH) || request.mentions(LETTERS),
        rank: |request| request.rank(&[(Shape::Open, 16)]),
        derive_rank: 22,
        ..Definition::BASE
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { word: fields.string("word")?, bound: fields.bound()? })
    }

    fn draw(request: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        let bound = at_least(2..=3, rng);
        Some(Self { word: one_of(&request.content, rng)?, bound })
    }

    fn derive(response: &Response<'_>, rng: &mut dyn Rng) -> Option<Self> {
        if !response.is_english {
            return None;
        }
        let words = response.own_words.iter().chain(&response.request.content);
        let counted = words.map(|word| (word, uses(response.text, word) as u32));
        let often: Vec<(&String, u32)> = counted.filter(|&(_, times)| times >= 2).collect();
        let &(word, n) = often.choose(rng)?;
        Some(Self { word: word.clone(), bound: Bound::AtLeast { n } })
    }
}
