//! Which file the engine computes with, and what that promises: from the settings, the model and what an
//! earlier process recorded.
//!
//! Where in the flow: [`super::evolve`] asks before it loads the engine. The answer is recorded in the
//! journal ([`Compute::recipe`]) and described in the manifest ([`ComputeEntry`]).
//!
//! **Invariant:** a run resumes with the recorded format and batch width; `auto` measures only for a run that
//! recorded none.

use super::error::Result;
use super::host::{Context, Host};
use super::identity::{ComputeRecipe, EngineRecipe, JudgeRecipe, Recipe, Schedule};
use super::known_models;
use super::machine::Machine;
use super::settings::EngineSettings;
use crate::llm::{
    self, Choice, ComputeFile, ComputeFormat, ConversionCache, ConversionStep, Determinism, EngineOptions,
    MeasureOptions,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Batch width at which formats are compared when none is given: where a CPU stops getting faster.
const BATCH_WIDTH: usize = 32;

/// Share of the free memory that weights may take while formats are measured, beside caches and the rest.
const WEIGHTS_SHARE: f64 = 0.6;

/// Share of the free memory that a cache may take, beside weights and the rest.
const CACHE_SHARE: f64 = 0.3;

/// Time for each format's prompts, generated tokens, and turn.
const MEASURE_BUDGET: Duration = Duration::from_millis(600);

/// What the engine computes with.
#[derive(Debug, Clone)]
pub struct Compute {
    entry: ComputeEntry,
}

/// What the engine computed with, for the manifest. Threads, batch width and GPU layers have a part in the
/// results of [`Determinism::Scheduled`] only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComputeEntry {
    /// Format of the weights.
    pub format: ComputeFormat,
    /// The file: the model itself, or converted from it.
    pub path: PathBuf,
    /// Lowercase hex SHA-256 of that file.
    pub sha256: String,
    /// What `auto` measured to choose the format, if it did so for this run.
    pub measured: Option<Choice>,
    /// What is promised; never more than was asked for.
    pub determinism: Determinism,
    /// Why that is less than was asked for.
    pub reason: Option<String>,
    /// Attention, cache and schedule, in words.
    pub recipe: String,
    /// Version of `llama-cpp-2`.
    pub llama_cpp_2: String,
    /// Version of `llama-cpp-sys-2`, which carries llama.cpp.
    pub llama_cpp_sys_2: String,
    /// Worker threads.
    pub threads: usize,
    /// Sequences in a batch.
    pub batch_width: usize,
    /// Layers on a GPU.
    pub gpu_layers: u32,
}

impl Compute {
    /// Chooses the file, converts the model where that is needed, and reports what takes time or is less than
    /// was asked for. `recorded` is the recipe of a run that resumes, which the settings do not contradict.
    ///
    /// # Errors
    /// The model cannot be converted, or the run was interrupted.
    pub fn prepare(
        settings: &EngineSettings,
        model: &Path,
        model_sha256: &str,
        recorded: Option<&Recipe>,
        context: Context<'_>,
    ) -> Result<Self> {
        let (threads, host) = (context.threads, context.host);
        let cache = ConversionCache { folder: known_models::cache_root().join("converted"), threads };
        let recorded_format = recorded.map(|recipe| recipe.compute.format);
        let (format, measured) = match settings.compute_format.fixed().or(recorded_format) {
            Some(format) => (format, None),
            None => {
                let choice = measure_format(settings, model, model_sha256, &cache, context)?;
                host.detail(&describe(&choice));
                (choice.format, Some(choice))
            }
        };
        let mut on_step = |step| report_conversion(host, format, step);
        let file = cache.get(model, model_sha256, format, host.interrupt(), &mut on_step)?;
        let (determinism, reason) = settings.determinism.resolve(&file.path, settings.gpu_layers)?;
        if let Some(reason) = &reason {
            host.warn(&format!("results depend on threads and batch width (`scheduled`): {reason}"));
        }
        let recorded_width = recorded.and_then(|recipe| recipe.engine.batch_width);
        let batch_width = match settings.batch_width.or(recorded_width) {
            Some(width) => width,
            None => measure_width(&file, determinism, settings.gpu_layers, &cache.folder, context)?,
        };
        Ok(Self {
            entry: ComputeEntry {
                format,
                path: file.path,
                sha256: file.sha256,
                measured,
                determinism,
                reason,
                recipe: determinism.recipe(settings.gpu_layers).to_owned(),
                llama_cpp_2: llm::BINDINGS.0.to_owned(),
                llama_cpp_sys_2: llm::BINDINGS.1.to_owned(),
                threads,
                batch_width,
                gpu_layers: settings.gpu_layers,
            },
        })
    }

    /// The description for the manifest.
    pub fn entry(&self) -> &ComputeEntry {
        &self.entry
    }

    /// Options for the engine; the caller adds counters and the interrupt.
    pub fn options(&self) -> EngineOptions<'_> {
        EngineOptions {
            n_seq: self.entry.batch_width,
            gpu_layers: self.entry.gpu_layers,
            determinism: self.entry.determinism,
            ..EngineOptions::new(&self.entry.path, self.entry.threads)
        }
    }

    /// What decides the bytes that are generated.
    pub fn recipe(&self, judge: Option<JudgeRecipe>) -> Recipe {
        let ComputeEntry { format, sha256, determinism, threads, batch_width, gpu_layers, .. } = &self.entry;
        let schedule =
            Schedule { threads: *threads, batch_width: Some(*batch_width), gpu_layers: *gpu_layers };
        Recipe {
            compute: ComputeRecipe { format: *format, sha256: sha256.clone() },
            engine: EngineRecipe::new(*determinism, schedule),
            judge,
        }
    }
}

fn available_bytes(share: f64) -> Option<u64> {
    Machine::detect().memory_available_bytes.map(|bytes| (bytes as f64 * share) as u64)
}

fn measure_width(
    file: &ComputeFile,
    determinism: Determinism,
    gpu_layers: u32,
    folder: &Path,
    context: Context<'_>,
) -> Result<usize> {
    let options = MeasureOptions {
        model: &file.path,
        threads: context.threads,
        gpu_layers,
        determinism,
        budget: MEASURE_BUDGET,
        interrupt: Arc::clone(context.host.interrupt()),
    };
    let width = llm::choose_width(&options, &file.sha256, available_bytes(CACHE_SHARE), folder)?;
    context.host.detail(&format!("batch width {width}, measured on this machine"));
    Ok(width)
}

fn measure_format(
    settings: &EngineSettings,
    model: &Path,
    sha256: &str,
    cache: &ConversionCache,
    context: Context<'_>,
) -> Result<Choice> {
    let host = context.host;
    host.note("choosing the compute format: measured once on this machine, then remembered");
    let options = MeasureOptions {
        model,
        threads: context.threads,
        gpu_layers: settings.gpu_layers,
        determinism: settings.determinism,
        budget: MEASURE_BUDGET,
        interrupt: Arc::clone(host.interrupt()),
    };
    let mut on_step = |step| {
        // Conversions of candidates are part of the measurement; waiting for another process is not.
        if step == ConversionStep::Waiting {
            report_conversion(host, ComputeFormat::AsIs, step);
        }
    };
    let width = settings.batch_width.unwrap_or(BATCH_WIDTH);
    Ok(llm::choose(&options, sha256, width, available_bytes(WEIGHTS_SHARE), cache, &mut on_step)?)
}

fn report_conversion(host: &dyn Host, format: ComputeFormat, step: ConversionStep) {
    host.note(&match step {
        ConversionStep::Waiting => "waiting for another evol that converts the same model".to_owned(),
        ConversionStep::Converting => format!("converting the model to {}, once", format.name()),
    });
}

fn describe(choice: &Choice) -> String {
    let speed = |candidate: &llm::Candidate| {
        let llm::Rates { prefill_tokens_per_second, decode_rows_per_second, .. } = candidate.rates;
        let name = candidate.format.name();
        format!("{name} reads {prefill_tokens_per_second:.0} and writes {decode_rows_per_second:.0} tokens/s")
    };
    let speeds: Vec<String> = choice.candidates.iter().map(speed).collect();
    format!("compute format {}: {}", choice.format.name(), speeds.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_compared_at_the_engine_s_own_default_width() {
        assert_eq!(BATCH_WIDTH, EngineOptions::new(Path::new(""), 1).n_seq);
    }
}
