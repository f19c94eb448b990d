//! `evol doctor --determinism`: which changes affect the bits of results, on this machine with this model.
//!
//! Where in the flow: `doctor` runs this last, once it knows that the model generates.
//!
//! **Invariant:** the check fails only if `exact` is promised and results differ.

use super::diagnosis::{Check, Verdict};
use super::session::Session;
use crate::llm::{self, Determinism, Extent, Perturbed};
use crate::run::{Error, Host as _, Result};
use std::fmt::Write as _;
use std::path::Path;

/// Runs the perturbation matrix on `model`. Returns its rows, and whether determinism is as promised.
///
/// # Errors
/// The model fails, or the user interrupts.
pub(super) fn matrix(model: &Path, session: &Session) -> Result<(Vec<Perturbed>, Check)> {
    let (promised, reason) = Determinism::Exact.resolve(model, 0)?;
    let mut done = 0;
    let mut on_change = |perturbed: &Perturbed, all: usize| {
        done += 1;
        session.report_progress("determinism", done, all as u64, &perturbed.change);
    };
    let found = llm::perturb(model, session.threads, Extent::Full, session.interrupt(), &mut on_change);
    session.progress_done();
    let found = match found {
        Err(llm::Error::Interrupted) => return Err(Error::Interrupted),
        other => other?,
    };
    let check = verdict(promised, reason.as_deref(), &found);
    Ok((found, check))
}

fn verdict(promised: Determinism, reason: Option<&str>, found: &[Perturbed]) -> Check {
    const NAME: &str = "determinism";
    let rows: usize = found.iter().map(|perturbed| perturbed.rows).sum();
    let differing: usize = found.iter().map(|perturbed| perturbed.differing_rows).sum();
    let counted = format!("{differing} of {rows} rows of logits differ over {} changes", found.len());
    match promised {
        Determinism::Exact if differing > 0 => {
            Check::new(NAME, Verdict::Failed, format!("`exact` is promised for this format, but {counted}"))
        }
        Determinism::Exact => Check::new(NAME, Verdict::Ok, format!("`exact`: {counted}")),
        Determinism::Scheduled => {
            let reason = reason.unwrap_or_default();
            Check::new(NAME, Verdict::Warning, format!("`scheduled`, because {reason}; {counted}"))
        }
    }
}

/// Formats the matrix as a table.
pub(super) fn describe(found: &[Perturbed]) -> String {
    let mut text = format!("\n{:<34}{:>18}{:>18}\n", "changed", "rows differing", "texts differing");
    for Perturbed { change, rows, differing_rows, texts, differing_texts } in found {
        let (of_rows, of_texts) =
            (format!("{differing_rows} of {rows}"), format!("{differing_texts} of {texts}"));
        let _ = writeln!(text, "{change:<34}{of_rows:>18}{of_texts:>18}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn perturbed(differing_rows: usize) -> Perturbed {
        let change = "threads: 1".to_owned();
        Perturbed { change, rows: 90, differing_rows, texts: 10, differing_texts: 0 }
    }

    #[test]
    fn a_broken_promise_fails_and_what_is_not_promised_does_not() {
        let kept = verdict(Determinism::Exact, None, &[perturbed(0), perturbed(0)]);
        assert_eq!(kept.verdict, Verdict::Ok);
        assert_eq!(kept.found, "`exact`: 0 of 180 rows of logits differ over 2 changes");
        assert_eq!(verdict(Determinism::Exact, None, &[perturbed(0), perturbed(1)]).verdict, Verdict::Failed);
        let less = verdict(Determinism::Scheduled, Some("of its format"), &[perturbed(7)]);
        assert_eq!(less.verdict, Verdict::Warning);
        assert!(less.found.contains("of its format; 7 of 90"), "{}", less.found);
    }

    #[test]
    fn the_table_has_a_line_for_each_change() {
        let table = describe(&[perturbed(0), perturbed(12)]);
        let lines: Vec<&str> = table.trim_start().lines().collect();
        assert_eq!(lines[0].split_whitespace().count(), 5);
        assert!(lines[2].starts_with("threads: 1 ") && lines[2].contains("12 of 90"), "{table}");
    }
}
