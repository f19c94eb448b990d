//! `evol evolve`: seeds and a model make a run directory.

use super::args::EvolveArgs;
use super::compute::{Compute, EngineSettings};
use super::config::{RunConfig, SeedsSection};
use super::error::Error;
use super::manifest::{self, Journal, Manifest, ModelEntry, SeedsEntry};
use super::output::{Output, Progress};
use super::plan::{self, Session};
use super::run::funnel;
use super::run_dir::RunDir;
use super::shell;
use crate::dataset::{self, BadLine, Seed};
use crate::evolve::{self, Chunk, Event, EvolveConfig, JudgeModel, Policy, Summary};
use crate::gguf::Gguf;
use crate::llm::{self, Determinism, Engine};
use crate::rng;
use crate::store::Store;
use anyhow::{Context, Result};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

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
            recipe.push(("judge.threads".to_owned(), threads.to_string()));
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
    /// Checks `evol evolve`.
    fn from_args(args: &EvolveArgs, session: &Session) -> Result<Self> {
        let section = SeedsSection {
            file: args.seeds.clone(),
            on_bad_input: args.on_bad_input.into(),
            limit: args.limit,
            licence: args.seeds_licence.clone(),
        };
        let config = args.settings.config(session.seed.unwrap_or(0));
        config.validate()?;
        let judge = args.judge_model.as_deref().map(plan::model).transpose()?;
        let models = (plan::model(&args.model)?, judge);
        Self::new(models, &section, config, (&args.engine).into(), session)
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
        Ok(Self { model, model_entry, seeds, seeds_entry, config, engine, judge })
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
            return Err(Error::BadSeeds { path, lines: bad.len() }.into());
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
    let plan = EvolvePlan::from_args(args, session)?;
    let dir = RunDir::claim(&args.out)?;
    let mut store = Store::open_or_create(dir.path())?;
    check_begun(&plan, &dir, &store, session)?;
    let compute = compute(&plan, &dir, &store, session)?;
    let summary = stage(&plan, &compute, &dir, &mut store, session, &mut || ())?;
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
    let next = shell::evol(&["export", &shell::word(dir.path()), "--out", "data"]);
    session.output.note(&format!("\nNext: {next}"));
    Ok(())
}

/// Refuses a run that was begun with another plan, finished or not, before anything is measured, converted, loaded or
/// written.
///
/// # Errors
/// [`crate::store::Error::Changed`] names what is different.
pub(crate) fn check_begun(plan: &EvolvePlan, dir: &RunDir, store: &Store, session: &Session) -> Result<()> {
    let journal = store.fingerprint()?;
    let recipe = plan.engine.recipe_of_begun(&plan.model, &journal, session.threads)?;
    let recipe = plan.recipe(recipe, session.threads);
    evolve::check(store, plan.model_sha256(), &recipe, &plan.seeds, &plan.config)
        .with_context(|| format!("cannot evolve in `{}`", dir.path().display()))
}

/// What the engine computes with, in a run that [`check_begun`] let pass.
///
/// # Errors
/// As [`run`]; [`crate::store::Error::Changed`] if a converted model has become another file.
pub(crate) fn compute(plan: &EvolvePlan, dir: &RunDir, store: &Store, session: &Session) -> Result<Compute> {
    let sha256 = plan.model_sha256();
    let compute = Compute::prepare(&plan.engine, &plan.model, sha256, &store.fingerprint()?, session)?;
    let recipe = plan.recipe(compute.recipe(), session.threads);
    evolve::check(store, sha256, &recipe, &plan.seeds, &plan.config)
        .with_context(|| format!("cannot evolve in `{}`", dir.path().display()))?;
    Ok(compute)
}

/// Evolves, or goes on where an earlier process stopped, and keeps the manifest. `tick` is called every second.
///
/// # Errors
/// As [`run`].
pub(crate) fn stage(
    plan: &EvolvePlan,
    compute: &Compute,
    dir: &RunDir,
    store: &mut Store,
    session: &Session,
    tick: &mut (dyn FnMut() + Send),
) -> Result<Summary> {
    session.output.live().follow(dir.path());
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
        let result = evolve::run(model, store, &plan.seeds, &plan.config, &mut |event| reporter.event(event));
        drop(stop);
        result
    });
    reporter.finish();
    let summary = match result {
        Err(evolve::Error::Llm(llm::Error::Interrupted)) => return Err(Error::Interrupted.into()),
        other => other.with_context(|| format!("cannot evolve in `{}`", dir.path().display()))?,
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
    Ok(dir.write_json(manifest::FILE_NAME, &manifest)?)
}

/// Says how far an evolution is: chunk by chunk from its events, in between from the engine's counters.
struct Reporter<'a> {
    output: Output,
    counters: &'a llm::Progress,
    /// Shared with the thread that ticks.
    state: Mutex<State>,
}

struct State {
    progress: Progress,
    /// Where the last chunk was.
    chunk: Option<Chunk>,
    /// Requests finished when the last chunk was committed.
    finished: u64,
    started: Instant,
}

impl<'a> Reporter<'a> {
    fn new(output: Output, counters: &'a llm::Progress) -> Self {
        let progress = output.progress("evolve");
        let state = Mutex::new(State { progress, chunk: None, finished: 0, started: Instant::now() });
        Self { output, counters, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("whoever holds it does not panic")
    }

    fn event(&self, event: &Event) {
        let mut state = self.state();
        match event {
            Event::Begun { style, seeds } => {
                state.progress.say(&format!("evolving {seeds} seeds, prompt style {}", style.name()));
            }
            Event::Calibrated(calibration) if !calibration.trusted => state.progress.say(&format!(
                "the judge cannot tell the same from different on this model (area under the curve {:.2}): words \
                 decide what brings something new, and difficulty is not rated",
                calibration.auc
            )),
            Event::Calibrated(calibration) => state.progress.say(&format!(
                "the judge tells the same from different with an area under the curve of {:.2}",
                calibration.auc
            )),
            Event::Settled(policy) => state.progress.say(&settled(policy)),
            Event::Chunk(chunk) => {
                let same = state.chunk.as_ref().is_some_and(|last| place(last) == place(chunk));
                if !same {
                    let next = self.output.progress(&label(chunk));
                    std::mem::replace(&mut state.progress, next).finish();
                }
                state.finished = self.counters.stats().finished;
                let detail = self.speed(&state);
                state.progress.update(chunk.done as u64, chunk.total as u64, &detail);
                state.chunk = Some(chunk.clone());
            }
        }
    }

    /// Between two chunks: what the engine has finished of the next one counts already.
    fn tick(&self) {
        let mut state = self.state();
        let detail = self.speed(&state);
        let (done, total) = match &state.chunk {
            Some(chunk) if chunk.done < chunk.total => {
                let ahead = self.counters.stats().finished - state.finished;
                ((chunk.done as u64 + ahead).min(chunk.total as u64), chunk.total as u64)
            }
            // The first chunk of a stage tells how many there are.
            _ => (0, 0),
        };
        state.progress.update(done, total, &detail);
        self.output.live().tokens(self.counters.stats().generated_tokens);
    }

    fn speed(&self, state: &State) -> String {
        let llm::EngineStats { generated_tokens: generated, finished, .. } = self.counters.stats();
        if generated == 0 {
            return format!("{finished} pairs judged to calibrate the judge");
        }
        let speed = generated as f64 / state.started.elapsed().as_secs_f64().max(1e-3);
        format!("{generated} tokens generated, {speed:.0} tokens/s")
    }

    fn finish(self) {
        let state = self.state.into_inner().expect("whoever held it did not panic");
        state.progress.finish();
    }
}

/// How a run will evolve, and why.
fn settled(policy: &Policy) -> String {
    let used = evolve::Operator::ALL.into_iter().filter(|&operator| policy.operators.get(operator) > 0.0);
    let operators: Vec<&str> = used.map(evolve::Operator::name).collect();
    let Policy { profile, rounds, attempts, answer_samples, .. } = policy;
    let mut text = format!(
        "profile {}: {rounds} rounds, {attempts} attempts, {answer_samples} answers at most; {}",
        profile.name(),
        operators.join(", ")
    );
    for why in &policy.why {
        text.push_str("\n  ");
        text.push_str(why);
    }
    text
}

fn place(chunk: &Chunk) -> (u32, u32, evolve::Stage) {
    (chunk.round, chunk.attempt, chunk.stage)
}

fn label(chunk: &Chunk) -> String {
    let stage = match chunk.stage {
        evolve::Stage::Evolve => "evolve",
        evolve::Stage::Judge => "judge",
        evolve::Stage::Answer => "answer",
        evolve::Stage::Rate => "rate",
    };
    match chunk.round {
        0 => format!("seeds {stage}"),
        round => format!("round {round} {stage}"),
    }
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
