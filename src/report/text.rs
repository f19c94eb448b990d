//! Text for the page: escaping, JSON inside HTML, formatting of numbers.
//!
//! Where in the flow: every section uses it, so untrusted text becomes markup in a single place.
//!
//! **Invariant:** text in the data reaches the page only through [`escape`] or [`json_for_html`].
//! **Invariant:** every number can be formatted; a number that is not finite is `n/a`.

use crate::eval::result::Estimate;
use serde::Serialize;
use std::fmt::Write as _;

/// Escapes `text` for element content and for attributes in double quotes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // HTML forbids NUL; a parser would replace it in the same way.
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Encodes `value` as JSON that cannot end the `script` element around it and is also valid JavaScript.
pub(super) fn json_for_html(value: &impl Serialize) -> String {
    // Serialising cannot fail: maps have text keys, and floats that are not finite become null.
    let json = serde_json::to_string(value).unwrap_or_else(|_| "{}".to_owned());
    let mut out = String::with_capacity(json.len() + json.len() / 32);
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// Formats a name from the journal for a reader: `answer_truncated` becomes `answer truncated`.
pub(super) fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// Formats a count with thousands separators: `1234567` becomes `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Formats `number` with `decimals` decimals and a typographic minus sign.
pub(super) fn fixed(number: f64, decimals: usize) -> String {
    if !number.is_finite() {
        return "n/a".to_owned();
    }
    if number.abs() >= 1e9 {
        return format!("{number:.2e}").replace('-', "−");
    }
    let text = format!("{number:.decimals$}").replace('-', "−");
    // No "−0.0".
    if text.chars().any(|c| c.is_ascii_digit() && c != '0') { text } else { text.replace('−', "") }
}

/// Formats a number of any size with three significant digits: a learning rate becomes `1.87e-4`.
pub(super) fn scientific(number: f64) -> String {
    if number.abs() >= 0.01 && number.abs() < 1e5 {
        return fixed(number, 2);
    }
    if number.is_finite() { format!("{number:.2e}") } else { "n/a".to_owned() }
}

/// As [`fixed`], with a plus sign in front of positive numbers.
pub(super) fn signed(number: f64, decimals: usize) -> String {
    let text = fixed(number, decimals);
    let visible = text.chars().any(|c| c.is_ascii_digit() && c != '0');
    if number > 0.0 && number.is_finite() && visible { format!("+{text}") } else { text }
}

/// Formats a share as a percentage with a non-breaking space: `0.314` becomes `31.4 %`.
pub(super) fn percent(share: f64) -> String {
    if share.is_finite() { format!("{}\u{a0}%", fixed(100.0 * share, 1)) } else { "n/a".to_owned() }
}

/// Formats an estimate with its interval, both multiplied by `factor`; the unit follows the value.
pub(super) fn estimate(estimate: &Estimate, factor: f64, decimals: usize, unit: &str) -> String {
    let [value, low, high] =
        [estimate.value, estimate.low, estimate.high].map(|n| fixed(n * factor, decimals));
    format!("{value}{unit} [{low}, {high}]")
}

/// Formats a share with its interval as percentages.
pub(super) fn share(number: &Estimate) -> String {
    estimate(number, 100.0, 1, "\u{a0}%")
}

/// Formats a p-value as papers do.
pub(super) fn p_value(p: f64) -> String {
    if !p.is_finite() {
        "p unknown".to_owned()
    } else if p < 0.001 {
        "p\u{a0}<\u{a0}0.001".to_owned()
    } else {
        format!("p\u{a0}=\u{a0}{p:.3}")
    }
}

/// Formats seconds for a reader: `2 h 5 min`, `6 min 35 s`, `4.2 s`.
pub(super) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "n/a".to_owned();
    }
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round().min(1e12) as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{} h {m} min", count(h)),
    }
}

/// Formats bytes in binary units.
pub(super) fn bytes(number: u64) -> String {
    let mut value = number as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            let decimals = usize::from(unit != "B" && value < 100.0);
            return format!("{value:.decimals$} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// The share `part / whole` with Wilson's 95 % interval; `None` if `whole` is 0.
pub(super) fn wilson(part: u64, whole: u64) -> Option<Estimate> {
    let [part, whole] = [part.min(whole), whole].map(|count| usize::try_from(count).unwrap_or(usize::MAX));
    crate::eval::stats::share(part, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_text_stays_text() {
        let text = "<script>alert('x')</script> \"&\"\0";
        let escaped = escape(text);
        assert_eq!(escaped, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &quot;&amp;&quot;\u{fffd}");
    }

    #[test]
    fn json_cannot_leave_its_element_and_reads_back() {
        let text = "</script><!-- ]]> & \u{2028}\u{2029} \u{1f600} \"\\";
        let json = json_for_html(&vec![text]);
        assert!(!json.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{json}");
        let back: Vec<String> = serde_json::from_str(&json).unwrap();
        assert_eq!(back, [text]);
    }

    #[test]
    fn numbers_are_formatted_for_readers() {
        assert_eq!([count(0), count(999), count(1000), count(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([fixed(-0.04, 1), fixed(-1.25, 2), fixed(f64::NAN, 1)], ["0.0", "−1.25", "n/a"]);
        assert_eq!([signed(0.5, 1), signed(-0.5, 1), signed(0.01, 1)], ["+0.5", "−0.5", "0.0"]);
        assert_eq!([percent(0.314), percent(f64::INFINITY)], ["31.4\u{a0}%", "n/a"]);
        assert_eq!([duration(4.2), duration(395.0), duration(7500.0)], ["4.2 s", "6 min 35 s", "2 h 5 min"]);
        assert_eq!([bytes(17), bytes(1536), bytes(300 << 20)], ["17 B", "1.5 KiB", "300 MiB"]);
        assert_eq!(
            [p_value(0.0004), p_value(0.0412), p_value(f64::NAN)],
            ["p\u{a0}<\u{a0}0.001", "p\u{a0}=\u{a0}0.041", "p unknown"]
        );
    }

    #[test]
    fn wilson_intervals_agree_with_the_textbook() {
        let half = wilson(5, 10).unwrap();
        assert!((half.low - 0.2366).abs() < 1e-3 && (half.high - 0.7634).abs() < 1e-3, "{half:?}");
        assert!(wilson(0, 0).is_none());
        assert!(wilson(7, 3).is_some_and(|e| e.high <= 1.0));
    }
}
