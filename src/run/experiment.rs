//! `evol run`: runs all stages in order. Each stage resumes by itself.
//!
//! evolve → export → train → baselines → eval → check → report → `summary.json`. A stage reads the files of
//! the stages before it, and finds out what is left to do: evolve from the journal, train from its
//! checkpoint; export simply writes the same bytes again. The summary is written last; if it exists, the run
//! is finished.
//!
//! **Invariant:** a run is only resumed or shown with the configuration that it was started with
//! (`config.toml`), the same model and the same seeds (the journal's identity).

use super::baselines;
use super::config::RunConfig;
use super::dir::RunDir;
use super::error::Result;
use super::eval::{self, EvalPlan};
use super::evolve::{self, EvolvePlan};
use super::export::{self, TestTexts};
use super::host::Context;
use super::monitor::Monitor;
use super::summary::{CheckedAnswer, Summary};
use super::train::{self, TrainPlan};
use super::{check, files, funnel, identity, report};
use crate::dataset::Exported;
use crate::evolve::{Shard, Summary as Evolved};
use crate::report::FunnelCell;
use crate::store::Store;
use crate::train::TrainSummary;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A stage after which a run can stop (`--until`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Instructions and answers are in the journal.
    Evolve,
    /// The training files are written.
    Export,
    /// The adapter is trained.
    Train,
    /// The adapters to compare it with are trained.
    Baselines,
    /// The suite is answered and judged.
    Eval,
}

/// Starts or resumes a run. `None` if it stopped after the stage `until`.
///
/// # Errors
/// The run was started with another configuration, a stage fails, or the run was interrupted.
pub fn run(config: &RunConfig, until: Option<Stage>, context: Context<'_>) -> Result<Option<Summary>> {
    let plan = EvolvePlan::from_config(config, Shard::WHOLE, context.host)?;
    let dir = RunDir::claim(&config.out)?;
    let mut store = Store::open_or_create(dir.path())?;
    identity::check_config(config, &dir)?;
    evolve::check_same_run(&plan, &dir, &store, context)?;
    if let Some(summary) = dir.read_json::<Summary>(files::SUMMARY)? {
        let note = format!("the run in `{}` is finished; nothing is left to do", dir.path().display());
        context.host.note(&note);
        return Ok(Some(summary));
    }
    // Settings that may change in a resumed run, such as `min_yield`, are recorded with their latest values.
    dir.write(files::CONFIG, &config.to_toml())?;
    let monitor = Monitor::new(&dir, context.host)?;
    let stages = Stages { config, until, context: context.with_host(&monitor), monitor: &monitor };
    let Some(results) = stages.run(&plan, &dir, &mut store)? else {
        monitor.stop()?;
        return Ok(None);
    };
    let seconds = monitor.stop()?;
    let summary = results.summary(config, plan.model_sha256(), seconds);
    dir.write_json(files::SUMMARY, &summary)?;
    Ok(Some(summary))
}

struct Stages<'a> {
    config: &'a RunConfig,
    until: Option<Stage>,
    context: Context<'a>,
    monitor: &'a Monitor<'a>,
}

/// The results of all stages, from which the summary is made.
struct Results {
    evolved: Evolved,
    exported: Exported,
    trained: TrainSummary,
    funnel: Vec<FunnelCell>,
    check: Vec<CheckedAnswer>,
    page: PathBuf,
}

impl Stages<'_> {
    /// Runs the stages; `None` if the run stopped before the last one.
    fn run(&self, plan: &EvolvePlan, dir: &RunDir, store: &mut Store) -> Result<Option<Results>> {
        let (config, context) = (self.config, self.context);
        self.monitor.start_stage("evolve")?;
        let evolved = evolve::run(plan, dir, store, context)?;
        if self.stops_after(Stage::Evolve)? {
            return Ok(None);
        }
        self.monitor.start_stage("export")?;
        let suite = config.eval.suite()?;
        let tests = TestTexts { files: &config.export.decontaminate, suite: suite.as_ref() };
        let out = config.out.join(files::EXPORT);
        let export = export::run(store, dir.path(), tests, &config.export_options(), &out)?;
        let (exported, held_out) = (export.exported.clone(), export.held_out.clone());
        if self.stops_after(Stage::Export)? {
            return Ok(None);
        }
        self.monitor.start_stage("train")?;
        let trained = train::run(&self.train_plan(&exported), context)?;
        if self.stops_after(Stage::Train)? {
            return Ok(None);
        }
        if let Some(suite) = suite {
            self.monitor.start_stage("baselines")?;
            let adapters = baselines::run(config, export, &trained, context)?;
            if self.stops_after(Stage::Baselines)? {
                return Ok(None);
            }
            self.monitor.start_stage("eval")?;
            let plan = EvalPlan::from_config(config, suite, &exported, adapters, store)?;
            eval::run(&plan, &RunDir::claim(&plan.out)?, context)?;
        }
        if self.stops_after(Stage::Eval)? || self.until == Some(Stage::Baselines) {
            return Ok(None);
        }
        self.monitor.start_stage("check")?;
        let check = check::run(Path::new(&config.model), &trained.adapter_gguf, &held_out, context)?;
        self.monitor.start_stage("report")?;
        let page = dir.path().join(files::REPORT);
        report::run(store, dir.path(), &page, context)?;
        let funnel = funnel::cells(&store.funnel()?);
        Ok(Some(Results { evolved, exported, trained, funnel, check, page }))
    }

    /// Whether the run should stop now that `stage` is done.
    ///
    /// # Errors
    /// [`super::Error::Interrupted`] after Ctrl-C.
    fn stops_after(&self, stage: Stage) -> Result<bool> {
        self.context.check_interrupt()?;
        Ok(self.until == Some(stage))
    }

    fn train_plan(&self, exported: &Exported) -> TrainPlan {
        TrainPlan {
            model: PathBuf::from(&self.config.model),
            data: exported.train.clone(),
            validation: exported.validation.clone(),
            out: self.config.out.join(files::ADAPTER),
            config: self.config.train.clone(),
            init: None,
            tensorboard: false,
        }
    }
}

impl Results {
    fn summary(self, config: &RunConfig, model_sha256: &str, seconds: BTreeMap<String, f64>) -> Summary {
        let Self { evolved, exported, trained, funnel, check, page } = self;
        Summary {
            evol_version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: config.seed,
            seeds: evolved.seeds,
            attempts: evolved.attempts,
            kept: evolved.kept,
            eliminated: evolved.eliminated,
            answers: evolved.answers,
            funnel,
            generated_tokens: evolved.tokens.evolve_tokens + evolved.tokens.answer_tokens,
            train_records: exported.train_records,
            validation_records: exported.validation_records,
            train_steps: trained.steps,
            train_tokens: trained.tokens,
            train_tokens_per_second: trained.tokens_per_second,
            validation_loss_before: trained.validation_loss_before,
            validation_loss_after: trained.validation_loss_after,
            seconds,
            model: PathBuf::from(&config.model),
            model_sha256: model_sha256.to_owned(),
            adapter: trained.adapter_gguf,
            adapter_peft: trained.adapter_peft,
            report: Some(page),
            check,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::Error;
    use super::super::host::tests::Recorder;
    use super::super::tests::config;
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn a_run_stops_after_the_stage_that_was_named_and_between_stages_when_interrupted() {
        let folder = tempfile::tempdir().unwrap();
        let dir = RunDir::claim(folder.path()).unwrap();
        let (config, host) = (config(folder.path()), Recorder::default());
        let monitor = Monitor::new(&dir, &host).unwrap();
        let context = host.context().with_host(&monitor);
        let stages = |until| Stages { config: &config, until, context, monitor: &monitor };
        assert!(!stages(None).stops_after(Stage::Export).unwrap());
        assert!(!stages(Some(Stage::Eval)).stops_after(Stage::Export).unwrap());
        assert!(stages(Some(Stage::Export)).stops_after(Stage::Export).unwrap());
        host.interrupt.store(true, Ordering::SeqCst);
        for until in [None, Some(Stage::Export)] {
            let found = stages(until).stops_after(Stage::Export);
            assert!(matches!(found, Err(Error::Interrupted)), "{found:?}");
        }
    }

    #[test]
    fn a_run_whose_model_is_absent_leaves_no_directory() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("run");
        let found = run(&config(&out), None, Recorder::default().context());
        assert!(matches!(found, Err(Error::Gguf(_))), "{found:?}");
        assert!(!out.exists());
    }
}
