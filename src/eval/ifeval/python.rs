//! Python's `str` methods, where they differ from Rust's.
//!
//! Measured against `CPython` 3.11 over all code points. Lower-casing (`str::to_lowercase`, including the
//! final sigma) is the same in both languages. The character classes of `regex` agree as far as the patterns
//! here use them: its `\w`, `\d` and `\s` are those of Python's package `regex`, and `[\p{L}\p{N}_]` is the
//! `\w` of Python's own `re`. Characters newer than Unicode 14 may differ.
//!
//! **Invariant:** all functions are pure and accept any text.

use std::sync::LazyLock;

use regex::Regex;

/// `str.isspace`, and `\s` of `re`: includes the four ASCII separators, which Rust does not count.
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

/// `str.isupper`: at least one upper-case letter, and no letter of another case.
pub(super) fn is_upper(text: &str) -> bool {
    text.contains(char::is_uppercase) && !text.contains(|c: char| c.is_lowercase() || is_title(c))
}

/// `str.islower`: at least one lower-case letter, and no letter of another case.
pub(super) fn is_lower(text: &str) -> bool {
    text.contains(char::is_lowercase) && !text.contains(|c: char| c.is_uppercase() || is_title(c))
}

/// Title-case letters (category Lt), which combine an upper-case and a lower-case letter, such as "ǅ".
fn is_title(c: char) -> bool {
    matches!(c, 'ǅ' | 'ǈ' | 'ǋ' | 'ǲ' | '\u{1f88}'..='\u{1f8f}' | '\u{1f98}'..='\u{1f9f}'
        | '\u{1fa8}'..='\u{1faf}' | '\u{1fbc}' | '\u{1fcc}' | '\u{1ffc}')
}

/// `\w` of `re`: a letter, a number or the underscore, but not a combining mark.
pub(super) fn is_word(c: char) -> bool {
    static LETTER_OR_NUMBER: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"[\p{L}\p{N}]").expect("a constant pattern"));
    match c {
        '_' => true,
        _ if c.is_ascii() => c.is_ascii_alphanumeric(),
        _ => LETTER_OR_NUMBER.is_match(c.encode_utf8(&mut [0; 4])),
    }
}

/// Folds the case of a character as `re.IGNORECASE` does: to lower case, then to upper case, so that letters
/// with two lower-case or two upper-case forms (ſ, ς, ı, İ, K) are equal.
pub(super) fn fold(c: char) -> [char; 3] {
    let small = c.to_lowercase().next().unwrap_or(c);
    let mut capital = small.to_uppercase();
    [capital.next().unwrap_or(small), capital.next().unwrap_or('\0'), capital.next().unwrap_or('\0')]
}
