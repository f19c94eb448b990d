//! Commands that are shown to the user as the next step.
//!
//! **Invariant:** they can be pasted into a shell: they call the program by the name that the user called it
//! by, and every word is quoted if necessary.

pub use crate::explain::{quoted, word};

/// A command line of this program with the arguments `words`.
pub fn evol(words: &[&str]) -> String {
    let name = std::env::args_os().next().and_then(|name| name.into_string().ok());
    let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned());
    let words = [&[name.as_str()], words].concat();
    words.into_iter().map(quoted).collect::<Vec<_>>().join(" ")
}
