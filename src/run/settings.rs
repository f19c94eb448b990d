//! The engine settings that a user chooses, with flags of `evol evolve` or keys of an experiment file.
//!
//! Where in the flow: part of a plan. [`super::compute`] turns them into engine options, and
//! [`super::identity`] compares them with the record of a run.
//!
//! **Invariant:** a resumed run takes settings that are not given from its record.

use super::error::{Error, Result};
use crate::llm::{ComputeFormat, Determinism};
use serde::{Deserialize, Serialize};

/// The weight format that a user chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum FormatChoice {
    /// The fastest, measured once per model and machine.
    #[serde(rename = "auto")]
    Auto,
    /// The format of the model file.
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
    /// The format; `None` if it has to be measured.
    pub fn fixed(self) -> Option<ComputeFormat> {
        match self {
            Self::Auto => None,
            Self::AsIs => Some(ComputeFormat::AsIs),
            Self::Q8_0 => Some(ComputeFormat::Q8_0),
            Self::F16 => Some(ComputeFormat::F16),
        }
    }
}

/// Engine settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EngineSettings {
    /// Sequences per batch; `None` for the recorded width, or the measured one.
    pub batch_width: Option<usize>,
    /// Weight format to compute with.
    pub compute_format: FormatChoice,
    /// Layers on a GPU.
    pub gpu_layers: u32,
    /// The requested level of determinism.
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
