//! The inputs of an evaluation, checked as far as possible without loading a model.
//!
//! Where in the flow: `evol eval` and `evol run` make an [`EvalPlan`]; [`super::run`] runs it.
//!
//! **Invariant:** in `evol run`, no item was in the training data: the export leaves out rows that overlap
//! with the suite, and the plan leaves out items that overlap with a seed.

use crate::dataset::{self, Exported, Record, TestItem, TestSet};
use crate::eval::{ResponseOptions, Suite};
use crate::run::baselines::{EVOLVED, NamedAdapter, SEEDS, numbered};
use crate::run::config::RunConfig;
use crate::run::error::Result;
use crate::run::{files, known_models};
use crate::store::Store;
use std::path::PathBuf;

/// Name of the base among the contestants.
pub const BASE: &str = "base";

/// Who compares responses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JudgeChoice {
    /// Nobody.
    Never,
    /// The base.
    Base,
    /// Another model.
    Model(PathBuf),
}

impl JudgeChoice {
    /// Chooses the judge: none if not `enabled`, else `model`, or the base without one.
    ///
    /// # Errors
    /// The model does not exist.
    pub fn new(enabled: bool, model: Option<&str>) -> Result<Self> {
        match model {
            _ if !enabled => Ok(Self::Never),
            None => Ok(Self::Base),
            Some(model) => Ok(Self::Model(known_models::resolve(model)?)),
        }
    }
}

/// Adapters that differ only in the seed of their training.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterKind {
    /// Name of the kind, such as `evolved`.
    pub name: String,
    /// Names of the adapters.
    pub adapters: Vec<String>,
}

/// The checked inputs of an evaluation.
#[derive(Debug)]
pub struct EvalPlan {
    /// The base.
    pub model: PathBuf,
    /// The other contestants: adapters on the base.
    pub adapters: Vec<NamedAdapter>,
    /// The suite.
    pub suite: Suite,
    /// Indices of the items to use, ascending.
    pub items: Vec<usize>,
    /// Number of items that were left out because they overlap with training data.
    pub contaminated: usize,
    /// Held-out data for the loss, JSONL.
    pub validation: Option<PathBuf>,
    /// Maximum length of a held-out record, in tokens.
    pub max_seq_len: usize,
    /// Who compares responses.
    pub judge: JudgeChoice,
    /// How responses are sampled.
    pub options: ResponseOptions,
    /// Kinds of adapters, if each was trained several times. The base is not included.
    pub kinds: Vec<AdapterKind>,
    /// Folder of the results.
    pub out: PathBuf,
}

impl EvalPlan {
    /// Plans the evaluation of a run.
    ///
    /// # Errors
    /// The judge's file does not exist, or the journal cannot be read.
    pub fn from_config(
        config: &RunConfig,
        suite: Suite,
        exported: &Exported,
        adapters: Vec<NamedAdapter>,
        store: &Store,
    ) -> Result<Self> {
        let section = &config.eval;
        let all = spread(suite.items.len(), section.limit);
        let items = without_seeds(&suite, &all, store)?;
        let kinds = if section.repeats > 1 { kinds(&adapters, section.repeats) } else { Vec::new() };
        Ok(Self {
            model: PathBuf::from(&config.model),
            contaminated: all.len() - items.len(),
            items,
            suite,
            validation: exported.validation.clone(),
            max_seq_len: config.train.max_seq_len,
            judge: JudgeChoice::new(section.judge, config.judge_model.as_deref())?,
            options: ResponseOptions {
                seed: config.seed,
                max_tokens: section.max_tokens,
                temperature: section.temperature,
            },
            kinds,
            adapters,
            out: config.out.join(files::EVAL),
        })
    }
}

/// The kinds that have at least one adapter.
fn kinds(adapters: &[NamedAdapter], repeats: u64) -> Vec<AdapterKind> {
    let is_trained = |name: &String| adapters.iter().any(|adapter| adapter.name == *name);
    let kind = |name: &str| AdapterKind {
        name: name.to_owned(),
        adapters: (0..repeats).map(|training| numbered(name, training)).filter(is_trained).collect(),
    };
    [kind(SEEDS), kind(EVOLVED)].into_iter().filter(|kind| !kind.adapters.is_empty()).collect()
}

/// The items that do not overlap with a seed of the run.
fn without_seeds(suite: &Suite, items: &[usize], store: &Store) -> Result<Vec<usize>> {
    let seeds = store.attempts(0, 0)?.into_iter().map(|seed| TestItem {
        source: "seeds".to_owned(),
        line: seed.id as usize,
        text: dataset::user_turn(&seed.instruction, &seed.input),
    });
    let seeds = TestSet::new(seeds.collect());
    let repeats =
        |item: usize| seeds.find(&Record::from_instruction(&suite.items[item].instruction)).is_some();
    Ok(items.iter().copied().filter(|&item| !repeats(item)).collect())
}

/// `limit` indices below `len`, spread evenly, because the built-in suite is ordered by skill and difficulty.
pub fn spread(len: usize, limit: Option<usize>) -> Vec<usize> {
    let count = limit.map_or(len, |limit| limit.min(len));
    (0..count).map(|at| at * len / count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_part_of_a_suite_is_spread_over_skills_and_difficulties() {
        assert_eq!(spread(5, None), [0, 1, 2, 3, 4]);
        assert_eq!(spread(5, Some(9)).len(), 5);
        let part = spread(290, Some(60));
        assert_eq!(part.len(), 60);
        let skills: BTreeSet<usize> = part.iter().map(|at| at / 10).collect();
        let bands: BTreeSet<usize> = part.iter().map(|at| at % 10).collect();
        assert_eq!((skills.len(), bands.len()), (29, 10));
    }

    #[test]
    fn a_kind_has_the_adapters_that_were_trained() {
        let adapter = |name: &str| NamedAdapter { name: name.to_owned(), path: PathBuf::new() };
        let found = kinds(&[adapter("evolved"), adapter("evolved-2")], 3);
        assert_eq!(
            found,
            [AdapterKind {
                name: "evolved".to_owned(),
                adapters: vec!["evolved".to_owned(), "evolved-2".to_owned()]
            }]
        );
    }
}
