//! `evol train`: a dataset and a base make an adapter.

use super::args::TrainArgs;
use super::error::{Context as _, Error, Result};
use super::output::{Output, Progress, duration};
use super::plan::{InitAdapter, Session, TrainPlan};
use super::shell;
use crate::dataset::{self, Example};
use crate::device::CpuPool;
use crate::device::cuda::CudaDevice;
use crate::gguf::Gguf;
use crate::llm::Tokenizer;
use crate::lora::{LoraWeights, TargetModule};
use crate::model::Llama;
use crate::process;
use crate::train::{self, Backend, Encoded, Event, Host, Job, Outcome, Plan, TrainConfig, TrainSummary};
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Runs the command.
///
/// # Errors
/// A file is unusable, a loss is not a number, the run was interrupted.
pub(crate) fn run(args: &TrainArgs, session: &Session) -> Result<()> {
    let plan = TrainPlan::new(args, session)?;
    if args.dry_run {
        return dry_run(&plan, session);
    }
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

/// Everything that a run needs, loaded and checked.
struct Inputs {
    model: Llama,
    model_sha256: String,
    config: TrainConfig,
    init_adapter: Option<LoraWeights>,
    train: Encoded,
    validation: Encoded,
    pool: CpuPool,
    /// None: training is on the CPU.
    gpus: Vec<CudaDevice>,
}

impl Inputs {
    fn load(plan: &TrainPlan, session: &Session) -> Result<Self> {
        let gguf = Arc::new(Gguf::open(&plan.model)?);
        // First: that there is none should not be said after a minute of reading.
        let gpus: Vec<CudaDevice> =
            session.device.ordinals().iter().copied().map(CudaDevice::new).collect::<Result<_, _>>()?;
        warn_of_different(&gpus, session.output);
        let model_sha256 = gguf.sha256()?;
        let model = Llama::load(gguf)?;
        let pool = CpuPool::new(session.threads)?;
        model.check_finite(&pool)?;
        let mut config = plan.config.clone();
        let init_adapter = match &plan.init {
            Some(init) => Some(init_adapter(init, &model, &mut config)?),
            None => None,
        };
        let tokenizer = Tokenizer::load(&plan.model)?;
        let encode = |path: &Path| -> Result<Encoded> {
            let examples: Vec<Example> = dataset::read_examples(path)?.examples;
            let encoded = train::encode(&tokenizer, &examples, config.max_seq_len, config.overlong);
            encoded.context(|| format!("cannot use `{}`", path.display()))
        };
        let train = encode(&plan.data)?;
        let validation = plan.validation.as_deref().map(encode).transpose()?.unwrap_or_default();
        Ok(Self { model, model_sha256, config, init_adapter, train, validation, pool, gpus })
    }

    fn job<'a>(&'a self, plan: &'a TrainPlan) -> Job<'a> {
        Job {
            model: &self.model,
            model_sha256: &self.model_sha256,
            model_name: plan.model.file_stem().and_then(|stem| stem.to_str()),
            backend: match &self.gpus[..] {
                [] => Backend::Cpu(&self.pool),
                gpus => Backend::Cuda { gpus, precision: self.config.mixed_precision },
            },
            config: &self.config,
            init_adapter: self.init_adapter.as_ref(),
            train: &self.train,
            validation: &self.validation,
            out: &plan.out,
            tensorboard: plan.tensorboard,
        }
    }
}

/// Says so if one GPU will wait for another in every step.
fn warn_of_different(gpus: &[CudaDevice], output: Output) {
    let names: BTreeSet<&str> = gpus.iter().map(|gpu| gpu.info().name.as_str()).collect();
    if names.len() > 1 {
        let names: Vec<&str> = names.into_iter().collect();
        output.warn(&format!(
            "the GPUs are of different kinds ({}): the slowest sets the pace",
            names.join(", ")
        ));
    }
}

/// Reads the adapter to start from and takes its shape into the settings.
fn init_adapter(init: &InitAdapter, model: &Llama, config: &mut TrainConfig) -> Result<LoraWeights> {
    let base = model.config().base_shape();
    let weights = LoraWeights::read(&init.path, &base)
        .context(|| format!("cannot start from `{}`", init.path.display()))?;
    let found = &weights.config;
    let refuse = |field, found: String, expected: String| {
        Err(train::Error::InitAdapter { field, found, expected }.into())
    };
    if let Some(r) = init.typed.r.filter(|&r| r != found.r) {
        return refuse("r", found.r.to_string(), r.to_string());
    }
    if let Some(alpha) = init.typed.lora_alpha.filter(|alpha| alpha.to_bits() != found.lora_alpha.to_bits()) {
        return refuse("lora_alpha", found.lora_alpha.to_string(), alpha.to_string());
    }
    if init.typed.use_rslora {
        return refuse("use_rslora", "in its alpha, if at all".to_owned(), "`--use-rslora`".to_owned());
    }
    for &(module, rank) in &init.typed.rank_pattern {
        if found.rank(module) != rank {
            let rank_of = |rank| format!("{module}={rank}");
            return refuse("rank_pattern", rank_of(found.rank(module)), rank_of(rank));
        }
    }
    let typed: Option<BTreeSet<_>> = init.typed.modules().map(|modules| modules.into_iter().collect());
    if let Some(typed) = typed.filter(|typed| !typed.iter().eq(&found.target_modules)) {
        let (there, here) = (names(&found.target_modules), names(&typed));
        return refuse("target_modules", there, here);
    }
    config.r = found.r;
    config.lora_alpha = found.lora_alpha;
    config.rank_pattern.clone_from(&found.rank_pattern);
    config.target_modules.clone_from(&found.target_modules);
    Ok(weights)
}

fn names<'a>(modules: impl IntoIterator<Item = &'a TargetModule>) -> String {
    modules.into_iter().map(|module| module.peft_name()).collect::<Vec<_>>().join(",")
}

/// That there is as much memory as the run will take, where the system tells.
fn require_memory(costs: &Plan) -> Result<(), train::Error> {
    process::available_bytes().map_or(Ok(()), |available| costs.require(available))
}

/// Says what the run would be, and fails as it would for want of memory.
fn dry_run(plan: &TrainPlan, session: &Session) -> Result<()> {
    let inputs = Inputs::load(plan, session)?;
    let job = inputs.job(plan);
    let costs = train::plan(&job)?;
    let fits = require_memory(&costs);
    let started = Instant::now();
    let seconds = fits.is_ok().then(|| -> Result<f64> {
        let evaluations = 2 + job.config.eval_steps.map_or(0, |every| costs.steps.saturating_sub(1) / every);
        // A forward pass alone is a third of the work.
        let tokens = costs.tokens + evaluations * costs.validation_tokens as u64 / 3;
        Ok(train::seconds_per_token(&job, &|| started.elapsed())? * tokens as f64)
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
        session.output.data(&plan_table(&job, &costs, seconds))?;
    }
    Ok(fits?)
}

fn plan_table(job: &Job<'_>, costs: &Plan, seconds: Option<f64>) -> String {
    let memory = &costs.memory;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<24}{value}");
    };
    let left_out: Vec<String> =
        job.train.dropped.iter().map(|(reason, count)| format!("{count} {}", reason.words())).collect();
    let left_out = if left_out.is_empty() { "none".to_owned() } else { left_out.join(", ") };
    line("samples", format!("{} (left out: {left_out}; cut: {})", costs.samples, job.train.truncated));
    line(
        "tokens per pass",
        format!("{}, {} of them with loss", costs.tokens_per_epoch, costs.targets_per_epoch),
    );
    line(
        "rows per pass",
        format!(
            "{} of up to {} tokens, {:.0} % full",
            costs.rows_per_epoch,
            costs.longest_row,
            costs.packing_efficiency * 100.0
        ),
    );
    line("passes, steps", format!("{}, {}", costs.epochs, costs.steps));
    line("adapter", format!("{} numbers", costs.trainable_parameters));
    let mib = |bytes: u64| format!("{:>8.1} MiB", bytes as f64 / f64::from(1 << 20));
    line("memory: base", mib(memory.base));
    line("  adapter, optimiser", mib(memory.optimizer));
    line("  activations", mib(memory.activations));
    line("  checkpoint", mib(memory.checkpoint));
    line("  products", mib(memory.gemm));
    line("  in all", mib(memory.total()));
    if let Some(device) = &costs.device_memory {
        if job.backend.ranks() > 1 {
            line("GPUs", format!("{}, the figures are of each", job.backend.ranks()));
        }
        line("memory on the GPU: base", mib(device.base));
        line("  adapter, optimiser", mib(device.adapter + device.optimizer));
        line("  activations", mib(device.activations));
        line("  products", mib(device.products));
        if job.backend.ranks() > 1 {
            line("  sums over GPUs", mib(device.collectives));
        }
        line("  in all, and free", format!("{} of{}", mib(device.total()), mib(device.available)));
    }
    if let Some(seconds) = seconds {
        line("time, about", duration(seconds));
    }
    text
}

/// Trains, or goes on where an earlier process stopped. `tick` is called often.
///
/// # Errors
/// As [`run`].
pub(crate) fn stage(plan: &TrainPlan, session: &Session, tick: &mut dyn FnMut()) -> Result<TrainSummary> {
    let inputs = Inputs::load(plan, session)?;
    let job = inputs.job(plan);
    let costs = train::plan(&job)?;
    session.output.note(&plan_table(&job, &costs, None));
    require_memory(&costs)?;
    let started = Instant::now();
    let mut progress = session.output.progress("upload");
    let mut host = Host {
        clock: &|| started.elapsed(),
        peak_memory: &process::peak_bytes,
        interrupt: session.interrupt.flag(),
        on_event: &mut |event| {
            tick();
            report(event, session.output, &mut progress);
        },
    };
    let outcome = train::train(&job, &mut host)?;
    progress.finish();
    match outcome {
        Outcome::Finished(summary) => Ok(summary),
        Outcome::Interrupted { step, total_steps } => {
            session.output.note(&format!("checkpoint at step {step} of {total_steps}"));
            Err(Error::Interrupted)
        }
    }
}

/// Steps after which a run of `plan` has fed about `tokens` positions, at least one.
///
/// # Errors
/// A file is unusable.
pub(crate) fn steps_for_tokens(plan: &TrainPlan, session: &Session, tokens: u64) -> Result<u64> {
    let inputs = Inputs::load(plan, session)?;
    let costs = train::plan(&inputs.job(plan))?;
    let per_step = costs.tokens as f64 / costs.steps.max(1) as f64;
    Ok(((tokens as f64 / per_step).round() as u64).max(1))
}

fn report(event: &Event<'_>, output: Output, progress: &mut Progress) {
    match event {
        Event::Upload { bytes_done, bytes_total } => {
            progress.update(bytes_done >> 20, bytes_total >> 20, "MiB of the base are on the device");
        }
        Event::Started { tokens_done, total_tokens, .. } => {
            // Its speed is not that of the upload.
            std::mem::replace(progress, output.progress("train")).finish();
            progress.update(*tokens_done, *total_tokens, "");
        }
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
        Event::Spike { step, loss, z_score, examples } => progress.say(&format!(
            "step {step}{}: loss {loss:.3} is {z_score:.1} standard deviations above the last ones",
            train::of_examples(examples)
        )),
        Event::Row { .. } | Event::EvalRow { .. } | Event::Checkpoint { .. } => {}
    }
}

/// A finished training in a few lines.
pub(crate) fn describe(summary: &TrainSummary) -> String {
    let loss = |value: Option<f64>| value.map_or("not measured".to_owned(), |v| format!("{v:.4}"));
    let dropped: usize = summary.dropped.values().sum();
    let cut = if summary.truncated > 0 { format!(", {} cut", summary.truncated) } else { String::new() };
    let device = &summary.device;
    // Summaries of older versions do not say where they come from.
    let on = if device.is_empty() { String::new() } else { format!("on               {device}\n") };
    let stopped = match (summary.stopped_early, summary.best_step) {
        (true, best) => format!(", stopped early; the adapter is that of step {best}"),
        (false, best) if best < summary.steps => format!("; the adapter is that of step {best}"),
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
