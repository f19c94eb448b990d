//! The experiment file of `evol run`: TOML, read strictly.
//!
//! Sections are the configurations of the modules themselves. Every key but `model` and `out` has a default.
//! An unknown key is an error; otherwise a misspelt key would silently keep its default.
//!
//! **Invariant:** paths in the file are relative to the file's own folder, so that an experiment can be
//! started from any working directory. After [`read`] they are absolute.

use super::dir::check_recordable;
use super::error::{Error, ErrorContext as _, Result};
use super::settings::{EngineSettings, FormatChoice};
use super::{files, known_models};
use crate::dataset::{ExportOptions, Format, Mix, OnBadInput, VALIDATION_FRACTION};
use crate::eval::Suite;
use crate::evolve::EvolveConfig;
use crate::identity::{Difference, Identity};
use crate::llm::Determinism;
use crate::train::TrainConfig;
use serde::{Deserialize, Serialize, Serializer};
use std::path::{Path, PathBuf};
use toml::Table;

/// An experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// A GGUF file, or the name of a known model.
    pub model: String,
    /// Model that judges, as `model`; if absent, the model itself judges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge_model: Option<String>,
    /// The run directory.
    pub out: PathBuf,
    /// Random seed of all stages.
    #[serde(default)]
    pub seed: u64,
    /// Sequences that evolve decodes in one batch; if absent, the fastest, measured on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_width: Option<usize>,
    /// Weight format that evolve computes with.
    #[serde(default)]
    pub compute_format: FormatChoice,
    /// Model layers on the GPU.
    #[serde(default)]
    pub gpu_layers: u32,
    /// How reproducible results are.
    #[serde(default)]
    pub determinism: Determinism,
    /// The seeds to evolve.
    #[serde(default)]
    pub seeds: SeedsSection,
    /// How they are evolved.
    #[serde(default, serialize_with = "without_seed")]
    pub evolve: EvolveConfig,
    /// How the training data is made.
    #[serde(default)]
    pub export: ExportSection,
    /// How the adapter is trained.
    #[serde(default, serialize_with = "without_seed")]
    pub train: TrainConfig,
    /// How the adapter is evaluated.
    #[serde(default)]
    pub eval: EvalSection,
}

/// Serializes a section without `seed`, which is a key at the top of the file.
fn without_seed<S: Serializer>(section: &impl Serialize, serializer: S) -> Result<S::Ok, S::Error> {
    let mut table = Table::try_from(section).map_err(serde::ser::Error::custom)?;
    table.remove("seed");
    table.serialize(serializer)
}

/// `[seeds]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeedsSection {
    /// Seed file; if absent, the built-in seeds.
    pub file: Option<PathBuf>,
    /// Licence of the seed file, for the manifest and the export's card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// What to do with unusable lines of the seed file.
    pub on_bad_input: OnBadInput,
    /// Number of seeds to use, drawn with the run's seed; if absent, all.
    pub limit: Option<usize>,
}

/// `[export]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExportSection {
    /// Format of a row.
    pub format: Format,
    /// Share of seeds that go to validation with all their descendants.
    pub validation_fraction: f64,
    /// Test sets that no row may overlap with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decontaminate: Vec<PathBuf>,
    /// Limits on the number of rows.
    pub mix: Mix,
}

impl Default for ExportSection {
    fn default() -> Self {
        Self {
            format: Format::default(),
            validation_fraction: VALIDATION_FRACTION,
            decontaminate: Vec::new(),
            mix: Mix::default(),
        }
    }
}

/// `[eval]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvalSection {
    /// Whether to evaluate at all.
    pub enabled: bool,
    /// Suite file; if absent, the built-in suite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suite: Option<PathBuf>,
    /// Number of items to use, spread evenly over the suite; if absent, all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Maximum tokens of a response.
    pub max_tokens: usize,
    /// Sampling temperature; 0 is greedy.
    pub temperature: f32,
    /// Whether a judge compares responses, provided that it can be trusted.
    pub judge: bool,
    /// Whether to train an adapter for as many tokens on the seeds alone, for comparison.
    pub baselines: bool,
    /// Number of times each adapter is trained, with different seeds.
    pub repeats: u64,
}

impl Default for EvalSection {
    fn default() -> Self {
        Self {
            enabled: true,
            suite: None,
            limit: None,
            max_tokens: 256,
            temperature: 0.0,
            judge: true,
            baselines: true,
            repeats: 1,
        }
    }
}

impl EvalSection {
    /// The suite, which the export must not overlap with. `None` if evaluation is disabled.
    ///
    /// # Errors
    /// The file is unusable.
    pub fn suite(&self) -> Result<Option<Suite>> {
        match &self.suite {
            _ if !self.enabled => Ok(None),
            Some(path) => Ok(Some(Suite::read(path)?)),
            None => Ok(Some(Suite::builtin())),
        }
    }
}

/// Reads an experiment and makes its paths absolute.
///
/// # Errors
/// [`Error::Read`]; [`Error::Config`] names line and column; [`Error::ConfigValue`] the key.
fn read(path: &Path) -> Result<RunConfig> {
    let text =
        std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let folder = std::path::absolute(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
        .map_err(|source| Error::Read { path: path.to_owned(), source })?;
    parse(path, &text, &folder)
}

/// Values from the command line that replace those of the file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Overrides<'a> {
    /// Seed of the run.
    pub seed: Option<u64>,
    /// Run directory, relative to the working directory (in the file, to the file's folder).
    pub out: Option<&'a Path>,
    /// The model, as a path or a name.
    pub model: Option<&'a str>,
    /// Number of times each adapter is trained.
    pub repeats: Option<u64>,
}

/// Reads and checks an experiment, and resolves its model to an absolute path.
///
/// # Errors
/// As [`read`] and [`RunConfig::validate`]; the model does not exist; a path is not valid UTF-8.
pub fn load(path: &Path, overrides: Overrides<'_>) -> Result<RunConfig> {
    let mut config = read(path)?;
    config.eval.repeats = overrides.repeats.unwrap_or(config.eval.repeats);
    config.set_seed(overrides.seed.unwrap_or(config.seed));
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(Error::io(format!("cannot use `{}`", path.display())))
    };
    if let Some(out) = overrides.out {
        config.out = absolute(out)?;
    }
    config.validate(path)?;
    let model = overrides.model.unwrap_or(&config.model);
    let model = absolute(&known_models::resolve(model)?)?;
    [&model, &config.out]
        .into_iter()
        .chain(&config.seeds.file)
        .try_for_each(|path| check_recordable(path))?;
    config.model = model.display().to_string();
    Ok(config)
}

/// The configuration of the run in `dir`; `None` if `evol evolve` made the run, which writes no such file.
///
/// # Errors
/// As [`read`].
pub fn of_run(dir: &Path) -> Result<Option<RunConfig>> {
    let path = dir.join(files::CONFIG);
    if path.exists() { read(&path).map(Some) } else { Ok(None) }
}

/// Parses an experiment. Relative paths are resolved against `folder`; `path` is for messages.
fn parse(path: &Path, text: &str, folder: &Path) -> Result<RunConfig> {
    let fail = |e: toml::de::Error| {
        let (line, column) = position(text, e.span().map_or(0, |s| s.start));
        Error::Config { path: path.to_owned(), line, column, message: e.message().replace('\n', " ") }
    };
    let table: Table = toml::from_str(text).map_err(fail)?;
    for section in ["evolve", "train"] {
        if table.get(section).is_some_and(|section| section.get("seed").is_some()) {
            return Err(Error::ConfigValue {
                path: path.to_owned(),
                key: format!("{section}.seed"),
                message: "must not be set: the `seed` at the top of the file is the seed of all stages"
                    .to_owned(),
            });
        }
    }
    let mut config: RunConfig = toml::from_str(text).map_err(fail)?;
    config.set_seed(config.seed);
    config.out = folder.join(config.out);
    config.seeds.file = config.seeds.file.map(|file| folder.join(file));
    config.eval.suite = config.eval.suite.map(|file| folder.join(file));
    config.export.decontaminate.iter_mut().for_each(|file| *file = folder.join(&*file));
    for model in [Some(&mut config.model), config.judge_model.as_mut()].into_iter().flatten() {
        if known_models::all().iter().all(|known| known.name != *model) {
            let path = folder.join(&*model);
            check_recordable(&path)?;
            *model = path.to_string_lossy().into_owned();
        }
    }
    Ok(config)
}

/// Line and column, from 1, of a byte of `text`.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

impl RunConfig {
    /// Sets the seed of all stages.
    pub fn set_seed(&mut self, seed: u64) {
        self.seed = seed;
        self.evolve.seed = seed;
        self.train.seed = seed;
    }

    /// The options for the export.
    pub fn export_options(&self) -> ExportOptions {
        ExportOptions {
            format: self.export.format,
            validation_fraction: self.export.validation_fraction,
            seed: self.seed,
            mix: self.export.mix.clone(),
        }
    }

    /// The settings of the engine.
    pub fn engine(&self) -> EngineSettings {
        EngineSettings {
            batch_width: self.batch_width,
            compute_format: self.compute_format,
            gpu_layers: self.gpu_layers,
            determinism: self.determinism,
        }
    }

    /// Checks the ranges of all settings. `path` is for messages.
    ///
    /// # Errors
    /// A setting is out of range.
    pub fn validate(&self, path: &Path) -> Result<()> {
        let in_section = |section: &str| format!("section `{section}` of `{}`", path.display());
        self.evolve.validate().context(|| in_section("[evolve]"))?;
        self.train.validate().context(|| in_section("[train]"))?;
        self.export.mix.validate().context(|| in_section("[export.mix]"))?;
        check_eval_options(self.eval.max_tokens, self.eval.temperature, self.eval.limit)
            .context(|| in_section("[eval]"))?;
        if self.eval.repeats == 0 {
            return Err(Error::ConfigValue {
                path: path.to_owned(),
                key: "eval.repeats".to_owned(),
                message: "is 0, expected at least 1".to_owned(),
            });
        }
        let share = self.export.validation_fraction;
        if !(0.0..1.0).contains(&share) {
            return Err(Error::ConfigValue {
                path: path.to_owned(),
                key: "export.validation_fraction".to_owned(),
                message: format!("is {share}, expected at least 0 and below 1"),
            });
        }
        Ok(())
    }

    /// Serializes the file for the run directory: every key, defaults included. [`read`] reads it back, so it
    /// reproduces the run.
    ///
    /// # Panics
    /// If a seed is beyond TOML's integers, which `--seed` and [`read`] refuse.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("numbers in TOML's range and text keys")
    }

    /// The differences from `recorded`, the text of an earlier [`Self::to_toml`], in keys that affect
    /// results.
    pub fn differences(&self, recorded: &str) -> Vec<Difference> {
        // Both are compared as parsed TOML, so that numbers are formatted the same way. Text that does not
        // parse counts as another configuration.
        let identity = |text: &str| {
            let table: Table = toml::from_str(text).unwrap_or_default();
            Identity::of(&table).without(&decides_nothing())
        };
        identity(recorded).diff(&identity(&self.to_toml()))
    }
}

/// Checks the ranges of the settings that `evol eval` and the section `[eval]` share.
///
/// # Errors
/// [`Error::Flag`].
pub fn check_eval_options(max_tokens: usize, temperature: f32, limit: Option<usize>) -> Result<()> {
    let refuse = |flag, found: String, expected| Err(Error::Flag { flag, found, expected });
    if max_tokens == 0 {
        return refuse("--max-tokens", max_tokens.to_string(), "at least 1");
    }
    if !(temperature.is_finite() && temperature >= 0.0) {
        return refuse("--temperature", temperature.to_string(), "a finite number, 0 or more");
    }
    if limit == Some(0) {
        return refuse("--limit", "0".to_owned(), "at least 1 item");
    }
    Ok(())
}

/// Keys outside `[evolve]` and `[train]` that affect no result: where files are, and what to do with unusable
/// lines. Model and seeds are compared by their hashes, and the engine by its [`super::identity::Recipe`].
const DECIDES_NOTHING: [&str; 10] = [
    "model",
    "judge_model",
    "out",
    "seeds.file",
    "seeds.licence",
    "seeds.on_bad_input",
    "batch_width",
    "compute_format",
    "gpu_layers",
    "determinism",
];

/// All keys that affect no result.
fn decides_nothing() -> Vec<String> {
    let in_section = |section: &str, names: &[&str]| -> Vec<String> {
        names.iter().map(|name| format!("{section}.{name}")).collect()
    };
    let own = DECIDES_NOTHING.iter().map(|&name| name.to_owned()).collect();
    [
        own,
        in_section("evolve", &EvolveConfig::DECIDES_NOTHING),
        in_section("train", &TrainConfig::DECIDES_NOTHING),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "model = 'm.gguf'\nout = 'run'\n";

    fn parsed(text: &str) -> Result<RunConfig> {
        parse(Path::new("x.toml"), text, Path::new("/folder"))
    }

    #[test]
    fn a_minimal_file_has_absolute_paths_and_defaults() {
        let config = parsed(&format!("seed = 7\n{MINIMAL}")).unwrap();
        assert_eq!(
            (config.model.as_str(), config.out.as_path()),
            ("/folder/m.gguf", Path::new("/folder/run"))
        );
        assert_eq!((config.seed, config.train.seed), (7, 7));
        assert_eq!(config.evolve, EvolveConfig { seed: 7, ..EvolveConfig::default() });
    }

    #[test]
    fn a_known_model_stays_a_name() {
        let config = parsed("model = 'smollm2-135m-instruct'\nout = 'run'\n").unwrap();
        assert_eq!(config.model, "smollm2-135m-instruct");
    }

    #[test]
    fn an_unknown_key_is_an_error_at_its_line_and_column() {
        for section in ["", "[seeds]\n", "[evolve]\n", "[export]\n", "[train]\n", "[eval]\n"] {
            let text = format!("{MINIMAL}{section}  lerning_rate = 1\n");
            let Err(Error::Config { line, column, message, .. }) = parsed(&text) else { panic!("{text}") };
            assert_eq!((line, column), (text.lines().count(), 3), "{message}");
            assert!(message.contains("lerning_rate"), "{message}");
        }
    }

    #[test]
    fn a_section_cannot_set_its_own_seed() {
        for section in ["train", "evolve"] {
            let found = parsed(&format!("{MINIMAL}[{section}]\nseed = 3\n"));
            let Err(Error::ConfigValue { key, .. }) = found else { panic!("{found:?}") };
            assert_eq!(key, format!("{section}.seed"));
        }
    }

    #[test]
    fn a_written_file_reads_back_and_shows_changes_but_not_moves() {
        let config = parsed(&format!("seed = 3\n{MINIMAL}[train]\nlora_alpha = 0.1\n")).unwrap();
        let text = config.to_toml();
        assert_eq!(parsed(&text).unwrap(), config);
        assert_eq!(config.differences(&text), []);
        let mut other = config.clone();
        other.out = "/elsewhere".into();
        assert_eq!(other.differences(&text), []);
        other.evolve.min_yield = 0.0;
        other.train.save_steps = 9;
        other.seeds.on_bad_input = OnBadInput::Skip;
        assert_eq!(other.differences(&text), []);
        other.export.validation_fraction = 0.5;
        let shown: Vec<String> = other.differences(&text).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["`export.validation_fraction` was `0.1`, is now `0.5`"]);
        assert!(!config.differences("{ cut").is_empty());
    }
}
