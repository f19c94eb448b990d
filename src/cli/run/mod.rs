//! `evol run`: the whole loop, stage after stage, each of which resumes by itself.
//!
//! evolve → export → train → baselines → eval → check → report → `summary.json`. A stage reads what the one
//! before wrote to the run directory, and finds out by itself what is left to do: evolve from the journal,
//! export by writing the same bytes, train from its checkpoint. The summary is written last: where it is,
//! nothing is left to do.
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

use super::args::{RunArgs, UntilArg};
use super::config::{self, Overrides, RunConfig};
use super::error::{Error, Result};
use super::eval;
use super::evolve::{self, EvolvePlan};
use super::export::{self, Tests};
use super::plan::{Session, TrainPlan};
use super::report;
use super::run_dir::RunDir;
use super::train;
use crate::dataset::{self, ExportOptions, Exported};
use crate::evolve::Summary as Evolved;
use crate::store::Store;
use crate::train::TrainSummary;
use std::collections::BTreeMap;
use std::path::PathBuf;
use stopwatch::Stopwatch;
use summary::CheckedAnswer;

/// Runs the command.
///
/// # Errors
/// The configuration is wrong, a stage fails, or the run was interrupted.
pub(crate) fn run(args: &RunArgs, session: &Session) -> Result<()> {
    let overrides = Overrides {
        seed: session.seed,
        out: args.out.as_deref(),
        model: args.model.as_deref(),
        repeats: args.repeats,
    };
    let config = config::load(&args.config, overrides)?;
    let model = PathBuf::from(&config.model);
    let experiment = Experiment { config, model, session, until: args.until };
    let Some(summary) = experiment.run()? else {
        if session.output.is_json() {
            return session
                .output
                .document(&serde_json::json!({ "run": experiment.config.out, "finished": false }));
        }
        session.output.note("stopped where `--until` says; the same command without it goes on from here");
        return Ok(());
    };
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

/// What the stages up to the evaluation made.
struct Made {
    evolved: Evolved,
    exported: Exported,
    trained: TrainSummary,
}

/// The rest of a summary.
struct Measured {
    seconds: BTreeMap<String, f64>,
    model_sha256: String,
    funnel: Vec<funnel::FunnelCell>,
    page: PathBuf,
    check: Vec<CheckedAnswer>,
}

struct Experiment<'a> {
    config: RunConfig,
    model: PathBuf,
    session: &'a Session,
    until: Option<UntilArg>,
}

impl Experiment<'_> {
    /// Goes through the stages; `None`: it was to stop before the last.
    fn run(&self) -> Result<Option<Summary>> {
        let plan = EvolvePlan::from_config(&self.config, &self.model, self.session)?;
        let dir = RunDir::claim(&self.config.out)?;
        let mut store = Store::open_or_create(dir.path())?;
        self.check_config(&dir)?;
        evolve::check_begun(&plan, &dir, &store, self.session)?;
        if let Some(summary) = dir.read_json::<Summary>(summary::FILE_NAME)? {
            self.session
                .output
                .note(&format!("the run in `{}` is finished; nothing is done again", dir.path().display()));
            return Ok(Some(summary));
        }
        // What may change in a run that goes on, such as `min_yield`, is kept as it was last.
        dir.write(config::FILE_NAME, &self.config.to_toml())?;
        let mut stopwatch = Stopwatch::new(&dir)?;
        let Some(made) = self.make(&plan, &dir, &mut store, &mut stopwatch)? else {
            stopwatch.stop()?;
            return Ok(None);
        };
        stopwatch.start("check")?;
        let check = check::run(self, &store, &made.trained)?;
        stopwatch.start("report")?;
        let page = dir.path().join(report::FILE_NAME);
        report::stage(&store, dir.path(), &page, self.session)?;
        let seconds = stopwatch.stop()?;
        let model_sha256 = plan.model_sha256().to_owned();
        let funnel = funnel::cells(&store.funnel()?);
        let summary = self.summary(made, Measured { seconds, model_sha256, funnel, page, check });
        dir.write_json(summary::FILE_NAME, &summary)?;
        Ok(Some(summary))
    }

    /// The stages up to the evaluation; `None`: it was to stop after one of them.
    fn make(
        &self,
        plan: &EvolvePlan,
        dir: &RunDir,
        store: &mut Store,
        stopwatch: &mut Stopwatch<'_>,
    ) -> Result<Option<Made>> {
        stopwatch.start("evolve")?;
        let evolved = evolve::stage(plan, dir, store, self.session, &mut || stopwatch.tick())?;
        if self.stops_after(UntilArg::Evolve)? {
            return Ok(None);
        }
        stopwatch.start("export")?;
        let suite = self.config.eval.suite()?;
        let tests = Tests { files: &self.config.export.decontaminate, suite: suite.as_ref() };
        let exported =
            export::stage(store, dir.path(), tests, &self.export_options(), &dir.path().join("export"))?;
        if self.stops_after(UntilArg::Export)? {
            return Ok(None);
        }
        stopwatch.start("train")?;
        let trained = self.train(&exported, &mut || stopwatch.tick())?;
        if self.stops_after(UntilArg::Train)? {
            return Ok(None);
        }
        if let Some(suite) = suite {
            stopwatch.start("baselines")?;
            let tick = &mut || stopwatch.tick();
            let adapters = evaluate::other_adapters(self, store, &exported, &trained, tick)?;
            if self.stops_after(UntilArg::Baselines)? {
                return Ok(None);
            }
            stopwatch.start("eval")?;
            let tick = &mut || stopwatch.tick();
            evaluate::evaluate(self, store, suite, &exported, adapters, tick)?;
        }
        let stops = self.stops_after(UntilArg::Eval)? || self.stops_after(UntilArg::Baselines)?;
        Ok((!stops).then_some(Made { evolved, exported, trained }))
    }

    /// Whether `stage`, which is done, was to be the last.
    ///
    /// # Errors
    /// [`Error::Interrupted`] after Ctrl-C.
    fn stops_after(&self, stage: UntilArg) -> Result<bool, Error> {
        self.session.check_interrupt()?;
        Ok(self.until == Some(stage))
    }

    fn summary(&self, made: Made, measured: Measured) -> Summary {
        let Made { evolved, exported, trained } = made;
        let Measured { seconds, model_sha256, funnel, page, check } = measured;
        Summary {
            evol_version: env!("CARGO_PKG_VERSION").to_owned(),
            seed: self.config.seed,
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
            model: self.model.clone(),
            model_sha256,
            adapter: trained.adapter_gguf,
            adapter_peft: trained.adapter_peft,
            report: Some(page),
            check,
        }
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
        let split = collection.select(&self.export_options())?.split;
        Ok(if split.validation.is_empty() { split.train } else { split.validation })
    }
}
