//! How errors explain themselves: who has to act before the same command can succeed, and what may help.
//!
//! Where in the flow: each module's error enum has an `impl Explain` beside it; `cli` turns the answer into
//! an exit code and a hint.
//!
//! **Invariant:** each enum answers with one exhaustive match, without `_`: a new variant does not compile
//! until its blame is decided, and whether there is a hint. An error that wraps another module's error passes
//! on the answer of the error inside.

use std::path::Path;

/// Who has to act before the same command can succeed. It decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Wrong usage, configuration or input: the same command fails again until the user changes something.
    /// Exit code 2.
    Usage,
    /// The run failed: the same command may succeed next time. Exit code 1.
    Run,
    /// The user stopped the run, which the same command resumes. Exit code 130.
    Interrupted,
}

/// What an error says about itself, beside its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Who has to act.
    pub blame: Blame,
    /// What the user can do, if anything is known to help.
    pub hint: Option<String>,
}

impl Blame {
    /// This blame, with what the user can do.
    pub fn hint(self, hint: impl Into<String>) -> Explanation {
        Explanation { blame: self, hint: Some(hint.into()) }
    }

    /// This blame, where nothing is known that would help.
    pub fn no_hint(self) -> Explanation {
        Explanation { blame: self, hint: None }
    }

    /// For a failure of `action` on a file: an input that cannot be opened is the user's to change; an output
    /// that cannot be written may work next time.
    pub fn of_file_action(action: &str) -> Self {
        if matches!(action, "open" | "read" | "map") { Self::Usage } else { Self::Run }
    }
}

/// An error that knows what it means for the user.
pub trait Explain: std::error::Error {
    /// Blame and hint, decided together for each variant.
    fn explain(&self) -> Explanation;

    /// What the user can do, if anything is known to help.
    fn hint(&self) -> Option<String> {
        self.explain().hint
    }

    /// Who has to act before the same command can succeed.
    fn blame(&self) -> Blame {
        self.explain().blame
    }
}

/// A path as an argument of a command to paste, before it is [`quoted`]: one that starts with `-` would be
/// read as a flag.
pub fn word(path: &Path) -> String {
    let text = path.display().to_string();
    if text.starts_with('-') { format!("./{text}") } else { text }
}

/// A word of a command to paste, quoted where a shell would read it otherwise.
pub fn quoted(word: &str) -> String {
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
