//! Normal forms of texts, for comparison.
//!
//! Where in the flow: `evolve` compares instructions within a lineage by [`normalise`], and
//! [`super::near_duplicates()`] across lineages; decontamination and statistics compare by [`words`].
//!
//! **Invariant:** all functions are pure and accept any text.

/// Splits a text into its words in lower case: maximal runs of letters and digits.
pub(super) fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Maps texts that differ only in case, spacing, punctuation, quotation marks or dashes to the same text.
///
/// It resembles Unicode's NFKC with case folding, for the forms that models and copied text produce:
/// full-width letters, typographic quotes and dashes, ligatures. Signs that carry meaning in a task (`+`,
/// `<`, `%`) are kept.
pub fn normalise(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{FF01}'..='\u{FF5E}' => {
                // The block of full-width forms mirrors ASCII.
                folded.extend(char::from_u32(c as u32 - 0xFEE0).into_iter().flat_map(fold));
            }
            '\u{FB01}' => folded.push_str("fi"),
            '\u{FB02}' => folded.push_str("fl"),
            '\u{00B2}' => folded.push('2'),
            '\u{00B3}' => folded.push('3'),
            '\u{2212}' => folded.push('-'),
            c => folded.extend(fold(c)),
        }
    }
    folded.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lowers the case of a character, and maps one that only separates or quotes to a space.
fn fold(c: char) -> impl Iterator<Item = char> {
    let separates = matches!(
        c,
        '.' | ',' | ';' | ':' | '!' | '?' | '"' | '\'' | '`' | '\u{2010}'
            ..='\u{2015}' | '\u{2018}'..='\u{201F}' | '\u{2026}' | '\u{00AB}' | '\u{00BB}'
    );
    (if separates { ' ' } else { c }).to_lowercase()
}
