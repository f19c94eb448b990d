//! `evol run`: runs the whole loop from an experiment file.

use super::args::RunArgs;
use super::session::Session;
use super::table::{evaluation_table, next_steps, summary_table};
use crate::run::{self, Overrides, Result, eval, files};

/// Runs the command.
///
/// # Errors
/// The configuration is wrong, a stage fails, or the run was interrupted.
pub(crate) fn run(args: &RunArgs, session: &Session) -> Result<()> {
    let overrides = Overrides {
        seed: session.seed,
        out: args.out.as_deref(),
        model: args.model.as_deref(),
        repeats: args.repeats,
    };
    let config = run::load_config(&args.config, overrides)?;
    let Some(summary) = run::run(&config, args.until.map(Into::into), session.context())? else {
        if session.output.is_json() {
            return session.output.document(&serde_json::json!({ "run": config.out, "finished": false }));
        }
        session.output.note("stopped after the stage given by `--until`; rerun without it to resume");
        return Ok(());
    };
    if session.output.is_json() {
        return session.output.document(&summary);
    }
    session.output.data(&summary_table(&summary))?;
    if let Some(evaluation) = eval::read(&config.out.join(files::EVAL)) {
        session.output.data(&format!("\n{}", evaluation_table(&evaluation)))?;
    }
    session.output.note(&next_steps(&summary, &config.out));
    Ok(())
}
