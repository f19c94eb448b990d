//! How the process ends after an error: its exit code and the hint below the message.
//!
//! **Invariant:** exit 2 means that the same command fails again until the user changes something; exit 1
//! that it may succeed next time; exit 130 that it was interrupted and resumes.

use super::interrupt::EXIT_INTERRUPTED;
use crate::explain::{Blame, Explain as _};
use crate::run::Error;
use std::error::Error as StdError;
use std::io::{self, ErrorKind};

/// Exit code and hint. `None`: nobody reads the output any more, so the process ends quietly, with success.
pub(crate) fn ending(error: &Error) -> Option<(u8, Option<String>)> {
    if matches!(error.without_context(), Error::OutputClosed) {
        return None;
    }
    let code = match error.blame() {
        Blame::Run => 1,
        Blame::Usage => 2,
        Blame::Interrupted => EXIT_INTERRUPTED,
    };
    Some((code, error.hint().or_else(|| full_disk(error))))
}

/// `a: b: c`, the error and its causes on one line. A cause that the text before it already ends with is left
/// out.
pub(crate) fn one_line(error: &Error) -> String {
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

/// The error, what caused it, and so on.
fn causes(error: &Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(Some(error as &(dyn StdError + 'static)), |&cause| cause.source())
}

/// A hint for whatever file could not be written because its disk is full.
fn full_disk(error: &Error) -> Option<String> {
    let is_full =
        |error: &io::Error| matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    causes(error)
        .filter_map(|cause| cause.downcast_ref())
        .any(is_full)
        .then(|| "make room on that disk, then give the same command again".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm;

    fn context(what: &str, source: Error) -> Error {
        Error::Context { what: what.to_owned(), source: Box::new(source) }
    }

    #[test]
    fn a_full_disk_is_explained_whatever_file_it_stops() {
        let full = || io::Error::from(ErrorKind::StorageFull);
        let writing = Error::Write { path: "run/manifest.json".into(), source: full() };
        let (code, hint) = ending(&context("cannot start", writing)).unwrap();
        assert_eq!(code, 1);
        assert!(hint.is_some_and(|hint| hint.starts_with("make room on that disk")));
        let converting = llm::Error::Cache { path: "cache".into(), action: "write", source: full() };
        let own = converting.hint();
        assert!(own.is_some() && ending(&converting.into()).unwrap().1 == own, "its own hint comes first");
    }

    #[test]
    fn context_changes_neither_exit_code_nor_hint() {
        assert_eq!(ending(&context("a", Error::OutputClosed)), None);
        assert_eq!(ending(&context("a", llm::Error::Interrupted.into())).unwrap().0, EXIT_INTERRUPTED);
        let usage = || Error::Exists { path: "x".into() };
        let (code, hint) = ending(&context("a", usage())).unwrap();
        assert_eq!((code, hint), (2, usage().hint()));
    }

    #[test]
    fn a_chain_is_one_line_and_says_nothing_twice() {
        let inner = || Error::Io { what: "b".to_owned(), source: io::Error::other("no such\nfile") };
        assert_eq!(one_line(&context("cannot read `a`", inner())), "cannot read `a`: b: no such file");
        assert_eq!(one_line(&context("a: b", inner())), "a: b: no such file");
    }
}
