//! The loop: window → gradients → clip → `AdamW` → metrics, with validation passes and checkpoints between
//! the steps.
//!
//! Where in the flow: [`train`] is what `cli` calls; it meets [`crate::evolve`] only through the samples.
//!
//! **Invariant:** the state between two steps is (adapter, moments, [`Progress`]) and nothing else. What a step
//! does is a function of that state and of the run's inputs, so a run stopped between any two steps and
//! resumed is bit for bit the uninterrupted one, times apart.
//! **Invariant:** after the first step nothing grows: every buffer of the loop is allocated in
//! [`Trainer::start`].

use super::checkpoint::{self, Buffers, Exact, Fingerprint, Progress};
use super::metrics::MetricsFile;
use super::pack::{Timeline, fill_row, first_fit};
use super::plan::{check_inputs, longest_row};
use super::{Error, EvalMetrics, Event, Host, Job, Metrics, Outcome, StepMetrics, TrainSummary, schedule};
use crate::lora::LoraWeights;
use crate::model::{LossSum, PackedRow, Purpose, Workspace};
use crate::ops::{adamw, global_norm};
use crate::rng;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Trains, or goes on with what a checkpoint of the same run in `job.out` holds.
///
/// A finished run is not trained again: its adapter files are written once more from the checkpoint, with the
/// same bytes.
///
/// # Errors
/// See [`Error`]; a checkpoint that is on disk stays there.
///
/// # Panics
/// If a sample is longer than `job.config.max_seq_len`: it was encoded for another run.
pub fn train(job: &Job<'_>, host: &mut Host<'_>) -> Result<Outcome, Error> {
    check_inputs(job.model.config(), job.config, job.train, job.validation)?;
    Trainer::start(job, host)?.run()
}

struct Trainer<'a, 'h> {
    job: &'a Job<'a>,
    host: &'a mut Host<'h>,
    fingerprint: Fingerprint,
    timeline: Timeline,
    validation_rows: Vec<Vec<usize>>,
    adapter: LoraWeights,
    grads: LoraWeights,
    exp_avg: Vec<f32>,
    exp_avg_sq: Vec<f32>,
    workspace: Workspace,
    row: PackedRow,
    metrics: MetricsFile,
    progress: Progress,
    /// Progress in the checkpoint on disk.
    saved: Option<Progress>,
}

impl<'a, 'h> Trainer<'a, 'h> {
    fn start(job: &'a Job<'a>, host: &'a mut Host<'h>) -> Result<Self, Error> {
        let Job { model, config, train, validation, out, .. } = *job;
        std::fs::create_dir_all(out).map_err(Error::io("create", out))?;
        let mut metrics = MetricsFile::open(&out.join("metrics.jsonl"))?;
        let base = model.config().base_shape();
        let mut adapter = LoraWeights::init(&config.lora(), &base, config.seed);
        let len = adapter.data.len();
        let fingerprint = Fingerprint::new(job.model_sha256, train, validation, config);
        let saved = checkpoint::read(&checkpoint_path(out), &fingerprint, len)?;
        let (progress, exp_avg, exp_avg_sq) = match saved {
            Some((progress, Buffers { adapter: data, exp_avg, exp_avg_sq })) => {
                adapter.data = data;
                (Some(progress), exp_avg, exp_avg_sq)
            }
            None => (None, vec![0.0; len], vec![0.0; len]),
        };
        if progress.is_none() {
            for path in [gguf_path(out), peft_path(out)] {
                if path.exists() {
                    return Err(Error::WouldOverwrite { path });
                }
            }
        }
        metrics.cut(progress.as_ref().map_or(0, |progress| progress.metrics_bytes))?;
        let order: Vec<usize> = (0..validation.samples.len()).collect();
        Ok(Self {
            fingerprint,
            timeline: Timeline::new(config, train.lengths()),
            validation_rows: first_fit(&order, &validation.lengths(), config.max_seq_len),
            grads: LoraWeights::zeros(&config.lora(), &base),
            workspace: model.workspace(
                longest_row(config, train, validation),
                Some(&adapter),
                Purpose::Training(config.gradient_checkpointing),
            ),
            row: PackedRow { tokens: Vec::new(), targets: Vec::new(), segments: Vec::new() },
            adapter,
            exp_avg,
            exp_avg_sq,
            metrics,
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
            // Before a validation pass too: it takes long, and a crash in it must not cost steps.
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
            if step == total_steps {
                return self.finish().map(Outcome::Finished);
            }
            self.step()?;
        }
    }

    fn eval_due(&self) -> bool {
        let Progress { step, last_eval, .. } = self.progress;
        let in_between = self.job.config.eval_steps.is_some_and(|every| step.is_multiple_of(every));
        let due = step == 0 || step == self.timeline.total_steps || in_between;
        due && last_eval != Some(step) && !self.validation_rows.is_empty()
    }

    fn finished(&self) -> bool {
        self.progress.step == self.timeline.total_steps && !self.eval_due()
    }

    /// One optimiser step. On an error the state is not usable any more; the checkpoint is.
    fn step(&mut self) -> Result<(), Error> {
        let started = (self.host.clock)();
        let config = self.job.config;
        let (step, total_steps) = (self.progress.step, self.timeline.total_steps);
        let (sum, tokens) = self.accumulate();
        let loss = sum.nll / sum.n_targets as f64;
        self.require_finite("loss", loss)?;
        let grad_norm = global_norm::global_norm(self.job.device, &self.grads.data);
        self.require_finite("gradient norm", grad_norm)?;
        let lr = schedule::learning_rate(config, step, total_steps);
        self.update(lr, grad_norm);

        self.progress.step += 1;
        self.progress.tokens += tokens;
        self.progress.targets += sum.n_targets as u64;
        let seconds = self.seconds_since(started);
        self.progress.train_seconds += seconds;
        let metrics = StepMetrics {
            step: self.progress.step,
            loss,
            lr,
            grad_norm,
            tokens,
            targets: sum.n_targets as u64,
            tokens_per_second: rate(tokens, seconds),
            seconds,
        };
        self.metrics.append(&Metrics::Step(metrics.clone()))?;
        (self.host.on_event)(&Event::Step {
            metrics: &metrics,
            total_steps,
            tokens_done: self.progress.tokens,
            total_tokens: self.timeline.total_tokens,
        });
        Ok(())
    }

    /// Gradient of the window's mean loss into `grads`; the unscaled loss and the positions fed.
    ///
    /// Every target of the window weighs the same, whichever row it is in: the scale is one over all of them.
    /// Averaging the rows' means instead would give the tokens of short answers more weight.
    fn accumulate(&mut self) -> (LossSum, u64) {
        let Job { model, device, config, train, .. } = *self.job;
        let step = self.progress.step;
        self.grads.data.fill(0.0);
        let window = self.timeline.window(step);
        let targets: usize = window.iter().flatten().map(|&i| train.samples[i].targets().count()).sum();
        let loss_scale = 1.0 / targets as f32;
        let (mut sum, mut tokens) = (LossSum::default(), 0);
        for (index, samples) in window.iter().enumerate() {
            fill_row(&mut self.row, &train.samples, samples);
            let dropout_key = rng::key(config.seed, "train.dropout", &[step, index as u64]);
            let row = model.forward_backward(
                device,
                &mut self.workspace,
                &self.adapter,
                &self.row,
                loss_scale,
                dropout_key,
                &mut self.grads,
            );
            sum.nll += row.nll;
            sum.n_targets += row.n_targets;
            tokens += self.row.tokens.len() as u64;
            (self.host.on_event)(&Event::Row { step: step + 1, row: index + 1, rows: window.len() });
        }
        assert_eq!(sum.n_targets, targets, "the model counts the targets that the samples have");
        (sum, tokens)
    }

    /// Clips and applies the gradient.
    fn update(&mut self, learning_rate: f64, grad_norm: f64) {
        let config = self.job.config;
        let clip = if config.max_grad_norm > 0.0 {
            global_norm::clip_factor(grad_norm, config.max_grad_norm)
        } else {
            1.0
        };
        let settings = adamw::AdamW {
            learning_rate,
            beta1: config.adam_beta1,
            beta2: config.adam_beta2,
            epsilon: config.adam_epsilon,
            weight_decay: config.weight_decay,
        };
        let state =
            adamw::State { params: &mut self.adapter.data, m: &mut self.exp_avg, v: &mut self.exp_avg_sq };
        adamw::step(self.job.device, &settings, self.progress.step + 1, &self.grads.data, clip, state);
    }

    /// A validation pass; `false`: interrupted before its end, nothing is recorded.
    fn evaluate(&mut self) -> Result<bool, Error> {
        let started = (self.host.clock)();
        let Job { model, device, validation, .. } = *self.job;
        let mut sum = LossSum::default();
        for (index, samples) in self.validation_rows.iter().enumerate() {
            if self.host.interrupt.load(Ordering::Relaxed) {
                return Ok(false);
            }
            fill_row(&mut self.row, &validation.samples, samples);
            let row = model.loss(device, &mut self.workspace, Some(&self.adapter), &self.row);
            sum.nll += row.nll;
            sum.n_targets += row.n_targets;
            (self.host.on_event)(&Event::EvalRow { row: index + 1, rows: self.validation_rows.len() });
        }
        let validation_loss = sum.nll / sum.n_targets as f64;
        self.require_finite("validation loss", validation_loss)?;
        let step = self.progress.step;
        let seconds = self.seconds_since(started);
        self.progress.eval_seconds += seconds;
        self.progress.last_eval = Some(step);
        self.progress.validation_loss_last = Some(Exact(validation_loss));
        if step == 0 {
            self.progress.validation_loss_before = Some(Exact(validation_loss));
        }
        let metrics = EvalMetrics { step, validation_loss, targets: sum.n_targets as u64, seconds };
        self.metrics.append(&Metrics::Eval(metrics.clone()))?;
        (self.host.on_event)(&Event::Eval(&metrics));
        Ok(true)
    }

    /// Writes the checkpoint, unless it already holds this state.
    fn save(&mut self) -> Result<(), Error> {
        self.progress.metrics_bytes = self.metrics.sync()?;
        if self.saved.as_ref() != Some(&self.progress) {
            let numbers = [&self.adapter.data[..], &self.exp_avg, &self.exp_avg_sq];
            checkpoint::write(&checkpoint_path(self.job.out), &self.fingerprint, &self.progress, numbers)?;
            self.saved = Some(self.progress.clone());
            (self.host.on_event)(&Event::Checkpoint { step: self.progress.step });
        }
        Ok(())
    }

    fn finish(self) -> Result<TrainSummary, Error> {
        let Job { model, out, .. } = *self.job;
        let name = self.job.model_name;
        let (adapter_gguf, adapter_peft) = (gguf_path(out), peft_path(out));
        self.adapter.write_gguf(&adapter_gguf, &format!("{}-lora", name.unwrap_or("evol")))?;
        self.adapter.write_peft(&adapter_peft, &model.config().base_shape(), name)?;
        let progress = self.progress;
        Ok(TrainSummary {
            steps: progress.step,
            tokens: progress.tokens,
            target_tokens: progress.targets,
            validation_loss_before: progress.validation_loss_before.map(|loss| loss.0),
            validation_loss_after: progress.validation_loss_last.map(|loss| loss.0),
            dropped: self.job.train.dropped.clone(),
            validation_dropped: self.job.validation.dropped.clone(),
            seconds: progress.train_seconds + progress.eval_seconds,
            tokens_per_second: rate(progress.tokens, progress.train_seconds),
            adapter_gguf,
            adapter_peft,
        })
    }

    fn require_finite(&self, what: &'static str, value: f64) -> Result<(), Error> {
        if value.is_finite() {
            return Ok(());
        }
        let checkpoint_step = self.saved.as_ref().map_or(0, |saved| saved.step);
        Err(Error::NotFinite { what, value, step: self.progress.step + 1, checkpoint_step })
    }

    fn seconds_since(&self, started: Duration) -> f64 {
        (self.host.clock)().saturating_sub(started).as_secs_f64()
    }
}

/// Per second; 0 when the clock did not move.
fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

fn checkpoint_path(out: &Path) -> PathBuf {
    out.join("checkpoint.safetensors")
}

fn gguf_path(out: &Path) -> PathBuf {
    out.join("adapter.gguf")
}

fn peft_path(out: &Path) -> PathBuf {
    out.join("peft")
}
