//! Sentences with slots for parameters, and how a parameter is quoted in one.
//!
//! A slot is `{name}`; slots are filled in one pass, so braces in a parameter stay as they are. `{amount}` is
//! the bound with its noun, which has wordings of its own.

/// A word or phrase as a sentence quotes it: with double quotes unless it has some.
pub(super) fn quote(phrase: &str) -> String {
    if phrase.contains('"') { format!("`{phrase}`") } else { format!("\"{phrase}\"") }
}

/// `"a"`, `"b"` and `"c"`.
pub(super) fn list(words: &[String], conjunction: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} {conjunction} {last}", rest.join(", ")),
    }
}

/// Puts the values into the slots. A brace that opens no slot stays.
pub(super) fn fill(template: &str, slots: &[(&'static str, String)]) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        filled.push_str(&rest[..open]);
        let after = &rest[open + 1..];
        let slot = slots
            .iter()
            .find(|(name, _)| after.strip_prefix(name).is_some_and(|after| after.starts_with('}')));
        rest = if let Some((name, value)) = slot {
            filled.push_str(value);
            &after[name.len() + 1..]
        } else {
            filled.push('{');
            after
        };
    }
    filled.push_str(rest);
    filled
}
