//! Which file the engine computes with, and what that promises: from the flags, the model and the journal.
//!
//! Where in the flow: `evolve` asks before it loads the engine; what comes out is bound in the journal
//! ([`Compute::recipe`]) and told to readers in the manifest ([`ComputeEntry`]).
//!
//! **Invariant:** a run goes on with the format that its journal names. `auto` follows it without measuring
//! anything; what [`EngineSettings::recipe_of_begun`] contradicts is refused before anything is converted.

use super::args::{BATCH_WIDTH, ComputeFormatArg, DeterminismArg, EngineArgs};
use super::error::{Error, Result};
use super::known_models;
use super::machine::Machine;
use super::output::Output;
use super::plan::Session;
use crate::llm::{
    self, Choice, ComputeFile, ComputeFormat, ConversionCache, ConversionStep, Determinism, EngineOptions,
    MeasureOptions,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How the engine is to run, checked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct EngineSettings {
    /// Sequences decoded in one batch; `None`: as the journal says, or as measured.
    pub(crate) batch_width: Option<usize>,
    /// Format of the weights.
    pub(crate) compute_format: ComputeFormatArg,
    /// Layers on a GPU.
    pub(crate) gpu_layers: u32,
    /// What is promised.
    pub(crate) determinism: DeterminismArg,
}

impl From<&EngineArgs> for EngineSettings {
    fn from(typed: &EngineArgs) -> Self {
        let &EngineArgs { batch_width, compute_format, gpu_layers, determinism } = typed;
        Self { batch_width, compute_format, gpu_layers, determinism }
    }
}

impl EngineSettings {
    /// How the engine ran, by the fingerprint of a run; the threads too where they have a part in the
    /// results.
    pub(crate) fn of_journal(journal: &[(String, String)]) -> (Self, Option<usize>) {
        let entry = |name: &str| journal.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let number = |name: &str| entry(name)?.parse().ok();
        let scheduled = entry(DETERMINISM) == Some(Determinism::Scheduled.name());
        let settings = Self {
            batch_width: number(BATCH_WIDTH_ENTRY),
            // The journal names the format, and `prepare` follows it.
            compute_format: ComputeFormatArg::Auto,
            gpu_layers: number(GPU_LAYERS).unwrap_or(0) as u32,
            determinism: if scheduled { DeterminismArg::Scheduled } else { DeterminismArg::Exact },
        };
        (settings, number(THREADS))
    }

    /// The recipe of a run that was begun, as far as it is known before anything is measured, converted or
    /// loaded: what its journal says, except where these settings or this build say something else.
    ///
    /// # Errors
    /// The model is no readable GGUF.
    pub(crate) fn recipe_of_begun(
        &self,
        model: &Path,
        journal: &[(String, String)],
        threads: usize,
    ) -> Result<Vec<(String, String)>> {
        let Some(begun_format) = entry(journal, FORMAT) else { return Ok(Vec::new()) };
        let format = match fixed(self.compute_format) {
            Some(asked) => asked.name(),
            None => begun_format,
        };
        let asked = Determinism::from(self.determinism);
        let level = if self.gpu_layers > 0 {
            Determinism::Scheduled
        } else if format == ComputeFormat::AsIs.name() {
            asked.resolve(model, self.gpu_layers)?.0
        } else if entry(journal, DETERMINISM) == Some(Determinism::Scheduled.name()) {
            // What a converted file allows is known when it is there.
            Determinism::Scheduled
        } else {
            asked
        };
        let width = self.batch_width.map(|width| width.to_string());
        let width = width.as_deref().or(entry(journal, BATCH_WIDTH_ENTRY)).unwrap_or("measured");
        Ok(named(
            format,
            entry(journal, SHA256).unwrap_or_default(),
            level,
            [&threads, &width],
            self.gpu_layers,
        ))
    }

    /// Refuses what this build cannot do.
    ///
    /// # Errors
    /// [`Error::NoGpuLayers`].
    pub(crate) fn validate(&self) -> Result<(), Error> {
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

/// What the engine computes with.
#[derive(Debug, Clone)]
pub(crate) struct Compute {
    threads: usize,
    /// Never more than was asked for.
    determinism: Determinism,
    entry: ComputeEntry,
}

/// What the engine computed with, for the manifest.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ComputeEntry {
    /// Format of the weights.
    pub(crate) format: ComputeFormat,
    /// Where they lay: the model itself, or converted from it.
    pub(crate) path: PathBuf,
    /// Lowercase hex, of that file.
    pub(crate) sha256: String,
    /// What `auto` measured to choose the format, if it did so for this run.
    pub(crate) measured: Option<Choice>,
    /// What is promised.
    pub(crate) determinism: Determinism,
    /// Why it is less than was asked for.
    pub(crate) reason: Option<String>,
    /// How it is reached.
    pub(crate) recipe: &'static str,
    /// Versions of the bindings, which carry llama.cpp.
    pub(crate) llama_cpp_2: &'static str,
    /// The same.
    pub(crate) llama_cpp_sys_2: &'static str,
    /// Threads; they have a part in the results of `scheduled` only.
    pub(crate) threads: usize,
    /// The same.
    pub(crate) batch_width: usize,
    /// The same.
    pub(crate) gpu_layers: u32,
}

/// What is measured must fit beside the caches and everything else.
const MEMORY_SHARE: f64 = 0.6;

/// Time for each format's prompts, generated tokens, and turn.
const MEASURE_BUDGET: Duration = Duration::from_millis(600);

const FORMAT: &str = "compute.format";
const SHA256: &str = "compute.sha256";
const DETERMINISM: &str = "engine.determinism";
/// What llama.cpp is, and what it was compiled for: another build computes other numbers from the same file.
pub(crate) const BUILD: [&str; 2] = ["engine.llama_cpp", "engine.instruction_sets"];
/// Attention, cache and schedule, in words.
pub(crate) const RECIPE: &str = "engine.recipe";
const THREADS: &str = "engine.threads";
/// Of a model that judges only.
pub(crate) const JUDGE_THREADS: &str = "judge.threads";
const BATCH_WIDTH_ENTRY: &str = "engine.batch_width";
const GPU_LAYERS: &str = "engine.gpu_layers";

impl Compute {
    /// Chooses, converts where that is needed, and says on stderr what takes time or is less than was asked
    /// for. `journal` is the fingerprint of a run that goes on, which the settings do not contradict; empty
    /// for a new one.
    ///
    /// # Errors
    /// The model cannot be converted; the run was interrupted.
    pub(crate) fn prepare(
        settings: &EngineSettings,
        model: &Path,
        model_sha256: &str,
        journal: &[(String, String)],
        session: &Session,
    ) -> Result<Self> {
        let threads = session.threads;
        let folder = known_models::cache_root().join("converted");
        let cache = ConversionCache { folder, threads };
        let output = session.output;
        let begun = journal.iter().find(|(name, _)| name == FORMAT).map(|(_, value)| value.as_str());
        let (format, measured) = match (fixed(settings.compute_format), begun.and_then(ComputeFormat::parse))
        {
            (Some(format), _) | (None, Some(format)) => (format, None),
            (None, None) => {
                let choice = measure(settings, model, model_sha256, &cache, session)?;
                output.detail(&describe(&choice));
                (choice.format, Some(choice))
            }
        };
        let interrupt = session.interrupt.flag();
        let file =
            cache.get(model, model_sha256, format, interrupt, &mut |step| tell(output, format, step))?;
        let (determinism, reason) =
            Determinism::from(settings.determinism).resolve(&file.path, settings.gpu_layers)?;
        if let Some(reason) = &reason {
            output.warn(&format!("results depend on threads and batch width (`scheduled`): {reason}"));
        }
        let begun = journal.iter().find(|(name, _)| name == BATCH_WIDTH_ENTRY);
        let batch_width =
            match settings.batch_width.or_else(|| begun.and_then(|(_, width)| width.parse().ok())) {
                Some(width) => width,
                None => measure_width(&file, determinism, settings.gpu_layers, &cache.folder, session)?,
            };
        let entry = ComputeEntry {
            format,
            path: file.path,
            sha256: file.sha256,
            measured,
            determinism,
            reason,
            recipe: determinism.recipe(settings.gpu_layers),
            llama_cpp_2: llm::BINDINGS.0,
            llama_cpp_sys_2: llm::BINDINGS.1,
            threads,
            batch_width,
            gpu_layers: settings.gpu_layers,
        };
        Ok(Self { threads, determinism, entry })
    }

    /// For the manifest.
    pub(crate) fn entry(&self) -> &ComputeEntry {
        &self.entry
    }

    /// For the engine; who runs it adds counters and the interrupt.
    pub(crate) fn options(&self) -> EngineOptions<'_> {
        EngineOptions {
            n_seq: self.entry.batch_width,
            gpu_layers: self.entry.gpu_layers,
            determinism: self.determinism,
            ..EngineOptions::new(&self.entry.path, self.threads)
        }
    }

    /// What decides the bytes that are generated, by name: bound in the journal. Threads and batch width are
    /// in it only where they have a part in the results.
    pub(crate) fn recipe(&self) -> Vec<(String, String)> {
        let ComputeEntry { format, sha256, threads, batch_width, gpu_layers, .. } = &self.entry;
        named(format.name(), sha256, self.determinism, [threads, batch_width], *gpu_layers)
    }
}

/// Makes a recipe say what `journal` says of the build and of the schedule, whatever they are here.
pub(crate) fn take_over_build(recipe: &mut [(String, String)], journal: &[(String, String)]) {
    let elsewhere = [BUILD[0], BUILD[1], RECIPE, THREADS, BATCH_WIDTH_ENTRY, JUDGE_THREADS];
    for (name, value) in recipe.iter_mut().filter(|(name, _)| elsewhere.contains(&name.as_str())) {
        if let Some(begun) = entry(journal, name) {
            begun.clone_into(value);
        }
    }
}

/// A recipe as it stands in the journal; `schedule`: threads and batch width.
fn named(
    format: &str,
    sha256: &str,
    level: Determinism,
    schedule: [&dyn ToString; 2],
    gpu_layers: u32,
) -> Vec<(String, String)> {
    let pair = |name: &str, value: &dyn ToString| (name.to_owned(), value.to_string());
    let mut recipe = vec![
        pair(FORMAT, &format),
        pair(SHA256, &sha256),
        pair(DETERMINISM, &level.name()),
        pair(RECIPE, &level.recipe(gpu_layers)),
    ];
    recipe.extend(build());
    if level == Determinism::Scheduled {
        recipe.extend([pair(THREADS, schedule[0]), pair(BATCH_WIDTH_ENTRY, schedule[1])]);
        recipe.push(pair(GPU_LAYERS, &gpu_layers));
    }
    recipe
}

fn entry<'j>(journal: &'j [(String, String)], name: &str) -> Option<&'j str> {
    journal.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// `None`: to be measured.
fn fixed(typed: ComputeFormatArg) -> Option<ComputeFormat> {
    match typed {
        ComputeFormatArg::Auto => None,
        ComputeFormatArg::AsIs => Some(ComputeFormat::AsIs),
        ComputeFormatArg::Q8_0 => Some(ComputeFormat::Q8_0),
        ComputeFormatArg::F16 => Some(ComputeFormat::F16),
    }
}

/// What computes, beside the file.
fn build() -> [(String, String); 2] {
    let bindings = format!("llama-cpp-2 {}, llama-cpp-sys-2 {}", llm::BINDINGS.0, llm::BINDINGS.1);
    let [of_bindings, of_instructions] = BUILD.map(str::to_owned);
    [(of_bindings, bindings), (of_instructions, llm::system_info().join(" "))]
}

/// What a cache may take of the memory that is free, beside weights and everything else.
const CACHE_SHARE: f64 = 0.3;

fn measure_width(
    file: &ComputeFile,
    determinism: Determinism,
    gpu_layers: u32,
    folder: &Path,
    session: &Session,
) -> Result<usize> {
    let options = MeasureOptions {
        model: &file.path,
        threads: session.threads,
        gpu_layers,
        determinism,
        budget: MEASURE_BUDGET,
        interrupt: Arc::clone(session.interrupt.flag()),
    };
    let memory = Machine::detect().memory_available_bytes.map(|bytes| (bytes as f64 * CACHE_SHARE) as u64);
    let width = llm::choose_width(&options, &file.sha256, memory, folder)?;
    session.output.detail(&format!("batch width {width}, measured on this machine"));
    Ok(width)
}

fn measure(
    settings: &EngineSettings,
    model: &Path,
    sha256: &str,
    cache: &ConversionCache,
    session: &Session,
) -> Result<Choice> {
    let output = session.output;
    output.note("choosing the compute format: measured once on this machine, then remembered");
    let options = MeasureOptions {
        model,
        threads: session.threads,
        gpu_layers: settings.gpu_layers,
        determinism: settings.determinism.into(),
        budget: MEASURE_BUDGET,
        interrupt: Arc::clone(session.interrupt.flag()),
    };
    let memory = Machine::detect().memory_available_bytes.map(|bytes| (bytes as f64 * MEMORY_SHARE) as u64);
    let mut tell = |step| {
        if step == ConversionStep::Waiting {
            output.note("waiting for another evol that converts the same model");
        }
    };
    let width = settings.batch_width.unwrap_or(BATCH_WIDTH);
    Ok(llm::choose(&options, sha256, width, memory, cache, &mut tell)?)
}

fn tell(output: Output, format: ComputeFormat, step: ConversionStep) {
    output.note(&match step {
        ConversionStep::Waiting => "waiting for another evol that converts the same model".to_owned(),
        ConversionStep::Converting => format!("converting the model to {}, once", format.name()),
    });
}

fn describe(choice: &Choice) -> String {
    let speeds: Vec<String> = choice
        .candidates
        .iter()
        .map(|candidate| {
            let llm::Rates { prefill_tokens_per_second, decode_rows_per_second, .. } = candidate.rates;
            let name = candidate.format.name();
            format!(
                "{name} reads {prefill_tokens_per_second:.0} and writes {decode_rows_per_second:.0} tokens/s"
            )
        })
        .collect();
    format!("compute format {}: {}", choice.format.name(), speeds.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The journal of a run that computed with `f16` weights, which are not there.
    fn begun(level: Determinism) -> Vec<(String, String)> {
        let mut journal = named("f16", "2", level, [&2, &8], 0);
        journal.push(("model.sha256".to_owned(), "1".to_owned()));
        journal
    }

    /// What `settings` say differently, by name, of a run at `level`.
    fn changed(settings: &EngineSettings, level: Determinism) -> Vec<String> {
        let journal = begun(level);
        let recipe = settings.recipe_of_begun(Path::new("absent.gguf"), &journal, 2).unwrap();
        let differs = |entry: &&(String, String)| !journal.contains(entry);
        recipe.iter().filter(differs).map(|(name, _)| name.clone()).collect()
    }

    #[test]
    fn what_settings_leave_open_stays_as_it_was_begun() {
        let auto = EngineSettings { compute_format: ComputeFormatArg::Auto, ..Default::default() };
        for level in [Determinism::Exact, Determinism::Scheduled] {
            assert_eq!(changed(&auto, level), Vec::<String>::new());
        }
        let recipe = auto.recipe_of_begun(Path::new("absent.gguf"), &begun(Determinism::Exact), 2).unwrap();
        assert_eq!(recipe.len(), 6, "all that is the engine's");
        assert_eq!(auto.recipe_of_begun(Path::new("absent.gguf"), &[], 2).unwrap(), []);
    }

    #[test]
    fn what_settings_contradict_is_told_before_anything_is_converted() {
        use Determinism::{Exact, Scheduled};
        let auto = EngineSettings { compute_format: ComputeFormatArg::Auto, ..Default::default() };
        let q8_0 = EngineSettings { compute_format: ComputeFormatArg::Q8_0, ..Default::default() };
        assert_eq!(changed(&q8_0, Exact), [FORMAT]);
        let wider = EngineSettings { batch_width: Some(4), ..auto.clone() };
        assert_eq!(changed(&wider, Scheduled), [BATCH_WIDTH_ENTRY]);
        assert_eq!(changed(&wider, Exact), Vec::<String>::new(), "it has no part in the results");
        let less = EngineSettings { determinism: DeterminismArg::Scheduled, ..auto.clone() };
        assert_eq!(changed(&less, Exact), [DETERMINISM, RECIPE, THREADS, BATCH_WIDTH_ENTRY, GPU_LAYERS]);
        let gpu = EngineSettings { gpu_layers: 9, ..auto };
        assert_eq!(changed(&gpu, Exact)[..2], [DETERMINISM, RECIPE]);
        assert_eq!(changed(&gpu, Scheduled), [RECIPE, GPU_LAYERS]);
    }

    #[test]
    fn a_journal_without_a_recipe_is_another() {
        let mut journal = begun(Determinism::Exact);
        journal.retain(|(name, _)| name != RECIPE);
        let auto = EngineSettings { compute_format: ComputeFormatArg::Auto, ..Default::default() };
        let recipe = auto.recipe_of_begun(Path::new("absent.gguf"), &journal, 2).unwrap();
        assert!(recipe.iter().any(|(name, _)| name == RECIPE));
    }
}
