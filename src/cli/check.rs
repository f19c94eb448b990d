//! `evol check`: reruns every check that needs no model on an export.

use super::args::CheckArgs;
use super::session::Session;
use crate::dataset;
use crate::evolve::{self, Recheck};
use crate::run::{Error, Result};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Findings to show for each rule; `--json` has all.
const SHOWN: usize = 3;

/// Runs the command.
///
/// # Errors
/// [`Error::Check`] if anything is found; the file cannot be read, or is not an export.
pub(crate) fn run(args: &CheckArgs, session: &Session) -> Result<()> {
    let rows = dataset::read_export(&args.path)?;
    let others: Vec<&dataset::Record> = rows.rejected.iter().map(|rejected| &rejected.record).collect();
    let found = evolve::recheck(&rows.records, &others)?;
    if session.output.is_json() {
        session.output.document(&found)?;
    } else {
        session.output.data(&report(&found))?;
    }
    match found.findings.len() {
        0 => Ok(()),
        findings => Err(Error::Check { findings, rows: found.rows }),
    }
}

fn report(found: &Recheck) -> String {
    let Recheck { rows, with_constraints, constraints, with_parent, without_parent, findings } = found;
    let mut text = format!(
        "{rows} rows: {constraints} constraints of {with_constraints} rows checked, {with_parent} rows \
         compared with their parents\n"
    );
    if *without_parent > 0 {
        let _ =
            writeln!(text, "{without_parent} rows were not compared: their parents are not in the export");
    }
    let mut by_rule: BTreeMap<&str, Vec<&evolve::Finding>> = BTreeMap::new();
    for finding in findings {
        by_rule.entry(finding.rule).or_default().push(finding);
    }
    for (rule, findings) in by_rule {
        let _ = writeln!(text, "\n{rule}: {} rows", findings.len());
        for finding in findings.iter().take(SHOWN) {
            let _ = writeln!(text, "  {} {} {:?}", finding.id, finding.detail, finding.instruction);
        }
    }
    text
}
