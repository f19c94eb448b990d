//! Decides whether a run may be resumed.
//!
//! Where in the flow: a stage records an [`Identity`] before its first result, and compares it before it
//! resumes. Each part is a type of the module that owns it. This module owns [`Recipe`]: how the engine
//! computes, and which model judges.
//!
//! | recorded in | what | compared by |
//! |---|---|---|
//! | `run.db` | model, seeds, prompts, guards, `[evolve]`, [`Recipe`] | [`super::evolve`] |
//! | `config.toml` | every key that affects a result | [`check_config`] |
//! | `eval/settings.json` | suite, models, sampling | [`super::eval`] |
//! | `adapter/checkpoint.safetensors` | base, data, `[train]` | [`crate::train`] |
//!
//! **Invariant:** a run is refused before anything is measured, converted, loaded or written.

use super::config::RunConfig;
use super::dir::RunDir;
use super::error::{Error, Result};
use super::files;
use super::settings::{EngineSettings, FormatChoice};
use crate::identity::{Difference, Identity};
use crate::llm::{self, ComputeFormat, Determinism};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How a run's output is generated, apart from the model and the settings of evolve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The file that the engine loads.
    pub compute: ComputeRecipe,
    /// How the engine runs.
    pub engine: EngineRecipe,
    /// The model that judges; `None` if the model itself does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeRecipe>,
}

/// The file that the engine loads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComputeRecipe {
    /// Weight format of the file.
    pub format: ComputeFormat,
    /// Lowercase hex SHA-256 of the file.
    pub sha256: String,
}

/// How the engine runs. Threads, batch width and GPU layers are only recorded if they affect results: with
/// [`Determinism::Scheduled`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineRecipe {
    /// The level of determinism.
    pub determinism: Determinism,
    /// Attention, cache and schedule, in words.
    pub recipe: String,
    /// Versions of the bindings, which include llama.cpp.
    pub llama_cpp: String,
    /// What llama.cpp was compiled for. Another build computes other numbers from the same file.
    pub instruction_sets: String,
    /// Worker threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Sequences per batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_width: Option<usize>,
    /// Layers on a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_layers: Option<u32>,
}

/// A separate model that judges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgeRecipe {
    /// Lowercase hex SHA-256 of its file.
    pub sha256: String,
    /// The level of determinism of its verdicts.
    pub determinism: Determinism,
    /// Worker threads, as in [`EngineRecipe`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Layers on a GPU, as in [`EngineRecipe`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_layers: Option<u32>,
}

/// What the composition of batches depends on.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Worker threads.
    pub threads: usize,
    /// Sequences per batch; `None` if not measured yet.
    pub batch_width: Option<usize>,
    /// Layers on a GPU.
    pub gpu_layers: u32,
}

impl EngineRecipe {
    /// The recipe of this build's engine.
    pub fn new(determinism: Determinism, schedule: Schedule) -> Self {
        let is_scheduled = determinism == Determinism::Scheduled;
        Self {
            determinism,
            recipe: determinism.recipe(schedule.gpu_layers).to_owned(),
            llama_cpp: format!("llama-cpp-2 {}, llama-cpp-sys-2 {}", llm::BINDINGS.0, llm::BINDINGS.1),
            instruction_sets: llm::system_info().join(" "),
            threads: is_scheduled.then_some(schedule.threads),
            batch_width: schedule.batch_width.filter(|_| is_scheduled),
            gpu_layers: is_scheduled.then_some(schedule.gpu_layers),
        }
    }

    /// Names of the entries that depend on the build.
    const BUILD: [&str; 3] = ["engine.llama_cpp", "engine.instruction_sets", "engine.recipe"];
}

/// Whether all differences are due to another build of llama.cpp.
pub(super) fn is_other_build(differences: &[Difference]) -> bool {
    differences.iter().all(|difference| EngineRecipe::BUILD.contains(&difference.name.as_str()))
}

/// Removes the differences that are due to another build from `differences`, and returns them.
pub fn take_build(differences: &mut Vec<Difference>) -> Vec<Difference> {
    differences.extract_if(.., |found| EngineRecipe::BUILD.contains(&found.name.as_str())).collect()
}

impl Recipe {
    /// The recipe that the run in `dir` recorded; `None` if nothing is recorded yet.
    ///
    /// # Errors
    /// [`Error::OtherVersion`] if another version of evol recorded it.
    pub fn recorded(identity: &Identity, dir: &Path) -> Result<Option<Self>> {
        if identity.is_empty() {
            return Ok(None);
        }
        let other_version = |error: crate::identity::BadSection| Error::OtherVersion {
            path: dir.to_owned(),
            reason: error.to_string(),
        };
        identity.section("").map(Some).map_err(other_version)
    }

    /// The recipe that a resumed run will have, as far as it is known before anything is measured, converted
    /// or loaded: the recorded one, changed where the settings or this build differ.
    ///
    /// # Errors
    /// The model is not a readable GGUF.
    pub fn expected(
        recorded: &Self,
        settings: &EngineSettings,
        model: &Path,
        judge: Option<JudgeRecipe>,
        threads: usize,
    ) -> Result<Self> {
        let ComputeRecipe { format: recorded_format, sha256 } = &recorded.compute;
        let format = settings.compute_format.fixed().unwrap_or(*recorded_format);
        let determinism = if settings.gpu_layers > 0 {
            Determinism::Scheduled
        } else if format == ComputeFormat::AsIs {
            settings.determinism.resolve(model, settings.gpu_layers)?.0
        } else if recorded.engine.determinism == Determinism::Scheduled {
            // Whether a converted file allows `exact` is only known once it exists.
            Determinism::Scheduled
        } else {
            settings.determinism
        };
        let schedule = Schedule {
            threads,
            batch_width: settings.batch_width.or(recorded.engine.batch_width),
            gpu_layers: settings.gpu_layers,
        };
        Ok(Self {
            compute: ComputeRecipe { format, sha256: sha256.clone() },
            engine: EngineRecipe::new(determinism, schedule),
            judge,
        })
    }

    /// Replaces build and schedule by those of `recorded`, for a run with nothing left to generate.
    pub fn take_over_build(&mut self, recorded: &Self) {
        let EngineRecipe { recipe, llama_cpp, instruction_sets, threads, batch_width, .. } = &recorded.engine;
        self.engine.recipe.clone_from(recipe);
        self.engine.llama_cpp.clone_from(llama_cpp);
        self.engine.instruction_sets.clone_from(instruction_sets);
        if self.engine.determinism == Determinism::Scheduled {
            self.engine.threads = *threads;
            self.engine.batch_width = *batch_width;
        }
        if let (Some(judge), Some(recorded)) = (&mut self.judge, &recorded.judge)
            && judge.threads.is_some()
        {
            judge.threads = recorded.threads;
        }
    }

    /// The settings that reproduce this recipe.
    pub fn settings(&self) -> EngineSettings {
        let EngineRecipe { determinism, batch_width, gpu_layers, .. } = self.engine;
        // `Compute::prepare` replaces `auto` by the recorded format.
        let compute_format = FormatChoice::Auto;
        EngineSettings { batch_width, compute_format, gpu_layers: gpu_layers.unwrap_or(0), determinism }
    }

    /// The recipe as part of a run's identity.
    pub fn identity(&self) -> Identity {
        Identity::of(self)
    }
}

/// Compares the configuration with the one that the run in `dir` was started with, if any.
///
/// # Errors
/// [`Error::OtherConfig`] names every key that differs.
pub(super) fn check_config(config: &RunConfig, dir: &RunDir) -> Result<()> {
    let Some(recorded) = dir.read(files::CONFIG)? else { return Ok(()) };
    let differences = config.differences(&recorded);
    if differences.is_empty() {
        Ok(())
    } else {
        Err(Error::OtherConfig { dir: dir.path().to_owned(), differences })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::tests::config;
    use Determinism::{Exact, Scheduled};

    const NO_FILE: &str = "absent.gguf";

    /// The recipe of a run with `f16` weights, whose file no longer exists.
    fn recorded(level: Determinism) -> Recipe {
        let schedule = Schedule { threads: 2, batch_width: Some(8), gpu_layers: 0 };
        Recipe {
            compute: ComputeRecipe { format: ComputeFormat::F16, sha256: "2".to_owned() },
            engine: EngineRecipe::new(level, schedule),
            judge: None,
        }
    }

    /// The names of the values that differ between `settings` and a run at `level`.
    fn changed(settings: &EngineSettings, level: Determinism) -> Vec<String> {
        let recorded = recorded(level);
        let expected = Recipe::expected(&recorded, settings, Path::new(NO_FILE), None, 2).unwrap();
        recorded.identity().diff(&expected.identity()).into_iter().map(|found| found.name).collect()
    }

    fn auto() -> EngineSettings {
        EngineSettings { compute_format: FormatChoice::Auto, ..EngineSettings::default() }
    }

    #[test]
    fn a_recipe_comes_back_from_the_journal_with_its_types() {
        for level in [Exact, Scheduled] {
            let identity = recorded(level).identity().and([("config.seed", "1")].into_iter().collect());
            let found = Recipe::recorded(&identity, Path::new("run")).unwrap();
            assert_eq!(found, Some(recorded(level)));
        }
        let identity = recorded(Exact).identity();
        assert_eq!(
            (identity.get("compute.format"), identity.get("engine.determinism")),
            (Some("f16"), Some("exact"))
        );
        assert_eq!(identity.iter().count(), 6, "threads and batch width have no part in exact results");
        assert!(Recipe::recorded(&Identity::default(), Path::new("run")).unwrap().is_none());
    }

    #[test]
    fn a_recipe_of_another_version_is_refused_in_one_sentence() {
        let mut identity = recorded(Exact).identity();
        identity.remove("engine.recipe");
        let found = Recipe::recorded(&identity, Path::new("run"));
        assert!(matches!(found, Err(Error::OtherVersion { .. })), "{found:?}");
    }

    #[test]
    fn settings_that_are_left_open_stay_as_recorded() {
        for level in [Exact, Scheduled] {
            assert_eq!(changed(&auto(), level), Vec::<String>::new());
        }
    }

    #[test]
    fn settings_that_contradict_the_record_are_named_without_the_file() {
        let q8_0 = EngineSettings { compute_format: FormatChoice::Q8_0, ..EngineSettings::default() };
        assert_eq!(changed(&q8_0, Exact), ["compute.format"]);
        let wider = EngineSettings { batch_width: Some(4), ..auto() };
        assert_eq!(changed(&wider, Scheduled), ["engine.batch_width"]);
        assert_eq!(changed(&wider, Exact), Vec::<String>::new(), "it has no part in the results");
        let less = EngineSettings { determinism: Scheduled, ..auto() };
        assert!(changed(&less, Exact).contains(&"engine.determinism".to_owned()));
        let gpu = EngineSettings { gpu_layers: 9, ..auto() };
        assert!(changed(&gpu, Exact).contains(&"engine.determinism".to_owned()));
        assert_eq!(changed(&gpu, Scheduled), ["engine.gpu_layers", "engine.recipe"]);
    }

    #[test]
    fn a_finished_run_takes_any_build_and_schedule() {
        for level in [Exact, Scheduled] {
            let mut elsewhere = recorded(level);
            elsewhere.engine.llama_cpp = "another".to_owned();
            elsewhere.engine.instruction_sets = "others".to_owned();
            let differences = recorded(level).identity().diff(&elsewhere.identity());
            assert!(differences.len() == 2 && is_other_build(&differences), "{differences:?}");
            elsewhere.take_over_build(&recorded(level));
            assert_eq!(elsewhere, recorded(level));
        }
    }

    #[test]
    fn another_configuration_is_refused_by_every_key_that_decides_something() {
        let folder = tempfile::tempdir().unwrap();
        let dir = RunDir::claim(folder.path()).unwrap();
        let config = config(folder.path());
        check_config(&config, &dir).unwrap();
        dir.write(files::CONFIG, &config.to_toml()).unwrap();
        check_config(&config, &dir).unwrap();

        let mut other = config.clone();
        (other.model, other.out) = ("/moved.gguf".to_owned(), "/moved".into());
        (other.judge_model, other.seeds.file) = (Some("/judge.gguf".to_owned()), Some("/seeds.txt".into()));
        (other.batch_width, other.compute_format, other.gpu_layers) = (Some(9), FormatChoice::Auto, 1);
        (other.determinism, other.evolve.max_errors, other.train.save_steps) = (Scheduled, 0.5, 99);
        check_config(&other, &dir).unwrap();

        other.train.learning_rate = 0.5;
        other.seeds.limit = Some(3);
        match check_config(&other, &dir) {
            Err(Error::OtherConfig { dir, differences }) => {
                let names: Vec<String> = differences.into_iter().map(|found| found.name).collect();
                assert_eq!(
                    (dir.as_path(), names),
                    (folder.path(), own(&["seeds.limit", "train.learning_rate"]))
                );
            }
            other => panic!("{other:?}"),
        }
    }

    fn own(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }
}
