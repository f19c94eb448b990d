//! What Python's `str` methods do where Rust's `str` does something else.
//!
//! Measured against `CPython` 3.11 over all code points. Lower case (`str::to_lowercase`, final sigma
//! included) is the same in both; so are the classes of `regex`, as the patterns of this module use them: its
//! `\w`, `\d` and `\s` are those of Python's package `regex`, `[\p{L}\p{N}_]` is the `\w` of Python's own
//! `re`. Characters newer than Unicode 14 may differ.
//!
//! **Invariant:** pure functions; any text is fine.

use std::sync::LazyLock;

use regex::Regex;

/// Blank in Python's eyes (`str.isspace`, `\s` of `re`): also the four separators of ASCII.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `str.strip`.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `str.split` without arguments.
pub(super) fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// `str.isupper`: there is a capital, and no letter in any other case.
pub(super) fn is_upper(text: &str) -> bool {
    text.contains(char::is_uppercase) && !text.contains(|c: char| c.is_lowercase() || is_title(c))
}

/// `str.islower`: there is a small letter, and none in any other case.
pub(super) fn is_lower(text: &str) -> bool {
    text.contains(char::is_lowercase) && !text.contains(|c: char| c.is_uppercase() || is_title(c))
}

/// Letters that are a capital and a small one in one (category Lt), such as the Croatian "ǅ".
fn is_title(c: char) -> bool {
    matches!(c, 'ǅ' | 'ǈ' | 'ǋ' | 'ǲ' | '\u{1f88}'..='\u{1f8f}' | '\u{1f98}'..='\u{1f9f}'
        | '\u{1fa8}'..='\u{1faf}' | '\u{1fbc}' | '\u{1fcc}' | '\u{1ffc}')
}

/// A word character in the eyes of `re`: a letter, a number or the underscore, no combining mark.
pub(super) fn is_word(c: char) -> bool {
    static LETTER_OR_NUMBER: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"[\p{L}\p{N}]").expect("a constant pattern"));
    match c {
        '_' => true,
        _ if c.is_ascii() => c.is_ascii_alphanumeric(),
        _ => LETTER_OR_NUMBER.is_match(c.encode_utf8(&mut [0; 4])),
    }
}

/// A character without its case, as `re.IGNORECASE` compares them: small first, then capital, so that letters
/// with two small or two capital forms (ſ, ς, ı, İ, K) meet.
pub(super) fn fold(c: char) -> [char; 3] {
    let small = c.to_lowercase().next().unwrap_or(c);
    let mut capital = small.to_uppercase();
    [capital.next().unwrap_or(small), capital.next().unwrap_or('\0'), capital.next().unwrap_or('\0')]
}
