//! The loop: window → gradients → clip → `AdamW` → metrics, with validation passes and checkpoints between
//! steps.
//!
//! Where in the flow: [`train`] is the entry point of training. It knows nothing of [`crate::evolve`] but the
//! samples.
//!
//! **Invariant:** the state between two steps is (adapter, moments, [`Progress`], the best adapter's file if
//! one is kept) and nothing else. A step is a function of that state and of the run's inputs, so a run that
//! is stopped between any two steps and resumed is bit for bit the uninterrupted one, except for times.
//! **Invariant:** buffers are allocated in [`Trainer::start`]; only the rows of a step grow, up to those of
//! the fullest step.

use super::checkpoint::{self, Exact, Progress};
use super::engine::Engine;
use super::metrics::MetricsFile;
use super::moments::{Moments, Update};
use super::pack::{Timeline, fill_rows, first_fit};
use super::plan::{check_inputs, check_kernels, longest_row};
use super::tensorboard::EventsFile;
use super::{
    Backend, Error, EvalMetrics, Event, Host, Job, Metrics, Outcome, StepMetrics, TrainSummary, schedule,
    spike,
};
use crate::device::cuda::MixedPrecision;
use crate::identity::Identity;
use crate::lora::LoraWeights;
use crate::model::{LossSum, Noise, PackedRow};
use crate::ops::adamw::AdamW;
use crate::ops::global_norm;
use crate::rng;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Trains, or resumes from a checkpoint of the same run in `job.out`.
///
/// A finished run is not trained again: its adapter files are rewritten from the checkpoint, with the same
/// bytes.
///
/// # Errors
/// See [`Error`]; a checkpoint on disk stays valid.
///
/// # Panics
/// If a sample is longer than `job.config.max_seq_len`, because it was encoded for another run.
pub fn train(job: &Job<'_>, host: &mut Host<'_>) -> Result<Outcome, Error> {
    check_inputs(job.model.config(), job.config, job.train, job.validation)?;
    check_kernels(job)?;
    Trainer::start(job, host)?.run()
}

struct Trainer<'a, 'h> {
    job: &'a Job<'a>,
    host: &'a mut Host<'h>,
    identity: Identity,
    timeline: Timeline,
    validation_rows: Vec<Vec<usize>>,
    /// Adapter and moments as of the last [`Engine::collect`].
    adapter: LoraWeights,
    moments: Moments,
    engine: Engine<'a>,
    /// The rows to compute next; their memory is reused.
    rows: Vec<(PackedRow, Noise)>,
    metrics: MetricsFile,
    tensorboard: Option<EventsFile>,
    progress: Progress,
    /// The progress in the checkpoint on disk.
    saved: Option<Progress>,
}

/// The result of a window; the gradient itself stays in the engine.
struct Gradient {
    sum: LossSum,
    /// Positions fed.
    tokens: u64,
    /// Norm of the gradient, without the factor.
    norm: f64,
    /// The loss scale, by which the gradient in the engine is larger.
    factor: f32,
}

impl<'a, 'h> Trainer<'a, 'h> {
    fn start(job: &'a Job<'a>, host: &'a mut Host<'h>) -> Result<Self, Error> {
        let Job { config, train, validation, out, .. } = *job;
        std::fs::create_dir_all(out).map_err(Error::io("create", out))?;
        let mut metrics = MetricsFile::open(&out.join("metrics.jsonl"))?;
        let mut adapter = starting_adapter(job);
        let mut moments = Moments::new(config, &adapter);
        let identity = checkpoint::identity(job);
        let progress = checkpoint::read(&checkpoint_path(out), &identity, &mut adapter.data, &mut moments)?;
        if progress.is_none() {
            for path in [gguf_path(out), peft_path(out)] {
                if path.exists() {
                    return Err(Error::WouldOverwrite { path });
                }
            }
        }
        metrics.cut(progress.as_ref().map_or(0, |progress| progress.metrics_bytes))?;
        let tensorboard = job.tensorboard.then(|| EventsFile::create(out, &metrics.read()?)).transpose()?;
        let longest = longest_row(config, train, validation);
        // Stopping the upload is safe: the loop checks the flag before it computes anything.
        let mut on_upload = |bytes_done, bytes_total| {
            (host.on_event)(&Event::Upload { bytes_done, bytes_total });
            !host.interrupt.load(Ordering::Relaxed)
        };
        let engine = Engine::new(job, &adapter, &moments, longest, &mut on_upload)?;
        let order: Vec<usize> = (0..validation.samples.len()).collect();
        Ok(Self {
            identity,
            timeline: Timeline::new(config, job.backend.ranks(), train.lengths()),
            validation_rows: first_fit(&order, &validation.lengths(), config.max_seq_len),
            engine,
            rows: Vec::new(),
            adapter,
            moments,
            metrics,
            tensorboard,
            progress: progress.clone().unwrap_or_default(),
            saved: progress,
            job,
            host,
        })
    }

    fn run(mut self) -> Result<Outcome, Error> {
        let total_steps = self.timeline.total_steps;
        (self.host.on_event)(&Event::Started {
            steps_done: self.progress.step,
            total_steps,
            tokens_done: self.progress.tokens,
            total_tokens: self.timeline.total_tokens,
        });
        loop {
            let step = self.progress.step;
            let eval_due = self.eval_due();
            // Also before a validation pass: it takes long, and a crash in it must not cost steps.
            if eval_due || step.is_multiple_of(self.job.config.save_steps) || step == total_steps {
                self.save()?;
            }
            if eval_due && self.evaluate()? {
                self.save()?;
            }
            if self.host.interrupt.load(Ordering::Relaxed) && !self.finished() {
                self.save()?;
                return Ok(Outcome::Interrupted { step, total_steps });
            }
            if step == total_steps || self.progress.stopped_early {
                return self.finish().map(Outcome::Finished);
            }
            self.step()?;
        }
    }

    fn eval_due(&self) -> bool {
        let Progress { step, last_eval, .. } = self.progress;
        let in_between = self.job.config.eval_steps.is_some_and(|every| step.is_multiple_of(every));
        let due = step == 0 || step == self.timeline.total_steps || in_between;
        due && !self.progress.stopped_early && last_eval != Some(step) && !self.validation_rows.is_empty()
    }

    fn finished(&self) -> bool {
        let last = self.progress.step == self.timeline.total_steps || self.progress.stopped_early;
        last && !self.eval_due()
    }

    /// Makes one optimiser step. After an error only the checkpoint is usable, not the state in memory.
    fn step(&mut self) -> Result<(), Error> {
        let started = (self.host.clock)();
        let config = self.job.config;
        let (step, total_steps) = (self.progress.step, self.timeline.total_steps);
        let Gradient { sum, tokens, norm: grad_norm, factor } = self.gradient()?;
        let loss = sum.nll / sum.n_targets as f64;
        self.watch(loss)?;
        let lr = schedule::learning_rate(config, step, total_steps);
        self.update(lr, grad_norm, factor)?;

        self.progress.step += 1;
        self.progress.tokens += tokens;
        self.progress.targets += sum.n_targets as u64;
        let seconds = self.seconds_since(started);
        self.progress.train_seconds += seconds;
        let metrics = StepMetrics {
            step: self.progress.step,
            loss,
            learning_rate: lr,
            grad_norm,
            loss_scale: self.is_half().then_some(factor),
            tokens,
            targets: sum.n_targets as u64,
            tokens_per_second: rate(tokens, seconds),
            seconds,
            peak_memory_bytes: (self.host.peak_memory)(),
        };
        self.record(&Metrics::Step(metrics.clone()))?;
        (self.host.on_event)(&Event::Step {
            metrics: &metrics,
            total_steps,
            tokens_done: self.progress.tokens,
            total_tokens: self.timeline.total_tokens,
        });
        Ok(())
    }

    /// Whether activations are f16, so that the loss is scaled.
    fn is_half(&self) -> bool {
        matches!(self.job.backend, Backend::Cuda { precision: MixedPrecision::Fp16, .. })
    }

    /// Computes the gradient of the window's mean loss; loss and norm are finite.
    fn gradient(&mut self) -> Result<Gradient, Error> {
        loop {
            let factor = if self.is_half() { self.progress.loss_scale.factor() } else { 1.0 };
            let (sum, tokens) = self.accumulate(factor)?;
            self.require_finite("loss", sum.nll / sum.n_targets as f64)?;
            let norm = self.engine.gradient_norm()? / f64::from(factor);
            if self.is_half() && self.progress.loss_scale.try_again_after(norm.is_finite()) {
                continue;
            }
            self.require_finite("gradient norm", norm)?;
            return Ok(Gradient { sum, tokens, norm, factor });
        }
    }

    /// Computes the gradient of `factor` times the window's mean loss. Returns the unscaled loss and the
    /// positions fed.
    ///
    /// Every target of the window has the same weight, whichever row it is in and whichever device computes
    /// it: the sum is divided by the number of targets of the window. Averaging the means of rows instead
    /// would give the tokens of short answers more weight.
    fn accumulate(&mut self, factor: f32) -> Result<(LossSum, u64), Error> {
        let Job { config, train, .. } = *self.job;
        let step = self.progress.step;
        let window = self.timeline.window(step);
        let targets: usize = window.iter().flatten().map(|&i| train.samples[i].targets().count()).sum();
        let loss_scale = factor / targets as f32;
        let rows = fill_rows(&mut self.rows, &train.samples, window);
        for (index, (_, noise)) in rows.iter_mut().enumerate() {
            let key = rng::key(config.seed, "train.dropout", &[step, index as u64]);
            *noise = Noise { key, neftune_noise_alpha: config.neftune_noise_alpha };
        }
        let tokens = rows.iter().map(|(row, _)| row.tokens.len() as u64).sum();
        let mut row = 0;
        let mut on_row = || {
            row += 1;
            (self.host.on_event)(&Event::Row { step: step + 1, row, rows: window.len() });
        };
        let sum = self.engine.accumulate(self.job, &self.adapter, rows, loss_scale, &mut on_row)?;
        assert_eq!(sum.n_targets, targets, "the model counts the targets that the samples have");
        Ok((sum, tokens))
    }

    /// Clips and applies the gradient, which is too large by `factor`.
    fn update(&mut self, learning_rate: f64, grad_norm: f64, factor: f32) -> Result<(), Error> {
        let config = self.job.config;
        let clip = if config.max_grad_norm > 0.0 {
            global_norm::clip_factor(grad_norm, config.max_grad_norm)
        } else {
            1.0
        };
        let adamw = AdamW {
            learning_rate,
            beta1: config.adam_beta1,
            beta2: config.adam_beta2,
            epsilon: config.adam_epsilon,
            weight_decay: config.weight_decay,
        };
        let update = Update {
            step: self.progress.step + 1,
            gradient_scale: clip / f64::from(factor),
            adamw,
            loraplus_lr_ratio: config.loraplus_lr_ratio,
        };
        self.engine.step(&update, &mut self.adapter, &mut self.moments)
    }

    /// Reports a loss spike, or ends the run if it is above the limit. The loss is remembered in either case,
    /// so that the state does not depend on the limit, which may differ on resume.
    fn watch(&mut self, loss: f64) -> Result<(), Error> {
        let z_score = spike::z_score(&self.progress.recent_losses, loss);
        spike::remember(&mut self.progress.recent_losses, loss);
        let Some(z_score) = z_score else { return Ok(()) };
        let limit = self.job.config.max_loss_z_score;
        let step = self.progress.step + 1;
        if let Some(limit) = limit.filter(|&limit| z_score > limit) {
            let (checkpoint_step, examples) = (self.saved_step(), self.examples());
            return Err(Error::Spike { loss, z_score, limit, step, checkpoint_step, examples });
        }
        if z_score > spike::NOTABLE {
            let examples = &self.examples();
            (self.host.on_event)(&Event::Spike { step, loss, z_score, examples });
        }
        Ok(())
    }

    /// The examples of the current step, in the order of the data, counted from 1.
    fn examples(&mut self) -> Vec<usize> {
        let samples = &self.job.train.samples;
        let window = self.timeline.window(self.progress.step);
        let mut examples: Vec<usize> = window.iter().flatten().map(|&i| samples[i].example + 1).collect();
        examples.sort_unstable();
        examples
    }

    fn record(&mut self, metrics: &Metrics) -> Result<(), Error> {
        self.metrics.append(metrics)?;
        match &mut self.tensorboard {
            Some(events) => events.append(metrics),
            None => Ok(()),
        }
    }

    /// Makes a validation pass. Returns false if it was interrupted, and nothing is recorded.
    fn evaluate(&mut self) -> Result<bool, Error> {
        let started = (self.host.clock)();
        let validation = self.job.validation;
        let mut sum = LossSum::default();
        let mut row = 0;
        for window in self.validation_rows.chunks(self.engine.rows_at_once()) {
            if self.host.interrupt.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let rows = fill_rows(&mut self.rows, &validation.samples, window);
            for loss in self.engine.losses(self.job, &self.adapter, rows)? {
                sum.nll += loss.nll;
                sum.n_targets += loss.n_targets;
                row += 1;
                (self.host.on_event)(&Event::EvalRow { row, rows: self.validation_rows.len() });
            }
        }
        let validation_loss = sum.nll / sum.n_targets as f64;
        self.require_finite(VALIDATION_LOSS, validation_loss)?;
        let step = self.progress.step;
        let seconds = self.seconds_since(started);
        self.progress.eval_seconds += seconds;
        self.progress.last_eval = Some(step);
        self.progress.validation_loss_last = Some(Exact(validation_loss));
        if step == 0 {
            self.progress.validation_loss_before = Some(Exact(validation_loss));
        }
        self.compare_with_best(validation_loss)?;
        let metrics = EvalMetrics { step, validation_loss, targets: sum.n_targets as u64, seconds };
        self.record(&Metrics::Eval(metrics.clone()))?;
        (self.host.on_event)(&Event::Eval(&metrics));
        Ok(true)
    }

    /// Keeps the adapter if it is better than all before it, and ends the run if there was none for too long.
    ///
    /// The file is written before the checkpoint that names its step: after a kill between the two, the run
    /// resumes from the checkpoint before, repeats the pass, and writes the same file.
    fn compare_with_best(&mut self, loss: f64) -> Result<(), Error> {
        let config = self.job.config;
        if !config.keeps_best() {
            return Ok(());
        }
        let limit = self.progress.best.map(|(_, best)| best.0 - config.early_stopping_threshold);
        if limit.is_none_or(|limit| loss < limit) {
            self.engine.collect(&mut self.adapter, &mut self.moments)?;
            checkpoint::write_best(&best_path(self.job.out), self.progress.step, &self.adapter.data)?;
            self.progress.best = Some((self.progress.step, Exact(loss)));
            self.progress.passes_without_better = 0;
        } else {
            self.progress.passes_without_better += 1;
        }
        let patience = config.early_stopping_patience;
        self.progress.stopped_early |=
            patience.is_some_and(|patience| self.progress.passes_without_better >= patience);
        Ok(())
    }

    /// Writes the checkpoint, unless it already holds this state.
    fn save(&mut self) -> Result<(), Error> {
        self.progress.metrics_bytes = self.metrics.sync()?;
        if self.saved.as_ref() != Some(&self.progress) {
            self.engine.collect(&mut self.adapter, &mut self.moments)?;
            let (path, adapter) = (checkpoint_path(self.job.out), &self.adapter.data);
            checkpoint::write(&path, &self.identity, &self.progress, adapter, &self.moments)?;
            self.saved = Some(self.progress.clone());
            (self.host.on_event)(&Event::Checkpoint { step: self.progress.step });
        }
        Ok(())
    }

    fn finish(mut self) -> Result<TrainSummary, Error> {
        let Job { model, out, .. } = *self.job;
        self.engine.collect(&mut self.adapter, &mut self.moments)?;
        if let Some((step, _)) = self.progress.best {
            self.adapter.data = checkpoint::read_best(&best_path(out), step, self.adapter.data.len())?;
        }
        let name = self.job.model_name;
        let (adapter_gguf, adapter_peft) = (gguf_path(out), peft_path(out));
        self.adapter.write_gguf(&adapter_gguf, &format!("{}-lora", name.unwrap_or("evol")))?;
        self.adapter.write_peft(&adapter_peft, &model.config().base_shape(), name)?;
        let progress = self.progress;
        let best_loss = progress.best.map(|(_, loss)| loss);
        Ok(TrainSummary {
            steps: progress.step,
            tokens: progress.tokens,
            target_tokens: progress.targets,
            validation_loss_before: progress.validation_loss_before.map(|loss| loss.0),
            validation_loss_after: best_loss.or(progress.validation_loss_last).map(|loss| loss.0),
            best_step: progress.best.map_or(progress.step, |(step, _)| step),
            stopped_early: progress.stopped_early,
            dropped: self.job.train.dropped.clone(),
            truncated: self.job.train.truncated,
            validation_dropped: self.job.validation.dropped.clone(),
            seconds: progress.train_seconds + progress.eval_seconds,
            tokens_per_second: rate(progress.tokens, progress.train_seconds),
            device: self.job.backend.describe(),
            adapter_gguf,
            adapter_peft,
        })
    }

    fn require_finite(&mut self, what: &'static str, value: f64) -> Result<(), Error> {
        if value.is_finite() {
            return Ok(());
        }
        // The examples of a validation pass are in another file.
        let examples = if what == VALIDATION_LOSS { Vec::new() } else { self.examples() };
        let (step, checkpoint_step) = (self.progress.step + 1, self.saved_step());
        Err(Error::NotFinite { what, value, step, checkpoint_step, examples })
    }

    fn saved_step(&self) -> u64 {
        self.saved.as_ref().map_or(0, |saved| saved.step)
    }

    fn seconds_since(&self, started: Duration) -> f64 {
        (self.host.clock)().saturating_sub(started).as_secs_f64()
    }
}

/// The adapter before the first step.
fn starting_adapter(job: &Job<'_>) -> LoraWeights {
    let Job { model, config, init_adapter, .. } = *job;
    let mut adapter = match init_adapter {
        Some(weights) => weights.clone(),
        None => LoraWeights::init(&config.lora(), &model.config().base_shape(), config.seed),
    };
    adapter.config.lora_dropout = config.lora_dropout;
    adapter
}

/// Estimates the seconds per position of a step, by training on the first rows of the run and throwing the
/// result away. Other load on the machine distorts it.
///
/// # Panics
/// If the job does not pass [`super::plan()`].
///
/// # Errors
/// A GPU of the job failed.
pub fn seconds_per_token(job: &Job<'_>, clock: &dyn Fn() -> Duration) -> Result<f64, Error> {
    let Job { config, train, validation, .. } = *job;
    let adapter = starting_adapter(job);
    let moments = Moments::new(config, &adapter);
    let longest = longest_row(config, train, validation);
    let mut engine = Engine::new(job, &adapter, &moments, longest, &mut |_, _| true)?;
    let mut timeline = Timeline::new(config, job.backend.ranks(), train.lengths());
    let window = timeline.window(0);
    let mut rows = Vec::new();
    // A row per device, if the step has that many.
    let rows = fill_rows(&mut rows, &train.samples, &window[..window.len().min(engine.rows_at_once())]);
    let tokens: usize = rows.iter().map(|(row, _)| row.tokens.len()).sum();
    // Twice, because the first pass touches memory for the first time.
    let mut seconds = 0.0;
    for _ in 0..2 {
        let started = clock();
        engine.accumulate(job, &adapter, rows, 1.0, &mut || ())?;
        seconds = clock().saturating_sub(started).as_secs_f64();
    }
    Ok(seconds / tokens as f64)
}

const VALIDATION_LOSS: &str = "validation loss";

/// `count` per second; 0 if the clock did not move.
fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

fn checkpoint_path(out: &Path) -> PathBuf {
    out.join("checkpoint.safetensors")
}

fn best_path(out: &Path) -> PathBuf {
    out.join("best.safetensors")
}

fn gguf_path(out: &Path) -> PathBuf {
    out.join("adapter.gguf")
}

fn peft_path(out: &Path) -> PathBuf {
    out.join("peft")
}
