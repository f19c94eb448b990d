//! Whole runs with all guards, trials, judges and every known fault, on a real journal.

use super::scripted::{self, NOTHING, Scripted};
use super::tests::{config, families, go, new_store, replay, seeds};
use super::*;
use crate::dataset::{Record, near_duplicates};
use crate::explain::Explain as _;
use crate::store::History;
use std::collections::{BTreeMap, HashSet};

/// All guards and all operators, whatever the yield.
fn guarded(seed: u64) -> EvolveConfig {
    let mut weights = OperatorWeights::verified();
    weights.set(Operator::ImposedConstraints, 2.0);
    let operators = Some(weights);
    EvolveConfig { profile: Profile::Verified, rounds: Some(2), attempts: Some(2), operators, ..config(seed) }
}

/// Thousands of seeds and every known fault, under all guards.
#[test]
fn no_bad_row_is_kept_whatever_the_generator_does() {
    let seeds = seeds(350);
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    let (mut kept, mut imposed) = (0, 0);
    for rng_seed in 0..8 {
        let (_dir, mut store) = new_store();
        let mut scripted = Scripted { has_all_faults: true, ..Scripted::new(rng_seed, 0.6) };
        let summary = go(&mut scripted, &mut store, &seeds, &guarded(rng_seed), &mut |_| ()).unwrap();
        assert_eq!(summary.kept + summary.eliminated.values().sum::<u64>(), summary.attempts);
        let records = crate::dataset::records(&store).unwrap();
        assert_eq!(summary.answers as usize, records.len());
        let by_code = Operator::ImposedConstraints.name();
        imposed += records.iter().filter(|record| record.operator.as_deref() == Some(by_code)).count();
        for record in &records {
            let text = format!("{} {} {}", record.instruction, record.input, record.output);
            assert!(!text.contains(scripted::BAD), "{record:?}");
            for constraint in &record.constraints {
                assert!(constraint.check(&record.output).passed, "{record:?}");
            }
            assert!(record.constraints.len() <= 4 && crate::constraint::all_compatible(&record.constraints));
        }
        // What was eliminated has one reason, and a seed has no child before its turn.
        let rejected = crate::dataset::rejected(&store).unwrap();
        assert_eq!(records.len() + rejected.len(), (summary.seeds + summary.attempts) as usize);
        for row in &rejected {
            *reasons.entry(row.reason.clone()).or_insert(0) += 1;
        }
        kept += summary.kept;
        // Rechecked without the run, an export has no finding.
        let repeats: HashSet<u64> = near_duplicates(&records).iter().map(|repeat| repeat.id).collect();
        let (left_out, exported): (Vec<Record>, Vec<Record>) =
            records.into_iter().partition(|record| repeats.contains(&record.id));
        let others: Vec<&Record> = rejected.iter().map(|row| &row.record).chain(&left_out).collect();
        let again = recheck(&exported, &others).unwrap();
        assert_eq!((again.findings, again.without_parent), (Vec::new(), 0));
    }
    assert!(kept > 500 && imposed > 50, "{kept}, {imposed}");
    // Code only draws constraints that suit the task: this guard is for data from elsewhere.
    for reason in Reason::ALL.into_iter().filter(|reason| *reason != Reason::Unsuited) {
        assert!(reasons.contains_key(reason.name()), "{} never fired: {reasons:?}", reason.name());
    }
}

#[test]
fn a_guarded_run_that_is_interrupted_ends_with_the_same_rows_and_replays() {
    let seeds = seeds(30);
    let new = || Scripted { has_all_faults: true, ..Scripted::new(6, 0.5) };
    let (_dir, mut store) = new_store();
    let whole = go(&mut new(), &mut store, &seeds, &guarded(6), &mut |_| ()).unwrap();
    let expected = families(&store, seeds.len());
    let found = replay(&mut new(), &store, Selection::All, true).unwrap();
    assert_eq!((found.differing, found.compared), (0, found.generations), "{:?}", found.differences.first());
    let generated = |h: &History| usize::from(h.node.generation.is_some()) + usize::from(h.answer.is_some());
    assert_eq!(found.generations, expected.iter().flatten().map(generated).sum::<usize>());
    // In steps, or it would take minutes.
    for calls in (1..200).step_by(7) {
        let (dir, mut store) = new_store();
        let mut scripted = Scripted { interrupt_at: Some(calls), ..new() };
        if go(&mut scripted, &mut store, &seeds, &guarded(6), &mut |_| ()).is_ok() {
            assert!(calls > 30, "the run made only {calls} calls");
            return;
        }
        drop(store);
        let mut store = Store::open(dir.path()).unwrap();
        assert_eq!(go(&mut new(), &mut store, &seeds, &guarded(6), &mut |_| ()).unwrap(), whole);
        assert_eq!(families(&store, seeds.len()), expected, "interrupted at call {calls}");
    }
    panic!("the run never ended");
}

#[test]
fn further_attempts_draw_operators_that_were_not_tried() {
    let weights = OperatorWeights::verified();
    let used = Operator::ALL.into_iter().filter(|&operator| weights.get(operator) > 0.0).count();
    for root in 1..=200 {
        let drawn = |attempt| weights.draw(3, root * 10_000, 1, attempt, false);
        let tried: HashSet<Operator> = (0..used as u32).map(drawn).collect();
        assert_eq!(tried.len(), used, "all operators before one comes again");
        assert!(tried.contains(&drawn(used as u32)));
        for attempt in 0..4 {
            assert!(weights.draw(3, root * 10_000, 1, attempt, true).is_by_code(), "constraints stay whole");
        }
    }
}

#[test]
fn another_model_can_judge_and_its_recipe_is_bound() {
    let seeds = seeds(40);
    let (_dir, mut store) = new_store();
    let (mut evolver, mut judge) = (Scripted::new(1, 0.0), Scripted::new(2, 0.0));
    let model = Model {
        generate: &mut evolver,
        sha256: "aa".to_owned(),
        recipe: [("judge.sha256", "bb")].into_iter().collect(),
        n_params: None,
        judge: Some(JudgeModel { generate: &mut judge, n_params: None }),
    };
    run(model, &mut store, Roots::all(&seeds), &config(1), &mut |_| ()).unwrap();
    assert_eq!((evolver.scored, judge.requested.len()), (0, 0), "one generates, the other judges");
    assert!(judge.scored > 524, "{}", judge.scored);
    let error = go(&mut Scripted::new(1, 0.0), &mut store, &seeds, &config(1), &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("judge.sha256"), "{error}");
}

#[test]
fn what_a_trusted_judge_kept_is_rated_once() {
    let seeds = seeds(100);
    let (_dir, mut store) = new_store();
    go(&mut Scripted::new(1, 0.0), &mut store, &seeds, &config(1), &mut |_| ()).unwrap();
    assert!(calibration(&store).unwrap().unwrap().trusted);
    let mut rated = 0;
    for record in crate::dataset::records(&store).unwrap().iter().filter(|record| record.round > 0) {
        assert!(record.difficulty.is_some_and(|level| (1..=10).contains(&level)), "{record:?}");
        assert!(record.harder.is_some_and(|p| (0.0..=1.0).contains(&p)), "{record:?}");
        rated += 1;
    }
    assert!(rated > 20, "{rated}");
    // One that cannot tell is not asked, and words decide.
    let (_dir, mut store) = new_store();
    let mut blind = Scripted { judges_well: false, ..Scripted::new(1, 0.3) };
    go(&mut blind, &mut store, &seeds, &config(1), &mut |_| ()).unwrap();
    assert!(!calibration(&store).unwrap().unwrap().trusted);
    assert_eq!(blind.scored, 524);
    assert!(crate::dataset::records(&store).unwrap().iter().all(|record| record.harder.is_none()));
}

#[test]
fn a_generator_that_gives_no_text_stops_the_run() {
    let (_dir, mut store) = new_store();
    let config = EvolveConfig { max_errors: 0.5, ..config(0) };
    let mut scripted = Scripted { only_fault: Some(NOTHING), ..Scripted::new(0, 0.8) };
    let error = go(&mut scripted, &mut store, &seeds(400), &config, &mut |_| ()).unwrap_err();
    let Error::Failing { attempts, failed, ref reason, .. } = error else { panic!("{error}") };
    assert!(failed * 2 > attempts && attempts < 400, "{failed} of {attempts}");
    assert_eq!(reason, "empty");
    assert!(error.hint().is_some());
}

#[test]
fn auto_settles_on_what_the_trial_allows_and_keeps_to_it() {
    let seeds = seeds(30);
    let config = EvolveConfig { profile: Profile::Auto, operators: None, ..guarded(2) };
    let (_dir, mut store) = new_store();
    let mut scripted = Scripted { has_all_faults: true, ..Scripted::new(2, 0.2) };
    let mut settled = Vec::new();
    let mut note = |event: &Event| {
        if let Event::Settled(policy) = event {
            settled.push(policy.clone());
        }
    };
    go(&mut scripted, &mut store, &seeds, &config, &mut note).unwrap();
    // A replay that finds the policy in the journal asks nothing.
    let mut none = Scripted::new(3, 1.0);
    go(&mut none, &mut store, &seeds, &config, &mut note).unwrap();
    assert!(none.requested.is_empty());
    assert_eq!(settled.len(), 2);
    assert_eq!(settled[0], settled[1]);
    assert_eq!(Some(&settled[0]), policy(&store).unwrap().as_ref());
    assert!(settled[0].why.len() >= 3, "{:?}", settled[0].why);
    for record in crate::dataset::records(&store).unwrap() {
        let operator = record.operator.as_deref().map(|name| Operator::parse(name).unwrap());
        assert!(operator.is_none_or(|operator| settled[0].operators.get(operator) > 0.0));
    }
}
