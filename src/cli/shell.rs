//! Commands that are shown to be run next: as a shell takes them.
//!
//! **Invariant:** what is shown can be pasted: it calls the program as its user did, and every word is quoted
//! where a shell would read it otherwise.

use std::path::Path;

/// A command line of this program with `words` after its name.
pub(crate) fn evol(words: &[&str]) -> String {
    let name = std::env::args_os().next().and_then(|name| name.into_string().ok());
    let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned());
    let words = [&[name.as_str()], words].concat();
    words.into_iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// A path as a word of [`evol`]; one that begins with `-` would be taken for a flag.
pub(crate) fn word(path: &Path) -> String {
    let text = path.display().to_string();
    if text.starts_with('-') { format!("./{text}") } else { text }
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        for (word, shown) in [
            ("runs/a-1", "runs/a-1"),
            ("größe", "größe"),
            ("", "''"),
            ("my runs", "'my runs'"),
            ("it's", r"'it'\''s'"),
            ("$HOME", "'$HOME'"),
            ("~", "'~'"),
        ] {
            assert_eq!(quoted(word), shown);
        }
        assert_eq!(word(Path::new("-x")), "./-x");
    }
}
