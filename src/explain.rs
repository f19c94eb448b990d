//! What an error means for the user: who has to act before the same command can succeed, and a hint.
//!
//! Where in the flow: each module's error enum has an `impl Explain` beside it. `cli` turns it into an exit
//! code and a hint.
//!
//! **Invariant:** each implementation is one exhaustive match without `_`, so a new variant does not compile
//! until its blame and hint are decided. An error that wraps another module's error returns the inner
//! explanation.

use std::path::Path;

/// Who has to act before the same command can succeed. It decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Wrong usage, configuration or input: the same command fails again until the user changes something.
    /// Exit code 2.
    Usage,
    /// The run failed: the same command may succeed next time. Exit code 1.
    Run,
    /// The user stopped the run; rerunning the same command resumes it. Exit code 130.
    Interrupted,
}

/// What an error means for the user, in addition to its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Who has to act.
    pub blame: Blame,
    /// What the user can do, if known.
    pub hint: Option<String>,
}

impl Blame {
    /// This blame with a hint about what the user can do.
    pub fn hint(self, hint: impl Into<String>) -> Explanation {
        Explanation { blame: self, hint: Some(hint.into()) }
    }

    /// This blame without a hint.
    pub fn no_hint(self) -> Explanation {
        Explanation { blame: self, hint: None }
    }

    /// The blame for a failed `action` on a file: [`Blame::Usage`] for an input that cannot be read,
    /// [`Blame::Run`] for an output that cannot be written, which may work next time.
    pub fn of_file_action(action: &str) -> Self {
        if matches!(action, "open" | "read" | "map") { Self::Usage } else { Self::Run }
    }
}

/// An error with an explanation for the user.
pub trait Explain: std::error::Error {
    /// Blame and hint.
    fn explain(&self) -> Explanation;

    /// What the user can do, if known.
    fn hint(&self) -> Option<String> {
        self.explain().hint
    }

    /// Who has to act before the same command can succeed.
    fn blame(&self) -> Blame {
        self.explain().blame
    }
}

/// A path as a command-line argument, before it is [`quoted`]. A path that starts with `-` gets a `./`
/// prefix, because it would be read as a flag.
pub fn word(path: &Path) -> String {
    let text = path.display().to_string();
    if text.starts_with('-') { format!("./{text}") } else { text }
}

/// Quotes a word for a shell if necessary.
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
