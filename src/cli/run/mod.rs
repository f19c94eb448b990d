//! `evol run`: the whole loop, stage after stage, each of which resumes by itself.
//!
//! evolve → export → train → baselines → eval → check → report → `summary.json`. A stage reads what the one before wrote to the run
//! directory, and finds out by itself what is left to do: evolve from the journal, export by writing the same
//! bytes, train from its checkpoint. The summary is written last: where it is, nothing is left to do.
//!
//! **Invariant:** a run goes on, and a finished one is shown, only with the configuration it was begun with
//! (`config.toml`), the same model and the same seeds (the journal's fingerprint).

mod check;
mod evaluate;
pub(super) mod funnel;
mod stopwatch;
mod summary;

pub(super) use evaluate::DIR;
pub(super) use stopwatch::seconds;
pub(super) use summary::{FILE_NAME as SUMMARY, Summary};

use super::args::RunArgs;
use super::config::{self, RunConfig};
use super::error::Error;
use super::eval;
use super::evolve::{self, EvolvePlan};
use super::export::{self, Tests};
use super::known_models;
use super::plan::{Session, TrainPlan, recordable};
use super::report;
use super::run_dir::RunDir;
use super::train;
use crate::dataset::{self, ExportOptions, Exported};
use crate::store::Store;
use crate::train::TrainSummary;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use stopwatch::Stopwatch;

/// Runs the command.
///
/// # Errors
/// The configuration is wrong, a stage fails, or the run was interrupted.
pub(crate) fn run(args: &RunArgs, session: &Session) -> Result<()> {
    let mut config = config::read(&args.config)?;
    if let Some(repeats) = args.repeats {
        config.eval.repeats = repeats;
    }
    if let Some(seed) = session.seed {
        config.set_seed(seed);
    }
    // Flags are relative to where the user is, unlike what is in the file.
    if let Some(out) = &args.out {
        config.out = std::path::absolute(out).with_context(|| format!("cannot use `{}`", out.display()))?;
    }
    config.validate(&args.config)?;
    let model = known_models::resolve(args.model.as_ref().unwrap_or(&config.model), Path::new(""))?;
    let model = std::path::absolute(&model).with_context(|| format!("cannot use `{}`", model.display()))?;
    [&model, &config.out].into_iter().chain(&config.seeds.file).try_for_each(|path| recordable(path))?;
    config.model = model.display().to_string();

    let experiment = Experiment { config, model, session };
    let summary = experiment.run()?;
    if session.output.is_json() {
        return session.output.document(&summary);
    }
    session.output.data(&summary.table())?;
    if let Some(evaluation) = eval::read(&experiment.config.out.join(evaluate::DIR)) {
        session.output.data(&format!("\n{}", eval::table(&evaluation)))?;
    }
    session.output.note(&summary.next_steps(&experiment.config.out));
    Ok(())
}

struct Experiment<'a> {
    config: RunConfig,
    model: PathBuf,
    session: &'a Session,
}

impl Experiment<'_> {
    fn run(&self) -> Result<Summary> {
        let evolve_plan = EvolvePlan::from_config(&self.config, &self.model, self.session)?;
        let dir = RunDir::claim(&self.config.out)?;
        let mut store = Store::open_or_create(dir.path())?;
        self.check_config(&dir)?;
        evolve::check_begun(&evolve_plan, &dir, &store, self.session)?;
        if let Some(summary) = dir.read_json::<Summary>(summary::FILE_NAME)? {
            self.session
                .output
                .note(&format!("the run in `{}` is finished; nothing is done again", dir.path().display()));
            return Ok(summary);
        }
        let compute = evolve::compute(&evolve_plan, &dir, &store, self.session)?;
        // What may change in a run that goes on, such as `min_yield`, is kept as it was last.
        dir.write(config::FILE_NAME, &self.config.to_toml())?;
        let mut stopwatch = Stopwatch::new(&dir)?;

        stopwatch.start("evolve")?;
        let tick = &mut || stopwatch.tick();
        let evolved = evolve::stage(&evolve_plan, &compute, &dir, &mut store, self.session, tick)?;
        self.session.check_interrupt()?;
        stopwatch.start("export")?;
        let suite = self.config.eval.suite()?;
        let tests = Tests { files: &self.config.export.decontaminate, suite: suite.as_ref() };
        let exported =
            export::stage(&store, dir.path(), tests, &self.export_options(), &dir.path().join("export"))?;
        stopwatch.start("train")?;
        let trained = self.train(&exported, &mut || stopwatch.tick())?;
        self.session.check_interrupt()?;
        if let Some(suite) = suite {
            stopwatch.start("baselines")?;
            let tick = &mut || stopwatch.tick();
            let adapters = evaluate::other_adapters(self, &store, &exported, &trained, tick)?;
            stopwatch.start("eval")?;
            let tick = &mut || stopwatch.tick();
            evaluate::evaluate(self, &store, suite, &exported, adapters, tick)?;
            self.session.check_interrupt()?;
        }
        stopwatch.start("check")?;
        let check = check::run(self, &store, &trained)?;
        stopwatch.start("report")?;
        let page = dir.path().join(report::FILE_NAME);
        report::stage(&store, dir.path(), &page, self.session)?;
        let seconds = stopwatch.stop()?;

        let summary = Summary {
            evol_version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: self.config.seed,
            seeds: evolved.seeds,
            attempts: evolved.attempts,
            kept: evolved.kept,
            eliminated: evolved.eliminated,
            answers: evolved.answers,
            funnel: funnel::cells(&store.funnel()?),
            generated_tokens: evolved.tokens.evolve_tokens + evolved.tokens.answer_tokens,
            train_records: exported.train_records,
            validation_records: exported.validation_records,
            train_steps: trained.steps,
            train_tokens: trained.tokens,
            train_tokens_per_second: trained.tokens_per_second,
            validation_loss_before: trained.validation_loss_before,
            validation_loss_after: trained.validation_loss_after,
            seconds,
            model: self.model.clone(),
            model_sha256: evolve_plan.model_sha256().to_owned(),
            adapter: trained.adapter_gguf,
            adapter_peft: trained.adapter_peft,
            report: Some(page),
            check,
        };
        dir.write_json(summary::FILE_NAME, &summary)?;
        Ok(summary)
    }

    /// Compares the configuration with that of a run that was begun.
    fn check_config(&self, dir: &RunDir) -> Result<(), Error> {
        let Some(earlier) = dir.read(config::FILE_NAME)? else { return Ok(()) };
        match self.config.changes(&earlier) {
            changes if changes.is_empty() => Ok(()),
            changes => Err(Error::OtherConfig { dir: dir.path().to_owned(), changes }),
        }
    }

    fn export_options(&self) -> ExportOptions {
        let section = &self.config.export;
        ExportOptions {
            format: section.format,
            validation_fraction: section.validation_fraction,
            seed: self.config.seed,
            mix: section.mix.clone(),
        }
    }

    fn train(&self, exported: &Exported, tick: &mut dyn FnMut()) -> Result<TrainSummary> {
        let plan = TrainPlan {
            model: self.model.clone(),
            data: exported.train.clone(),
            validation: exported.validation.clone(),
            out: self.config.out.join("adapter"),
            config: self.config.train.clone(),
            init: None,
            tensorboard: false,
        };
        train::stage(&plan, self.session, tick)
    }

    /// Held-out instructions; where nothing is held out, some of those trained on.
    fn held_out(&self, store: &Store) -> Result<Vec<dataset::Record>> {
        let suite = self.config.eval.suite()?;
        let tests = Tests { files: &self.config.export.decontaminate, suite: suite.as_ref() };
        let collection = export::collection(store, &self.config.out, tests)?;
        let split = collection.divide(&self.export_options())?.split;
        Ok(if split.validation.is_empty() { split.train } else { split.validation })
    }
}
