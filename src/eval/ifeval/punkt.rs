//! Splits a text into sentences as the Punkt tokenizer does with its English model (Kiss & Strunk 2006,
//! Computational Linguistics 32(4): 485-525; the behaviour is that of NLTK 3.10.4).
//!
//! A full stop, question mark or exclamation mark may end a sentence. The words before and after it decide:
//! whether the first is an abbreviation, an initial or a number, and whether the second often starts a
//! sentence. `punkt_english.txt` holds the part of the English model that these decisions need.
//!
//! **Invariant:** the sentences are slices of the text, in order, with only white space between them.

mod model;
mod word;

use super::python;
use word::{Word, is_closing, is_non_word};

/// The white space that separates the word before a mark: only that of ASCII, as in NLTK.
const ASCII_BLANKS: [char; 6] = [' ', '\t', '\n', '\r', '\u{b}', '\u{c}'];

/// The sentences of a text.
pub(super) fn sentences(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut slices = slices(text).into_iter();
    let Some(mut current) = slices.next() else { return sentences };
    // The number of bytes at the start of the current slice that belong to the previous sentence.
    let mut taken = 0;
    for next in slices {
        let start = current.0 + taken;
        let rest = text.get(next.0..next.1).unwrap_or_default();
        if let Some(end) = closing_marks(rest) {
            sentences.push(&text[start..next.0 + python_trim_end(&rest[..end]).len()]);
            taken = end;
        } else {
            taken = 0;
            sentences.extend(text.get(start..current.1).filter(|sentence| !sentence.is_empty()));
        }
        current = next;
    }
    let last = text.get(current.0 + taken..current.1);
    sentences.extend(last.filter(|sentence| !sentence.is_empty()));
    sentences
}

/// Finds closing quotation marks and brackets at the start of a slice, which belong to the previous sentence.
/// They are as few as are followed by white space, by a double dash or by nothing. Returns their end, after
/// any white space.
fn closing_marks(text: &str) -> Option<usize> {
    for (at, c) in text.char_indices() {
        if !is_closing(c) {
            return None;
        }
        let end = at + c.len_utf8();
        let rest = &text[end..];
        if rest.is_empty() || rest.starts_with("--") {
            return Some(end);
        }
        let blanks = rest.len() - rest.trim_start().len();
        if blanks > 0 {
            return Some(end + blanks);
        }
    }
    None
}

/// Splits the text at the decided sentence ends, before closing marks are moved to the previous sentence.
/// Each slice is a start and an end; in the last one the start may be beyond the end.
fn slices(text: &str) -> Vec<(usize, usize)> {
    let mut slices = Vec::new();
    let mut start = 0;
    for candidate in candidates(text) {
        if has_break(&text[candidate.from..candidate.to]) {
            slices.push((start, candidate.end));
            start = candidate.next.unwrap_or(candidate.end);
        }
    }
    slices.push((start, python_trim_end(text).len()));
    slices
}

/// A mark that may end a sentence.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    /// The end of the sentence: the position after the mark.
    end: usize,
    /// The start of the next token, if white space precedes it.
    next: Option<usize>,
    /// The start of the word before the mark.
    from: usize,
    /// The end of the token after the mark.
    to: usize,
}

/// All marks that are followed by a token; of several marks in one word only the last.
fn candidates(text: &str) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    // The word before the latest mark.
    let mut word = 0..0;
    for (at, mark) in text.match_indices(['.', '?', '!']) {
        let end = at + mark.len();
        let Some((next, to)) = token_after(text, end) else { continue };
        let from = match text[word.end..at].rfind(ASCII_BLANKS) {
            Some(blank) if blank > 0 => word.end + blank + 1,
            _ => word.start,
        };
        if word.end > from {
            found.pop();
        }
        found.push(Candidate { end, next, from, to });
        word = from..at;
    }
    found
}

/// Finds the token after a mark: punctuation directly after it, or a word after white space. Returns the
/// start of the word, if it is one, and the end of the token.
fn token_after(text: &str, at: usize) -> Option<(Option<usize>, usize)> {
    let rest = &text[at..];
    let first = rest.chars().next()?;
    if is_non_word(first) {
        return Some((None, at + first.len_utf8()));
    }
    let token = rest.trim_start();
    if token.is_empty() || token.len() == rest.len() {
        return None;
    }
    let next = text.len() - token.len();
    Some((Some(next), next + token.find(char::is_whitespace).unwrap_or(token.len())))
}

/// Whether a sentence ends between two of the words in `text`.
fn has_break(text: &str) -> bool {
    let lines = text.split('\n').filter(|line| !python::strip(line).is_empty());
    let words: Vec<Word> = lines.flat_map(word::tokens).map(Word::new).collect();
    words.windows(2).any(|pair| word::breaks_between(&pair[0], &pair[1]))
}

/// Python's `str.rstrip`.
fn python_trim_end(text: &str) -> &str {
    text.trim_end_matches(python::is_space)
}
