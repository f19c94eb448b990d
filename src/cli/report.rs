//! `evol report`: writes a run as one HTML page.

use super::args::ReportArgs;
use super::session::Session;
use crate::run::{Result, files, report};
use crate::store::Store;

/// Runs the command.
///
/// # Errors
/// The run does not exist, or the page cannot be written.
pub(crate) fn run(args: &ReportArgs, session: &Session) -> Result<()> {
    // The journal is closed before the map is computed, so that other commands can open it meanwhile.
    let (data, records) = report::gather(&Store::open(&args.run)?, &args.run)?;
    let out = args.out.clone().unwrap_or_else(|| args.run.join(files::REPORT));
    let records = (!args.no_map).then_some(&records[..]);
    report::draw(data, records, &args.run, &out, session.context())?;
    if session.output.is_json() {
        return session.output.document(&serde_json::json!({ "report": out }));
    }
    session.output.data(&format!("{}\n", out.display()))
}
