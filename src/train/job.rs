//! What goes into a run and what comes out of it.
//!
//! Where in the flow: the caller fills a [`Job`] and a [`Host`], calls [`super::train`], shows the [`Event`]s
//! and reports the [`Outcome`].
//!
//! **Invariant:** the [`Job`] decides the result; the [`Host`] decides only when the run pauses and what is
//! shown.

use super::{DropReason, Encoded, EvalMetrics, StepMetrics, TrainConfig};
use crate::device::CpuPool;
use crate::device::cuda::{CudaDevice, CudaInfo, MixedPrecision};
use crate::lora::LoraWeights;
use crate::model::Llama;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The inputs of a run.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The frozen base model.
    pub model: &'a Llama,
    /// Hash of the base's file; a checkpoint of another base is refused.
    pub model_sha256: &'a str,
    /// Name of the base, for the adapter files.
    pub model_name: Option<&'a str>,
    /// Where the steps are computed.
    pub backend: Backend<'a>,
    /// Settings.
    pub config: &'a TrainConfig,
    /// The adapter to start from; `None`: PEFT's initialisation.
    pub init_adapter: Option<&'a LoraWeights>,
    /// Samples to train on.
    pub train: &'a Encoded,
    /// Samples for validation, may be empty.
    pub validation: &'a Encoded,
    /// Directory of the checkpoint, the metrics and the adapter; created if missing.
    pub out: &'a Path,
    /// Whether the metrics are also written for `TensorBoard`.
    pub tensorboard: bool,
}

/// Where the steps of a run are computed.
#[derive(Debug, Clone, Copy)]
pub enum Backend<'a> {
    /// On the CPU, in the threads of this pool.
    Cpu(&'a CpuPool),
    /// On GPUs.
    Cuda {
        /// At least one. All compute the same step, each with its share of the rows.
        gpus: &'a [CudaDevice],
        /// Type of the activations.
        precision: MixedPrecision,
    },
}

impl<'a> Backend<'a> {
    /// The GPUs, none on the CPU.
    pub fn gpus(self) -> &'a [CudaDevice] {
        match self {
            Self::Cpu(_) => &[],
            Self::Cuda { gpus, .. } => gpus,
        }
    }

    /// How many devices compute rows of a step at the same time.
    pub fn ranks(self) -> usize {
        self.gpus().len().max(1)
    }

    /// A short description for logs and summaries: `cpu (2 threads)`, or `cuda:0 (NAME), cuda:1 (NAME)`.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Cpu(pool) => format!("cpu ({} threads)", pool.threads()),
            Self::Cuda { gpus, .. } => {
                let names = gpus.iter().map(|gpu| {
                    let CudaInfo { ordinal, name, .. } = gpu.info();
                    format!("cuda:{ordinal} ({name})")
                });
                names.collect::<Vec<_>>().join(", ")
            }
        }
    }
}

/// What a run needs from the program around it.
pub struct Host<'a> {
    /// Time since any fixed moment. Only for reporting: `seconds` and `tokens_per_second`.
    pub clock: &'a dyn Fn() -> Duration,
    /// The largest memory of the process so far, in bytes, if the system reports it. Only for reporting.
    pub peak_memory: &'a dyn Fn() -> Option<u64>,
    /// Once true, the run writes a checkpoint after the current step and ends.
    pub interrupt: &'a AtomicBool,
    /// Called on progress.
    pub on_event: &'a mut dyn FnMut(&Event<'_>),
}

/// Progress of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event<'a> {
    /// On GPUs, before the loop: progress of copying the base to all of them.
    Upload {
        /// Bytes copied.
        bytes_done: u64,
        /// Bytes to copy in all.
        bytes_total: u64,
    },
    /// Right before the loop.
    Started {
        /// Steps in the checkpoint that the run resumes from; 0 for a new run.
        steps_done: u64,
        /// Steps of the whole run.
        total_steps: u64,
        /// Positions already fed.
        tokens_done: u64,
        /// Positions of the whole run.
        total_tokens: u64,
    },
    /// A packed row of a step is done.
    Row {
        /// The step, counted from 1.
        step: u64,
        /// Rows of the step that are done.
        row: usize,
        /// Rows of the step.
        rows: usize,
    },
    /// An optimiser step is done. `total_tokens - tokens_done` over the measured speed is the time left.
    Step {
        /// Its line in the metrics file.
        metrics: &'a StepMetrics,
        /// Steps of the whole run.
        total_steps: u64,
        /// Positions fed so far, including those before a resume.
        tokens_done: u64,
        /// Positions of the whole run.
        total_tokens: u64,
    },
    /// A loss is far above those before it: these examples are unlike the others, or the learning rate is too
    /// high.
    Spike {
        /// The step, counted from 1.
        step: u64,
        /// Its loss.
        loss: f64,
        /// Standard deviations above the mean of the last losses.
        z_score: f64,
        /// The examples of the step, counted from 1.
        examples: &'a [usize],
    },
    /// A row of a validation pass is done.
    EvalRow {
        /// Rows of the pass that are done.
        row: usize,
        /// Rows of the pass.
        rows: usize,
    },
    /// A validation pass is done.
    Eval(&'a EvalMetrics),
    /// The checkpoint was written.
    Checkpoint {
        /// Steps done when it was written.
        step: u64,
    },
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All steps are done and the adapter is written.
    Finished(TrainSummary),
    /// The interrupt flag was set; the same call resumes from here.
    Interrupted {
        /// Steps done.
        step: u64,
        /// Steps of the whole run.
        total_steps: u64,
    },
}

/// A finished run.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct TrainSummary {
    /// Optimiser steps.
    pub steps: u64,
    /// Positions fed.
    pub tokens: u64,
    /// Positions with loss.
    pub target_tokens: u64,
    /// Mean over the targets of the validation samples, in nats, with the initial adapter.
    pub validation_loss_before: Option<f64>,
    /// The same with the trained adapter.
    pub validation_loss_after: Option<f64>,
    /// The step whose adapter is the result; less than `steps` if the best validation pass came before the
    /// end.
    pub best_step: u64,
    /// Whether early stopping ended the run.
    pub stopped_early: bool,
    /// Training examples left out, by reason.
    pub dropped: BTreeMap<DropReason, usize>,
    /// Training samples that were truncated to the length of a row.
    pub truncated: usize,
    /// Validation examples left out, by reason.
    pub validation_dropped: BTreeMap<DropReason, usize>,
    /// Wall time of steps and validation passes, including those before a resume.
    pub seconds: f64,
    /// Positions per second of the training steps, on all devices together.
    pub tokens_per_second: f64,
    /// Where the run was finished: `cpu (2 threads)`, or `cuda:0 (NAME), cuda:1 (NAME)`.
    #[serde(default)]
    pub device: String,
    /// The adapter as a GGUF file for llama.cpp.
    pub adapter_gguf: PathBuf,
    /// The adapter as a PEFT directory.
    pub adapter_peft: PathBuf,
}
