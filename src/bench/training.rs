//! Benchmarks training, and compares it with the peak speed of its matrix products.
//!
//! Where in the flow: `cli` chooses the model and prints the results; the steps are those of
//! [`train::train`].
//!
//! The tokens are random, because the time of a step does not depend on them. The peak is measured in the
//! same process right after the steps: by the `gemm` crate, or by cuBLAS in the data type of the activations,
//! for each product of a step at its own shape, with decoded weights, as the best of several measurements.
//!
//! **Invariant:** only the floating-point operations that a step must do are counted, so a higher peak or
//! wasted work lowers `gemm_fraction` and never raises it. Work that checkpointing repeats is not counted.

use super::gemm_peak::{Product, seconds_at_best, seconds_on_gpu};
use super::{Error, median};
use crate::lora::TargetModule;
use crate::model::{Llama, ModelConfig};
use crate::process;
use crate::rng;
use crate::train::{self, Backend, Encoded, Event, Host, Job, Outcome, Sample, TrainConfig};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// The settings of a benchmark of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainSettings {
    /// Number of positions of a row, at least 1.
    pub tokens: usize,
    /// Number of timed optimiser steps, at least 1. They follow one step that is not timed.
    pub steps: u64,
    /// Share of a row, from its start, that carries no loss, in `0.0..1.0`.
    pub masked: f64,
    /// The training configuration; the benchmark sets the number of steps and everything that depends on
    /// data.
    pub train: TrainConfig,
}

/// The results of a benchmark of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainFigures {
    /// Tokens per second of the median step.
    pub tokens_per_second: f64,
    /// Tokens per second of the fastest step.
    pub best_tokens_per_second: f64,
    /// Wall time of the median step in seconds.
    pub seconds_per_step: f64,
    /// Processor time of all threads in seconds, as the mean over the timed steps; `None` if the system does
    /// not provide it.
    pub cpu_seconds_per_step: Option<f64>,
    /// Peak resident memory of the process until the end of the run in bytes, including the mapped model.
    pub peak_rss_bytes: Option<u64>,
    /// Memory in bytes that the plan predicted before anything was allocated.
    pub planned_bytes: u64,
    /// Memory of the GPU in bytes that the plan predicted, including that of cuBLAS.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub planned_device_bytes: Option<u64>,
    /// Memory of the GPU in bytes that was used: the decrease of its free memory from start to last step.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device_bytes: Option<u64>,
    /// Floating-point operations of the matrix products of a step, in units of 1e9.
    pub gigaflop_per_step: f64,
    /// Peak speed of the products of a step, by `gemm` or cuBLAS, in 1e9 operations per second.
    pub gemm_peak_gflops: f64,
    /// Speed of the median step as a share of the peak.
    pub gemm_fraction: f64,
}

impl TrainSettings {
    fn check(&self, model: &ModelConfig) -> Result<(), Error> {
        let refuse = |field, found: String, expected: String| Err(Error::Setting { field, found, expected });
        let limit = model.max_position_embeddings;
        if !(1..=limit).contains(&self.tokens) {
            return refuse("tokens", self.tokens.to_string(), format!("1 to {limit}, the model's context"));
        }
        if self.steps == 0 {
            return refuse("steps", "0".to_owned(), "at least 1".to_owned());
        }
        if !(0.0..1.0).contains(&self.masked) {
            return refuse("masked", self.masked.to_string(), "at least 0 and below 1".to_owned());
        }
        Ok(())
    }

    /// Samples of random tokens. Each fills a row and there are as many as a step takes, so that packing does
    /// not change the work.
    fn samples(&self, vocab: usize) -> Encoded {
        let rows = self.train.window_rows() as u64;
        let masked = (self.masked * self.tokens as f64).floor() as usize;
        let samples = (0..rows).map(|row| {
            let token = |t| (rng::uniform(self.train.seed, row, t) * vocab as f64) as u32;
            let tokens: Vec<u32> = (0..=self.tokens as u64).map(token).collect();
            let has_loss = (0..=self.tokens).map(|t| t > masked).collect();
            Sample::new(tokens, has_loss)
        });
        Encoded { samples: samples.collect(), ..Encoded::default() }
    }
}

/// Trains on random tokens in `scratch`, an empty directory, then measures the peak. `step` is called with
/// the number of finished steps.
///
/// # Errors
/// A setting is out of range, the run fails, or it was interrupted.
pub fn measure_training(
    model: &Llama,
    backend: Backend<'_>,
    settings: &TrainSettings,
    scratch: &Path,
    interrupt: &AtomicBool,
    step: &mut dyn FnMut(u64),
) -> Result<TrainFigures, Error> {
    settings.check(model.config())?;
    let samples = settings.samples(model.config().vocab_size);
    let config = TrainConfig {
        max_seq_len: settings.tokens.max(2),
        max_steps: Some(settings.steps + 1),
        save_steps: u64::MAX,
        eval_steps: None,
        ..settings.train.clone()
    };
    let none = Encoded::default();
    // Memory that the process already uses, such as the model's header and the samples, is not in the plan.
    let before = process::anonymous_bytes().unwrap_or(0);
    let job = Job {
        model,
        model_sha256: "",
        model_name: None,
        backend,
        config: &config,
        init_adapter: None,
        train: &samples,
        validation: &none,
        out: scratch,
        tensorboard: false,
    };
    let plan = train::plan(&job)?;
    let mut run = timed_run(&job, interrupt, step)?;
    let work = Work::new(model.config(), &config, settings, samples.targets() / config.window_rows());
    let best = run.seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let median = median(&mut run.seconds);
    let tokens = (settings.tokens * config.window_rows()) as f64;
    let gigaflop_per_step = work.flop() * config.window_rows() as f64 * 1e-9;
    let gemm_peak_gflops = work.peak(backend)? * 1e-9;
    Ok(TrainFigures {
        tokens_per_second: tokens / median,
        best_tokens_per_second: tokens / best,
        seconds_per_step: median,
        cpu_seconds_per_step: run.cpu_seconds.map(|seconds| seconds / settings.steps as f64),
        peak_rss_bytes: run.peak_bytes,
        planned_bytes: before + plan.memory.total(),
        planned_device_bytes: plan.device_memory.map(|memory| memory.total()),
        device_bytes: run.device_bytes,
        gigaflop_per_step,
        gemm_peak_gflops,
        gemm_fraction: gigaflop_per_step / median / gemm_peak_gflops,
    })
}

/// The measurements of a training run; its first step is not timed.
struct TimedRun {
    /// Wall time of each timed step.
    seconds: Vec<f64>,
    /// Processor time of all timed steps.
    cpu_seconds: Option<f64>,
    peak_bytes: Option<u64>,
    /// As [`TrainFigures::device_bytes`].
    device_bytes: Option<u64>,
}

fn timed_run(job: &Job<'_>, interrupt: &AtomicBool, step: &mut dyn FnMut(u64)) -> Result<TimedRun, Error> {
    // Errors are ignored here, because the run itself reports a failing device.
    let free = || job.backend.gpus().first()?.free_bytes().ok();
    let free_before = free();
    let mut free_after = None;
    let started = Instant::now();
    let mut seconds = Vec::new();
    let mut cpu = [None; 2];
    let mut host = Host {
        clock: &|| started.elapsed(),
        peak_memory: &process::peak_bytes,
        interrupt,
        on_event: &mut |event| {
            let Event::Step { metrics, .. } = event else { return };
            step(metrics.step);
            if metrics.step == 1 {
                cpu[0] = process::cpu_seconds();
            } else {
                seconds.push(metrics.seconds);
            }
            cpu[1] = process::cpu_seconds();
            free_after = free();
        },
    };
    if let Outcome::Interrupted { .. } = train::train(job, &mut host)? {
        return Err(Error::Llm(crate::llm::Error::Interrupted));
    }
    Ok(TimedRun {
        seconds,
        cpu_seconds: cpu[0].zip(cpu[1]).map(|(from, to)| to - from),
        peak_bytes: process::peak_bytes(),
        device_bytes: free_before.zip(free_after).map(|(before, after)| before.saturating_sub(after)),
    })
}

/// The matrix products that training on one row requires.
struct Work {
    /// The products with frozen weights, which decide the peak, and how often each is computed.
    frozen: Vec<(Product, usize)>,
    /// Floating-point operations of adapters and attention.
    other: f64,
}

impl Work {
    /// The work for a row with `targets` positions that carry loss, with adapters on all projections.
    fn new(model: &ModelConfig, config: &TrainConfig, settings: &TrainSettings, targets: usize) -> Self {
        let (tokens, layers) = (settings.tokens, model.num_hidden_layers);
        let base = model.base_shape();
        let mut frozen = Vec::new();
        let mut other = 0.0;
        for module in TargetModule::ALL {
            let (inputs, outputs) = (base.in_features(module), base.out_features(module));
            // No trained weight precedes q, k and v of the first layer, so their input needs no gradient.
            let first = matches!(module, TargetModule::QProj | TargetModule::KProj | TargetModule::VProj);
            frozen.push((Product { m: tokens, k: inputs, n: outputs, transposed: true }, layers));
            frozen.push((
                Product { m: tokens, k: outputs, n: inputs, transposed: false },
                layers - usize::from(first),
            ));
            // Six products: t, its part of y, u, dB, dA, and its part of dx.
            other += (layers * 6 * tokens * config.r * (inputs + outputs)) as f64;
        }
        let (hidden, vocab) = (model.hidden_size, model.vocab_size);
        frozen.push((Product { m: targets, k: hidden, n: vocab, transposed: true }, 1));
        frozen.push((Product { m: targets, k: vocab, n: hidden, transposed: false }, 1));
        // Attention has two products forward and five backward; the causal mask leaves half of each.
        let columns = model.num_attention_heads * model.head_dim;
        other += (layers * 7 * tokens * tokens * columns) as f64;
        Self { frozen, other }
    }

    fn flop(&self) -> f64 {
        self.other + self.frozen.iter().map(|(product, count)| product.flop() * *count as f64).sum::<f64>()
    }

    /// Measures the peak of the products with frozen weights in floating-point operations per second, on the
    /// device of the run.
    fn peak(&self, backend: Backend<'_>) -> Result<f64, Error> {
        let (mut flop, mut seconds) = (0.0, 0.0);
        for (product, count) in &self.frozen {
            let at_best = match backend {
                Backend::Cpu(pool) => seconds_at_best(pool, *product),
                Backend::Cuda { gpus, precision } => {
                    seconds_on_gpu(&gpus[0], precision, *product).map_err(train::Error::from)?
                }
            };
            flop += product.flop() * *count as f64;
            seconds += at_best * *count as f64;
        }
        Ok(flop / seconds)
    }
}
