//! The chain of causes behind an error, as an iterator and as one line of text.

use crate::run::Error;
use std::error::Error as StdError;

/// `a: b: c`, the error and its causes on one line. A cause is skipped if the text before it ends with it.
pub(super) fn one_line(error: &Error) -> String {
    let mut message = String::new();
    for cause in causes(error) {
        let text = cause.to_string().replace('\n', " ");
        if message.is_empty() {
            message = text;
        } else if !message.ends_with(&text) {
            message = format!("{message}: {text}");
        }
    }
    message
}

/// The error itself, its cause, the cause of that, and so on.
pub(super) fn causes(error: &Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(Some(error as &(dyn StdError + 'static)), |&cause| cause.source())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn a_chain_is_one_line_without_repetition() {
        let context =
            |what: &str, source: Error| Error::Context { what: what.to_owned(), source: Box::new(source) };
        let inner = || Error::Io { what: "b".to_owned(), source: io::Error::other("no such\nfile") };
        assert_eq!(one_line(&context("cannot read `a`", inner())), "cannot read `a`: b: no such file");
        assert_eq!(one_line(&context("a: b", inner())), "a: b: no such file");
    }
}
