//! Exact match: whether a response gives the single right answer.
//!
//! Where in the flow: `measure` calls [`is_right`] for items of [`super::Task::Exact`].
//!
//! The given answer is the text after the last `####` (`GSM8k`'s format) or the last `Answer:` of the
//! response; if the right answer is a number, it is the first number there. Without such a mark, or without a
//! number after it, a response is read leniently: its last number counts if the right answer is a number, and
//! otherwise its last non-blank line. Numbers are compared as numbers, without thousands separators; texts
//! are compared without case and surrounding punctuation. Currency and percent signs are ignored.
//!
//! **Invariant:** paragraphs before the answer do not change the verdict.

/// Whether `response` gives `answer`.
pub(super) fn is_right(response: &str, answer: &str) -> bool {
    let wanted = normalise_answer(answer);
    let marked = after_last_mark(response);
    // The number is parsed from `answer`, because `wanted` has lost the leading dot of `.5`.
    let plain = answer.trim().trim_start_matches(['$', '€', '£']).trim_end_matches(['%', '.']).trim();
    let Some(wanted_number) = parse_number(plain) else {
        let last_line = || response.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned);
        return marked.or_else(last_line).is_some_and(|given| normalise_answer(&given) == wanted);
    };
    // `#### Conclusion` is a heading: without a number after the mark, the whole response is searched.
    let given = marked.and_then(|given| first_number(&given)).or_else(|| last_number(response));
    given.is_some_and(|found| (found - wanted_number).abs() <= TOLERANCE * wanted_number.abs().max(1.0))
}

/// Relative tolerance for rounding of decimal fractions; different answers are never this close.
const TOLERANCE: f64 = 1e-9;

/// The text between the last mark (`####` or `Answer:`) and the end of its line, if it is not blank.
fn after_last_mark(response: &str) -> Option<String> {
    let lower = response.to_ascii_lowercase();
    let ends = ["####", "answer:"].map(|mark| lower.rfind(mark).map(|at| at + mark.len()));
    let from = ends.into_iter().flatten().max()?;
    // `from` is valid in `response`, because lowering ASCII letters does not change byte positions.
    let line = response[from..].trim_start_matches(['*', ' ', '\t']).lines().next().unwrap_or_default();
    Some(line.to_owned()).filter(|line| !line.trim().is_empty())
}

/// The first number, after the last `=` if there is one: 12 for `12`, `x = 12` and `12 apples in 3 boxes`. A
/// fraction such as `1/2` gives NaN, which is never right.
fn first_number(text: &str) -> Option<f64> {
    let text = text.rsplit('=').next().unwrap_or(text);
    let (value, rest) = numbers(text).next()?;
    if rest.trim_start().starts_with('/') { Some(f64::NAN) } else { value }
}

fn last_number(text: &str) -> Option<f64> {
    numbers(text).last()?.0
}

/// Iterates over the numbers in a text, each with the text after it.
fn numbers(text: &str) -> impl Iterator<Item = (Option<f64>, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let digit = from + text[from..].find(|c: char| c.is_ascii_digit())?;
        let is_part = |c: char| c.is_ascii_digit() || c == '.' || c == ',';
        let end = digit + text[digit..].find(|c| !is_part(c)).unwrap_or(text.len() - digit);
        // A dot or comma at the end belongs to the sentence.
        let digits = text[digit..end].trim_end_matches(['.', ',']);
        let before = &text[from..digit];
        let dot = before.ends_with('.') && !before[..before.len() - 1].ends_with(char::is_alphanumeric);
        let before = if dot { &before[..before.len() - 1] } else { before };
        // A minus sign belongs to the number; a hyphen between two words or numbers does not.
        let unsigned = before.strip_suffix(['-', '−']);
        let after_digit = from > 0 && unsigned.is_some_and(str::is_empty);
        let signed = unsigned.is_some_and(|rest| !rest.ends_with(char::is_alphanumeric)) && !after_digit;
        from = end;
        let sign = if signed { "-" } else { "" };
        let text_of = format!("{sign}{}{digits}", if dot { "0." } else { "" });
        Some((parse_number(&text_of), &text[end..]))
    })
}

/// Lowers the case and removes surrounding punctuation, currency and percent signs, and repeated spaces.
fn normalise_answer(text: &str) -> String {
    let marks = |c: char| c.is_whitespace() || "\"'`*_.,;:!?()[]{}“”‘’".contains(c);
    let text = text.trim_matches(marks).to_lowercase();
    let text = text.trim_start_matches(['$', '€', '£']).trim_end_matches('%').trim_matches(marks);
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('−', "-")
}

/// Parses a finite number, ignoring thousands separators.
fn parse_number(text: &str) -> Option<f64> {
    let plain: String = text.chars().filter(|&c| c != ',').collect();
    let starts = plain.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+' || c == '.');
    plain.parse().ok().filter(|value: &f64| starts && value.is_finite())
}
