//! The first stage: evolves, filters and answers instructions, and records them in the journal.
//!
//! - `plan`: the inputs, read and checked
//! - `progress`: progress for the user
//!
//! Where in the flow: `evol evolve` runs only this stage; `evol run` starts with it.
//!
//! **Invariant:** a run with another identity is refused before anything is measured, converted, loaded or
//! written. A finished run is only counted.

mod plan;
mod progress;
#[cfg(test)]
mod tests;

pub use plan::{EvolveInputs, EvolvePlan};

use super::compute::Compute;
use super::dir::RunDir;
use super::error::{Error, ErrorContext as _, Result, join};
use super::host::Context;
use super::identity::{Recipe, is_other_build};
use super::manifest::{Manifest, Origin};
use crate::evolve::{self, JudgeModel, Summary};
use crate::identity::Difference;
use crate::llm::{self, Engine};
use crate::store::{self, Store};
use plan::JudgePlan;
use progress::EvolveProgress;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// How often progress is reported while a chunk is generated.
const TICK: Duration = Duration::from_secs(1);

/// Refuses a run that was started with another plan, even if it is finished. Accepts a run without records.
///
/// # Errors
/// [`Error::OtherBuild`], [`Error::OtherVersion`], or [`store::Error::Changed`], which names what differs.
pub fn check_same_run(plan: &EvolvePlan, dir: &RunDir, store: &Store, context: Context<'_>) -> Result<()> {
    let Some(recorded) = Recipe::recorded(&store.identity()?, dir.path())? else { return Ok(()) };
    let judge = plan.judge_recipe(context.threads);
    let mut expected = Recipe::expected(&recorded, &plan.engine, &plan.model, judge, context.threads)?;
    if evolve::is_finished(store)? {
        // Nothing is left to generate, so another machine may continue.
        expected.take_over_build(&recorded);
    }
    compare(plan, dir, store, &expected)
}

fn compare(plan: &EvolvePlan, dir: &RunDir, store: &Store, recipe: &Recipe) -> Result<()> {
    let identity = recipe.identity();
    match evolve::check(store, plan.model_sha256(), &identity, plan.roots(), &plan.config) {
        Err(evolve::Error::Store(store::Error::Changed { path, differences })) => {
            Err(other_run(path, differences))
        }
        other => other.context(|| cannot_evolve(dir.path())),
    }
}

/// Says who has to change: another program started the run, or the plan is another one.
fn other_run(path: PathBuf, differences: Vec<Difference>) -> Error {
    if evolve::is_other_version(&differences) {
        Error::OtherVersion { path, reason: join(&differences) }
    } else if is_other_build(&differences) {
        Error::OtherBuild { path, differences }
    } else {
        store::Error::Changed { path, differences }.into()
    }
}

fn cannot_evolve(dir: &Path) -> String {
    format!("cannot evolve in `{}`", dir.display())
}

/// Starts or resumes a run that [`check_same_run`] has accepted, and writes its manifest.
///
/// # Errors
/// As [`check_same_run`], if a converted model has changed; llama.cpp fails; the run was interrupted.
pub fn run(plan: &EvolvePlan, dir: &RunDir, store: &mut Store, context: Context<'_>) -> Result<Summary> {
    if evolve::is_finished(store)? {
        Manifest::complete(dir, store)?;
        return Ok(Summary::of(store)?);
    }
    let recorded = Recipe::recorded(&store.identity()?, dir.path())?;
    let compute =
        Compute::prepare(&plan.engine, &plan.model, plan.model_sha256(), recorded.as_ref(), context)?;
    let recipe = compute.recipe(plan.judge_recipe(context.threads));
    compare(plan, dir, store, &recipe)?;
    if recorded.is_none() {
        // For readers while the run is running. A resumed run already has one.
        write_manifest(plan, &compute, dir, store)?;
    }
    let summary = generate(plan, &compute, &recipe, dir, store, context)?;
    write_manifest(plan, &compute, dir, store)?;
    Ok(summary)
}

fn generate(
    plan: &EvolvePlan,
    compute: &Compute,
    recipe: &Recipe,
    dir: &RunDir,
    store: &mut Store,
    context: Context<'_>,
) -> Result<Summary> {
    let counters = Arc::new(llm::Progress::default());
    let mut options = compute.options();
    options.interrupt = Arc::clone(context.host.interrupt());
    options.progress = Arc::clone(&counters);
    let mut engine = Engine::load(options)?;
    let load = |judge| load_judge(judge, plan, &counters, context);
    let mut judge = plan.judge.as_ref().map(load).transpose()?;
    let model = evolve::Model {
        n_params: Some(engine.info().n_params),
        generate: &mut engine,
        sha256: plan.model_sha256().to_owned(),
        recipe: recipe.identity(),
        judge: judge
            .as_mut()
            .map(|judge| JudgeModel { n_params: Some(judge.info().n_params), generate: judge }),
    };
    let progress = EvolveProgress::new(context.host, &counters);
    let reporting = &progress;
    let (stop, stopped) = mpsc::channel::<()>();
    let result = std::thread::scope(|scope| {
        scope.spawn(move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                reporting.tick();
            }
        });
        let mut on_event = |event: &evolve::Event| progress.event(event);
        let result = evolve::run(model, store, plan.roots(), &plan.config, &mut on_event);
        drop(stop);
        result
    });
    context.host.progress_done();
    match result {
        Err(evolve::Error::Llm(llm::Error::Interrupted)) => Err(Error::Interrupted),
        other => other.context(|| cannot_evolve(dir.path())),
    }
}

fn load_judge(
    judge: &JudgePlan,
    plan: &EvolvePlan,
    counters: &Arc<llm::Progress>,
    context: Context<'_>,
) -> Result<Engine> {
    let mut options = context.engine_options(&judge.path);
    options.determinism = judge.determinism;
    options.gpu_layers = plan.engine.gpu_layers;
    options.progress = Arc::clone(counters);
    Ok(Engine::load(options)?)
}

fn write_manifest(plan: &EvolvePlan, compute: &Compute, dir: &RunDir, store: &Store) -> Result<()> {
    let origin = Origin {
        seed: plan.config.seed,
        model: plan.model_entry.clone(),
        compute: compute.entry().clone(),
        seeds: plan.seeds_entry.clone(),
        judge_model: plan.judge.as_ref().map(|judge| judge.entry.clone()),
    };
    Manifest::new(origin, store)?.write(dir)
}
