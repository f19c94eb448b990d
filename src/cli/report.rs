//! `evol report`: everything that a run left, as one page.

use super::args::ReportArgs;
use super::session::Session;
use crate::run::{Result, files, report};
use crate::store::Store;

/// Runs the command.
///
/// # Errors
/// There is no run, or the page cannot be written.
pub(crate) fn run(args: &ReportArgs, session: &Session) -> Result<()> {
    // The journal is closed before the model reads: that takes a while, and others may want to look.
    let (data, records) = report::gather(&Store::open(&args.run)?, &args.run)?;
    let out = args.out.clone().unwrap_or_else(|| args.run.join(files::REPORT));
    let records = (!args.no_map).then_some(&records[..]);
    report::draw(data, records, &args.run, &out, session.context())?;
    if session.output.is_json() {
        return session.output.document(&serde_json::json!({ "report": out }));
    }
    session.output.data(&format!("{}\n", out.display()))
}
