//! How the process ends after an error: the exit code, and the hint below the message.
//!
//! **Invariant:** exit code 2 means that the same command will fail again until the user changes something,
//! 1 that it may succeed next time, and 130 that it was interrupted and can be resumed.

use super::causes::causes;
use crate::explain::{Blame, Explain as _};
use crate::run::Error;
use std::io::{self, ErrorKind};

/// Exit code of an interrupted command: 128 + SIGINT, as in shells.
pub(super) const EXIT_INTERRUPTED: u8 = 130;

/// Exit code and hint. `None`: stdout was closed by its reader, so the process exits quietly, with success.
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

/// A hint if any cause is a full disk, whatever file it was.
fn full_disk(error: &Error) -> Option<String> {
    let is_full =
        |error: &io::Error| matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    causes(error)
        .filter_map(|cause| cause.downcast_ref())
        .any(is_full)
        .then(|| "make room on that disk, then rerun the same command".to_owned())
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
}
