//! Rules on words, phrases, letters and language.
//!
//! **Invariant:** case does not matter where a word or phrase is looked for.

use super::Check;
use crate::constraint::vocabulary::{Language, Mark};
use crate::constraint::{Kind, sentence, text};

/// Characters of a passage that a message shows.
const SHOWN: usize = 60;

/// A passage as a message shows it.
pub(super) fn show(passage: &str) -> String {
    let line = passage.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        None => format!("`{line}`"),
        Some((at, _)) => format!("`{}…`", &line[..at]),
    }
}

fn list(words: &[&str]) -> String {
    words.iter().map(|word| show(word)).collect::<Vec<_>>().join(", ")
}

pub(super) fn longest_sentence(response: &str, n: u32) -> Check {
    let sentences = sentence::sentences(response);
    let lengths = sentences.iter().map(|sentence| (text::words(sentence).count(), sentence));
    let Some((length, longest)) = lengths.max_by_key(|&(length, _)| length) else {
        return Check::new(false, "found no sentence");
    };
    let found = format!("the longest sentence has {length} words: {}, expected at most {n}", show(longest));
    Check::new(length <= n as usize, found)
}

pub(super) fn bullet_words(response: &str, n: u32) -> Check {
    let layout = text::Layout::of(response);
    let items = layout.prose.into_iter().filter_map(text::bullet);
    let Some((length, longest)) =
        items.map(|item| (text::words(item).count(), item)).max_by_key(|&(length, _)| length)
    else {
        return Check::new(false, "found no bullet point");
    };
    let found =
        format!("the longest bullet point has {length} words: {}, expected at most {n}", show(longest));
    Check::new(length <= n as usize, found)
}

/// The first word is what stands before a space or punctuation, without quotes and emphasis before it; a
/// hyphen joins.
pub(super) fn paragraph_start(response: &str, paragraphs: u32, nth: u32, word: &str) -> Check {
    let parts = text::paragraphs(response);
    let noun = Kind::ParagraphStart.noun();
    let count = format!("found {}, expected {paragraphs}", noun.amount(parts.len() as u64));
    let Some(paragraph) = parts.get((nth as usize).saturating_sub(1)) else {
        return Check::new(false, count);
    };
    let begin = paragraph.trim_start_matches(|c: char| !text::is_word_char(c));
    let first = begin.split(|c| !text::is_word_char(c) && c != '-').next().unwrap_or("");
    let first = first.trim_end_matches('-').to_lowercase();
    let passed = parts.len() == paragraphs as usize && first == word.to_lowercase();
    Check::new(passed, format!("{count}; paragraph {nth} begins with {}, expected `{word}`", show(&first)))
}

pub(super) fn keywords(response: &str, words: &[String]) -> Check {
    let (present, missing) = part(response, words);
    match missing.as_slice() {
        [] => Check::new(true, format!("found {}", list(&present))),
        missing => Check::new(false, format!("did not find {}", list(missing))),
    }
}

pub(super) fn forbidden_words(response: &str, words: &[String]) -> Check {
    let (present, _) = part(response, words);
    match present.as_slice() {
        [] => Check::new(true, "found none of the words"),
        present => Check::new(false, format!("found {}", list(present))),
    }
}

/// Those that occur, and those that do not.
fn part<'a>(response: &str, words: &'a [String]) -> (Vec<&'a str>, Vec<&'a str>) {
    let lower = response.to_lowercase();
    words.iter().map(String::as_str).partition(|word| text::count_phrase(&lower, &word.to_lowercase()) > 0)
}

pub(super) fn start_phrase(response: &str, phrase: &str) -> Check {
    let lower = response.trim_start_matches(is_wrapping).to_lowercase();
    let phrase = phrase.trim_start_matches(is_wrapping).to_lowercase();
    let glues = phrase.ends_with(text::is_word_char);
    let rest = lower.strip_prefix(phrase.as_str());
    let passed = rest.is_some_and(|rest| !(glues && rest.starts_with(text::is_word_char)));
    Check::new(passed, format!("the response begins with {}", show(response.trim_start())))
}

pub(super) fn end_phrase(response: &str, phrase: &str) -> Check {
    let lower = response.trim_end_matches(is_wrapping).to_lowercase();
    let phrase = phrase.trim_end_matches(is_wrapping).to_lowercase();
    let glues = phrase.starts_with(text::is_word_char);
    let rest = lower.strip_suffix(phrase.as_str());
    let passed = rest.is_some_and(|rest| !(glues && rest.ends_with(text::is_word_char)));
    let end = response.trim_end();
    let tail = end.char_indices().rev().nth(SHOWN - 1).map_or(end, |(at, _)| &end[at..]);
    Check::new(passed, format!("the response ends with {}", show(tail)))
}

/// Space and double quotes, which may be around a whole response.
fn is_wrapping(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\u{201C}' | '\u{201D}')
}

pub(super) fn repeat_request(response: &str, request: &str) -> Check {
    let passed = response.trim().to_lowercase().starts_with(&request.trim().to_lowercase());
    Check::new(passed, format!("the response begins with {}", show(response)))
}

/// Emphasis, quotes and the final stop do not count.
pub(super) fn one_of(response: &str, options: &[String]) -> Check {
    let bare = |text: &str| {
        let is_around = |c: char| is_wrapping(c) || matches!(c, '*' | '_' | '.' | '`' | '\'');
        text.trim_matches(is_around).to_lowercase()
    };
    let passed = options.iter().any(|option| bare(option) == bare(response));
    Check::new(passed, format!("found {}", show(response)))
}

pub(super) fn lower_case(response: &str) -> Check {
    one_case(response, "capital", char::is_uppercase)
}

pub(super) fn upper_case(response: &str) -> Check {
    one_case(response, "small", char::is_lowercase)
}

/// No letter of the other case, some letter of this one, and nothing that speaks against English.
fn one_case(response: &str, other: &str, is_other: fn(char) -> bool) -> Check {
    if let Some(wrong) = response.split_whitespace().find(|word| word.contains(is_other)) {
        return Check::new(false, format!("found a {other} letter in {}", show(wrong)));
    }
    if !response.contains(|c: char| c.is_lowercase() || c.is_uppercase()) {
        return Check::new(false, "found no letters that have a case");
    }
    let letters = response.chars().filter(|c| c.is_alphabetic()).count();
    match detect(response).filter(|_| letters >= LETTERS_AGAINST_ENGLISH) {
        Some(language) if language != Language::English => {
            Check::new(false, format!("found {}, expected English", language.in_words()))
        }
        _ => Check::new(true, format!("found no {other} letters")),
    }
}

/// Letters from which on another language is believed: a few names and loan words are still English.
const LETTERS_AGAINST_ENGLISH: usize = 30;

pub(super) fn without_mark(response: &str, mark: Mark) -> Check {
    let count = response.matches(mark.characters()).count();
    match count {
        0 => Check::new(true, format!("found no {}", mark.in_words())),
        count => Check::new(false, format!("found {} ({count} in all)", mark.in_words())),
    }
}

/// The most likely of our languages; code blocks do not count.
pub(super) fn language(response: &str, expected: Language) -> Check {
    match detect(response) {
        None => Check::new(false, "found no text whose language shows"),
        Some(found) => {
            let message = format!("found {}, expected {}", found.in_words(), expected.in_words());
            Check::new(found == expected, message)
        }
    }
}

/// Letters below which a text in Latin script may be of any language.
const MIN_LETTERS: usize = 12;

/// The language of a text, if it has letters enough to show it: few do in a script that few languages share.
pub(in crate::constraint) fn detect(response: &str) -> Option<Language> {
    let prose = text::Layout::of(response).prose.join("\n").to_lowercase();
    let letters = prose.chars().filter(|c| c.is_alphabetic());
    let is_latin = letters.clone().all(|c| c <= '\u{24F}');
    let enough = if is_latin { MIN_LETTERS } else { 1 };
    let shows = letters.count() >= enough;
    shows.then(|| Language::most_likely(&prose))
}

pub(super) fn no_digits(response: &str) -> Check {
    match response.split_whitespace().find(|word| word.contains(char::is_numeric)) {
        Some(word) => Check::new(false, format!("found a digit in {}", show(word))),
        None => Check::new(true, "found no digits"),
    }
}
