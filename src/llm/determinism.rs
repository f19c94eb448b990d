//! The levels of reproducibility, [`Determinism`], and which files and options can reach them.
//!
//! Where in the flow: the caller resolves the requested level against the model file before it loads the
//! engine, and warns if the file only allows a lower one. The engine's scheduling follows the level.
//!
//! llama.cpp's CPU kernels give a row of a batch the same bits whatever the other rows are, but only for some
//! weight formats, and only with flash attention over a `q8_0` cache, which visits a sequence's own keys one
//! by one (measured by bitwise comparison of logits over batch widths, threads, chunkings, neighbours and
//! prefixes; `evol doctor --determinism` repeats the measurement on any machine and model). Other formats
//! switch kernels with the number of rows.
//!
//! **Invariant:** `exact` is granted only to what was measured; everything else gets
//! [`Determinism::Scheduled`], with a reason.

use std::path::Path;

use super::{Error, ModelInfo, system_info};
use crate::gguf::{GgmlType, Gguf};

/// What the bytes of a completion depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Determinism {
    /// The model's bytes and the request, and nothing else: not batch width, threads, neighbours, order,
    /// caches or restarts. Holds for one machine type and one build.
    #[default]
    Exact,
    /// The list of requests of a call, the batch width and the threads: repeating a call gives the same
    /// bytes.
    Scheduled,
}

/// Numbers per block of a `q8_0` cache.
const Q8_0_BLOCK: usize = 32;

/// Formats whose matrix products give a row the same bits in every batch of at least two rows.
const EXACT_TYPES: [GgmlType; 6] =
    [GgmlType::F32, GgmlType::F16, GgmlType::Q4_0, GgmlType::Q4_1, GgmlType::Q8_0, GgmlType::IQ4_NL];

impl Determinism {
    /// `exact` or `scheduled`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Scheduled => "scheduled",
        }
    }

    /// How the level is reached, for the manifest of a run.
    pub fn recipe(self, gpu_layers: u32) -> &'static str {
        match (self, gpu_layers) {
            (Self::Exact, _) => {
                "cpu, flash attention, q8_0 cache, a stream per sequence, no lone row where kernels differ \
                 for it"
            }
            (Self::Scheduled, 0) => {
                "cpu, flash attention, q8_0 cache where it fits, a stream per sequence, fixed shares of \
                 each list"
            }
            (Self::Scheduled, _) => {
                "gpu, flash attention, f16 cache, a stream per sequence, fixed shares of each list"
            }
        }
    }

    /// Whether a batch of one row needs padding because it uses other kernels than a batch of several. That
    /// is so for floating-point weights (measured), and where llama.cpp was built for AMX, whose tiles take
    /// several rows. Otherwise the quantized types among [`EXACT_TYPES`] give a single row the same bits.
    pub(super) fn pads_single_rows(self, gguf: &Gguf) -> bool {
        let is_float = |kind| matches!(kind, GgmlType::F32 | GgmlType::F16 | GgmlType::BF16);
        self == Self::Exact
            && (system_info().iter().any(|set| set.starts_with("AMX"))
                || gguf.tensors().any(|tensor| tensor.shape.len() > 1 && is_float(tensor.ggml_type)))
    }

    /// The level that `model` allows with this many layers on a GPU, and the reason if it is lower than
    /// `self`.
    ///
    /// # Errors
    /// The file is not a readable GGUF.
    pub fn resolve(self, model: &Path, gpu_layers: u32) -> Result<(Self, Option<String>), Error> {
        let gguf = Gguf::open(model)?;
        let reason = match self {
            Self::Exact => obstacle(&gguf, &ModelInfo::read(&gguf)?, gpu_layers),
            Self::Scheduled => None,
        };
        Ok(if reason.is_some() { (Self::Scheduled, reason) } else { (self, None) })
    }
}

/// Why results would depend on the schedule, if they would.
fn obstacle(gguf: &Gguf, info: &ModelInfo, gpu_layers: u32) -> Option<String> {
    if gpu_layers > 0 {
        return Some("a GPU's kernels depend on what else is in the batch".to_owned());
    }
    if !info.head_dim.is_multiple_of(Q8_0_BLOCK) {
        let head = info.head_dim;
        return Some(format!("heads of {head} numbers do not fit a q8_0 cache (blocks of {Q8_0_BLOCK})"));
    }
    let other =
        gguf.tensors().find(|tensor| tensor.shape.len() > 1 && !EXACT_TYPES.contains(&tensor.ggml_type))?;
    Some(format!(
        "`{}` is {:?}, whose kernels depend on the number of rows (`--compute-format q8_0` or `f16` avoids \
         it)",
        other.name, other.ggml_type
    ))
}
