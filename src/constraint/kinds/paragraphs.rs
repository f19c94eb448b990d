//! `paragraph_count`, `divided_paragraphs` and `paragraph_start`: how many paragraphs there are, what divides
//! them, and how one of them begins.

use super::interface::{
    Body, Bound, Check, Definition, Error, Fact, Fields, Noun, Origin, Request, Response, Rng, Rule, Shape,
    Stage, plain_count, show, text,
};
use crate::constraint::bound::MAX_COUNT;
use crate::constraint::fields::bad;
use crate::constraint::pick::{exactly, one_of};
use crate::constraint::request::{OPENING, VERSE};
use crate::constraint::response::bound_around;
use crate::constraint::wording::quote;
use rand::RngExt;

const PARAGRAPHS: Noun = Noun::new("paragraph", "paragraphs");

/// Phrases about paragraphs, or about texts that have their own.
const DECIDED: &str = "paragraph, paragraphs, essay, stanza, stanzas, letter, email, e-mail";

plain_count! {
    /// Paragraphs that are divided by blank lines.
    ParagraphCount counts |response| text::paragraphs(response).len(), needs |n| n * 8, and {
        fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
            body.lay_out(body.groups(self.bound)?.join("\n\n"))
        }
    }
}

impl Origin for ParagraphCount {
    const KIND: Definition = Definition {
        name: "paragraph_count",
        noun: PARAGRAPHS,
        wordings: &[
            "Write {amount}, with a blank line between one and the next.",
            "The answer must have {amount}; leave a blank line after each.",
            "Set it out as {amount}, kept apart by blank lines.",
        ],
        facts: &[Fact::Paragraphs, Fact::GivenByMaterial],
        decided: |request| request.mentions(VERSE) || request.mentions(DECIDED),
        rank: |request| request.rank(&[(Shape::Open, 6)]),
        derive_rank: 19,
        stages: &[Stage::LayOut],
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { bound: fields.bound()? })
    }

    fn draw(_: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        Some(Self { bound: exactly(2..=3, rng) })
    }

    fn derive(response: &Response<'_>, _: &mut dyn Rng) -> Option<Self> {
        let count = text::paragraphs(response.text).len() as u32;
        let states_it = response.is_prose && FEW.contains(&count);
        states_it.then_some(Self { bound: Bound::Exactly { n: count } })
    }
}

/// Numbers of paragraphs that are worth stating.
const FEW: std::ops::RangeInclusive<u32> = 2..=8;

plain_count! {
    /// Paragraphs that are divided by lines of `***`. `IFEval`: `length_constraints:number_paragraphs`.
    DividedParagraphs counts divided_paragraphs, needs |n| n * 8, and {
        fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
            body.lay_out(body.groups(self.bound)?.join("\n\n***\n\n"))
        }
    }
}

/// Stretches of text between lines that are `***`.
fn divided_paragraphs(response: &str) -> usize {
    let mut count = 0;
    let mut is_blank = true;
    for line in response.lines() {
        if line.trim() == "***" {
            is_blank = true;
        } else if is_blank && !line.trim().is_empty() {
            is_blank = false;
            count += 1;
        }
    }
    count
}

impl Origin for DividedParagraphs {
    const KIND: Definition = Definition {
        name: "divided_paragraphs",
        noun: PARAGRAPHS,
        wordings: &[
            "Write {amount} and put a line with only *** between one and the next.",
            "The text must have {amount}, divided by lines that are just ***.",
            "Split the answer into {amount}; a line of three asterisks (***) divides them.",
        ],
        facts: &[Fact::Paragraphs, Fact::GivenByMaterial],
        decided: |request| request.mentions(DECIDED),
        rank: |request| request.rank(&[(Shape::Open, 7)]),
        derive_rank: 4,
        stages: &[Stage::LayOut],
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { bound: fields.bound()? })
    }

    fn draw(_: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        Some(Self { bound: exactly(2..=3, rng) })
    }

    fn derive(response: &Response<'_>, rng: &mut dyn Rng) -> Option<Self> {
        let bound = bound_around(divided_paragraphs(response.text), 2, rng);
        bound.map(|bound| Self { bound })
    }
}

/// A number of paragraphs, the `nth` of which begins with `word`. `IFEval`:
/// `length_constraints:nth_paragraph_first_word`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
pub struct ParagraphStart {
    /// How many paragraphs.
    pub paragraphs: u32,
    /// Which of them, from 1.
    pub nth: u32,
    /// Its first word, in lower case; a response may have it in any case.
    pub word: String,
}

impl Rule for ParagraphStart {
    /// The first word is what stands before a space or punctuation, without quotes and emphasis before it; a
    /// hyphen joins.
    fn check(&self, response: &str) -> Check {
        let Self { paragraphs, nth, word } = self;
        let parts = text::paragraphs(response);
        let count = format!("found {}, expected {paragraphs}", PARAGRAPHS.amount(parts.len() as u64));
        let Some(paragraph) = parts.get((*nth as usize).saturating_sub(1)) else {
            return Check::new(false, count);
        };
        let begin = paragraph.trim_start_matches(|c: char| !text::is_word_char(c));
        let first = begin.split(|c| !text::is_word_char(c) && c != '-').next().unwrap_or("");
        let first = first.trim_end_matches('-').to_lowercase();
        let passed = parts.len() == *paragraphs as usize && first == word.to_lowercase();
        Check::new(
            passed,
            format!("{count}; paragraph {nth} begins with {}, expected `{word}`", show(&first)),
        )
    }

    fn slots(&self) -> Vec<(&'static str, String)> {
        vec![
            ("paragraphs", PARAGRAPHS.amount(self.paragraphs)),
            ("nth", self.nth.to_string()),
            ("word", quote(&self.word)),
        ]
    }

    fn validate(&self) -> Result<(), Error> {
        let Self { paragraphs, nth, word } = self;
        let bad = |field, found, expected: &str| Err(bad(Self::KIND.name, field, found, expected));
        if !(1..=MAX_COUNT).contains(paragraphs) {
            return bad("paragraphs", format!("`{paragraphs}`"), "1 to 100000");
        }
        if !(1..=*paragraphs).contains(nth) {
            return bad("nth", format!("`{nth}`"), "1 to `paragraphs`");
        }
        let is_word = !word.is_empty() && word.chars().all(text::is_word_char);
        let is_lower = word.chars().flat_map(char::to_lowercase).eq(word.chars());
        if is_word && is_lower { Ok(()) } else { bad("word", format!("`{word}`"), "one word in lower case") }
    }

    fn is_exempt(&self, fact: Fact) -> bool {
        fact == Fact::DecidesStart && self.nth != 1
    }

    fn least_words(&self) -> usize {
        self.paragraphs as usize * 8
    }

    fn fixed_texts(&self) -> Vec<&str> {
        vec![&self.word]
    }
}

impl Origin for ParagraphStart {
    const KIND: Definition = Definition {
        name: "paragraph_start",
        noun: PARAGRAPHS,
        wordings: &[
            "Write exactly {paragraphs} with a blank line between them; the first word of paragraph \
             {nth} must be {word}.",
            "The answer must have {paragraphs}, separated by blank lines, and paragraph {nth} must begin \
             with {word}.",
            "Let {word} be the first word of paragraph {nth}. There must be {paragraphs} in all, \
             kept apart by blank lines.",
        ],
        facts: &[Fact::Paragraphs, Fact::DecidesStart, Fact::English, Fact::GivenByMaterial],
        decided: |request| [VERSE, DECIDED, OPENING].iter().any(|phrases| request.mentions(phrases)),
        rank: |request| request.rank(&[(Shape::Open, 8)]),
        derive_rank: 20,
        ..Definition::BASE
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        let (paragraphs, nth) = (fields.number("paragraphs")?, fields.number("nth")?);
        Ok(Self { paragraphs, nth, word: fields.string("word")? })
    }

    fn draw(_: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        let paragraphs = rng.random_range(2..=3);
        let nth = rng.random_range(1..=paragraphs);
        let word = one_of(&["first", "today", "finally", "because", "imagine", "still"], rng)?;
        Some(Self { paragraphs, nth, word })
    }

    fn derive(response: &Response<'_>, rng: &mut dyn Rng) -> Option<Self> {
        let parts = text::paragraphs(response.text);
        let paragraphs = parts.len() as u32;
        if !response.is_prose || !FEW.contains(&paragraphs) {
            return None;
        }
        let nth = rng.random_range(1..=paragraphs);
        let word = text::words(parts[nth as usize - 1]).next().unwrap_or("").to_lowercase();
        Some(Self { paragraphs, nth, word })
    }
}
