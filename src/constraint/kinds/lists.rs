//! `bullet_count`, `numbered_count` and `bullet_words`: items of a list, and how long they are.
//!
//! What looks like an item within code is not one.

use super::interface::{
    Body, Check, Definition, Error, Fact, Fields, Noun, Origin, Request, Response, Rng, Rule, Shape, Stage,
    plain_count, show, text,
};
use super::sentences::check_words;
use crate::constraint::body::{BULLET, NUMBER};
use crate::constraint::bound::WORDS;
use crate::constraint::pick::any_bound;
use crate::constraint::request::{FORMAT, LAYOUT, LENGTH};
use crate::constraint::response::bound_around;
use rand::RngExt;

plain_count! {
    /// Items marked by a bullet. `IFEval`: `detectable_format:number_bullet_lists`.
    BulletCount counts bullets, needs |n| n * 3, and {
        fn impose(&self, stage: Stage, body: &mut Body<'_>) -> Option<()> {
            match stage {
                Stage::Select => body.keep_items(self.bound),
                _ => body.lay_out_list(BULLET),
            }
        }
    }
}

fn bullets(response: &str) -> usize {
    text::Layout::of(response).prose.into_iter().filter_map(text::bullet).count()
}

impl Origin for BulletCount {
    const KIND: Definition = Definition {
        name: "bullet_count",
        noun: Noun::new("bullet point", "bullet points"),
        wordings: &[
            "Use {amount}, each on a line that begins with \"- \".",
            "The answer must have {amount} in markdown (\"- \" at the start of a line).",
            "I want to see {amount}, marked with a hyphen.",
        ],
        facts: &[Fact::Layout, Fact::BreaksProse, Fact::ImposedOften],
        decided: |request| request.mentions(LAYOUT) || request.mentions(FORMAT),
        rank: |request| request.rank(&[(Shape::List, 4), (Shape::Open, 10)]),
        derive_rank: 0,
        stages: &[Stage::Select, Stage::LayOut],
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { bound: fields.bound()? })
    }

    fn draw(_: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        Some(Self { bound: any_bound(3..=6, rng) })
    }

    fn derive(response: &Response<'_>, rng: &mut dyn Rng) -> Option<Self> {
        bound_around(bullets(response.text), 2, rng).map(|bound| Self { bound })
    }
}

plain_count! {
    /// Items marked by a number.
    NumberedCount counts numbered, needs |n| n * 3, and {
        fn impose(&self, stage: Stage, body: &mut Body<'_>) -> Option<()> {
            match stage {
                Stage::Select => body.keep_items(self.bound),
                _ => body.lay_out_list(NUMBER),
            }
        }
    }
}

fn numbered(response: &str) -> usize {
    text::Layout::of(response).prose.into_iter().filter_map(text::numbered).count()
}

impl Origin for NumberedCount {
    const KIND: Definition = Definition {
        name: "numbered_count",
        noun: Noun::new("numbered item", "numbered items"),
        wordings: &[
            "Give a numbered list (1., 2., ...) with {amount}.",
            "The answer must have {amount}, one on each line, such as \"1. First\".",
            "Number your points like 1., 2., 3.; I want {amount}.",
        ],
        facts: &[Fact::Layout, Fact::BreaksProse, Fact::NeedsDigits, Fact::ImposedOften],
        decided: |request| request.mentions(LAYOUT) || request.mentions(FORMAT),
        rank: |request| request.rank(&[(Shape::Calculation, 5), (Shape::List, 6)]),
        derive_rank: 1,
        stages: &[Stage::Select, Stage::LayOut],
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { bound: fields.bound()? })
    }

    fn draw(_: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        Some(Self { bound: any_bound(3..=6, rng) })
    }

    fn derive(response: &Response<'_>, rng: &mut dyn Rng) -> Option<Self> {
        bound_around(numbered(response.text), 2, rng).map(|bound| Self { bound })
    }
}

/// The response has bullet points, and none has more than `n` words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct BulletWords {
    /// The most words.
    pub n: u32,
}

impl Rule for BulletWords {
    fn check(&self, response: &str) -> Check {
        let layout = text::Layout::of(response);
        let items = layout.prose.into_iter().filter_map(text::bullet);
        let lengths = items.map(|item| (text::words(item).count(), item));
        let Some((length, longest)) = lengths.max_by_key(|&(length, _)| length) else {
            return Check::new(false, "found no bullet point");
        };
        let shown = show(longest);
        let found =
            format!("the longest bullet point has {length} words: {shown}, expected at most {}", self.n);
        Check::new(length <= self.n as usize, found)
    }

    fn slots(&self) -> Vec<(&'static str, String)> {
        vec![("n", WORDS.amount(self.n))]
    }

    fn validate(&self) -> Result<(), Error> {
        check_words(Self::KIND.name, self.n)
    }

    fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
        body.lay_out_list(BULLET)
    }
}

impl Origin for BulletWords {
    const KIND: Definition = Definition {
        name: "bullet_words",
        noun: WORDS,
        wordings: &[
            "Answer with bullet points (\"- \"), each of at most {n}.",
            "Use bullet points that begin with a hyphen, and give none more than {n}.",
            "Make it a bulleted list in which no item is longer than {n}.",
        ],
        facts: &[Fact::Layout, Fact::BreaksProse],
        decided: |request| request.mentions(LAYOUT) || request.mentions(LENGTH),
        rank: |request| request.rank(&[(Shape::List, 5)]),
        derive_rank: 8,
        stages: &[Stage::LayOut],
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { n: fields.number("n")? })
    }

    fn draw(_: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        Some(Self { n: rng.random_range(6..=12) })
    }

    fn derive(response: &Response<'_>, _: &mut dyn Rng) -> Option<Self> {
        let items = response.layout.prose.iter().filter_map(|line| text::bullet(line));
        let longest = items.map(|item| text::words(item).count()).max();
        longest.map(|longest| Self { n: (longest as u32).next_multiple_of(5) })
    }
}
