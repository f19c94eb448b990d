//! Whole runs of a generator that cuts answers: they are asked for again, and lineages continue.

use super::scripted::{CUT, Scripted};
use super::tests::{config, continues, families, go, new_store, replay, seeds};
use super::*;
use crate::explain::Explain as _;
use crate::store::History;
use std::collections::HashSet;

/// A generator that cuts about half of everything, and is otherwise good.
fn cutting(seed: u64) -> Scripted {
    Scripted { only_fault: Some(CUT), has_all_faults: true, ..Scripted::new(seed, 0.5) }
}

/// All operators and guards, one sample of an answer.
fn verified(seed: u64) -> EvolveConfig {
    EvolveConfig {
        profile: Profile::Verified,
        rounds: Some(3),
        attempts: Some(2),
        answer_samples: Some(1),
        ..config(seed)
    }
}

fn run(scripted: &mut Scripted, seeds: usize, config: &EvolveConfig) -> (tempfile::TempDir, Store) {
    let (dir, mut store) = new_store();
    go(scripted, &mut store, &self::seeds(seeds), config, &mut |_| ()).unwrap();
    (dir, store)
}

fn is_cut(history: &History) -> bool {
    history.node.reason.as_deref() == Some("answer_truncated")
}

#[test]
fn an_answer_that_was_cut_is_asked_for_again_in_every_profile_before_it_is_dropped() {
    for (profile, samples) in [(Profile::Wizardlm, 1), (Profile::Verified, 3)] {
        let config = EvolveConfig { profile, answer_samples: Some(samples), ..verified(1) };
        let (_dir, store) = run(&mut Scripted { only_answers: true, ..cutting(1) }, 60, &config);
        let (mut saved, mut cut) = (0, 0);
        for history in families(&store, 60).into_iter().flatten() {
            let answer = history.answer.as_ref().map(|answer| answer.sample);
            assert!(answer.is_none_or(|sample| sample <= samples));
            if is_cut(&history) {
                assert_eq!(answer, Some(samples), "{:?}", history.node);
                cut += 1;
            } else if history.node.status == Status::Kept {
                saved += usize::from(answer == Some(samples));
            }
        }
        assert!(saved > 3 && cut > 3, "{profile:?}: {saved} saved, {cut} cut");
    }
}

#[test]
fn a_lineage_continues_from_an_instruction_of_which_only_the_answer_was_cut() {
    let (_dir, store) = run(&mut cutting(2), 80, &verified(2));
    let exported: HashSet<u64> =
        crate::dataset::records(&store).unwrap().iter().map(|record| record.id).collect();
    let (mut seeds, mut children) = (0, 0);
    for family in families(&store, 80) {
        for (at, history) in family.iter().enumerate().filter(|(_, history)| is_cut(history)) {
            let node = &history.node;
            assert!(!exported.contains(&node.id));
            // The next attempt of the lineage is in the next round, and evolves this node.
            if let Some(next) = family.get(at + 1) {
                assert_eq!((next.node.round, next.node.parent_id), (node.round + 1, Some(node.id)));
            } else {
                assert_eq!(node.round, 3);
            }
            *(if node.round == 0 { &mut seeds } else { &mut children }) += 1;
        }
    }
    assert!(seeds > 5 && children > 5, "{seeds}, {children}");
}

#[test]
fn a_run_that_cuts_answers_ends_with_the_same_rows_wherever_it_is_interrupted() {
    let (count, config) = (24, verified(3));
    let (_dir, store) = run(&mut cutting(3), count, &config);
    let expected = families(&store, count);
    let derived = Some(Operator::DerivedConstraints.name());
    let brief = |h: &&History| h.answer.as_ref().is_some_and(|answer| answer.sample == 1);
    let of_drafts = |h: &&History| h.node.operator.as_deref() == derived;
    let all: Vec<&History> = expected.iter().flatten().collect();
    assert!(all.iter().copied().filter(brief).filter(of_drafts).count() > 2, "too few brief drafts");
    assert!(all.iter().any(|h| is_cut(h) && h.node.round == 0));
    assert!(all.iter().any(|h| is_cut(h) && h.node.round == 1));
    for calls in 1.. {
        let (dir, mut store) = new_store();
        let mut scripted = Scripted { interrupt_at: Some(calls), ..cutting(3) };
        if go(&mut scripted, &mut store, &seeds(count), &config, &mut |_| ()).is_ok() {
            assert!(calls > 20, "the run made only {calls} calls");
            return;
        }
        drop(store);
        let mut store = Store::open(dir.path()).unwrap();
        go(&mut cutting(3), &mut store, &seeds(count), &config, &mut |_| ()).unwrap();
        assert_eq!(families(&store, count), expected, "interrupted at call {calls}");
    }
}

#[test]
fn a_replay_asks_for_brief_answers_by_the_brief_prompt() {
    let config = verified(4);
    // Lists that depend on what stands in them, and requests that stand alone.
    for is_exact in [false, true] {
        let new = || Scripted { is_exact, ..cutting(4) };
        let (_dir, mut store) = run(&mut new(), 40, &config);
        let found = replay(&mut new(), &store, Selection::All, !is_exact).unwrap();
        assert_eq!((found.differing, found.compared), (0, found.generations), "{:?}", found.differences);
        let sample = Selection::Sample { nodes: 9, seed: 1 };
        let found = replay(&mut new(), &store, sample, !is_exact).unwrap();
        assert!(found.differing == 0 && found.compared >= 9, "{:?}", found.differences);
        // Had the run sampled once more, its brief answers would be ordinary ones.
        let brief = |h: &History| h.answer.as_ref().is_some_and(|answer| answer.sample == 1);
        let brief = families(&store, 40).iter().flatten().filter(|h| brief(h)).count();
        let mut other = policy(&store).unwrap().unwrap();
        other.answer_samples = 2;
        journal::note(&mut store, journal::POLICY, &other).unwrap();
        let found = replay(&mut new(), &store, Selection::All, false).unwrap();
        let requests = found.differences.iter().filter(|found| found.field == Field::Request).count();
        assert!(requests == brief && brief > 10, "{requests} of {brief}");
    }
}

#[test]
fn cut_answers_are_no_errors_but_a_run_without_any_answer_is_hopeless() {
    let all_cut = || Scripted { fault_rate: 1.0, only_answers: true, ..cutting(5) };
    let config = EvolveConfig { operators: Some(OperatorWeights::wizardlm()), ..verified(5) };
    let lenient = EvolveConfig { max_errors: 0.1, min_yield: 0.0, ..config.clone() };
    let (_dir, store) = run(&mut all_cut(), 60, &lenient);
    let all: Vec<History> = families(&store, 60).into_iter().flatten().collect();
    assert!(all.iter().all(|h| !continues(&h.node) || is_cut(h)));
    assert!(all.iter().filter(|h| h.node.round == 3 && is_cut(h)).count() > 20);

    let (_dir, mut store) = new_store();
    // What code adds is not judged, so that hardly any other reason is left.
    let operators = Some(OperatorWeights::new([(Operator::VerifiableConstraints, 1.0)]));
    let strict = EvolveConfig { min_yield: 0.1, operators, ..config };
    let error = go(&mut all_cut(), &mut store, &seeds(60), &strict, &mut |_| ()).unwrap_err();
    let Error::Hopeless { ref reason, .. } = error else { panic!("{error}") };
    assert_eq!(reason, "answer_truncated");
    assert!(error.hint().unwrap().contains("--max-answer-tokens"), "{:?}", error.hint());
}

#[test]
fn a_brief_prompt_names_the_words_and_shows_the_task_once() {
    let task = "Name {{input}} rivers.";
    for has_template in [true, false] {
        let file = library::brief_answer(has_template, 64);
        let model = Scripted { has_template, ..Scripted::new(0, 0.0) };
        let prompt = file.render(&model, |_| task.to_owned()).unwrap().unwrap();
        let text: String = prompt.parts.iter().map(|part| part.text.as_str()).collect();
        assert!(text.contains("about 64 words") && text.matches(task).count() == 1, "{text}");
        assert!(prompt.shared > 0 && !text.ends_with(' '), "{text}");
    }
}
