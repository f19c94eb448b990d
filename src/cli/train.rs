//! `evol train`: a dataset and a base make an adapter.

use super::args::TrainArgs;
use super::error::Error;
use super::output::{Progress, duration};
use super::plan::{Session, TrainPlan};
use super::shell;
use crate::dataset::{self, Example};
use crate::device::Device;
use crate::gguf::Gguf;
use crate::llm::Tokenizer;
use crate::model::Llama;
use crate::train::{self, Encoded, Event, Host, Job, Outcome, TrainSummary};
use anyhow::{Context, Result};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Runs the command.
///
/// # Errors
/// A file is unusable, a loss is not a number, the run was interrupted.
pub(crate) fn run(args: &TrainArgs, session: &Session) -> Result<()> {
    let plan = TrainPlan::new(args, session)?;
    let summary = stage(&plan, session, &mut || ())?;
    if session.output.is_json() {
        return session.output.document(&summary);
    }
    session.output.data(&describe(&summary))?;
    let (model, adapter) = (shell::word(&plan.model), shell::word(&summary.adapter_gguf));
    let next = shell::evol(&["chat", "--model", &model, "--adapter", &adapter]);
    session.output.note(&format!("\nTry it: {next}"));
    Ok(())
}

/// Trains, or goes on where an earlier process stopped. `tick` is called often.
///
/// # Errors
/// As [`run`].
pub(crate) fn stage(plan: &TrainPlan, session: &Session, tick: &mut dyn FnMut()) -> Result<TrainSummary> {
    let gguf = Arc::new(Gguf::open(&plan.model)?);
    let model_sha256 = gguf.sha256()?;
    let model = Llama::load(gguf)?;
    let tokenizer = Tokenizer::load(&plan.model)?;
    let encode = |path: &Path| -> Result<Encoded> {
        let examples: Vec<Example> = dataset::read_examples(path)?.examples;
        let encoded = train::encode(&tokenizer, &examples, plan.config.max_seq_len);
        encoded.with_context(|| format!("cannot use `{}`", path.display()))
    };
    let train_set = encode(&plan.data)?;
    let validation = plan.validation.as_deref().map(encode).transpose()?.unwrap_or_default();
    let costs = train::plan(model.config(), &plan.config, &train_set, &validation)?;
    session.output.detail(&format!(
        "{} samples, {} steps, {} tokens, {} trainable numbers",
        costs.samples, costs.steps, costs.tokens, costs.trainable_parameters
    ));

    let device = Device::cpu(session.threads)?;
    let started = Instant::now();
    let mut progress = session.output.progress("train");
    let job = Job {
        model: &model,
        model_sha256: &model_sha256,
        model_name: plan.model.file_stem().and_then(|stem| stem.to_str()),
        device: &device,
        config: &plan.config,
        train: &train_set,
        validation: &validation,
        out: &plan.out,
    };
    let mut host = Host {
        clock: &|| started.elapsed(),
        interrupt: session.interrupt.flag(),
        on_event: &mut |event| {
            tick();
            report(event, &mut progress);
        },
    };
    let outcome = train::train(&job, &mut host)?;
    progress.finish();
    match outcome {
        Outcome::Finished(summary) => Ok(summary),
        Outcome::Interrupted { step, total_steps } => {
            session.output.note(&format!("checkpoint at step {step} of {total_steps}"));
            Err(Error::Interrupted.into())
        }
    }
}

fn report(event: &Event<'_>, progress: &mut Progress) {
    match event {
        Event::Started { tokens_done, total_tokens, .. } => progress.update(*tokens_done, *total_tokens, ""),
        Event::Step { metrics, total_steps, tokens_done, total_tokens } => {
            let detail = format!(
                "step {}/{total_steps}, loss {:.3}, {:.0} tokens/s",
                metrics.step, metrics.loss, metrics.tokens_per_second
            );
            progress.update(*tokens_done, *total_tokens, &detail);
        }
        Event::Eval(metrics) => progress.say(&format!(
            "validation loss after step {}: {:.4} ({} tokens)",
            metrics.step, metrics.validation_loss, metrics.targets
        )),
        Event::Row { .. } | Event::EvalRow { .. } | Event::Checkpoint { .. } => {}
    }
}

/// A finished training in a few lines.
pub(crate) fn describe(summary: &TrainSummary) -> String {
    let loss = |value: Option<f64>| value.map_or("not measured".to_owned(), |v| format!("{v:.4}"));
    let dropped: usize = summary.dropped.values().sum();
    format!(
        "steps            {}\ntokens           {} ({:.0} per second, {})\nleft out         {dropped} examples\n\
         validation loss  {} before, {} after\nadapter          {}\n                 {} (PEFT)\n",
        summary.steps,
        summary.tokens,
        summary.tokens_per_second,
        duration(summary.seconds),
        loss(summary.validation_loss_before),
        loss(summary.validation_loss_after),
        summary.adapter_gguf.display(),
        summary.adapter_peft.display(),
    )
}
