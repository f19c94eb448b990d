//! When two instructions count as the same text.
//!
//! Where in the flow: `evolve` asks within a lineage, [`super::near_repeats`] across lineages.
//!
//! **Invariant:** a pure function; any UTF-8 is fine.

/// Equal for texts that differ in case, spacing, quotation marks, dashes or closing punctuation only.
///
/// Like Unicode's NFKC with case folding, for the forms that models and copied text produce: full-width
/// letters, typographic quotes and dashes, ligatures. Signs that carry meaning in a task (`+`, `<`, `%`)
/// stay.
pub fn normalise(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{FF01}'..='\u{FF5E}' => {
                // The block mirrors ASCII.
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

/// The lower case of a character; a space for one that only separates or quotes.
fn fold(c: char) -> impl Iterator<Item = char> {
    let separates = matches!(
        c,
        '.' | ',' | ';' | ':' | '!' | '?' | '"' | '\'' | '`' | '\u{2010}'..='\u{2015}' | '\u{2018}'..='\u{201F}'
            | '\u{2026}' | '\u{00AB}' | '\u{00BB}'
    );
    (if separates { ' ' } else { c }).to_lowercase()
}
