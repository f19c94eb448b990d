//! `settings.json`: the identity of an evaluation.
//!
//! Where in the flow: written before any other file in the folder, and compared before a file is reused.
//!
//! **Invariant:** evaluations with equal settings have equal responses. More adapters can be added later.

use super::plan::{EvalPlan, JudgeChoice};
use crate::gguf::{self, Gguf};
use crate::identity::Identity;
use crate::llm::Determinism;
use crate::run::dir::RunDir;
use crate::run::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Name of the file. It marks a folder as created by `evol eval`.
pub const FILE_NAME: &str = "settings.json";

/// Everything that decides the bytes of the files in the folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) suite: String,
    pub(super) suite_sha256: String,
    pub(super) items: Vec<usize>,
    pub(super) seed: u64,
    pub(super) max_tokens: usize,
    pub(super) temperature: f32,
    pub(super) model_sha256: String,
    pub(super) determinism: Determinism,
    pub(super) validation_sha256: Option<String>,
    pub(super) judge_sha256: Option<String>,
    /// SHA-256 of each adapter by its name.
    pub(super) adapters: BTreeMap<String, String>,
}

impl Settings {
    /// The settings of `plan`, whose base is `gguf`.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn new(plan: &EvalPlan, gguf: &Gguf, determinism: Determinism) -> Result<Self> {
        let mut adapters = BTreeMap::new();
        for adapter in &plan.adapters {
            adapters.insert(adapter.name.clone(), Gguf::open(&adapter.path)?.sha256()?);
        }
        let model_sha256 = gguf.sha256()?;
        let judge_sha256 = match &plan.judge {
            JudgeChoice::Never => None,
            JudgeChoice::Base => Some(model_sha256.clone()),
            JudgeChoice::Model(path) => Some(Gguf::open(path)?.sha256()?),
        };
        Ok(Self {
            suite: plan.suite.name.clone(),
            suite_sha256: plan.suite.sha256.clone(),
            items: plan.items.clone(),
            seed: plan.options.seed,
            max_tokens: plan.options.max_tokens,
            temperature: plan.options.temperature,
            model_sha256,
            determinism,
            validation_sha256: plan.validation.as_deref().map(sha256_of).transpose()?,
            judge_sha256,
            adapters,
        })
    }

    /// Writes the settings to `dir`, or compares them with the recorded ones and adds new adapters.
    ///
    /// # Errors
    /// [`Error::OtherEvaluation`] names what differs.
    pub(super) fn keep(&self, dir: &RunDir) -> Result<()> {
        let Some(recorded) = dir.read_json::<Self>(FILE_NAME)? else {
            return dir.write_json(FILE_NAME, self);
        };
        let known = recorded.adapters.clone();
        // An adapter that only one side names is not a difference.
        let both = |name: &String| known.contains_key(name) && self.adapters.contains_key(name);
        let differences = recorded.identity(both).diff(&self.identity(both));
        if !differences.is_empty() {
            return Err(Error::OtherEvaluation { dir: dir.path().to_owned(), differences });
        }
        let mut adapters = self.adapters.clone();
        adapters.extend(known.clone());
        if adapters == known { Ok(()) } else { dir.write_json(FILE_NAME, &Self { adapters, ..recorded }) }
    }

    /// The identity, without the suite's name: the file may have moved, so its hash is compared instead.
    fn identity(&self, compares: impl Fn(&String) -> bool) -> Identity {
        let adapters = self.adapters.iter().filter(|(name, _)| compares(name));
        let adapters = adapters.map(|(name, sha256)| (name.clone(), sha256.clone())).collect();
        Identity::of(&Self { adapters, ..self.clone() }).without(&["suite"])
    }
}

fn sha256_of(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    Ok(gguf::sha256(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(adapters: &[(&str, &str)]) -> Settings {
        Settings {
            suite: "built-in".to_owned(),
            suite_sha256: "1".to_owned(),
            items: vec![0, 2],
            seed: 1,
            max_tokens: 9,
            temperature: 0.1,
            model_sha256: "2".to_owned(),
            determinism: Determinism::Exact,
            validation_sha256: None,
            judge_sha256: None,
            adapters: adapters.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        }
    }

    #[test]
    fn a_folder_takes_more_contestants_and_refuses_other_settings() {
        let folder = tempfile::tempdir().unwrap();
        let dir = RunDir::claim(folder.path()).unwrap();
        settings(&[("a", "1")]).keep(&dir).unwrap();
        Settings { suite: "moved.jsonl".to_owned(), ..settings(&[("b", "2")]) }.keep(&dir).unwrap();
        settings(&[]).keep(&dir).unwrap();
        let kept: Settings = dir.read_json(FILE_NAME).unwrap().unwrap();
        assert_eq!(kept, settings(&[("a", "1"), ("b", "2")]));
        let names = |settings: Settings| match settings.keep(&dir) {
            Err(Error::OtherEvaluation { differences, .. }) => {
                differences.into_iter().map(|found| found.name).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(names(settings(&[("a", "3")])), ["adapters.a"]);
        assert_eq!(names(Settings { seed: 2, items: vec![0], ..settings(&[]) }), ["items", "seed"]);
    }
}
