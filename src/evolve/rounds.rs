//! The order of a run: seeds, rounds, attempts, stages.
//!
//! In the flow: [`super::run`] calls [`run`]; everything it decides is decided from the journal's rows.
//!
//! **Invariant:** a stage whose rows are in the journal is not done again; resuming a run is the same call.

use super::answering;
use super::eliminate::ChildRules;
use super::evolving;
use super::journal;
use super::judge;
use super::judging::{self, judging_model};
use super::library::JudgePrompts;
use super::requests::Requests;
use super::state::Run;
use super::tally::Tally;
use super::times::{Stopwatch, Times};
use super::trial::{self, seed_node};
use super::{
    Calibration, Error, Event, EvolveConfig, Model, Policy, Profile, Roots, Style, identity, limits,
};
use crate::store::Store;

pub(super) fn run(
    model: Model<'_>,
    store: &mut Store,
    roots: Roots<'_>,
    config: &EvolveConfig,
    progress: &mut dyn FnMut(&Event),
) -> Result<Times, Error> {
    config.validate()?;
    if roots.seeds.is_empty() {
        return Err(Error::NoSeeds);
    }
    let Model { generate: model, judge, sha256, recipe, n_params } = model;
    let has_chat_template = model.chat_prompt(&[], 0).is_some();
    let style = config.style.resolve(n_params, has_chat_template)?;
    let judge_style = match &judge {
        None => style,
        Some(judge) => Style::Auto.resolve(judge.n_params, judge.generate.chat_prompt(&[], 0).is_some())?,
    };
    let bound = identity::new(&sha256, style.name(), &recipe, roots, config);
    store.bind(&bound)?;
    let policy = Policy::new(config, style, n_params, model.context_tokens());
    let max_answer_tokens = policy.max_answer_tokens;
    let (seeds, shard) = (roots.own().count(), roots.shard);
    progress(&Event::Started { style, seeds, shard, max_answer_tokens });
    let requests = Requests::new(config, style, has_chat_template, max_answer_tokens);
    let long = limits::find(model, &requests, &policy, roots)?;
    if !long.warnings().is_empty() {
        progress(&Event::LongSeeds(long));
    }
    let rules = ChildRules::new(&requests.prompts, policy.guards);
    let mut run = Run {
        model,
        judge: judge.map(|judge| judge.generate),
        judge_prompts: JudgePrompts::new(judge_style),
        store,
        config,
        policy,
        requests,
        rules,
        seeds: 0,
        tally: Tally::default(),
        progress,
        watch: Stopwatch::default(),
    };
    plant(&mut run, roots)?;
    let line = calibrate(&mut run)?;
    settle(&mut run)?;
    answering::answer(&mut run, 0, 0)?;
    for round in 1..=run.policy.rounds {
        evolve_round(&mut run, round, &line)?;
    }
    if !journal::is_finished(run.store)? {
        journal::note(run.store, journal::FINISHED, &true)?;
    }
    Ok(run.watch.times())
}

fn evolve_round(run: &mut Run<'_, '_>, round: u32, line: &Calibration) -> Result<(), Error> {
    run.tally = run.watch.store(|| Tally::load(run.store, round))?;
    for attempt in 0..run.policy.attempts {
        evolving::evolve(run, round, attempt)?;
        judging::judge(run, round, attempt, line)?;
        answering::answer(run, round, attempt)?;
        run.tally.check(run.store, run.config)?;
    }
    if line.trusted {
        judging::rate(run, round)?;
    }
    Ok(())
}

/// Makes the seeds round 0.
fn plant(run: &mut Run<'_, '_>, roots: Roots<'_>) -> Result<(), Error> {
    let Run { store, watch, .. } = run;
    run.tally = watch.store(|| {
        let tally = Tally::load(store, 0)?;
        if tally.nodes(0) > 0 {
            return Ok(tally);
        }
        let unit = store.begin()?;
        for (index, seed) in roots.own() {
            unit.insert_node(&seed_node(index, seed))?;
        }
        unit.commit()?;
        Tally::load(store, 0)
    })?;
    run.seeds = run.tally.nodes(0);
    Ok(())
}

/// The judge's calibration: from the journal, or made and written there.
fn calibrate(run: &mut Run<'_, '_>) -> Result<Calibration, Error> {
    let calibration = if let Some(made) = journal::calibration(run.store)? {
        made
    } else {
        let model = judging_model(&mut run.judge, run.model);
        let pairs = judge::judge_labelled(model, &run.judge_prompts.same, run.config.judge.pairs)?;
        let made = judge::calibration(&pairs, run.config.judge);
        journal::note(run.store, journal::CALIBRATION, &made)?;
        made
    };
    (run.progress)(&Event::Calibrated(calibration));
    Ok(calibration)
}

/// Completes the policy: from the journal, or by a trial.
fn settle(run: &mut Run<'_, '_>) -> Result<(), Error> {
    if let Some(settled) = journal::policy(run.store)? {
        run.policy = settled;
    } else {
        if run.config.profile == Profile::Auto {
            let operators = run.policy.to_try(run.config);
            let (seed, most) = (run.config.seed, run.policy.max_constraints);
            let trial = trial::run(run.model, &run.requests, seed, most, &operators)?;
            run.policy.fit(run.config, &trial);
        }
        journal::note(run.store, journal::POLICY, &run.policy)?;
    }
    (run.progress)(&Event::Settled(run.policy.clone()));
    Ok(())
}
