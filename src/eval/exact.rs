//! Whether a response gives the one right answer.
//!
//! Where in the flow: `measure` asks here about items of [`super::Task::Exact`].
//!
//! The answer is what follows the last `####` (`GSM8k`'s form) or the last `Answer:` of the response. A response with
//! neither is read leniently: where a number is right, its last number counts, and elsewhere its last line that is not
//! blank. Both sides are compared without case, marks around them, thousands separators, currency signs and units of
//! per cent; numbers as numbers.
//!
//! **Invariant:** a response that is right stays right when text is put before it.

/// Whether `response` gives `answer`.
pub(super) fn is_right(response: &str, answer: &str) -> bool {
    let wanted = normal(answer);
    let numeric = number(&wanted);
    let given = marked(response).or_else(|| match numeric {
        Some(_) => last_number(response),
        None => response.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned),
    });
    let Some(given) = given.map(|given| normal(&given)) else { return false };
    match numeric {
        Some(wanted) => {
            // `Answer: 42 apples` is right, too.
            let found =
                number(&given).or_else(|| last_number(&given).and_then(|text| number(&normal(&text))));
            found.is_some_and(|found| (found - wanted).abs() <= TOLERANCE * wanted.abs().max(1.0))
        }
        None => given == wanted,
    }
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

fn last_number(text: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_digit() || c == '.' || c == ',';
    let end = text.rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = text[..end]
        .rfind(|c| !is_part(c))
        .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    let digits = text[start..end].trim_start_matches([',', '.']);
    // A sign belongs to the number, a hyphen between two words or numbers does not.
    let before = text[..start].strip_suffix(['-', '−']);
    let signed = before.is_some_and(|rest| !rest.ends_with(|c: char| c.is_alphanumeric()));
    Some(format!("{}{digits}", if signed { "-" } else { "" }))
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
