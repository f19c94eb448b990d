//! What decided what is kept of an evaluation: `settings.json`.
//!
//! **Invariant:** written before anything else in the folder, and compared before anything there is taken
//! over.

use super::{EvalPlan, JudgeChoice};
use crate::cli::error::{Error, Result};
use crate::cli::run_dir::RunDir;
use crate::gguf::{self, Gguf};
use crate::llm::Determinism;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The file; the mark of a folder that this command made.
pub(super) const SETTINGS: &str = "settings.json";

/// What decides the bytes of everything in the folder, but for the contestants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) suite: String,
    pub(super) suite_sha256: String,
    pub(super) items: Vec<usize>,
    pub(super) seed: u64,
    pub(super) max_tokens: usize,
    pub(super) temperature: f32,
    pub(super) model_sha256: String,
    pub(super) determinism: String,
    pub(super) validation_sha256: Option<String>,
    pub(super) judge_sha256: Option<String>,
    /// SHA-256 of each adapter; more may come later.
    pub(super) adapters: BTreeMap<String, String>,
}

fn sha256_of(path: &Path) -> Result<String, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    Ok(gguf::sha256(&bytes))
}

/// Of a plan.
///
/// # Errors
/// A file is unusable.
pub(super) fn settings(plan: &EvalPlan, gguf: &Gguf, determinism: Determinism) -> Result<Settings> {
    let adapters = plan.adapters.iter().map(|(name, path)| Ok((name.clone(), Gguf::open(path)?.sha256()?)));
    let model_sha256 = gguf.sha256()?;
    let judge_sha256 = match &plan.judge {
        JudgeChoice::Never => None,
        JudgeChoice::Base => Some(model_sha256.clone()),
        JudgeChoice::Model(path) => Some(Gguf::open(path)?.sha256()?),
    };
    Ok(Settings {
        suite: plan.suite.name.clone(),
        suite_sha256: plan.suite.sha256.clone(),
        items: plan.items.clone(),
        seed: plan.options.seed,
        max_tokens: plan.options.max_tokens,
        temperature: plan.options.temperature,
        model_sha256,
        determinism: determinism.name().to_owned(),
        validation_sha256: plan.validation.as_deref().map(sha256_of).transpose()?,
        judge_sha256,
        adapters: adapters.collect::<Result<_>>()?,
    })
}

/// Writes the settings, or compares them with those in the folder; adapters that are not known there are
/// added.
pub(super) fn keep_settings(dir: &RunDir, settings: &Settings) -> Result<(), Error> {
    let Some(mut earlier) = dir.read_json::<Settings>(SETTINGS)? else {
        return dir.write_json(SETTINGS, settings);
    };
    let known = earlier.adapters.clone();
    for (name, hash) in &settings.adapters {
        earlier.adapters.entry(name.clone()).or_insert_with(|| hash.clone());
    }
    // The suite may lie elsewhere now; its bytes count. Adapters that are not asked this time stay.
    let comparable = |settings: &Settings, adapters: &BTreeMap<String, String>| {
        let settings = Settings { suite: String::new(), adapters: adapters.clone(), ..settings.clone() };
        serde_json::to_value(settings).expect("text keys")
    };
    let asked: BTreeMap<_, _> =
        earlier.adapters.iter().filter(|(name, _)| settings.adapters.contains_key(*name)).collect();
    let asked = asked.into_iter().map(|(name, hash)| (name.clone(), hash.clone())).collect();
    let (old, new) = (comparable(&earlier, &asked), comparable(settings, &settings.adapters));
    let (old, new) = (old.as_object().expect("a struct"), new.as_object().expect("a struct"));
    let differs = |(key, value): &(&String, &serde_json::Value)| new.get(*key) != Some(value);
    let changes: Vec<String> = old
        .iter()
        .filter(differs)
        .map(|(key, value)| format!("`{key}` was {value}, is {}", new[key]))
        .collect();
    if !changes.is_empty() {
        return Err(Error::OtherEvaluation { dir: dir.path().to_owned(), changes });
    }
    if known == earlier.adapters { Ok(()) } else { dir.write_json(SETTINGS, &earlier) }
}
