//! `word_count`: the length of a response in words.

use super::interface::{
    AnyRule, Body, Bound, Definition, Error, Fact, Fields, Origin, Request, Response, Rng, Shape, Stage,
    plain_count, text,
};
use crate::constraint::bound::WORDS;
use crate::constraint::request::{LENGTH, VERSE};
use rand::RngExt;

plain_count! {
    /// Words. `IFEval`: `length_constraints:number_words`.
    WordCount counts |response| text::words(response).count(), needs |n| n, and {
        fn most_words(&self) -> usize {
            self.bound.most() as usize
        }

        /// 200 words do not fit into three sentences.
        fn rules_out(&self, other: AnyRule<'_>) -> Option<&'static str> {
            let most = other.rule.most_sentences().saturating_mul(25);
            (self.bound.least() as usize > most).then_some("so many words need longer or more sentences")
        }

        fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
            body.keep_while(self.bound, |parts| text::words(&parts.join(" ")).count())
        }
    }
}

impl Origin for WordCount {
    const KIND: Definition = Definition {
        name: "word_count",
        noun: WORDS,
        wordings: &[
            "Write {amount}.",
            "The whole answer must have {amount}.",
            "As for length, I need {amount}.",
        ],
        facts: &[Fact::FitsJson],
        decided: |request| request.mentions(LENGTH) || request.mentions(VERSE),
        rank: |request| {
            request.rank(&[(Shape::YesNo, 5), (Shape::Short, 4), (Shape::List, 10), (Shape::Open, 4)])
        },
        derive_rank: 16,
        stages: &[Stage::Select],
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { bound: fields.bound()? })
    }

    /// Multiples of ten, small where a short answer is wanted.
    fn draw(request: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        if matches!(request.shape, Shape::YesNo | Shape::Short) {
            return Some(Self { bound: Bound::AtMost { n: 10 * rng.random_range(2..=5) } });
        }
        let bound = match rng.random_range(0..3) {
            0 => Bound::AtLeast { n: 10 * rng.random_range(4..=10) },
            1 => Bound::AtMost { n: 10 * rng.random_range(4..=10) },
            _ => {
                let low = 10 * rng.random_range(3..=8);
                Bound::Between { low, high: low + 10 * rng.random_range(3..=5) }
            }
        };
        Some(Self { bound })
    }

    /// Round numbers: nobody asks for 87 words.
    fn derive(response: &Response<'_>, rng: &mut dyn Rng) -> Option<Self> {
        let words = response.words as u32;
        if !response.is_english || words < 20 {
            return None;
        }
        let step = match words {
            0..100 => 10,
            100..300 => 25,
            _ => 50,
        };
        let low = words / step * step;
        // Some room, also for those who count "don't" as one word.
        let high = (words + step / 2).next_multiple_of(step);
        let bound = match rng.random_range(0..3) {
            0 => Bound::AtLeast { n: low },
            1 => Bound::AtMost { n: high },
            _ => Bound::Between { low, high },
        };
        Some(Self { bound })
    }
}
