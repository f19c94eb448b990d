//! The counts: how many of something a response has.
//!
//! **Invariant:** code blocks have no bullets, headings, tables, placeholders or highlights: what looks like
//! them there is code.

use crate::constraint::vocabulary::Unit;
use crate::constraint::{Constraint, sentence, text};

impl Constraint {
    /// How many there are of what it counts; `None` if it counts nothing.
    pub(in crate::constraint) fn measure(&self, response: &str) -> Option<usize> {
        let prose = || text::Layout::of(response).prose;
        Some(match self {
            Self::WordCount { .. } => text::words(response).count(),
            Self::SentenceCount { .. } => sentence::sentences(response).len(),
            Self::ParagraphCount { .. } => text::paragraphs(response).len(),
            Self::DividedParagraphs { .. } => divided_paragraphs(response),
            Self::BulletCount { .. } => prose().into_iter().filter_map(text::bullet).count(),
            Self::NumberedCount { .. } => prose().into_iter().filter_map(text::numbered).count(),
            Self::SectionCount { marker, .. } => sections(&prose(), marker),
            Self::HeadingCount { .. } => prose().into_iter().filter_map(text::heading).count(),
            Self::TableRows { .. } => table_rows(&prose()),
            Self::KeywordCount { word, .. } => {
                text::count_phrase(&response.to_lowercase(), &word.to_lowercase())
            }
            Self::LetterCount { letter, .. } => {
                response.to_lowercase().chars().filter(|c| c == letter).count()
            }
            Self::QuoteCount { .. } => quotes(response),
            Self::PlaceholderCount { .. } => prose().into_iter().map(placeholders).sum(),
            Self::HighlightCount { .. } => prose().into_iter().map(highlights).sum(),
            Self::CapitalWordCount { .. } => capital_words(response),
            Self::NumeralCount { .. } => text::numerals(response).len(),
            Self::UnitCount { unit, .. } => with_unit(response, *unit),
            _ => return None,
        })
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

/// Lines that begin with the marker and a number, with or without markdown before it.
fn sections(prose: &[&str], marker: &str) -> usize {
    let begins = |line: &&&str| {
        let line = line.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '#' | '*' | '_' | '>'));
        let rest = line.strip_prefix(marker).map(str::trim_start);
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    prose.iter().filter(begins).count()
}

/// Rows of the table with the most: lines with `|` that follow a header and its line of dashes.
fn table_rows(prose: &[&str]) -> usize {
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

/// Passages between straight or curly double quotation marks, with a letter or digit, within a paragraph.
fn quotes(response: &str) -> usize {
    let mut count = 0;
    for paragraph in text::paragraphs(response) {
        let mut open: Option<(char, bool)> = None;
        for c in paragraph.chars() {
            match (open, c) {
                (None, '"') => open = Some(('"', false)),
                (None, '\u{201C}') => open = Some(('\u{201D}', false)),
                (Some((close, has_text)), c) if c == close => {
                    count += usize::from(has_text);
                    open = None;
                }
                (Some((close, has_text)), c) => open = Some((close, has_text || c.is_alphanumeric())),
                (None, _) => {}
            }
        }
    }
    count
}

/// Square brackets with a letter in them, on one line. A link, a footnote `[1]`, a check box and an index
/// such as `a[i]` are none.
fn placeholders(line: &str) -> usize {
    let mut count = 0;
    let mut before = None;
    let mut rest = line;
    while let Some(open) = rest.find('[') {
        before = rest[..open].chars().next_back().or(before);
        let Some(close) = rest[open..].find(']').map(|at| open + at) else { break };
        let inside = &rest[open + 1..close];
        rest = &rest[close + 1..];
        let is_index = before.is_some_and(char::is_alphanumeric);
        let is_check_box = matches!(inside, "x" | "X") && line.trim_start().starts_with(['-', '*', '+']);
        let is_blank = inside.contains(char::is_alphabetic) && !rest.starts_with('(');
        count += usize::from(is_blank && !is_index && !is_check_box);
        before = Some(']');
    }
    count
}

/// Passages between runs of one, two or three asterisks, on one line, each with a letter or digit; one within
/// another counts too. The first run has no space after it and the last none before, so that `2 * 3 * 4` and
/// a bullet are none.
fn highlights(line: &str) -> usize {
    let chars: Vec<char> = line.chars().collect();
    let is_text = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(|c| !c.is_whitespace());
    // Open runs: their length and the place behind them.
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

/// Numerals next to a form of the unit.
fn with_unit(response: &str, unit: Unit) -> usize {
    let lower = response.to_lowercase();
    let follows = |rest: &str| {
        let rest = rest.trim_start_matches([' ', '\u{A0}', '\u{202F}', '-']);
        let is_whole = |form: &str| {
            let ends_as_word = form.ends_with(char::is_alphabetic);
            rest.strip_prefix(form)
                .is_some_and(|after| !ends_as_word || !after.starts_with(text::is_word_char))
        };
        unit.suffixes().iter().any(|form| is_whole(form))
    };
    let precedes = |before: &str| {
        let before = before.trim_end_matches([' ', '\u{A0}', '\u{202F}']);
        unit.prefixes().iter().any(|form| {
            let starts_as_word = form.starts_with(char::is_alphabetic);
            let rest = before.strip_suffix(form);
            rest.is_some_and(|rest| !starts_as_word || !rest.ends_with(text::is_word_char))
        })
    };
    let numerals = text::numerals(&lower).into_iter();
    numerals.filter(|(number, at)| follows(&lower[at + number.len()..]) || precedes(&lower[..*at])).count()
}
