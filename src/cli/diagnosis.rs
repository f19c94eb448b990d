//! One line of `evol doctor`: what was checked, what was found, and whether it is a problem.

use super::causes::one_line;
use crate::run::Error;
use serde::Serialize;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Ok,
    /// Works, but not as well as it could.
    Warning,
    /// Something would fail.
    Failed,
}

/// The result of one check.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) verdict: Verdict,
    pub(super) found: String,
}

impl Check {
    pub(super) fn new(name: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self { name, verdict, found: found.into() }
    }

    /// A failed check that shows `error` with all its causes.
    pub(super) fn failed(name: &'static str, error: impl Into<Error>) -> Self {
        Self::new(name, Verdict::Failed, one_line(&error.into()))
    }
}
