//! How fast a model is trained on this machine, beside what its dense products could do at best.
//!
//! Where in the flow: `cli` names the model and prints the figures; the steps are those of [`train::train`].
//!
//! Tokens are random: the time of a step does not depend on what they are. The ceiling is measured in the
//! same process right after the steps: the `gemm` crate, or cuBLAS in the type of the activations, on the
//! products of one step, each at its own shape, with weights that are decoded already, the best of some
//! tries.
//!
//! **Invariant:** the figures count the floating-point operations that a step must do, so a faster ceiling or
//! wasted work lowers `gemm_fraction`, never raises it. What checkpointing computes again is not counted.

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

/// What to measure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainSettings {
    /// Positions of a row, at least 1.
    pub tokens: usize,
    /// Optimiser steps that are timed, after one that is not; at least 1.
    pub steps: u64,
    /// Share of a row, from its start, that carries no loss; at least 0 and below 1.
    pub masked: f64,
    /// Settings of the run; its steps, and what depends on data, are set here.
    pub train: TrainConfig,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainFigures {
    /// Of the middle step.
    pub tokens_per_second: f64,
    /// Of the fastest step.
    pub best_tokens_per_second: f64,
    /// Wall time of the middle step.
    pub seconds_per_step: f64,
    /// Processor time of all threads, mean over the timed steps; absent where the system does not tell.
    pub cpu_seconds_per_step: Option<f64>,
    /// Largest resident memory of the process up to the end of the run, the mapped model included.
    pub peak_rss_bytes: Option<u64>,
    /// What the plan said before anything was allocated.
    pub planned_bytes: u64,
    /// Of a GPU: what the plan said, cuBLAS's own included.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub planned_device_bytes: Option<u64>,
    /// And by how much less was free there after the last step than before the run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device_bytes: Option<u64>,
    /// Floating-point operations of the dense products of a step, times 1e-9.
    pub gigaflop_per_step: f64,
    /// The ceiling: `gemm`, or cuBLAS, on the shapes of a step.
    pub gemm_peak_gflops: f64,
    /// What the middle step reached of the ceiling.
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

    /// Rows that are as long as asked, as many as a step takes, so that packing has no choice.
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

/// Trains on random tokens in `scratch`, an empty directory, and measures the ceiling. `step` is told the
/// steps done.
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
    // What the process has taken before is there already: the model's header, random samples.
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
    // A device that fails says so in the run.
    let free = || backend.gpus().first()?.free_bytes().ok();
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
    if let Outcome::Interrupted { .. } = train::train(&job, &mut host)? {
        return Err(Error::Llm(crate::llm::Error::Interrupted));
    }
    let peak = process::peak_bytes();
    let work = Work::of(model.config(), &config, settings, samples.targets() / config.window_rows());
    let best = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let middle = median(&mut seconds);
    let tokens = (settings.tokens * config.window_rows()) as f64;
    let gigaflop_per_step = work.flop() * config.window_rows() as f64 * 1e-9;
    let gemm_peak_gflops = work.peak(backend)? * 1e-9;
    Ok(TrainFigures {
        tokens_per_second: tokens / middle,
        best_tokens_per_second: tokens / best,
        seconds_per_step: middle,
        cpu_seconds_per_step: cpu[0].zip(cpu[1]).map(|(from, to)| (to - from) / settings.steps as f64),
        peak_rss_bytes: peak,
        planned_bytes: before + plan.memory.total(),
        planned_device_bytes: plan.device_memory.map(|memory| memory.total()),
        device_bytes: free_before.zip(free_after).map(|(before, after)| before.saturating_sub(after)),
        gigaflop_per_step,
        gemm_peak_gflops,
        gemm_fraction: gigaflop_per_step / middle / gemm_peak_gflops,
    })
}

/// The dense products that one row of a step must have.
struct Work {
    /// With the frozen weights: these make the ceiling.
    frozen: Vec<(Product, usize)>,
    /// Of adapters and attention, in floating-point operations.
    other: f64,
}

impl Work {
    /// For a row of which `targets` positions carry loss, with an adapter on all projections.
    fn of(model: &ModelConfig, config: &TrainConfig, settings: &TrainSettings, targets: usize) -> Self {
        let (tokens, layers) = (settings.tokens, model.num_hidden_layers);
        let base = model.base_shape();
        let mut frozen = Vec::new();
        let mut other = 0.0;
        for module in TargetModule::ALL {
            let (inputs, outputs) = (base.in_features(module), base.out_features(module));
            // Nothing below q, k and v of the first layer is trained: their input has no gradient.
            let first = matches!(module, TargetModule::QProj | TargetModule::KProj | TargetModule::VProj);
            frozen.push((Product { m: tokens, k: inputs, n: outputs, transposed: true }, layers));
            frozen.push((
                Product { m: tokens, k: outputs, n: inputs, transposed: false },
                layers - usize::from(first),
            ));
            // t, its part of y, u, dB, dA and the part of dx.
            other += (layers * 6 * tokens * config.r * (inputs + outputs)) as f64;
        }
        let (hidden, vocab) = (model.hidden_size, model.vocab_size);
        frozen.push((Product { m: targets, k: hidden, n: vocab, transposed: true }, 1));
        frozen.push((Product { m: targets, k: vocab, n: hidden, transposed: false }, 1));
        // Two products forward and five backward, of which causality leaves half.
        let columns = model.num_attention_heads * model.head_dim;
        other += (layers * 7 * tokens * tokens * columns) as f64;
        Self { frozen, other }
    }

    fn flop(&self) -> f64 {
        self.other + self.frozen.iter().map(|(product, count)| product.flop() * *count as f64).sum::<f64>()
    }

    /// Floating-point operations per second of the products with frozen weights, where the run computes.
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
