//! The words around a possible sentence end, and the decision about it.
//!
//! **Invariant:** a decision depends only on two neighbouring words and the model.

use std::sync::LazyLock;

use regex::Regex;

use super::model::{ENGLISH, Seen};

/// The entry that stands for all numbers in the model.
const NUMBER: &str = "##number##";

/// Whether a character is a closing or straight quotation mark or a closing bracket.
pub(super) fn is_closing(c: char) -> bool {
    matches!(c, '"' | '\'' | ')' | ']' | '}' | '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}' | '«' | '»')
}

/// Whether a character is never part of a word.
pub(super) fn is_non_word(c: char) -> bool {
    is_closing(c) || matches!(c, ';' | '*' | ':' | '@' | '(' | '{' | '[' | '?' | '!')
}

/// Whether a word of several characters cannot start with this character.
fn cannot_begin(c: char) -> bool {
    matches!(c, '(' | '"' | '`' | '{' | '[' | ':' | ';' | '&' | '#' | '*' | '@' | ')' | '}' | ']' | '-' | ',')
}

/// Splits a line into words and punctuation. Full stops stay with their words.
pub(super) fn tokens(line: &str) -> Vec<String> {
    let chars: Vec<char> = line.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if chars[at].is_whitespace() {
            at += 1;
            continue;
        }
        let rest = &chars[at..];
        let run = run(rest);
        let len = match run {
            0 if cannot_begin(rest[0]) => 1,
            0 => (1..rest.len()).find(|&len| is_end(&rest[len..])).unwrap_or(rest.len()),
            len => len,
        };
        tokens.push(rest[..len].iter().collect());
        at += len;
    }
    tokens
}

/// The length of a run at the start: of dashes, of full stops, or of at least three full stops with single
/// spaces between them. 0 if there is none.
fn run(chars: &[char]) -> usize {
    for mark in ['-', '.'] {
        let len = chars.iter().take_while(|&&c| c == mark).count();
        if len > 1 {
            return len;
        }
    }
    let mut len = 0;
    while chars.get(len) == Some(&'.') && chars.get(len + 1).is_some_and(|c| c.is_whitespace()) {
        len += 2;
    }
    if chars.get(len) == Some(&'.') {
        len += 1;
    } else {
        // The last space is not followed by a full stop, so it is not part of the run.
        len = len.saturating_sub(1);
    }
    if len >= 5 { len } else { 0 }
}

/// Whether a word ends before these characters.
fn is_end(rest: &[char]) -> bool {
    let ends = |rest: &[char]| match rest.first() {
        None => true,
        Some(&c) => c.is_whitespace() || is_non_word(c) || run(rest) > 0,
    };
    ends(rest) || rest[0] == ',' && ends(&rest[1..])
}

/// A word with the properties that follow from its form alone.
#[derive(Debug)]
pub(super) struct Word {
    text: String,
    /// The word in lower case; [`NUMBER`] for all numbers.
    kind: String,
    is_break: bool,
    is_abbreviation: bool,
    is_ellipsis: bool,
}

impl Word {
    /// Derives the properties. A lone mark ends a sentence, and so does the full stop of a word that is not
    /// an abbreviation.
    pub(super) fn new(text: String) -> Self {
        static DIGITS: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"^-?[.,]?\d[\d,.\-]*$").expect("a constant pattern"));
        let small = text.to_lowercase();
        let is_mark = matches!(text.as_str(), "." | "?" | "!");
        let is_ellipsis = text.len() > 1 && text.bytes().all(|byte| byte == b'.');
        let stem = text.strip_suffix('.').filter(|stem| !stem.ends_with('.') && !is_mark);
        let is_abbreviation = stem.is_some_and(|stem| ENGLISH.is_abbreviation(&stem.to_lowercase()));
        let kind = if DIGITS.is_match(&small) { NUMBER.to_owned() } else { small };
        let is_break = is_mark || stem.is_some() && !is_abbreviation;
        Self { text, kind, is_break, is_abbreviation, is_ellipsis }
    }

    fn kind_without_stop(&self) -> &str {
        match self.kind.strip_suffix('.') {
            Some(kind) if !kind.is_empty() => kind,
            _ => &self.kind,
        }
    }

    /// The entry to look up in the model: without the full stop if that ends a sentence.
    fn entry(&self) -> &str {
        if self.is_break { self.kind_without_stop() } else { &self.kind }
    }

    fn begins(&self, is_case: fn(char) -> bool) -> bool {
        self.text.chars().next().is_some_and(is_case)
    }

    /// Whether the word is a single letter with a full stop.
    fn is_initial(&self) -> bool {
        static INITIAL: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"^[\w--\d]\.$").expect("a constant pattern"));
        INITIAL.is_match(&self.text)
    }

    /// Whether the word starts a sentence, by its case (section 4.1.1 of the paper); `None` if its case does
    /// not decide.
    fn begins_sentence(&self) -> Option<bool> {
        if matches!(self.text.as_str(), ";" | ":" | "," | "." | "!" | "?") {
            return Some(false);
        }
        let seen = ENGLISH.seen(self.entry());
        let is_known_small = matches!(seen, Seen::CapitalInitially | Seen::LowerInitially);
        if self.begins(char::is_uppercase) && is_known_small {
            return Some(true);
        }
        let may_begin_small = seen == Seen::LowerInitially;
        (self.begins(char::is_lowercase) && !may_begin_small).then_some(false)
    }
}

/// Whether a sentence ends with the first word, given the second (section 4 of the paper).
pub(super) fn breaks_between(first: &Word, second: &Word) -> bool {
    if !first.text.ends_with('.') {
        return first.is_break;
    }
    let (kind, next) = (first.kind_without_stop(), second.entry());
    if ENGLISH.is_collocation(kind, next) {
        return false;
    }
    let is_initial = first.is_initial();
    let begins_sentence = second.begins_sentence();
    let is_capital = second.begins(char::is_uppercase);
    if (first.is_abbreviation || first.is_ellipsis)
        && !is_initial
        && (begins_sentence == Some(true) || is_capital && ENGLISH.is_starter(next))
    {
        return true;
    }
    if is_initial || kind == NUMBER {
        let is_name = is_initial && is_capital && ENGLISH.seen(next) == Seen::Unknown;
        if begins_sentence == Some(false) || begins_sentence.is_none() && is_name {
            return false;
        }
    }
    first.is_break
}
