//! The state of a training run between two optimiser steps, in one safetensors file.
//!
//! Where in the flow: the loop writes it every `save_steps` steps, around validation passes and when it is
//! interrupted; [`super::train`] reads it at the start.
//!
//! The file holds flat tensors, `adapter`, `exp_avg` and `exp_avg_sq` (the layout of `LoraWeights::data`;
//! 8-bit moments also have scales), and under the metadata key `evol.checkpoint` a JSON object with the
//! progress and the identity of the run. The position in the data needs no entry: which rows a step trains
//! is a function of the step (see [`super::pack`]).
//!
//! **Invariant:** the file is a complete checkpoint at every instant (temporary file, fsync, rename, fsync of
//! the directory). Only the newest is kept.
//! **Invariant:** floats are read back bit for bit: tensors are raw, and losses are stored as decimal
//! strings, which Rust prints and parses exactly, while JSON numbers may be off by one ulp.

use super::flat_tensors::{FlatTensor, numbers};
use super::loss_scale::LossScale;
use super::moments::Moments;
use super::{Backend, Encoded, Error, Job, TrainConfig};
use crate::gguf::replace_file;
use crate::identity::Identity;
use safetensors::tensor::SafeTensors;
use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::path::Path;

const METADATA_KEY: &str = "evol.checkpoint";
const BEST_STEP_KEY: &str = "evol.step";
/// Version of the file's layout; part of the identity.
const FORMAT: u64 = 3;

/// An f64 that survives JSON.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(super) struct Exact(pub(super) f64);

impl From<Exact> for String {
    fn from(exact: Exact) -> Self {
        exact.0.to_string()
    }
}

impl TryFrom<String> for Exact {
    type Error = std::num::ParseFloatError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// How far a run has got.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Progress {
    /// Optimiser steps done.
    pub(super) step: u64,
    /// Positions fed so far.
    pub(super) tokens: u64,
    /// Positions with loss so far.
    pub(super) targets: u64,
    /// Wall time of steps, including those before a resume.
    pub(super) train_seconds: f64,
    /// Wall time of validation passes, including those before a resume.
    pub(super) eval_seconds: f64,
    /// The step at which the newest validation pass ran.
    pub(super) last_eval: Option<u64>,
    /// Loss of the initial adapter.
    pub(super) validation_loss_before: Option<Exact>,
    /// Loss of the newest validation pass.
    pub(super) validation_loss_last: Option<Exact>,
    /// Length of the metrics file when the checkpoint was written.
    pub(super) metrics_bytes: u64,
    /// The newest losses, oldest first, at most [`super::spike::WINDOW`].
    pub(super) recent_losses: VecDeque<Exact>,
    /// The best validation pass: its step and loss.
    pub(super) best: Option<(u64, Exact)>,
    /// Validation passes since the best one.
    pub(super) passes_without_better: u64,
    /// Whether early stopping ended the run.
    pub(super) stopped_early: bool,
    /// Used in half precision only.
    #[serde(default)]
    pub(super) loss_scale: LossScale,
}

/// What decides the result of a run: model file, samples, every setting that decides it, the kind of
/// device and how many there are.
pub(super) fn identity(job: &Job<'_>) -> Identity {
    let Job { model_sha256, train, validation, config, init_adapter, backend, .. } = *job;
    let config = TrainConfig { target_modules: config.lora().target_modules, ..config.clone() };
    let mut identity = Identity::of(&config).without(&TrainConfig::DECIDES_NOTHING);
    match backend {
        // A GPU adds up in another order than the CPU. Several have other rows in a step than one.
        Backend::Cuda { .. } => {
            let ranks = backend.ranks();
            identity.insert("device", if ranks > 1 { format!("cuda x {ranks}") } else { "cuda".into() });
        }
        Backend::Cpu(_) => {
            identity.remove("mixed_precision");
        }
    }
    if let Some(weights) = init_adapter {
        let numbers = blake3::hash(bytemuck::cast_slice(&weights.data)).to_hex().to_string();
        let config = serde_json::to_string(&weights.config).expect("a checked configuration is finite");
        identity.insert("init_adapter", format!("{config} {numbers}"));
    }
    identity.insert("format", FORMAT.to_string());
    identity.insert("model_sha256", model_sha256);
    identity.insert("train_data", data_hash(train));
    identity.insert("validation_data", data_hash(validation));
    identity
}

fn data_hash(encoded: &Encoded) -> String {
    let mut hasher = blake3::Hasher::new();
    encoded.hash_into(&mut hasher);
    hasher.finalize().to_hex().to_string()
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Header {
    identity: Identity,
    progress: Progress,
}

/// Replaces the file of the best adapter, made by step `step`.
pub(super) fn write_best(path: &Path, step: u64, adapter: &[f32]) -> Result<(), Error> {
    let view = FlatTensor::of_numbers("adapter", adapter).view();
    let metadata = HashMap::from([(BEST_STEP_KEY.to_owned(), step.to_string())]);
    let bytes =
        safetensors::serialize([("adapter", view)], Some(metadata)).expect("a name and a short header");
    replace_file(path, |file| file.write_all(&bytes)).map_err(Error::io("write", path))
}

/// Reads the best adapter, which must be the one made by step `step`.
pub(super) fn read_best(path: &Path, step: u64, len: usize) -> Result<Vec<f32>, Error> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let bad = |reason: String| Error::BadCheckpoint { path: path.to_path_buf(), reason };
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| bad(error.to_string()))?;
    let found = metadata.metadata().as_ref().and_then(|map| map.get(BEST_STEP_KEY)).cloned();
    if found.as_deref() != Some(step.to_string().as_str()) {
        return Err(bad(format!("it is of step {found:?}, expected {step}")));
    }
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| bad(error.to_string()))?;
    numbers(&tensors, "adapter", len).map_err(bad)
}

/// Replaces the checkpoint at `path`.
pub(super) fn write(
    path: &Path,
    identity: &Identity,
    progress: &Progress,
    adapter: &[f32],
    moments: &Moments,
) -> Result<(), Error> {
    let header = Header { identity: identity.clone(), progress: progress.clone() };
    let header = serde_json::to_string(&header).expect("strings, integers and finite seconds serialise");
    let tensors = std::iter::once(FlatTensor::of_numbers("adapter", adapter)).chain(moments.tensors());
    let tensors = tensors.map(|tensor| (tensor.name, tensor.view()));
    let metadata = HashMap::from([(METADATA_KEY.to_owned(), header)]);
    let bytes = safetensors::serialize(tensors, Some(metadata)).expect("distinct names, a short header");
    replace_file(path, |file| file.write_all(&bytes)).map_err(Error::io("write", path))
}

/// Reads the checkpoint at `path` of the run with this identity into adapter and moments. Returns `None` and
/// leaves both unchanged if there is no file.
pub(super) fn read(
    path: &Path,
    identity: &Identity,
    adapter: &mut Vec<f32>,
    moments: &mut Moments,
) -> Result<Option<Progress>, Error> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let bad = |reason: String| Error::BadCheckpoint { path: path.to_path_buf(), reason };
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| bad(error.to_string()))?;
    let header = metadata.metadata().as_ref().and_then(|map| map.get(METADATA_KEY));
    let header = header.ok_or_else(|| bad(format!("no metadata key `{METADATA_KEY}`")))?;
    let header: Header = serde_json::from_str(header).map_err(|error| bad(error.to_string()))?;
    let differences = header.identity.diff(identity);
    if !differences.is_empty() {
        return Err(Error::OtherRun { path: path.to_path_buf(), differences });
    }
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| bad(error.to_string()))?;
    *adapter = numbers(&tensors, "adapter", adapter.len()).map_err(bad)?;
    moments.read(&tensors).map_err(bad)?;
    Ok(Some(header.progress))
}
