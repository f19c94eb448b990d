//! Chooses the model file that the engine loads, its compute format and batch width.
//!
//! Where in the flow: [`super::evolve`] calls this before it loads the engine. The choice is recorded in the
//! journal ([`Compute::recipe`]) and described in the manifest ([`ComputeEntry`]).
//!
//! **Invariant:** a run resumes with the recorded format and batch width. `auto` measures only if none is
//! recorded.

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

/// Batch width for comparing formats if none is given: wider batches are no faster on a CPU.
const BATCH_WIDTH: usize = 32;

/// Share of the available memory that weights may take while formats are measured.
const WEIGHTS_SHARE: f64 = 0.6;

/// Share of the available memory that the KV cache may take.
const CACHE_SHARE: f64 = 0.3;

/// Time for each part of the measurement of a format: prompts, generated tokens, and turn.
const MEASURE_BUDGET: Duration = Duration::from_millis(600);

/// The file that the engine loads, and how it is run.
#[derive(Debug, Clone)]
pub struct Compute {
    entry: ComputeEntry,
}

/// What the engine computed with, for the manifest. Threads, batch width and GPU layers affect results only
/// with [`Determinism::Scheduled`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComputeEntry {
    /// Format of the weights.
    pub format: ComputeFormat,
    /// The file: the model itself, or a converted copy.
    pub path: PathBuf,
    /// Lowercase hex SHA-256 of that file.
    pub sha256: String,
    /// The measurements of `auto`, if it chose the format for this run.
    pub measured: Option<Choice>,
    /// The level of determinism, which may be lower than requested.
    pub determinism: Determinism,
    /// Why it is lower than requested.
    pub reason: Option<String>,
    /// Attention, cache and schedule, in words.
    pub recipe: String,
    /// Version of `llama-cpp-2`.
    pub llama_cpp_2: String,
    /// Version of `llama-cpp-sys-2`, which carries llama.cpp.
    pub llama_cpp_sys_2: String,
    /// Worker threads.
    pub threads: usize,
    /// Sequences per batch.
    pub batch_width: usize,
    /// Layers on a GPU.
    pub gpu_layers: u32,
}

impl Compute {
    /// Chooses the file and converts the model if needed. Notes slow steps, and warns if determinism is lower
    /// than requested. `recorded` is the recipe of a resumed run; the settings must not contradict it.
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
        let (format, measured) = if let Some(format) = settings.compute_format.fixed().or(recorded_format) {
            (format, None)
        } else {
            let choice = measure_format(settings, model, model_sha256, &cache, context)?;
            host.detail(&describe(&choice));
            (choice.format, Some(choice))
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

    /// Options for the engine; the caller adds the counters and the interrupt flag.
    pub fn options(&self) -> EngineOptions<'_> {
        EngineOptions {
            n_seq: self.entry.batch_width,
            gpu_layers: self.entry.gpu_layers,
            determinism: self.entry.determinism,
            ..EngineOptions::new(&self.entry.path, self.entry.threads)
        }
    }

    /// Everything that decides the generated bytes, beside the model and the settings of evolve.
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
    host.note("measuring compute formats, once for this model and machine");
    let options = MeasureOptions {
        model,
        threads: context.threads,
        gpu_layers: settings.gpu_layers,
        determinism: settings.determinism,
        budget: MEASURE_BUDGET,
        interrupt: Arc::clone(host.interrupt()),
    };
    let mut on_step = |step| {
        // Converting candidates is part of the measurement, but waiting for another process is worth a note.
        if step == ConversionStep::Waiting {
            report_conversion(host, ComputeFormat::AsIs, step);
        }
    };
    let width = settings.batch_width.unwrap_or(BATCH_WIDTH);
    Ok(llm::choose(&options, sha256, width, available_bytes(WEIGHTS_SHARE), cache, &mut on_step)?)
}

fn report_conversion(host: &dyn Host, format: ComputeFormat, step: ConversionStep) {
    host.note(&match step {
        ConversionStep::Waiting => "waiting for another evol that is converting the same model".to_owned(),
        ConversionStep::Converting => {
            format!("converting the model to {}, once for this model", format.name())
        }
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
    fn formats_are_compared_at_the_engine_s_default_width() {
        assert_eq!(BATCH_WIDTH, EngineOptions::new(Path::new(""), 1).n_seq);
    }
}
