//! Flags that say how the engine runs; an experiment file has keys of the same names.

use crate::llm::Determinism;
use crate::run::{EngineSettings, FormatChoice};
use clap::{Args, ValueEnum};

#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct EngineArgs {
    /// Sequences to decode in one batch; with `--determinism exact` this affects speed and memory but not
    /// results [default: the fastest, measured once per model and machine]
    #[arg(long, value_name = "N")]
    pub(crate) batch_width: Option<usize>,
    /// Weight format to compute with; the model is converted once if its file has another one
    ///
    /// Some formats lack fast kernels on some CPUs, and the same weights can run up to twice as fast in
    /// another format. Results depend on the format, so a resumed run keeps the one that it started with.
    /// Converted models are cached in `$XDG_CACHE_HOME/evol/converted` (or `~/.cache/evol/converted`); they
    /// can be deleted.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = ComputeFormatArg::AsIs)]
    pub(crate) compute_format: ComputeFormatArg,
    /// Model layers to run on the GPU; needs a build with `--features llama-cuda`
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) gpu_layers: u32,
    /// How reproducible results are
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = DeterminismArg::Exact)]
    pub(crate) determinism: DeterminismArg,
}

/// Values of `--compute-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ComputeFormatArg {
    /// The fastest on this machine, measured for a few seconds on first use; results depend on the machine
    Auto,
    /// The format of the model file
    #[default]
    AsIs,
    /// 8 bits per weight
    #[value(name = "q8_0")]
    Q8_0,
    /// 16 bits per weight
    F16,
}

/// Values of `--determinism`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum DeterminismArg {
    /// Results depend only on model, prompt and seed; falls back to `scheduled`, with a warning, if the
    /// model's format does not allow it
    #[default]
    Exact,
    /// Results also depend on threads and batch width; the same command on the same machine is reproducible
    Scheduled,
}

impl From<DeterminismArg> for Determinism {
    fn from(typed: DeterminismArg) -> Self {
        match typed {
            DeterminismArg::Exact => Self::Exact,
            DeterminismArg::Scheduled => Self::Scheduled,
        }
    }
}

impl From<ComputeFormatArg> for FormatChoice {
    fn from(typed: ComputeFormatArg) -> Self {
        match typed {
            ComputeFormatArg::Auto => Self::Auto,
            ComputeFormatArg::AsIs => Self::AsIs,
            ComputeFormatArg::Q8_0 => Self::Q8_0,
            ComputeFormatArg::F16 => Self::F16,
        }
    }
}

impl From<&EngineArgs> for EngineSettings {
    fn from(typed: &EngineArgs) -> Self {
        let &EngineArgs { batch_width, compute_format, gpu_layers, determinism } = typed;
        Self {
            batch_width,
            compute_format: compute_format.into(),
            gpu_layers,
            determinism: determinism.into(),
        }
    }
}
