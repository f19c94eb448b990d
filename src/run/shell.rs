//! Commands that are shown to be run next: as a shell takes them.
//!
//! **Invariant:** what is shown can be pasted: it calls the program as its user did, and every word is quoted
//! where a shell would read it otherwise.

pub use crate::explain::{quoted, word};

/// A command line of this program with `words` after its name.
pub fn evol(words: &[&str]) -> String {
    let name = std::env::args_os().next().and_then(|name| name.into_string().ok());
    let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned());
    let words = [&[name.as_str()], words].concat();
    words.into_iter().map(quoted).collect::<Vec<_>>().join(" ")
}
