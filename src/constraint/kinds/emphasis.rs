//! `highlight_count` and `capital_word_count`: passages that stand out.

use super::interface::{
    Body, Bound, Definition, Error, Fact, Fields, Noun, Origin, Request, Response, Rng, Shape, Stage,
    plain_count, text,
};
use crate::constraint::pick::at_least;
use crate::constraint::request::LETTER_CASE;
use crate::constraint::response::bound_around;

/// Phrases about words that stand out.
const DECIDED: &str = "bold, italic, italics, highlight, emphasize, emphasise, underline";

plain_count! {
    /// Passages emphasised with asterisks. `IFEval`: `detectable_format:number_highlighted_sections`.
    HighlightCount counts highlights, needs |n| n, and {
        fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
            body.mark_words(self.bound, |word| format!("*{word}*"))
        }
    }
}

/// What looks like emphasis within code is not: it is a product or a pointer.
fn highlights(response: &str) -> usize {
    text::Layout::of(response).prose.into_iter().map(in_line).sum()
}

/// Passages between runs of one, two or three asterisks, on one line, each with a letter or digit; one within
/// another counts too. The first run has no space after it and the last none before, so `2 * 3 * 4` and a
/// bullet do not count.
fn in_line(line: &str) -> usize {
    let chars: Vec<char> = line.chars().collect();
    let is_text = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(|c| !c.is_whitespace());
    // Open runs: their length and the position after them.
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut count = 0;
    let mut at = 0;
    while at < chars.len() {
        let end = at + chars[at..].iter().take_while(|&&c| c == '*').count();
        let mut length = end - at;
        if length > 0 && is_text(at.checked_sub(1)) {
            // One run may close several: `**a *b***`.
            while let Some(which) = open.iter().rposition(|&(opened, _)| opened <= length) {
                let (opened, start) = open[which];
                count += usize::from(chars[start..at].iter().any(|c| c.is_alphanumeric()));
                open.truncate(which);
                length -= opened;
            }
        }
        if (1..=3).contains(&length) && is_text(Some(end)) {
            open.push((length, end));
        }
        at = end.max(at + 1);
    }
    count
}

impl Origin for HighlightCount {
    const KIND: Definition = Definition {
        name: "highlight_count",
        noun: Noun::new("highlighted part", "highlighted parts"),
        wordings: &[
            "Mark {amount} with asterisks, *like this*.",
            "The answer must have {amount}, each between asterisks (*so*).",
            "Emphasise what matters in markdown, *in this way*: {amount}.",
        ],
        decided: |request| request.mentions(DECIDED),
        rank: |request| {
            let shapes = [(Shape::Calculation, 6), (Shape::Short, 11), (Shape::List, 9), (Shape::Open, 13)];
            request.rank(&shapes)
        },
        derive_rank: 5,
        stages: &[Stage::Emphasise],
        ..Definition::BASE
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { bound: fields.bound()? })
    }

    fn draw(_: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        Some(Self { bound: at_least(1..=3, rng) })
    }

    fn derive(response: &Response<'_>, rng: &mut dyn Rng) -> Option<Self> {
        bound_around(highlights(response.text), 1, rng).map(|bound| Self { bound })
    }
}

plain_count! {
    /// Words in capital letters, of two letters or more. `IFEval`: `change_case:capital_word_frequency`.
    CapitalWordCount counts capital_words, needs |n| n, and {
        fn impose(&self, _: Stage, body: &mut Body<'_>) -> Option<()> {
            body.mark_words(self.bound, str::to_uppercase)
        }
    }
}

/// Words without lower-case letters, of two letters or more ("I" and "A" are capital anyway). "WELL-KNOWN",
/// "R&D" and "U.S." are one word each.
fn capital_words(response: &str) -> usize {
    let is_part = |c: char| text::is_word_char(c) || matches!(c, '-' | '&' | '.' | '\'' | '\u{2019}');
    let is_capital = |word: &&str| {
        let letters = || word.chars().filter(|c| c.is_alphabetic());
        letters().count() >= 2 && letters().all(char::is_uppercase)
    };
    response.split(|c| !is_part(c)).filter(is_capital).count()
}

impl Origin for CapitalWordCount {
    const KIND: Definition = Definition {
        name: "capital_word_count",
        noun: Noun::new("word in capital letters", "words in capital letters"),
        wordings: &[
            "Write {amount}, LIKE this one; single letters do not count.",
            "The answer must have {amount} (such as VERY); single letters do not count.",
            "Use {amount} for emphasis, each of two letters or more, such as NOW.",
        ],
        facts: &[Fact::English, Fact::CaseMatters],
        decided: |request| request.mentions(DECIDED) || request.mentions(LETTER_CASE),
        rank: |request| request.rank(&[(Shape::List, 19), (Shape::Open, 18)]),
        derive_rank: 23,
        stages: &[Stage::Emphasise],
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { bound: fields.bound()? })
    }

    fn draw(_: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        Some(Self { bound: at_least(1..=4, rng) })
    }

    fn derive(response: &Response<'_>, _: &mut dyn Rng) -> Option<Self> {
        let n = if response.is_english { capital_words(response.text) as u32 } else { 0 };
        (1..=20).contains(&n).then_some(Self { bound: Bound::AtLeast { n } })
    }
}
