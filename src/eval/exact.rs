//! Whether a response gives the one right answer.
//!
//! Where in the flow: `measure` asks here about items of [`super::Task::Exact`].
//!
//! The answer is what follows the last `####` (`GSM8k`'s form) or the last `Answer:` of the response: its
//! first number, where a number is right. A response without such a mark (or without a number behind it) is
//! read leniently: where a number is right, its last number counts, and elsewhere its last line that is not
//! blank. Both sides are compared without case, marks around them, thousands separators, currency signs and
//! units of per cent; numbers as numbers.
//!
//! **Invariant:** paragraphs before the answer change nothing.

/// Whether `response` gives `answer`.
pub(super) fn is_right(response: &str, answer: &str) -> bool {
    let wanted = normal(answer);
    let marked = marked(response);
    // Not of `wanted`: there the dot of `.5` is gone, as one at an end.
    let plain = answer.trim().trim_start_matches(['$', '€', '£']).trim_end_matches(['%', '.']).trim();
    let Some(wanted_number) = number(plain) else {
        let last_line = || response.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned);
        return marked.or_else(last_line).is_some_and(|given| normal(&given) == wanted);
    };
    // `#### Conclusion` is a heading: without a number behind the mark the whole response is looked at.
    let given = marked.and_then(|given| first_number(&given)).or_else(|| last_number(response));
    given.is_some_and(|found| (found - wanted_number).abs() <= TOLERANCE * wanted_number.abs().max(1.0))
}

/// Decimal fractions are no binary ones; two answers are never that close without being equal.
const TOLERANCE: f64 = 1e-9;

/// What stands behind the last mark, to the end of its line.
fn marked(response: &str) -> Option<String> {
    let lower = response.to_ascii_lowercase();
    let ends = ["####", "answer:"].map(|mark| lower.rfind(mark).map(|at| at + mark.len()));
    let from = ends.into_iter().flatten().max()?;
    // Lowering ASCII moves nothing.
    let line = response[from..].trim_start_matches(['*', ' ', '\t']).lines().next().unwrap_or_default();
    Some(line.to_owned()).filter(|line| !line.trim().is_empty())
}

/// Of `12`, `x = 12`, `12 apples in 3 boxes`; a fraction is not a number, and so never right.
fn first_number(text: &str) -> Option<f64> {
    let text = text.rsplit('=').next().unwrap_or(text);
    let (value, rest) = numbers(text).next()?;
    if rest.trim_start().starts_with('/') { Some(f64::NAN) } else { value }
}

fn last_number(text: &str) -> Option<f64> {
    numbers(text).last()?.0
}

/// The numbers in a text, each with what stands behind it.
fn numbers(text: &str) -> impl Iterator<Item = (Option<f64>, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let digit = from + text[from..].find(|c: char| c.is_ascii_digit())?;
        let is_part = |c: char| c.is_ascii_digit() || c == '.' || c == ',';
        let end = digit + text[digit..].find(|c| !is_part(c)).unwrap_or(text.len() - digit);
        // A dot or comma at the end is the sentence's.
        let digits = text[digit..end].trim_end_matches(['.', ',']);
        let before = &text[from..digit];
        let dot = before.ends_with('.') && !before[..before.len() - 1].ends_with(char::is_alphanumeric);
        let before = if dot { &before[..before.len() - 1] } else { before };
        // A sign belongs to the number, a hyphen between two words or numbers does not.
        let unsigned = before.strip_suffix(['-', '−']);
        let after_digit = from > 0 && unsigned.is_some_and(str::is_empty);
        let signed = unsigned.is_some_and(|rest| !rest.ends_with(char::is_alphanumeric)) && !after_digit;
        from = end;
        let sign = if signed { "-" } else { "" };
        let text_of = format!("{sign}{}{digits}", if dot { "0." } else { "" });
        Some((number(&text_of), &text[end..]))
    })
}

fn normal(text: &str) -> String {
    let marks = |c: char| c.is_whitespace() || "\"'`*_.,;:!?()[]{}“”‘’".contains(c);
    let text = text.trim_matches(marks).to_lowercase();
    let text = text.trim_start_matches(['$', '€', '£']).trim_end_matches('%').trim_matches(marks);
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('−', "-")
}

fn number(text: &str) -> Option<f64> {
    let plain: String = text.chars().filter(|&c| c != ',').collect();
    let starts = plain.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+' || c == '.');
    plain.parse().ok().filter(|value: &f64| starts && value.is_finite())
}
