//! The third stage: trains an adapter on a dataset.
//!
//! Where in the flow: `evol train` runs only this stage; `evol run` uses it for the run's adapter and for the
//! baselines.
//!
//! **Invariant:** predictable failures come early: a missing GPU is reported before the base is read, and too
//! little memory before anything is allocated.

use super::error::{Error, ErrorContext as _, Result};
use super::host::{Context, Host, Progress, duration};
use crate::dataset::{self, Example};
use crate::device::CpuPool;
use crate::device::cuda::CudaDevice;
use crate::gguf::Gguf;
use crate::llm::Tokenizer;
use crate::lora::{LoraWeights, TargetModule};
use crate::model::Llama;
use crate::process;
use crate::train::{self, Backend, Encoded, Event, Job, Outcome, Plan, TrainConfig, TrainSummary};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// The inputs of a training run.
#[derive(Debug)]
pub struct TrainPlan {
    /// The base model.
    pub model: PathBuf,
    /// Training data, JSONL.
    pub data: PathBuf,
    /// Validation data, JSONL.
    pub validation: Option<PathBuf>,
    /// Output folder.
    pub out: PathBuf,
    /// Settings, checked. If there is an initial adapter, its shape replaces theirs.
    pub config: TrainConfig,
    /// The adapter to start from; `None` for a new one.
    pub init: Option<InitAdapter>,
    /// Whether metrics are also written for `TensorBoard`.
    pub tensorboard: bool,
}

/// An adapter to start from.
#[derive(Debug)]
pub struct InitAdapter {
    /// GGUF file or PEFT folder.
    pub path: PathBuf,
    /// The shape settings that the user gave.
    pub expected: ExpectedShape,
}

/// Shape settings that the user gave, which the initial adapter must match.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExpectedShape {
    /// Rank.
    pub r: Option<usize>,
    /// `lora_alpha`, the scale before it is divided by the rank.
    pub lora_alpha: Option<f32>,
    /// Whether the scale is divided by the root of the rank instead.
    pub use_rslora: bool,
    /// Ranks of individual projections.
    pub rank_pattern: Vec<(TargetModule, usize)>,
    /// Adapted projections.
    pub target_modules: Option<Vec<TargetModule>>,
}

/// Everything that training needs, loaded and checked.
pub struct TrainInputs {
    model: Llama,
    model_sha256: String,
    config: TrainConfig,
    init_adapter: Option<LoraWeights>,
    /// Tokenised training data.
    pub train: Encoded,
    /// Tokenised validation data.
    pub validation: Encoded,
    pool: CpuPool,
    /// Empty for training on the CPU.
    gpus: Vec<CudaDevice>,
}

impl TrainInputs {
    /// Loads the model, the data and the initial adapter of `plan`.
    ///
    /// # Errors
    /// A GPU, a file or the initial adapter is unusable.
    pub fn load(plan: &TrainPlan, context: Context<'_>) -> Result<Self> {
        let gguf = Arc::new(Gguf::open(&plan.model)?);
        // Before the minute of reading: fail early if there is no GPU.
        let gpus: Vec<CudaDevice> =
            context.gpus.iter().copied().map(CudaDevice::new).collect::<Result<_, _>>()?;
        warn_of_different_gpus(&gpus, context.host);
        let model_sha256 = gguf.sha256()?;
        let model = Llama::load(gguf)?;
        let pool = CpuPool::new(context.threads)?;
        model.check_finite(&pool)?;
        let mut config = plan.config.clone();
        let init_adapter =
            plan.init.as_ref().map(|init| init_adapter(init, &model, &mut config)).transpose()?;
        let tokenizer = Tokenizer::load(&plan.model)?;
        let encode = |path: &Path| -> Result<Encoded> {
            let examples: Vec<Example> = dataset::read_examples(path)?.examples;
            train::encode(&tokenizer, &examples, config.max_seq_len, config.overlong)
                .context(|| format!("cannot use `{}`", path.display()))
        };
        let train = encode(&plan.data)?;
        let validation = plan.validation.as_deref().map(encode).transpose()?.unwrap_or_default();
        Ok(Self { model, model_sha256, config, init_adapter, train, validation, pool, gpus })
    }

    /// The job for the trainer, with the output folder of `plan`.
    pub fn job<'a>(&'a self, plan: &'a TrainPlan) -> Job<'a> {
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

/// Warns if the GPUs are of different kinds, because each step waits for the slowest.
fn warn_of_different_gpus(gpus: &[CudaDevice], host: &dyn Host) {
    let names: BTreeSet<&str> = gpus.iter().map(|gpu| gpu.info().name.as_str()).collect();
    if names.len() > 1 {
        let names: Vec<&str> = names.into_iter().collect();
        host.warn(&format!(
            "the GPUs are of different kinds ({}): the slowest sets the pace",
            names.join(", ")
        ));
    }
}

/// Reads the adapter to start from, checks it, and copies its shape to the settings.
fn init_adapter(init: &InitAdapter, model: &Llama, config: &mut TrainConfig) -> Result<LoraWeights> {
    let base = model.config().base_shape();
    let weights = LoraWeights::read(&init.path, &base)
        .context(|| format!("cannot start from `{}`", init.path.display()))?;
    let (found, expected) = (&weights.config, &init.expected);
    let refuse = |field, found: String, expected: String| {
        Err(train::Error::InitAdapter { field, found, expected }.into())
    };
    if let Some(r) = expected.r.filter(|&r| r != found.r) {
        return refuse("r", found.r.to_string(), r.to_string());
    }
    if let Some(alpha) = expected.lora_alpha.filter(|alpha| alpha.to_bits() != found.lora_alpha.to_bits()) {
        return refuse("lora_alpha", found.lora_alpha.to_string(), alpha.to_string());
    }
    if expected.use_rslora {
        return refuse("use_rslora", "in its alpha, if at all".to_owned(), "`--use-rslora`".to_owned());
    }
    for &(module, rank) in &expected.rank_pattern {
        if found.rank(module) != rank {
            let rank_of = |rank| format!("{module}={rank}");
            return refuse("rank_pattern", rank_of(found.rank(module)), rank_of(rank));
        }
    }
    let modules = expected.target_modules.iter().flatten().copied().collect::<BTreeSet<_>>();
    if expected.target_modules.is_some() && modules != found.target_modules.iter().copied().collect() {
        return refuse("target_modules", names(&found.target_modules), names(&modules));
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

/// Refuses a training run that needs more memory than is available, if the system reports it.
///
/// # Errors
/// [`train::Error::Memory`] says what to change.
pub fn require_memory(costs: &Plan) -> Result<(), train::Error> {
    process::available_bytes().map_or(Ok(()), |available| costs.require(available))
}

/// Starts or resumes a training run.
///
/// # Errors
/// As [`TrainInputs::load`] and [`require_memory`]; a loss is not finite; the run was interrupted.
pub fn run(plan: &TrainPlan, context: Context<'_>) -> Result<TrainSummary> {
    let inputs = TrainInputs::load(plan, context)?;
    let job = inputs.job(plan);
    let costs = train::plan(&job)?;
    context.host.note(&plan_table(&job, &costs, None));
    require_memory(&costs)?;
    let started = Instant::now();
    let mut reporter =
        Reporter { host: context.host, stage: "upload", done: 0, total: 0, detail: String::new() };
    let mut host = train::Host {
        clock: &|| started.elapsed(),
        peak_memory: &process::peak_bytes,
        interrupt: context.host.interrupt(),
        on_event: &mut |event| reporter.event(event),
    };
    let outcome = train::train(&job, &mut host)?;
    context.host.progress_done();
    match outcome {
        Outcome::Finished(summary) => Ok(summary),
        Outcome::Interrupted { step, total_steps } => {
            context.host.note(&format!("checkpoint at step {step} of {total_steps}"));
            Err(Error::Interrupted)
        }
    }
}

/// The number of steps, at least one, in which a training run by `plan` processes about `tokens` positions.
///
/// # Errors
/// As [`TrainInputs::load`]; [`train::Error::NoSamples`].
pub fn steps_for_tokens(plan: &TrainPlan, context: Context<'_>, tokens: u64) -> Result<u64> {
    let inputs = TrainInputs::load(plan, context)?;
    let costs = train::plan(&inputs.job(plan))?;
    let per_step = costs.tokens as f64 / costs.steps.max(1) as f64;
    Ok(((tokens as f64 / per_step).round() as u64).max(1))
}

/// Turns the trainer's events into messages and progress.
struct Reporter<'a> {
    host: &'a dyn Host,
    stage: &'static str,
    done: u64,
    total: u64,
    detail: String,
}

impl Reporter<'_> {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Upload { bytes_done, bytes_total } => {
                (self.done, self.total) = (bytes_done >> 20, bytes_total >> 20);
                "MiB of the base uploaded".clone_into(&mut self.detail);
            }
            Event::Started { tokens_done, total_tokens, .. } => {
                self.stage = "train";
                (self.done, self.total) = (*tokens_done, *total_tokens);
                self.detail.clear();
            }
            Event::Step { metrics, total_steps, tokens_done, total_tokens } => {
                (self.done, self.total) = (*tokens_done, *total_tokens);
                self.detail = format!(
                    "step {}/{total_steps}, loss {:.3}, {:.0} tokens/s",
                    metrics.step, metrics.loss, metrics.tokens_per_second
                );
            }
            Event::Eval(metrics) => self.host.note(&format!(
                "validation loss after step {}: {:.4} ({} tokens)",
                metrics.step, metrics.validation_loss, metrics.targets
            )),
            Event::Spike { step, loss, z_score, examples } => self.host.note(&format!(
                "step {step}{}: loss {loss:.3} is {z_score:.1} standard deviations above the recent mean",
                train::of_examples(examples)
            )),
            // Nothing new to show, but report progress anyway: a step can take minutes, and the monitor saves
            // the times of a run when it hears from a stage.
            Event::Row { .. } | Event::EvalRow { .. } | Event::Checkpoint { .. } => {}
        }
        let Self { stage, done, total, .. } = *self;
        self.host.progress(&Progress { stage, done, total, detail: &self.detail, generated_tokens: None });
    }
}

/// Formats the plan of a training run as a table, with the estimated time in `seconds` if given.
pub fn plan_table(job: &Job<'_>, costs: &Plan, seconds: Option<f64>) -> String {
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
    line("adapter", format!("{} parameters", costs.trainable_parameters));
    let mib = |bytes: u64| format!("{:>8.1} MiB", bytes as f64 / f64::from(1 << 20));
    line("memory: base", mib(memory.base));
    line("  adapter, optimiser", mib(memory.optimizer));
    line("  activations", mib(memory.activations));
    line("  checkpoint", mib(memory.checkpoint));
    line("  products", mib(memory.gemm));
    line("  total", mib(memory.total()));
    if let Some(device) = &costs.device_memory {
        if job.backend.ranks() > 1 {
            line("GPUs", format!("{}; figures are for each", job.backend.ranks()));
        }
        line("memory on the GPU: base", mib(device.base));
        line("  adapter, optimiser", mib(device.adapter + device.optimizer));
        line("  activations", mib(device.activations));
        line("  products", mib(device.products));
        if job.backend.ranks() > 1 {
            line("  sums over GPUs", mib(device.collectives));
        }
        line("  total, of available", format!("{} of{}", mib(device.total()), mib(device.available)));
    }
    if let Some(seconds) = seconds {
        line("estimated time", duration(seconds));
    }
    text
}
