//! `sentence_count` and `longest_sentence`: how many sentences, and how long.

use super::interface::{
    Body, Bound, Check, Definition, Error, Fact, Fields, Noun, Origin, Request, Response, Rng, Rule, Shape,
    Stage, plain_count, show, text,
};
use crate::constraint::bound::{MAX_COUNT, WORDS};
use crate::constraint::fields::bad;
use crate::constraint::pick::{any_bound, around};
use crate::constraint::request::VERSE;
use crate::constraint::sentence;
use rand::RngExt;

plain_count! {
    /// Sentences. `IFEval`: `length_constraints:number_sentences`.
    SentenceCount counts |response| sentence::sentences(response).len(), needs |n| n * 3, and {
        fn most_sentences(&self) -> usize {
            self.bound.most() as usize
        }

        fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
            body.keep_parts(self.bound)
        }
    }
}

impl Origin for SentenceCount {
    const KIND: Definition = Definition {
        name: "sentence_count",
        noun: Noun::new("sentence", "sentences"),
        wordings: &[
            "Answer in {amount}.",
            "The answer must consist of {amount}.",
            "Say it in {amount} altogether.",
        ],
        facts: &[Fact::Sentences],
        decided: |request| request.mentions(VERSE),
        rank: |request| request.rank(&[(Shape::YesNo, 6), (Shape::Short, 5), (Shape::Open, 5)]),
        derive_rank: 17,
        stages: &[Stage::Select],
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { bound: fields.bound()? })
    }

    fn draw(request: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        let bound = match request.shape {
            Shape::YesNo | Shape::Short => Bound::AtMost { n: rng.random_range(1..=2) },
            _ => any_bound(2..=5, rng),
        };
        Some(Self { bound })
    }

    fn derive(response: &Response<'_>, rng: &mut dyn Rng) -> Option<Self> {
        let count = response.sentences.len();
        if !response.is_prose || !(2..=12).contains(&count) {
            return None;
        }
        Some(Self { bound: around(count as u32, rng) })
    }
}

/// No sentence has more than `n` words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct LongestSentence {
    /// The most words.
    pub n: u32,
}

impl Rule for LongestSentence {
    fn check(&self, response: &str) -> Check {
        let sentences = sentence::sentences(response);
        let lengths = sentences.iter().map(|sentence| (text::words(sentence).count(), sentence));
        let Some((length, longest)) = lengths.max_by_key(|&(length, _)| length) else {
            return Check::new(false, "found no sentence");
        };
        let shown = show(longest);
        let found = format!("the longest sentence has {length} words: {shown}, expected at most {}", self.n);
        Check::new(length <= self.n as usize, found)
    }

    fn slots(&self) -> Vec<(&'static str, String)> {
        vec![("n", WORDS.amount(self.n))]
    }

    fn validate(&self) -> Result<(), Error> {
        check_words(Self::KIND.name, self.n)
    }

    fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
        body.leave_out(|part| self.check(part).passed)
    }
}

/// A number of words that a sentence or an item can be limited to.
pub(super) fn check_words(kind: &'static str, n: u32) -> Result<(), Error> {
    if (1..=MAX_COUNT).contains(&n) {
        return Ok(());
    }
    Err(bad(kind, "n", format!("`{n}`"), format!("1 to {MAX_COUNT}")))
}

impl Origin for LongestSentence {
    const KIND: Definition = Definition {
        name: "longest_sentence",
        noun: WORDS,
        wordings: &[
            "No sentence may have more than {n}.",
            "Keep every sentence to {n} at the most.",
            "Write short sentences: {n} or fewer in each.",
        ],
        facts: &[Fact::Sentences, Fact::FitsTwoAnswers],
        decided: |request| request.mentions(VERSE),
        rank: |request| request.rank(&[(Shape::Calculation, 7), (Shape::Open, 9)]),
        derive_rank: 18,
        stages: &[Stage::Select],
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { n: fields.number("n")? })
    }

    fn draw(_: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        Some(Self { n: 5 * rng.random_range(3..=5) })
    }

    fn derive(response: &Response<'_>, _: &mut dyn Rng) -> Option<Self> {
        let lengths = response.sentences.iter().map(|sentence| text::words(sentence).count());
        let longest = lengths.max().unwrap_or(0);
        if !response.is_prose || response.sentences.len() < 2 || longest > 30 {
            return None;
        }
        Some(Self { n: (longest as u32).next_multiple_of(5) })
    }
}
