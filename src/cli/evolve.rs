//! `evol evolve`: evolves seeds with a model into a run directory.

use super::args::EvolveArgs;
use super::session::Session;
use super::table::funnel_table;
use crate::evolve::Shard;
use crate::run::evolve::{self, EvolveInputs, EvolvePlan};
use crate::run::{
    self, Monitor, Overrides, Result, RunDir, SeedsSection, files, funnel_cells, resolve_model, shell,
};
use crate::store::Store;
use serde_json::json;
use std::path::PathBuf;

/// Runs the command.
///
/// # Errors
/// Model, seeds or directory are unusable, llama.cpp fails, or the run was interrupted.
pub(crate) fn run(args: &EvolveArgs, session: &Session) -> Result<()> {
    let shard = args.shard.unwrap_or(Shard::WHOLE);
    let (plan, out) = plan(args, shard, session)?;
    let dir = RunDir::claim(&out)?;
    let mut store = Store::open_or_create(dir.path())?;
    evolve::check_same_run(&plan, &dir, &store, session.context())?;
    let monitor = Monitor::new(&dir, session)?;
    let summary = evolve::run(&plan, &dir, &mut store, session.context().with_host(&monitor))?;
    let cells = funnel_cells(&store.funnel()?);
    if session.output.is_json() {
        return session.output.document(&json!({"summary": summary, "funnel": cells}));
    }
    session.output.data(&format!(
        "{}\n{} of {} attempts kept, {} instructions with answers, {} tokens generated\n",
        funnel_table(&cells),
        summary.kept,
        summary.attempts,
        summary.answers,
        summary.tokens.evolve_tokens + summary.tokens.answer_tokens,
    ))?;
    let next = match shard {
        Shard::WHOLE => shell::evol(&["export", &shell::word(dir.path()), "--out", "data"]),
        _ => format!("{}, once all shards are finished", shell::evol(&["merge-runs", "OUT", "SHARDS"])),
    };
    session.output.note(&format!("\nNext: {next}"));
    Ok(())
}

/// The plan, and the run directory.
fn plan(args: &EvolveArgs, shard: Shard, session: &Session) -> Result<(EvolvePlan, PathBuf)> {
    if let Some(path) = &args.config {
        let config = run::load_config(path, Overrides { seed: session.seed, ..Overrides::default() })?;
        let out = args.out.clone().unwrap_or_else(|| match shard {
            Shard::WHOLE => config.out.clone(),
            shard => files::shard(&config.out, shard.index()),
        });
        return Ok((EvolvePlan::from_config(&config, shard, session)?, out));
    }
    let (Some(model), Some(out)) = (&args.model, &args.out) else {
        unreachable!("clap requires both without `--config`")
    };
    let config = args.settings.config(session.seed.unwrap_or(0));
    config.validate()?;
    let judge_model = args.judge_model.as_deref().map(resolve_model).transpose()?;
    let inputs = EvolveInputs {
        model: resolve_model(model)?,
        judge_model,
        seeds: SeedsSection {
            file: args.seeds.clone(),
            on_bad_input: args.on_bad_input.into(),
            limit: args.limit,
            licence: args.seeds_licence.clone(),
        },
        config,
        engine: (&args.engine).into(),
        shard,
    };
    Ok((EvolvePlan::new(inputs, session)?, out.clone()))
}
