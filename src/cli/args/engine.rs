//! How the engine runs, as typed: in flags of `evol evolve` and in the same words in an experiment file.

use crate::llm::Determinism;
use crate::run::{EngineSettings, FormatChoice};
use clap::{Args, ValueEnum};

/// How the engine runs.
#[derive(Debug, Clone, PartialEq, Args)]
pub(crate) struct EngineArgs {
    /// Sequences decoded in one batch; with `--determinism exact` it changes speed and memory, not results
    /// [default: what is fastest here, measured once for a model]
    #[arg(long, value_name = "N")]
    pub(crate) batch_width: Option<usize>,
    /// Format of the weights that are computed with; another one than the file's is converted once and kept
    ///
    /// Some formats have no fast kernels on some processors, and the same weights run up to twice as fast in
    /// another one. The result depends on the format, so a run goes on with the one that it was begun with.
    /// Converted models are in `$XDG_CACHE_HOME/evol/converted` (or `~/.cache/evol/converted`), and may be
    /// deleted.
    #[arg(long, value_enum, default_value_t = ComputeFormatArg::AsIs)]
    pub(crate) compute_format: ComputeFormatArg,
    /// Layers of the model that a GPU computes; needs a build with `--features llama-cuda`
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) gpu_layers: u32,
    /// What is promised about the bytes of results
    #[arg(long, value_enum, default_value_t = DeterminismArg::Exact)]
    pub(crate) determinism: DeterminismArg,
}

/// A compute format as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ComputeFormatArg {
    /// Measures the others for some seconds, the first time on a machine, and takes the fastest; which one
    /// that is, and with it the result, depends on the machine
    Auto,
    /// The file's own
    #[default]
    AsIs,
    /// 8 bits per weight
    #[value(name = "q8_0")]
    Q8_0,
    /// 16 bits per weight
    F16,
}

/// A level of determinism as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum DeterminismArg {
    /// Model, prompt and seed decide a result, and nothing else; where the model's format does not allow it,
    /// says so and is `scheduled`
    #[default]
    Exact,
    /// Threads and batch width have a part in it: the same command on the same machine gives the same bytes
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
