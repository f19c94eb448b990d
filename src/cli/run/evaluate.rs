//! The baselines of a run, and its evaluation.
//!
//! Where in the flow: after training. The question is whether evolving helped, so the evolved adapter is
//! compared with the base and with an adapter that was trained on the seeds alone, with the base's own
//! answers to them, over as many tokens.
//!
//! **Invariant:** what is asked was in nobody's training data: the export leaves out what repeats the suite,
//! and the evaluation what repeats a seed.

use super::Experiment;
use crate::cli::error::{Error, Result};
use crate::cli::eval::{self, EvalPlan, JudgeChoice};
use crate::cli::export::{self, Tests};
use crate::cli::plan::{TrainPlan, model};
use crate::cli::run_dir::RunDir;
use crate::cli::train;
use crate::dataset::{self, ExportOptions, Exported, Mix, Record, TestItem, TestSet};
use crate::eval::{Evaluation, ResponseOptions, Suite};
use crate::store::Store;
use crate::train::Error::NoSamples;
use crate::train::TrainSummary;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Folder of the evaluation in a run.
pub(crate) const DIR: &str = "eval";

/// Kinds of adapters.
const SEEDS: &str = "seeds";
const EVOLVED: &str = "evolved";

/// Adapters that are compared with the run's own, and those of other trainings: name and file.
pub(super) fn other_adapters(
    experiment: &Experiment<'_>,
    store: &Store,
    exported: &Exported,
    evolved: &TrainSummary,
    tick: &mut dyn FnMut(),
) -> Result<Vec<(String, PathBuf)>> {
    let section = &experiment.config.eval;
    let mut adapters = Vec::new();
    let seeds = if section.baselines { seeds_data(experiment, store, exported)? } else { None };
    for training in 0..section.repeats {
        if let Some(seeds) = &seeds {
            let name = numbered(SEEDS, training);
            let plan = train_plan(experiment, seeds, &name, training);
            if let Some(adapter) = train_on_seeds(experiment, plan, evolved.tokens, tick)? {
                adapters.push((name, adapter));
            }
        }
        let name = numbered(EVOLVED, training);
        let adapter = if training == 0 {
            evolved.adapter_gguf.clone()
        } else {
            experiment.session.output.note(&format!("training {name}: the same data, another seed"));
            let plan = train_plan(experiment, exported, &name, training);
            train::stage(&plan, experiment.session, tick)?.adapter_gguf
        };
        adapters.push((name, adapter));
        experiment.session.check_interrupt()?;
    }
    Ok(adapters)
}

/// Trains for about `tokens` positions; `None`: every answer is longer than a row, so there is nothing to
/// train on.
fn train_on_seeds(
    experiment: &Experiment<'_>,
    mut plan: TrainPlan,
    tokens: u64,
    tick: &mut dyn FnMut(),
) -> Result<Option<PathBuf>> {
    let session = experiment.session;
    let steps = match train::steps_for_tokens(&plan, session, tokens) {
        Err(error) if matches!(error.without_context(), Error::Train(NoSamples { .. })) => {
            session.output.warn("no seed's answer fits a row: there is no baseline of seeds");
            return Ok(None);
        }
        steps => steps?,
    };
    plan.config.max_steps = Some(steps);
    session
        .output
        .note(&format!("training on the seeds alone: {steps} steps, as many tokens as the evolved data has"));
    Ok(Some(train::stage(&plan, session, tick)?.adapter_gguf))
}

/// `seeds`, `seeds-2`, …
fn numbered(kind: &str, training: u64) -> String {
    if training == 0 { kind.to_owned() } else { format!("{kind}-{}", training + 1) }
}

fn train_plan(experiment: &Experiment<'_>, data: &Exported, name: &str, training: u64) -> TrainPlan {
    let mut config = experiment.config.train.clone();
    config.seed = config.seed.wrapping_add(training);
    TrainPlan {
        model: experiment.model.clone(),
        data: data.train.clone(),
        validation: data.validation.clone(),
        out: experiment.config.out.join("baselines").join(name),
        config,
        init: None,
        tensorboard: false,
    }
}

/// The seeds with their answers that are not on the validation side of the run's export, as a file to train
/// on; measured on the run's own validation side. `None` if there are none.
fn seeds_data(experiment: &Experiment<'_>, store: &Store, exported: &Exported) -> Result<Option<Exported>> {
    let config = &experiment.config;
    let suite = config.eval.suite()?;
    let tests = Tests { files: &config.export.decontaminate, suite: suite.as_ref() };
    let whole = export::collection(store, &config.out, tests)?.select(&experiment.export_options())?;
    let held_out: BTreeSet<u64> = whole.split.validation.iter().map(|record| record.root_id).collect();
    let mut collection = export::collection(store, &config.out, tests)?;
    collection.records.retain(|record| record.round == 0 && !held_out.contains(&record.root_id));
    collection.rejected.clear();
    let options =
        ExportOptions { mix: Mix::default(), validation_fraction: 0.0, ..experiment.export_options() };
    let out = config.out.join("baselines").join("data");
    match dataset::export(collection, &options, &out) {
        Ok(data) => Ok(Some(Exported { validation: exported.validation.clone(), ..data })),
        Err(dataset::Error::NoRecords) => {
            experiment
                .session
                .output
                .warn("no seed has an answer to train on: there is no baseline of seeds");
            Ok(None)
        }
        Err(other) => Err(other.into()),
    }
}

/// Asks the base and all adapters.
pub(super) fn evaluate(
    experiment: &Experiment<'_>,
    store: &Store,
    suite: Suite,
    exported: &Exported,
    adapters: Vec<(String, PathBuf)>,
    tick: &mut (dyn FnMut() + Send),
) -> Result<Evaluation> {
    let config = &experiment.config;
    let section = &config.eval;
    let (items, contaminated) = without_seeds(&suite, eval::spread(suite.items.len(), section.limit), store)?;
    let judge = match &config.judge_model {
        _ if !section.judge => JudgeChoice::Never,
        None => JudgeChoice::Base,
        Some(judge) => JudgeChoice::Model(model(judge)?),
    };
    let kind = |name: &str| {
        let trainings = (0..section.repeats).map(|training| numbered(name, training));
        let trained = |name: &String| adapters.iter().any(|(adapter, _)| adapter == name);
        (name.to_owned(), trainings.filter(trained).collect::<Vec<String>>())
    };
    let mut kinds: Vec<(String, Vec<String>)> = Vec::new();
    if section.repeats > 1 {
        kinds.extend([kind(SEEDS), kind(EVOLVED)].into_iter().filter(|(_, trainings)| !trainings.is_empty()));
    }
    let plan = EvalPlan {
        model: experiment.model.clone(),
        adapters,
        suite,
        items,
        contaminated,
        validation: exported.validation.clone(),
        max_seq_len: config.train.max_seq_len,
        judge,
        kinds,
        options: ResponseOptions {
            seed: config.seed,
            max_tokens: section.max_tokens,
            temperature: section.temperature,
        },
        out: config.out.join(DIR),
    };
    let dir = RunDir::claim(&plan.out)?;
    eval::stage(&plan, &dir, experiment.session, tick)
}

/// The items that repeat no seed of the run, and how many do.
fn without_seeds(suite: &Suite, items: Vec<usize>, store: &Store) -> Result<(Vec<usize>, usize)> {
    let seeds = store.attempts(0, 0)?.into_iter().map(|seed| {
        let text = dataset::user_turn(&seed.instruction, &seed.input);
        TestItem { source: "seeds".to_owned(), line: seed.id as usize, text }
    });
    let seeds = TestSet::new(seeds.collect());
    let before = items.len();
    let repeats = |item: &usize| {
        let record = Record::from_instruction(&suite.items[*item].instruction);
        seeds.find(&record).is_some()
    };
    let items: Vec<usize> = items.into_iter().filter(|item| !repeats(item)).collect();
    let left_out = before - items.len();
    Ok((items, left_out))
}
