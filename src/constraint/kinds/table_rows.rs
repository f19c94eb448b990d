//! `table_rows`: rows of a markdown table.

use super::interface::{
    Body, Definition, Error, Fact, Fields, Noun, Origin, Request, Response, Rng, Shape, Stage, plain_count,
    text,
};
use crate::constraint::pick::any_bound;
use crate::constraint::request::{FORMAT, LAYOUT};
use crate::constraint::response::bound_around;

plain_count! {
    /// Rows of the largest markdown table, without its header.
    TableRows counts rows, needs |n| (n + 1) * 3, and {
        fn impose(&self, stage: Stage, body: &mut Body<'_>) -> Option<()> {
            match stage {
                Stage::Select => body.keep_items(self.bound),
                _ => body.lay_out(table(&body.parts)),
            }
        }
    }
}

/// Rows of the longest table: lines with `|` that follow a header and its line of dashes. What looks like a
/// table within code is not one.
fn rows(response: &str) -> usize {
    let prose = text::Layout::of(response).prose;
    let has_cells = |line: &str| line.contains('|');
    let is_divider = |line: &str| {
        has_cells(line)
            && line.contains('-')
            && line.trim().chars().all(|c| matches!(c, '|' | '-' | ':' | ' ' | '\t'))
    };
    let dividers = (1..prose.len()).filter(|&at| is_divider(prose[at]) && has_cells(prose[at - 1]));
    let rows = |at: usize| prose[at + 1..].iter().take_while(|line| has_cells(line)).count();
    dividers.map(rows).max().unwrap_or(0)
}

/// Two columns: what comes before a colon and what follows it, or else number and text.
fn table(parts: &[String]) -> String {
    let clean = |cell: &str| cell.replace('|', "/").trim().to_owned();
    let split = |part: &String| {
        let (name, rest) = part.split_once(": ")?;
        (text::words(name).count() <= 6).then(|| (clean(name), clean(rest)))
    };
    let named: Option<Vec<(String, String)>> = parts.iter().map(split).collect();
    let numbered = || {
        let row = |(at, part): (usize, &String)| ((at + 1).to_string(), clean(part));
        parts.iter().enumerate().map(row).collect()
    };
    let head = if named.is_some() { "| Item | Description |" } else { "| No. | Point |" };
    let rows = named.unwrap_or_else(numbered);
    let rows: Vec<String> = rows.iter().map(|(name, rest)| format!("| {name} | {rest} |")).collect();
    format!("{head}\n| --- | --- |\n{}", rows.join("\n"))
}

impl Origin for TableRows {
    const KIND: Definition = Definition {
        name: "table_rows",
        noun: Noun::new("row", "rows"),
        wordings: &[
            "Include a markdown table with {amount} under its header.",
            "Put the facts into a markdown table that has {amount}, not counting the header.",
            "There must be a table in markdown, with a header and {amount} below it.",
        ],
        facts: &[Fact::Layout, Fact::BreaksProse, Fact::DecidesEnd, Fact::ImposedOften],
        decided: |request| request.mentions(LAYOUT) || request.mentions(FORMAT),
        rank: |request| request.rank(&[(Shape::List, 7)]),
        derive_rank: 3,
        stages: &[Stage::Select, Stage::LayOut],
    };

    fn read(fields: &mut Fields) -> Result<Self, Error> {
        Ok(Self { bound: fields.bound()? })
    }

    fn draw(_: &Request<'_>, rng: &mut dyn Rng) -> Option<Self> {
        Some(Self { bound: any_bound(2..=5, rng) })
    }

    fn derive(response: &Response<'_>, rng: &mut dyn Rng) -> Option<Self> {
        bound_around(rows(response.text), 1, rng).map(|bound| Self { bound })
    }
}
