//! How the engine is to run, as a user says it: in flags of `evol evolve` and in the same words in an
//! experiment file.
//!
//! Where in the flow: part of a plan; [`super::compute`] makes an engine of it, [`super::identity`] compares
//! it with the record of a run.
//!
//! **Invariant:** settings that are left open decide nothing in a run that resumes.

use super::error::{Error, Result};
use crate::llm::{ComputeFormat, Determinism};
use serde::{Deserialize, Serialize};

/// Format of the weights as a user chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum FormatChoice {
    /// The fastest, measured on this machine once.
    #[serde(rename = "auto")]
    Auto,
    /// The file's own.
    #[default]
    #[serde(rename = "as-is")]
    AsIs,
    /// 8 bits per weight.
    #[serde(rename = "q8_0")]
    Q8_0,
    /// 16 bits per weight.
    #[serde(rename = "f16")]
    F16,
}

impl FormatChoice {
    /// The format; `None`: it is to be measured.
    pub fn fixed(self) -> Option<ComputeFormat> {
        match self {
            Self::Auto => None,
            Self::AsIs => Some(ComputeFormat::AsIs),
            Self::Q8_0 => Some(ComputeFormat::Q8_0),
            Self::F16 => Some(ComputeFormat::F16),
        }
    }
}

/// How the engine is to run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EngineSettings {
    /// Sequences decoded in one batch; `None`: as recorded, or as measured.
    pub batch_width: Option<usize>,
    /// Format of the weights.
    pub compute_format: FormatChoice,
    /// Layers on a GPU.
    pub gpu_layers: u32,
    /// What is promised about the bytes of results.
    pub determinism: Determinism,
}

impl EngineSettings {
    /// Refuses what this build cannot do.
    ///
    /// # Errors
    /// [`Error::NoGpuLayers`], [`Error::Flag`].
    pub fn validate(&self) -> Result<()> {
        if self.gpu_layers > 0 && !cfg!(feature = "llama-cuda") {
            return Err(Error::NoGpuLayers { found: self.gpu_layers });
        }
        if self.batch_width == Some(0) {
            let (flag, expected) = ("--batch-width", "at least 1 sequence");
            return Err(Error::Flag { flag, found: "0".to_owned(), expected });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_needs_a_build_for_it() {
        let settings = EngineSettings { gpu_layers: 9, ..EngineSettings::default() };
        assert_eq!(settings.validate().is_ok(), cfg!(feature = "llama-cuda"));
        let empty = EngineSettings { batch_width: Some(0), ..EngineSettings::default() };
        assert!(matches!(empty.validate(), Err(Error::Flag { .. })));
    }
}
