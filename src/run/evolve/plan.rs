//! The inputs of an evolution: model, judge, seeds and settings, all read and checked.
//!
//! Where in the flow: `evol evolve` and `evol run` make an [`EvolvePlan`] from flags or an experiment file;
//! [`super::run`] runs it.
//!
//! **Invariant:** a plan is usable: llama.cpp can load its models, and all seeds were read.

use crate::dataset::{self, BadLine, Seed};
use crate::evolve::{EvolveConfig, Roots, Shard};
use crate::gguf::Gguf;
use crate::llm::Determinism;
use crate::rng;
use crate::run::config::{RunConfig, SeedsSection};
use crate::run::dir::check_recordable;
use crate::run::error::{Error, Result};
use crate::run::host::Host;
use crate::run::identity::JudgeRecipe;
use crate::run::known_models;
use crate::run::manifest::{ModelEntry, SeedsEntry};
use crate::run::settings::EngineSettings;
use std::path::{Path, PathBuf};

/// The inputs of an evolution, from flags or an experiment file, not yet checked.
#[derive(Debug)]
pub struct EvolveInputs {
    /// The model file.
    pub model: PathBuf,
    /// The model that judges; `None` if the model itself does.
    pub judge_model: Option<PathBuf>,
    /// Which seeds to use.
    pub seeds: SeedsSection,
    /// How they evolve.
    pub config: EvolveConfig,
    /// How the engine runs.
    pub engine: EngineSettings,
    /// Which shard of the seeds.
    pub shard: Shard,
}

/// The checked inputs of an evolution.
#[derive(Debug)]
pub struct EvolvePlan {
    pub(super) model: PathBuf,
    pub(super) model_entry: ModelEntry,
    pub(super) seeds: Vec<Seed>,
    pub(super) seeds_entry: SeedsEntry,
    pub(super) config: EvolveConfig,
    pub(super) engine: EngineSettings,
    pub(super) judge: Option<JudgePlan>,
    pub(super) shard: Shard,
}

/// A separate model that judges.
#[derive(Debug)]
pub(super) struct JudgePlan {
    pub(super) path: PathBuf,
    pub(super) entry: ModelEntry,
    pub(super) determinism: Determinism,
}

impl EvolvePlan {
    /// Reads and checks what `inputs` names.
    ///
    /// # Errors
    /// A model, the seeds or a setting is unusable.
    pub fn new(inputs: EvolveInputs, host: &dyn Host) -> Result<Self> {
        let EvolveInputs { model, judge_model, seeds: section, config, engine, shard } = inputs;
        engine.validate()?;
        let model_entry = model_entry(&model)?;
        let judge = judge_model.map(|path| JudgePlan::new(path, &engine, host)).transpose()?;
        let seeds = draw(read_seeds(&section, host)?, section.limit, config.seed)?;
        let seeds_entry = SeedsEntry::new(section.file.as_deref(), section.licence.as_deref(), &seeds);
        Ok(Self { model, model_entry, seeds, seeds_entry, config, engine, judge, shard })
    }

    /// Takes the inputs from an experiment, whose ranges were already checked.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn from_config(config: &RunConfig, shard: Shard, host: &dyn Host) -> Result<Self> {
        let inputs = EvolveInputs {
            model: PathBuf::from(&config.model),
            judge_model: config.judge_model.as_deref().map(known_models::resolve).transpose()?,
            seeds: config.seeds.clone(),
            config: config.evolve.clone(),
            engine: config.engine(),
            shard,
        };
        Self::new(inputs, host)
    }

    /// Lowercase hex SHA-256 of the model file.
    pub fn model_sha256(&self) -> &str {
        &self.model_entry.sha256
    }

    pub(super) fn roots(&self) -> Roots<'_> {
        Roots { seeds: &self.seeds, shard: self.shard }
    }

    /// The judge's part of the recipe; `None` if the model itself judges.
    pub(super) fn judge_recipe(&self, threads: usize) -> Option<JudgeRecipe> {
        let judge = self.judge.as_ref()?;
        let is_scheduled = judge.determinism == Determinism::Scheduled;
        Some(JudgeRecipe {
            sha256: judge.entry.sha256.clone(),
            determinism: judge.determinism,
            threads: is_scheduled.then_some(threads),
            gpu_layers: is_scheduled.then_some(self.engine.gpu_layers),
        })
    }
}

impl JudgePlan {
    fn new(path: PathBuf, engine: &EngineSettings, host: &dyn Host) -> Result<Self> {
        let entry = model_entry(&path)?;
        let (determinism, reason) = engine.determinism.resolve(&path, engine.gpu_layers)?;
        if let Some(reason) = reason {
            host.warn(&format!("the judge's results depend on threads and batch width: {reason}"));
        }
        Ok(Self { path, entry, determinism })
    }
}

/// Checks that llama.cpp can load the model, and describes it.
fn model_entry(path: &Path) -> Result<ModelEntry> {
    check_recordable(path)?;
    let gguf = Gguf::open(path)?;
    gguf.check_for_llama_cpp()?;
    Ok(ModelEntry::new(&gguf, &gguf.sha256()?))
}

fn read_seeds(section: &SeedsSection, host: &dyn Host) -> Result<Vec<Seed>> {
    let Some(file) = &section.file else { return Ok(dataset::builtin_seeds()) };
    let warn_of = |bad: &[BadLine]| {
        for BadLine { line, reason } in bad {
            host.warn(&format!("line {line} of `{}` cannot be used: {reason}", file.display()));
        }
    };
    let read = match dataset::read_seeds(file, section.on_bad_input) {
        Err(dataset::Error::BadLines { path, bad }) => {
            warn_of(&bad);
            return Err(Error::BadSeeds { path, lines: bad.len() });
        }
        other => other?,
    };
    warn_of(&read.skipped);
    for duplicate in &read.duplicates {
        host.detail(&format!(
            "line {} of `{}` repeats line {} and is left out",
            duplicate.line,
            file.display(),
            duplicate.first_line
        ));
    }
    Ok(read.seeds)
}

/// Draws `limit` seeds with the run's seed, and keeps their order.
fn draw(seeds: Vec<Seed>, limit: Option<usize>, seed: u64) -> Result<Vec<Seed>> {
    let Some(limit) = limit else { return Ok(seeds) };
    if limit == 0 {
        return Err(Error::Flag { flag: "limit", found: limit.to_string(), expected: "at least 1 seed" });
    }
    let mut drawn: Vec<usize> = (0..seeds.len()).collect();
    // The purpose string decides the draw. Never change it, although this code is no longer in `cli`.
    drawn.sort_by_key(|&index| rng::key(seed, "cli.seeds", &[index as u64]));
    drawn.truncate(limit);
    drawn.sort_unstable();
    Ok(drawn.into_iter().map(|index| seeds[index].clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::OnBadInput;
    use crate::run::host::tests::Recorder;

    #[test]
    fn a_limit_draws_by_the_seed_and_keeps_the_order() {
        let seeds = dataset::builtin_seeds();
        let place = |drawn: &[Seed]| -> Vec<usize> {
            drawn.iter().map(|d| seeds.iter().position(|s| s == d).expect("drawn from them")).collect()
        };
        let drawn = draw(seeds.clone(), Some(20), 1).unwrap();
        let places = place(&drawn);
        assert!(places.len() == 20 && places.is_sorted(), "{places:?}");
        assert_ne!(places, place(&draw(seeds.clone(), Some(20), 2).unwrap()));
        assert_eq!(draw(seeds.clone(), Some(10_000), 1).unwrap(), seeds);
        assert!(matches!(draw(seeds, Some(0), 1), Err(Error::Flag { .. })));
    }

    #[test]
    fn bad_lines_are_reported_by_their_number_and_fail_or_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("seeds.jsonl");
        std::fs::write(&file, "{\"prompt\": \"Name a river.\"}\n{ broken\n").unwrap();
        let mut section = SeedsSection { file: Some(file), ..SeedsSection::default() };
        let host = Recorder::default();
        assert!(matches!(read_seeds(&section, &host), Err(Error::BadSeeds { lines: 1, .. })));
        section.on_bad_input = OnBadInput::Skip;
        assert_eq!(read_seeds(&section, &host).unwrap().len(), 1);
        let lines = host.lines();
        assert!(
            lines.len() == 2 && lines.iter().all(|line| line.starts_with("warning: line 2 of")),
            "{lines:?}"
        );
    }
}
