//! Sentences, as the Punkt tokenizer finds them with its English model (Kiss & Strunk 2006, Computational
//! Linguistics 32(4): 485-525; the behaviour is that of NLTK 3.10.4).
//!
//! A full stop, question or exclamation mark may end a sentence. Each is judged by the word before and the
//! word after: is the one an abbreviation, an initial or a number, does the other usually begin a sentence?
//! What the words are like is in `punkt_english.txt`, the English model reduced to what decisions need.
//!
//! **Invariant:** the sentences are parts of the text, in its order; between them is nothing but blanks.

mod model;
mod word;

use super::python;
use word::{Word, is_closing, is_non_word};

/// Blanks as the search for the word before a mark knows them: those of ASCII.
const ASCII_BLANKS: [char; 6] = [' ', '\t', '\n', '\r', '\u{b}', '\u{c}'];

/// The sentences of a text.
pub(super) fn sentences(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut slices = slices(text).into_iter();
    let Some(mut current) = slices.next() else { return sentences };
    // What the sentence before took from the beginning of the current one.
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

/// Quotation marks and brackets at the beginning that close what stood before the end of the sentence: as few
/// as are followed by blanks, which are included, by a dash of two, or by nothing. Gives where they end.
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

/// The pieces between decided ends, before closing marks are moved to where they belong. The last may be
/// empty or turned around.
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
    /// Where the sentence would end: behind the mark.
    end: usize,
    /// Where the next token begins, if blanks are between.
    next: Option<usize>,
    /// From the word before the mark to the token behind it.
    from: usize,
    to: usize,
}

/// All marks with something behind them, but of marks in one word only the last.
fn candidates(text: &str) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    // The word before the latest mark.
    let mut word = 0..0;
    for (at, mark) in text.match_indices(['.', '?', '!']) {
        let end = at + mark.len();
        let Some((next, to)) = token_behind(text, end) else { continue };
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

/// What follows a mark: punctuation at once, or blanks and a token. Gives the beginning of that token and the
/// end.
fn token_behind(text: &str, at: usize) -> Option<(Option<usize>, usize)> {
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

/// Whether a sentence ends within these words, before the last of them.
fn has_break(text: &str) -> bool {
    let lines = text.split('\n').filter(|line| !python::strip(line).is_empty());
    let words: Vec<Word> = lines.flat_map(word::tokens).map(Word::new).collect();
    words.windows(2).any(|pair| word::breaks_between(&pair[0], &pair[1]))
}

/// Python's `str.rstrip`.
fn python_trim_end(text: &str) -> &str {
    text.trim_end_matches(python::is_space)
}
