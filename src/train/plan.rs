//! What a run will cost, before it starts: steps, tokens and memory.
//!
//! Where in the flow: callers show it and refuse a run that does not fit; `doctor` uses [`memory`] alone.
//!
//! **Invariant:** rows, steps and tokens are exact, because the same code packs them for training. Memory is
//! counted by the code that allocates it.

use super::engine;
use super::moments::Moments;
use super::pack::{Packing, Timeline, epoch_rows};
use super::{Backend, Encoded, Error, Job, TrainConfig};
use crate::device::cuda::{MixedPrecision, nccl_version};
use crate::lora::LoraWeights;
use crate::model::{CudaModel, GradientCheckpointing, Llama, ModelConfig, Purpose, Workspace};

/// The cost of a run.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Plan {
    /// Numbers in the adapter.
    pub trainable_parameters: usize,
    /// Samples trained on in one pass.
    pub samples: usize,
    /// Packed rows of the first pass.
    pub rows_per_epoch: usize,
    /// Positions fed in one pass.
    pub tokens_per_epoch: usize,
    /// Positions with loss in one pass.
    pub targets_per_epoch: usize,
    /// Passes started, including one that `max_steps` cuts short.
    pub epochs: usize,
    /// Optimiser steps.
    pub steps: u64,
    /// Positions fed over all steps.
    pub tokens: u64,
    /// Positions of one validation pass; it runs at least twice.
    pub validation_tokens: usize,
    /// An upper bound on the tokens of a row, which workspaces are made for.
    pub longest_row: usize,
    /// How full the rows of the first pass are, relative to the longest row. Rows have no padding, so a low
    /// figure costs no time.
    pub packing_efficiency: f64,
    /// Bytes of activations with checkpointing by layer, for the hint of an error.
    pub activations_with_checkpointing: u64,
    /// Memory of the machine that the run needs.
    pub memory: MemoryPlan,
    /// Memory that it needs on each GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_memory: Option<DeviceMemory>,
}

/// Bytes of a run on each of its GPUs, by what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct DeviceMemory {
    /// The GPU with the least free memory.
    pub ordinal: usize,
    /// The base, in its blocks.
    pub base: u64,
    /// The adapter, its gradient, and its copy in the type of activations.
    pub adapter: u64,
    /// Both moments of `AdamW`.
    pub optimizer: u64,
    /// Activations and scratch for the longest row, forward and backward.
    pub activations: u64,
    /// cuBLAS's own workspace.
    pub products: u64,
    /// NCCL's own buffers, with several GPUs.
    pub collectives: u64,
    /// Free memory of that GPU.
    pub available: u64,
}

/// cuBLAS takes 4 MiB at its first product, and 32 MiB on devices of compute capability 9.0 (NVIDIA,
/// "cuBLAS", `cublasSetWorkspace`).
const CUBLAS_BYTES: u64 = 32 << 20;

/// An allowance for what NCCL takes of each of several devices: buffers of 4 MiB for each of up to 32
/// channels and two neighbours in a ring (NVIDIA, "NCCL", `NCCL_BUFFSIZE`, `NCCL_MAX_NCHANNELS`), and its
/// kernels.
const NCCL_BYTES: u64 = 384 << 20;

impl DeviceMemory {
    /// Everything but the context, which already exists when memory is checked.
    pub fn total(&self) -> u64 {
        self.base + self.adapter + self.optimizer + self.activations + self.products + self.collectives
    }
}

/// Bytes of a run, by what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct MemoryPlan {
    /// The base's tensors: a mapped file, shared with other processes, of which every step reads all pages.
    pub base: u64,
    /// The adapter, its gradient, both moments of `AdamW`, and the adapter that the run starts from.
    pub optimizer: u64,
    /// Activations and scratch for the longest row, forward and backward.
    pub activations: u64,
    /// A checkpoint while it is written.
    pub checkpoint: u64,
    /// Packed blocks of matrix products, on all threads.
    pub gemm: u64,
}

impl MemoryPlan {
    /// Everything but the program itself, which is already loaded when memory is checked.
    pub fn total(&self) -> u64 {
        let Self { base, optimizer, activations, checkpoint, gemm } = self;
        base + optimizer + activations + checkpoint + gemm
    }
}

/// Packed blocks of a product take about this much per thread, as measured with one and two threads.
const GEMM_BYTES_PER_THREAD: u64 = 4 << 20;

impl Plan {
    /// Checks that the run fits into `available` bytes of the machine, and into the free memory of its GPUs.
    ///
    /// # Errors
    /// [`Error::Memory`] or [`Error::DeviceMemory`], with what would fit.
    pub fn require(&self, available: u64) -> Result<(), Error> {
        if let Some(device) = self.device_memory.filter(|device| device.total() > device.available) {
            let (needed, longest_row) = (device.total(), self.longest_row);
            let DeviceMemory { ordinal, available, .. } = device;
            return Err(Error::DeviceMemory { ordinal, needed, available, longest_row });
        }
        let needed = self.memory.total();
        if needed <= available {
            return Ok(());
        }
        let with_checkpointing = needed - self.memory.activations + self.activations_with_checkpointing;
        Err(Error::Memory { needed, available, with_checkpointing, longest_row: self.longest_row })
    }
}

/// Plans a run.
///
/// # Errors
/// As [`super::train`]: a setting is out of range, or nothing is left to train or validate on.
pub fn plan(job: &Job<'_>) -> Result<Plan, Error> {
    let Job { model, backend, config, train, validation, .. } = *job;
    check_inputs(model.config(), config, train, validation)?;
    check_kernels(job)?;
    let lengths = train.lengths();
    let rows_per_epoch = epoch_rows(&lengths, Packing::of(config), 0).len();
    let timeline = Timeline::new(config, backend.ranks(), lengths);
    let longest_row = longest_row(config, train, validation);
    let layout = LoraWeights::layout(&config.lora(), &model.config().base_shape());
    let device_memory = match backend {
        Backend::Cuda { gpus, precision } => {
            let mut tightest = (u64::MAX, 0);
            for gpu in gpus {
                tightest = tightest.min((gpu.free_bytes()?, gpu.info().ordinal));
            }
            let memory = device_memory(model, config, longest_row, precision, tightest.0);
            let collectives = if gpus.len() > 1 { NCCL_BYTES } else { 0 };
            Some(DeviceMemory { ordinal: tightest.1, collectives, ..memory })
        }
        Backend::Cpu(_) => None,
    };
    let mut memory = memory(model, config, longest_row, backend);
    if job.init_adapter.is_some() {
        // The caller keeps the adapter that the run starts from.
        memory.optimizer += (layout.parameters() * size_of::<f32>()) as u64;
    }
    Ok(Plan {
        trainable_parameters: layout.parameters(),
        samples: train.samples.len(),
        rows_per_epoch,
        tokens_per_epoch: train.positions(),
        targets_per_epoch: train.targets(),
        epochs: timeline.epochs(),
        steps: timeline.total_steps,
        tokens: timeline.total_tokens,
        validation_tokens: validation.positions(),
        longest_row,
        packing_efficiency: train.positions() as f64 / (rows_per_epoch * longest_row) as f64,
        activations_with_checkpointing: activations(
            model,
            &layout,
            longest_row,
            GradientCheckpointing::Layer,
        ),
        memory,
        device_memory,
    })
}

/// The memory of the machine that a run needs, with rows of at most `longest_row` tokens, if it does not
/// start from an existing adapter.
pub fn memory(model: &Llama, config: &TrainConfig, longest_row: usize, backend: Backend<'_>) -> MemoryPlan {
    let layout = LoraWeights::layout(&config.lora(), &model.config().base_shape());
    let adapter = (layout.parameters() * size_of::<f32>()) as u64;
    let moments = Moments::bytes(config, &layout);
    let (activations, gemm) = match backend {
        Backend::Cpu(pool) => (
            activations(model, &layout, longest_row, config.gradient_checkpointing),
            GEMM_BYTES_PER_THREAD * pool.threads() as u64,
        ),
        Backend::Cuda { .. } => (0, 0),
    };
    MemoryPlan {
        base: model.bytes(),
        // The adapter, its gradient and the moments.
        optimizer: 2 * adapter + moments,
        activations,
        checkpoint: adapter + moments,
        gemm,
    }
}

fn activations(
    model: &Llama,
    layout: &LoraWeights,
    longest_row: usize,
    checkpointing: GradientCheckpointing,
) -> u64 {
    let purpose = Purpose::Training(checkpointing);
    Workspace::<f32>::bytes(model.config(), longest_row, Some(layout), purpose) as u64
}

/// The memory that a run needs on a single GPU, with rows of at most `longest_row` tokens; `available` is the
/// free memory of that GPU.
pub fn device_memory(
    model: &Llama,
    config: &TrainConfig,
    longest_row: usize,
    precision: MixedPrecision,
    available: u64,
) -> DeviceMemory {
    let layout = LoraWeights::layout(&config.lora(), &model.config().base_shape());
    let purpose = Purpose::Training(config.gradient_checkpointing);
    let bytes = CudaModel::bytes(model, &layout, longest_row, purpose, precision);
    let optimizer = engine::optimizer_bytes(config, &layout);
    DeviceMemory {
        ordinal: 0,
        base: bytes.base,
        adapter: bytes.adapter,
        optimizer,
        activations: bytes.activations,
        products: CUBLAS_BYTES,
        collectives: 0,
        available,
    }
}

/// Checks that the kernels of the GPUs can compute the model in its precision, and that NCCL is installed if
/// there are several.
pub(super) fn check_kernels(job: &Job<'_>) -> Result<(), Error> {
    let Backend::Cuda { gpus, precision } = job.backend else { return Ok(()) };
    gpus.iter().try_for_each(|gpu| gpu.require(precision))?;
    if gpus.len() > 1 {
        nccl_version()?;
    }
    let config = job.model.config();
    let heads = config.head_dim;
    let rows = [config.hidden_size, config.intermediate_size].into_iter().find(|n| !n.is_multiple_of(8));
    if rows.is_some() || !heads.is_multiple_of(4) || heads > 256 {
        return Err(Error::HeadSize { heads, rows: rows.unwrap_or(config.hidden_size) });
    }
    Ok(())
}

/// Checks the settings against the model and the data.
pub(super) fn check_inputs(
    model: &ModelConfig,
    config: &TrainConfig,
    train: &Encoded,
    validation: &Encoded,
) -> Result<(), Error> {
    config.validate()?;
    let (found, limit) = (config.max_seq_len, model.max_position_embeddings);
    if found > limit {
        return Err(Error::ContextTooShort { found, limit });
    }
    let ranks = config.rank_pattern.values().map(|&rank| ("rank_pattern", rank));
    for (field, rank) in std::iter::once(("r", config.r)).chain(ranks) {
        if rank > model.hidden_size {
            // A rank above the width adds parameters but no expressiveness, and is probably a typo.
            let expected = "no more than the model's hidden size";
            return Err(Error::Config { field, found: rank.to_string(), expected });
        }
    }
    if config.keeps_best() && validation.samples.is_empty() {
        let expected = "no value, because there is no validation data";
        let (field, found) = match config.early_stopping_patience {
            Some(patience) => ("early_stopping_patience", patience.to_string()),
            None => ("load_best_model_at_end", "true".to_owned()),
        };
        return Err(Error::Config { field, found, expected });
    }
    train.require_samples("train")?;
    // No validation examples at all is a choice; validation examples of which none is usable are a mistake.
    if validation.dropped.is_empty() { Ok(()) } else { validation.require_samples("validate") }
}

/// An upper bound on the positions of a row: the capacity, or all positions of the data if they are fewer, or
/// the longest sample if rows are not shared.
pub(super) fn longest_row(config: &TrainConfig, train: &Encoded, validation: &Encoded) -> usize {
    let longest = train.lengths().into_iter().max().unwrap_or(0);
    let train = if config.packing { train.positions() } else { longest };
    config.max_seq_len.min(train.max(validation.positions()))
}
