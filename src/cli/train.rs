//! `evol train`: trains an adapter on a dataset.

use super::args::TrainArgs;
use super::session::Session;
use crate::run::train::{self, ExpectedShape, InitAdapter, TrainInputs, TrainPlan};
use crate::run::{Result, check_writable, duration, files, resolve_model, shell};
use crate::train::{self as trainer, TrainSummary};
use serde_json::json;
use std::time::Instant;

/// Runs the command.
///
/// # Errors
/// A file is unusable, a loss is not finite, or the run was interrupted.
pub(crate) fn run(args: &TrainArgs, session: &Session) -> Result<()> {
    let plan = plan(args, session)?;
    if args.dry_run {
        return dry_run(&plan, session);
    }
    let summary = train::run(&plan, session.context())?;
    if session.output.is_json() {
        return session.output.document(&summary);
    }
    session.output.data(&describe(&summary))?;
    let (model, adapter) = (shell::word(&plan.model), shell::word(&summary.adapter_gguf));
    let next = shell::evol(&["chat", "--model", &model, "--adapter", &adapter]);
    session.output.note(&format!("\nTry it: {next}"));
    Ok(())
}

fn plan(args: &TrainArgs, session: &Session) -> Result<TrainPlan> {
    let typed = &args.settings;
    let config = typed.config(session.seed.unwrap_or(0));
    config.validate()?;
    check_writable(&args.out, files::METRICS)?;
    let init = typed.init_adapter.clone().map(|path| InitAdapter {
        path,
        expected: ExpectedShape {
            r: typed.r,
            lora_alpha: typed.lora_alpha,
            use_rslora: typed.use_rslora,
            rank_pattern: typed.rank_pattern.clone(),
            target_modules: typed.modules(),
        },
    });
    Ok(TrainPlan {
        model: resolve_model(&args.base)?,
        data: args.data.clone(),
        validation: args.validation.clone(),
        out: args.out.clone(),
        config,
        init,
        tensorboard: args.tensorboard,
    })
}

/// Prints the plan. Fails, as training would, if it does not fit into memory.
fn dry_run(plan: &TrainPlan, session: &Session) -> Result<()> {
    let inputs = TrainInputs::load(plan, session.context())?;
    let job = inputs.job(plan);
    let costs = trainer::plan(&job)?;
    let fits = train::require_memory(&costs);
    let started = Instant::now();
    let seconds = fits.is_ok().then(|| -> Result<f64> {
        let evaluations = 2 + job.config.eval_steps.map_or(0, |every| costs.steps.saturating_sub(1) / every);
        // A forward pass is about a third of the work of a step.
        let tokens = costs.tokens + evaluations * costs.validation_tokens as u64 / 3;
        Ok(trainer::seconds_per_token(&job, &|| started.elapsed())? * tokens as f64)
    });
    let seconds = seconds.transpose()?;
    if session.output.is_json() {
        session.output.document(&json!({
            "plan": costs,
            "total_bytes": costs.memory.total(),
            "fits": fits.is_ok(),
            "estimated_seconds": seconds,
            "dropped": inputs.train.dropped,
            "truncated": inputs.train.truncated,
            "validation_dropped": inputs.validation.dropped,
        }))?;
    } else {
        session.output.data(&train::plan_table(&job, &costs, seconds))?;
    }
    Ok(fits?)
}

/// Describes a finished training run in a few lines.
pub(crate) fn describe(summary: &TrainSummary) -> String {
    let loss = |value: Option<f64>| value.map_or("not measured".to_owned(), |v| format!("{v:.4}"));
    let dropped: usize = summary.dropped.values().sum();
    let cut = if summary.truncated > 0 { format!(", {} cut", summary.truncated) } else { String::new() };
    let device = &summary.device;
    // Summaries of older versions do not name the device.
    let on = if device.is_empty() { String::new() } else { format!("device           {device}\n") };
    let stopped = match (summary.stopped_early, summary.best_step) {
        (true, best) => format!(", stopped early; the adapter is from step {best}"),
        (false, best) if best < summary.steps => format!("; the adapter is from step {best}"),
        _ => String::new(),
    };
    format!(
        "steps            {}{}\n{on}tokens           {} ({:.0} per second, {})\n\
         left out         {dropped} examples{cut}\n\
         validation loss  {} before, {} after\nadapter          {}\n                 {} (PEFT)\n",
        summary.steps,
        stopped,
        summary.tokens,
        summary.tokens_per_second,
        duration(summary.seconds),
        loss(summary.validation_loss_before),
        loss(summary.validation_loss_after),
        summary.adapter_gguf.display(),
        summary.adapter_peft.display(),
    )
}
