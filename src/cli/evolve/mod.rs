//! `evol evolve`: seeds and a model make a run directory.

mod reporter;

use crate::cli::args::EvolveArgs;
use crate::cli::compute::{self, Compute, EngineSettings};
use crate::cli::config::{self, Overrides, RunConfig, SeedsSection};
use crate::cli::error::{Context as _, Error, Result};
use crate::cli::manifest::{self, Journal, Manifest, ModelEntry, SeedsEntry};
use crate::cli::output::Output;
use crate::cli::plan::{self, Session};
use crate::cli::run::funnel;
use crate::cli::run_dir::RunDir;
use crate::cli::shell;
use crate::dataset::{self, BadLine, Seed};
use crate::evolve::{self, EvolveConfig, JudgeModel, Roots, Shard, Summary};
use crate::gguf::Gguf;
use crate::llm::{self, Determinism, Engine};
use crate::rng;
use crate::store::Store;
use reporter::Reporter;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Where a run that is divided has its shards.
pub(crate) const SHARDS: &str = "shards";

/// How often the speed is looked at while a chunk is generated.
const TICK: Duration = Duration::from_secs(1);

/// An evolution: model file, seeds and settings, all checked.
#[derive(Debug)]
pub(crate) struct EvolvePlan {
    model: PathBuf,
    model_entry: ModelEntry,
    seeds: Vec<Seed>,
    seeds_entry: SeedsEntry,
    config: EvolveConfig,
    engine: EngineSettings,
    judge: Option<JudgePlan>,
    shard: Shard,
}

/// A model that judges only.
#[derive(Debug)]
struct JudgePlan {
    path: PathBuf,
    entry: ModelEntry,
    determinism: Determinism,
}

impl JudgePlan {
    fn new(path: PathBuf, engine: &EngineSettings, output: Output) -> Result<Self> {
        let (path, entry) = model_entry(path)?;
        let (determinism, reason) =
            Determinism::from(engine.determinism).resolve(&path, engine.gpu_layers)?;
        if let Some(reason) = reason {
            output.warn(&format!("the judge's results depend on threads and batch width: {reason}"));
        }
        Ok(Self { path, entry, determinism })
    }

    /// What of it decides verdicts.
    fn recipe(&self, engine: &EngineSettings, threads: usize) -> Vec<(String, String)> {
        let mut recipe = vec![
            ("judge.sha256".to_owned(), self.entry.sha256.clone()),
            ("judge.determinism".to_owned(), self.determinism.name().to_owned()),
        ];
        if self.determinism == Determinism::Scheduled {
            recipe.push((compute::JUDGE_THREADS.to_owned(), threads.to_string()));
            recipe.push(("judge.gpu_layers".to_owned(), engine.gpu_layers.to_string()));
        }
        recipe
    }
}

/// A model that llama.cpp can load, with its description.
fn model_entry(path: PathBuf) -> Result<(PathBuf, ModelEntry)> {
    plan::recordable(&path)?;
    let gguf = Gguf::open(&path)?;
    gguf.check_for_llama_cpp()?;
    let entry = ModelEntry::new(&gguf, &gguf.sha256()?);
    Ok((path, entry))
}

impl EvolvePlan {
    /// Checks `evol evolve`; the run directory too.
    fn from_args(args: &EvolveArgs, session: &Session) -> Result<(Self, PathBuf)> {
        let shard = args.shard.unwrap_or(Shard::WHOLE);
        if let Some(path) = &args.config {
            let config = config::load(path, Overrides { seed: session.seed, ..Overrides::default() })?;
            let model = PathBuf::from(&config.model);
            let out = args.out.clone().unwrap_or_else(|| match shard {
                Shard::WHOLE => config.out.clone(),
                shard => config.out.join(SHARDS).join(shard.index().to_string()),
            });
            return Ok((Self { shard, ..Self::from_config(&config, &model, session)? }, out));
        }
        let (Some(model), Some(out)) = (&args.model, &args.out) else {
            unreachable!("clap asks for both where there is no `--config`")
        };
        let section = SeedsSection {
            file: args.seeds.clone(),
            on_bad_input: args.on_bad_input.into(),
            limit: args.limit,
            licence: args.seeds_licence.clone(),
        };
        let config = args.settings.config(session.seed.unwrap_or(0));
        config.validate()?;
        let judge = args.judge_model.as_deref().map(plan::model).transpose()?;
        let models = (plan::model(model)?, judge);
        let plan = Self::new(models, &section, config, (&args.engine).into(), session)?;
        Ok((Self { shard, ..plan }, out.clone()))
    }

    /// Checks the parts of `evol run` that concern evolving; ranges are checked already.
    ///
    /// # Errors
    /// The model or the seeds are unusable.
    pub(crate) fn from_config(config: &RunConfig, model: &Path, session: &Session) -> Result<Self> {
        let judge = config.judge_model.as_deref().map(plan::model).transpose()?;
        let models = (model.to_owned(), judge);
        Self::new(models, &config.seeds, config.evolve.clone(), config.engine(), session)
    }

    fn new(
        (model, judge): (PathBuf, Option<PathBuf>),
        seeds: &SeedsSection,
        config: EvolveConfig,
        engine: EngineSettings,
        session: &Session,
    ) -> Result<Self> {
        engine.validate()?;
        let (model, model_entry) = model_entry(model)?;
        let judge = judge.map(|path| JudgePlan::new(path, &engine, session.output)).transpose()?;
        let file = seeds.file.as_deref();
        let licence = seeds.licence.as_deref();
        let seeds = limited(read_seeds(seeds, session.output)?, seeds.limit, config.seed)?;
        let seeds_entry = SeedsEntry::new(file, licence, &seeds);
        Ok(Self { model, model_entry, seeds, seeds_entry, config, engine, judge, shard: Shard::WHOLE })
    }

    fn roots(&self) -> Roots<'_> {
        Roots { seeds: &self.seeds, shard: self.shard }
    }

    /// What decides the bytes besides the model: how the engine runs, and who judges.
    fn recipe(&self, mut engine: Vec<(String, String)>, threads: usize) -> Vec<(String, String)> {
        engine.extend(self.judge.iter().flat_map(|judge| judge.recipe(&self.engine, threads)));
        engine
    }

    /// Lowercase hex SHA-256 of the model file.
    pub(crate) fn model_sha256(&self) -> &str {
        &self.model_entry.sha256
    }
}

fn read_seeds(section: &SeedsSection, output: Output) -> Result<Vec<Seed>> {
    let Some(file) = &section.file else { return Ok(dataset::builtin_seeds()) };
    let report = |bad: &[BadLine]| {
        for BadLine { line, reason } in bad {
            output.warn(&format!("line {line} of `{}` cannot be used: {reason}", file.display()));
        }
    };
    let read = match dataset::read_seeds(file, section.on_bad_input) {
        Err(dataset::Error::BadLines { path, bad }) => {
            report(&bad);
            return Err(Error::BadSeeds { path, lines: bad.len() });
        }
        other => other?,
    };
    report(&read.skipped);
    for twice in &read.duplicates {
        output.detail(&format!(
            "line {} of `{}` repeats line {} and is left out",
            twice.line,
            file.display(),
            twice.first_line
        ));
    }
    Ok(read.seeds)
}

/// `limit` of the seeds, drawn by the run's seed, in their own order.
fn limited(seeds: Vec<Seed>, limit: Option<usize>, seed: u64) -> Result<Vec<Seed>, Error> {
    let Some(limit) = limit else { return Ok(seeds) };
    if limit == 0 {
        return Err(Error::Flag { flag: "limit", found: limit.to_string(), expected: "at least 1 seed" });
    }
    let mut drawn: Vec<usize> = (0..seeds.len()).collect();
    drawn.sort_by_key(|&index| rng::key(seed, "cli.seeds", &[index as u64]));
    drawn.truncate(limit);
    drawn.sort_unstable();
    Ok(drawn.into_iter().map(|index| seeds[index].clone()).collect())
}

/// Runs the command.
///
/// # Errors
/// Model, seeds or directory are unusable, llama.cpp fails, or the run was interrupted.
pub(crate) fn run(args: &EvolveArgs, session: &Session) -> Result<()> {
    let (plan, out) = EvolvePlan::from_args(args, session)?;
    let dir = RunDir::claim(&out)?;
    let mut store = Store::open_or_create(dir.path())?;
    check_begun(&plan, &dir, &store, session)?;
    let summary = stage(&plan, &dir, &mut store, session, &mut || ())?;
    let cells = funnel::cells(&store.funnel()?);
    if session.output.is_json() {
        return session.output.document(&json!({"summary": summary, "funnel": cells}));
    }
    session.output.data(&format!(
        "{}\n{} of {} attempts kept, {} instructions with answers, {} tokens generated\n",
        funnel::table(&cells),
        summary.kept,
        summary.attempts,
        summary.answers,
        summary.tokens.evolve_tokens + summary.tokens.answer_tokens,
    ))?;
    let next = match plan.shard {
        Shard::WHOLE => shell::evol(&["export", &shell::word(dir.path()), "--out", "data"]),
        _ => format!("{}, once every shard is finished", shell::evol(&["merge-runs", "OUT", "SHARDS"])),
    };
    session.output.note(&format!("\nNext: {next}"));
    Ok(())
}

/// Refuses a run that was begun with another plan, finished or not, before anything is measured, converted,
/// loaded or written.
///
/// # Errors
/// [`crate::store::Error::Changed`] names what is different.
pub(crate) fn check_begun(plan: &EvolvePlan, dir: &RunDir, store: &Store, session: &Session) -> Result<()> {
    let journal = store.fingerprint()?;
    let recipe = plan.engine.recipe_of_begun(&plan.model, &journal, session.threads)?;
    let mut recipe = plan.recipe(recipe, session.threads);
    if evolve::is_finished(store)? {
        // Nothing is generated any more: another machine may take it from here.
        compute::take_over_build(&mut recipe, &journal);
    }
    evolve::check(store, plan.model_sha256(), &recipe, plan.roots(), &plan.config)
        .context(|| format!("cannot evolve in `{}`", dir.path().display()))
}

/// What the engine computes with, in a run that [`check_begun`] let pass.
fn compute(plan: &EvolvePlan, dir: &RunDir, store: &Store, session: &Session) -> Result<Compute> {
    let sha256 = plan.model_sha256();
    let compute = Compute::prepare(&plan.engine, &plan.model, sha256, &store.fingerprint()?, session)?;
    let recipe = plan.recipe(compute.recipe(), session.threads);
    evolve::check(store, sha256, &recipe, plan.roots(), &plan.config)
        .context(|| format!("cannot evolve in `{}`", dir.path().display()))?;
    Ok(compute)
}

/// Evolves a run that [`check_begun`] let pass, or goes on where an earlier process stopped, and keeps the
/// manifest. `tick` is called every second. Of a run that has come to its end only the numbers are read.
///
/// # Errors
/// As [`run`]; [`crate::store::Error::Changed`] if a converted model has become another file.
pub(crate) fn stage(
    plan: &EvolvePlan,
    dir: &RunDir,
    store: &mut Store,
    session: &Session,
    tick: &mut (dyn FnMut() + Send),
) -> Result<Summary> {
    session.output.live().follow(dir.path());
    if evolve::is_finished(store)? {
        manifest::complete(dir, store)?;
        return Ok(Summary::of(store)?);
    }
    let compute = &compute(plan, dir, store, session)?;
    // That of a run that goes on is there already.
    if store.fingerprint()?.is_empty() {
        write_manifest(plan, compute, dir, store)?;
    }
    let counters = Arc::new(llm::Progress::default());
    let mut options = compute.options();
    options.interrupt = Arc::clone(session.interrupt.flag());
    options.progress = Arc::clone(&counters);
    let mut engine = Engine::load(options)?;
    let mut judge =
        plan.judge.as_ref().map(|judge| load_judge(judge, plan, &counters, session)).transpose()?;
    let model = evolve::Model {
        n_params: Some(engine.info().n_params),
        generate: &mut engine,
        sha256: plan.model_sha256().to_owned(),
        recipe: plan.recipe(compute.recipe(), session.threads),
        judge: judge
            .as_mut()
            .map(|judge| JudgeModel { n_params: Some(judge.info().n_params), generate: judge }),
    };
    let reporter = Reporter::new(session.output, &counters);
    let reporting = &reporter;
    let (stop, stopped) = mpsc::channel::<()>();
    let result = std::thread::scope(|scope| {
        scope.spawn(move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                tick();
                reporting.tick();
            }
        });
        let result =
            evolve::run(model, store, plan.roots(), &plan.config, &mut |event| reporter.event(event));
        drop(stop);
        result
    });
    reporter.finish();
    let summary = match result {
        Err(evolve::Error::Llm(llm::Error::Interrupted)) => return Err(Error::Interrupted),
        other => other.context(|| format!("cannot evolve in `{}`", dir.path().display()))?,
    };
    write_manifest(plan, compute, dir, store)?;
    Ok(summary)
}

fn load_judge(
    judge: &JudgePlan,
    plan: &EvolvePlan,
    counters: &Arc<llm::Progress>,
    session: &Session,
) -> Result<Engine> {
    let mut options = llm::EngineOptions::new(&judge.path, session.threads);
    options.determinism = judge.determinism;
    options.gpu_layers = plan.engine.gpu_layers;
    options.interrupt = Arc::clone(session.interrupt.flag());
    options.progress = Arc::clone(counters);
    Ok(Engine::load(options)?)
}

/// Before the run for whoever looks while it goes on; after it with what the journal was bound to.
fn write_manifest(plan: &EvolvePlan, compute: &Compute, dir: &RunDir, store: &Store) -> Result<()> {
    let manifest = Manifest::new(
        plan.config.seed,
        plan.model_entry.clone(),
        compute.entry().clone(),
        plan.seeds_entry.clone(),
        Journal {
            bound: store.fingerprint()?.into_iter().collect(),
            policy: evolve::policy(store)?,
            calibration: evolve::calibration(store)?,
            judge: plan.judge.as_ref().map(|judge| judge.entry.clone()),
        },
    );
    dir.write_json(manifest::FILE_NAME, &manifest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::BATCH_WIDTH;

    #[test]
    fn a_limit_draws_by_the_seed_and_keeps_the_order() {
        let seeds = dataset::builtin_seeds();
        let place = |drawn: &[Seed]| -> Vec<usize> {
            drawn.iter().map(|d| seeds.iter().position(|s| s == d).expect("drawn from them")).collect()
        };
        let drawn = limited(seeds.clone(), Some(20), 1).unwrap();
        let places = place(&drawn);
        assert!(places.len() == 20 && places.is_sorted(), "{places:?}");
        assert_ne!(places, place(&limited(seeds.clone(), Some(20), 2).unwrap()));
        assert_eq!(limited(seeds.clone(), Some(10_000), 1).unwrap(), seeds);
        assert!(matches!(limited(seeds, Some(0), 1), Err(Error::Flag { .. })));
        assert_eq!(BATCH_WIDTH, llm::EngineOptions::new(Path::new(""), 1).n_seq, "one default");
    }
}
