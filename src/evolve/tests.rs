//! Whole runs with a scripted generator that misbehaves, on a real journal.

use super::scripted::{NOTHING, Scripted};
use super::*;
use crate::dataset::Seed;
use crate::explain::Explain as _;
use crate::identity::Identity;
use crate::llm;
use crate::store::{self, History, Node};
use std::collections::{BTreeMap, HashMap, HashSet};
use tempfile::TempDir;

/// Seeds of several shapes: plain, with material, over several lines, not English.
pub(super) fn seeds(count: usize) -> Vec<Seed> {
    let seed = |i: usize| Seed {
        instruction: match i % 4 {
            0 => format!("Name {i} rivers."),
            1 => format!("Sum up text {i}."),
            2 => format!("Say what this prints:\nprint({i})"),
            _ => format!("Zähle bis {i} und erkläre 数 \u{1F600}."),
        },
        input: if i % 4 == 1 { format!("Text {i}, line 1\nline 2") } else { String::new() },
        skill: i.is_multiple_of(3).then(|| "Geography".to_owned()),
        difficulty: i.is_multiple_of(2).then_some(3),
    };
    (0..count).map(seed).collect()
}

/// The paper's way, whatever the yield.
pub(super) fn config(seed: u64) -> EvolveConfig {
    EvolveConfig {
        profile: Profile::Wizardlm,
        seed,
        rounds: Some(3),
        chunk_size: 16,
        min_yield: 0.0,
        max_errors: 1.0,
        ..EvolveConfig::default()
    }
}

pub(super) fn go(
    scripted: &mut Scripted,
    store: &mut Store,
    seeds: &[Seed],
    config: &EvolveConfig,
    progress: &mut dyn FnMut(&Event),
) -> Result<Summary, Error> {
    let model = Model {
        generate: scripted,
        sha256: "aa".to_owned(),
        recipe: Identity::default(),
        n_params: Some(135_000_000),
        judge: None,
    };
    run(model, store, Roots::all(seeds), config, progress)
}

pub(super) fn new_store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::create(dir.path()).unwrap();
    (dir, store)
}

/// A finished run.
pub(super) fn finished(rng_seed: u64, seeds: &[Seed], config: &EvolveConfig) -> (TempDir, Store, Summary) {
    let (dir, mut store) = new_store();
    let mut scripted = Scripted::new(rng_seed, 0.5);
    let summary = go(&mut scripted, &mut store, seeds, config, &mut |_| ()).unwrap();
    (dir, store, summary)
}

/// Everything in a journal, root by root.
pub(super) fn families(store: &Store, roots: usize) -> Vec<Vec<History>> {
    (0..roots).map(|i| store.family(store::node_id(i, 0, 0)).unwrap()).collect()
}

/// Whether a child's lineage continues from it.
pub(super) fn continues(child: &Node) -> bool {
    child.status == Status::Kept || child.reason.as_deref() == Some("answer_truncated")
}

#[test]
fn every_root_is_evolved_once_per_round_from_its_newest_kept_instruction() {
    let seeds = seeds(200);
    for rng_seed in 0..8 {
        let (_dir, store, summary) = finished(rng_seed, &seeds, &config(rng_seed));
        assert_eq!((summary.seeds, summary.attempts), (200, 600));
        for family in families(&store, seeds.len()) {
            let rounds: Vec<u32> = family.iter().map(|history| history.node.round).collect();
            assert_eq!(rounds, [0, 1, 2, 3]);
            let mut newest = &family[0].node;
            for history in &family[1..] {
                // A parent that failed to give a good child is tried again. An eliminated child never is, but
                // one of which the answer alone was too long.
                assert_eq!(history.node.parent_id, Some(newest.id));
                if continues(&history.node) {
                    newest = &history.node;
                }
            }
        }
    }
}

#[test]
fn further_attempts_go_to_those_that_failed_in_the_round() {
    let seeds = seeds(60);
    let config = EvolveConfig { attempts: Some(3), ..config(5) };
    let (_dir, store, _) = finished(5, &seeds, &config);
    let mut retried = 0;
    for family in families(&store, seeds.len()) {
        for round in 1..=3 {
            let tries: Vec<&Node> =
                family.iter().map(|h| &h.node).filter(|node| node.round == round).collect();
            let (last, failed) = tries.split_last().unwrap();
            assert!(!failed.iter().any(|node| continues(node)));
            assert!(continues(last) || tries.len() == 3);
            assert!(tries.iter().all(|node| node.parent_id == last.parent_id));
            retried += failed.len();
        }
    }
    assert!(retried > 50, "{retried}");
}

#[test]
fn what_is_eliminated_has_one_reason_and_only_survivors_are_answered() {
    let seeds = seeds(300);
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    for rng_seed in 0..6 {
        let (_dir, store, summary) = finished(rng_seed, &seeds, &config(rng_seed));
        assert_eq!(summary.kept + summary.eliminated.values().sum::<u64>(), summary.attempts);
        assert_eq!(summary.answers as usize, store.training_rows().unwrap().len());
        for History { node, verdicts, answer } in families(&store, seeds.len()).into_iter().flatten() {
            let failed: Vec<&str> = verdicts.iter().filter(|v| !v.passed).map(|v| v.rule.as_str()).collect();
            assert_eq!(failed, node.reason.as_deref().into_iter().collect::<Vec<_>>());
            let stage = node.reason.as_deref().map(|reason| Reason::parse(reason).unwrap().stage());
            assert_eq!(answer.is_some(), stage.is_none_or(|stage| stage == Stage::Answer));
            assert_eq!(node.generation.is_some(), node.round > 0);
            if node.status == Status::Kept {
                assert!(!answer.unwrap().text.is_empty() && !node.instruction.is_empty());
            }
            *reasons.entry(node.reason.unwrap_or_default()).or_insert(0) += 1;
        }
    }
    // The script injects every fault of the paper's rules, so every one of them must have fired.
    let of_guards: HashSet<Reason> = guard::GUARDS.iter().map(|guard| guard.reason).collect();
    let with_guards = [Reason::NoConstraint];
    let paper = Reason::ALL.into_iter().filter(|r| !of_guards.contains(r) && !with_guards.contains(r));
    for reason in paper {
        assert!(reasons.contains_key(reason.name()), "{} never fired: {reasons:?}", reason.name());
    }
}

#[test]
fn an_instruction_occurs_once_among_those_of_a_lineage_that_live_on() {
    let seeds = seeds(100);
    let (_dir, store, _) = finished(3, &seeds, &config(3));
    let mut seen = HashSet::new();
    for row in store.training_rows().unwrap() {
        let (instruction, input) = (&row.node.instruction, &row.node.input);
        let identity = (row.node.root_id, text::normalise(instruction), text::normalise(input));
        assert!(seen.insert(identity), "{:?} twice", row.node.instruction);
    }
}

#[test]
fn what_the_model_does_not_see_is_carried_verbatim_in_depth_and_dropped_in_breadth() {
    let seeds = seeds(200);
    let (_dir, store, _) = finished(9, &seeds, &config(9));
    let mut seen = HashMap::new();
    for family in families(&store, seeds.len()) {
        let seed = &family[0].node;
        let first = &family[1].node;
        if first.status == Status::Eliminated {
            continue;
        }
        let operator = Operator::parse(first.operator.as_deref().unwrap()).unwrap();
        let carries = !operator.is_in_breadth();
        assert_eq!(first.input.contains(&seed.input), carries || seed.input.is_empty());
        let code = seed.instruction.split_once('\n').map(|(_, code)| code);
        if let Some(code) = code {
            assert_eq!(first.instruction.ends_with(code), carries, "{:?}", first.instruction);
        }
        let has_data = first.input.lines().any(|line| line.ends_with(",1"));
        assert_eq!(has_data, operator == Operator::ComplicateInput);
        *seen.entry(operator).or_insert(0) += 1;
    }
    let paper = OperatorWeights::wizardlm();
    let used = Operator::ALL.into_iter().filter(|&operator| paper.get(operator) > 0.0).count();
    assert_eq!(seen.len(), used, "{seen:?}");
}

/// Collects chunks as a run reports them, whether they are replayed or not.
fn collect(chunks: &mut Vec<Chunk>) -> impl FnMut(&Event) {
    |event| {
        if let Event::Chunk(chunk) = event {
            chunks.push(Chunk { replayed: false, ..chunk.clone() });
        }
    }
}

#[test]
fn every_stage_reports_as_many_nodes_as_it_has() {
    let seeds = seeds(50);
    let (_dir, mut store) = new_store();
    let mut chunks = Vec::new();
    let config = EvolveConfig { attempts: Some(3), ..config(2) };
    go(&mut Scripted::new(2, 0.5), &mut store, &seeds, &config, &mut collect(&mut chunks)).unwrap();
    let mut last: BTreeMap<(u32, u32, Stage), (usize, usize)> = BTreeMap::new();
    for Chunk { round, attempt, stage, done, total, .. } in chunks {
        last.insert((round, attempt, stage), (done, total));
    }
    assert!(last.len() > 25, "{last:?}");
    assert!(last.values().all(|(done, total)| done == total), "{last:?}");
    assert_eq!(last[&(0, 0, Stage::Answer)], (50, 50));
    let kept = store.attempts(2, 0).unwrap().iter().filter(|node| node.status == Status::Kept).count();
    assert_eq!(last[&(2, 1, Stage::Evolve)].1, 50 - kept);
}

#[test]
fn a_run_that_is_interrupted_at_any_call_ends_with_the_same_rows() {
    let seeds = seeds(40);
    let config = EvolveConfig { attempts: Some(2), ..config(1) };
    let (_dir, mut store) = new_store();
    let mut chunks = Vec::new();
    let whole =
        go(&mut Scripted::new(1, 0.5), &mut store, &seeds, &config, &mut collect(&mut chunks)).unwrap();
    let expected = families(&store, seeds.len());
    let calibration = store.meta("judge").unwrap();
    let (mut calls, mut max_twice, mut none_twice) = (1, 0, 0);
    loop {
        let (dir, mut store) = new_store();
        let mut scripted = Scripted { interrupt_at: Some(calls), ..Scripted::new(1, 0.5) };
        match go(&mut scripted, &mut store, &seeds, &config, &mut |_| ()) {
            Ok(_) => break,
            Err(Error::Llm(llm::Error::Interrupted)) => (),
            Err(error) => panic!("{error}"),
        }
        drop(store);
        let mut store = Store::open(dir.path()).unwrap();
        let (mut again, mut replayed) = (Scripted::new(1, 0.5), 0);
        let mut chunks_again = Vec::new();
        let mut note = collect(&mut chunks_again);
        let summary = go(&mut again, &mut store, &seeds, &config, &mut |event| {
            replayed += usize::from(matches!(event, Event::Chunk(Chunk { replayed: true, .. })));
            note(event);
        });
        drop(note);
        assert_eq!(summary.unwrap(), whole);
        assert_eq!(chunks_again, chunks, "interrupted at call {calls}");
        assert_eq!(families(&store, seeds.len()), expected, "interrupted at call {calls}");
        assert_eq!(store.meta("judge").unwrap(), calibration);
        // Nothing is done twice: calls of both processes add up, but for the chunk that was interrupted, of
        // which the first answers may have been there when a brief one was asked for.
        let requested = scripted.requested.iter().chain(&again.requested).count();
        let twice = requested - generations(&expected);
        assert!(twice <= config.chunk_size, "{twice} twice, interrupted at call {calls}");
        max_twice = max_twice.max(twice);
        none_twice += usize::from(twice == 0);
        // The first call calibrates; each of the others that succeeded left a chunk, but for ratings, of
        // three calls.
        assert!(replayed <= calls.saturating_sub(2), "{replayed} chunks, interrupted at call {calls}");
        calls += 1;
    }
    assert!(calls > 20, "the run made only {calls} calls");
    assert!(max_twice > 0 && none_twice * 2 > calls, "{max_twice}, {none_twice} of {calls}");
}

/// Instructions and answers that were generated for these families, each answer with those before it.
fn generations(families: &[Vec<History>]) -> usize {
    let answers = |h: &History| h.answer.as_ref().map_or(0, |answer| answer.sample as usize + 1);
    families.iter().flatten().map(|h| usize::from(h.node.generation.is_some()) + answers(h)).sum()
}

#[test]
fn a_run_resumes_only_with_what_it_was_started_with() {
    let seeds = seeds(20);
    let (_dir, mut store, summary) = finished(2, &seeds, &config(2));
    let mut scripted = Scripted::new(2, 0.5);
    let mut refused = |seeds: &[Seed], config: &EvolveConfig, name: &str| {
        let error = go(&mut scripted, &mut store, seeds, config, &mut |_| ()).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert!(error.hint().is_some());
    };
    refused(&seeds[1..], &config(2), "`seeds.blake3` was");
    refused(&seeds, &config(3), "`config.seed` was `2`, is now `3`");
    let mut other = config(2);
    other.operators = Some(OperatorWeights::new([(Operator::Mutation, 0.5)]));
    refused(&seeds, &other, "`config.operators.mutation` was absent, is now `0.5`");
    let lenient = EvolveConfig { min_yield: 0.05, ..config(2) };
    assert_eq!(go(&mut scripted, &mut store, &seeds, &lenient, &mut |_| ()).unwrap(), summary);
    assert!(scripted.requested.is_empty());
}

#[test]
fn a_hopeless_run_stops_early_and_says_why() {
    let (_dir, mut store) = new_store();
    let config = EvolveConfig { min_yield: 0.1, chunk_size: 64, ..config(0) };
    let mut scripted = Scripted { only_fault: Some(NOTHING), ..Scripted::new(0, 1.0) };
    let error = go(&mut scripted, &mut store, &seeds(400), &config, &mut |_| ()).unwrap_err();
    let Error::Hopeless { round, attempts, alive, ref reason, .. } = error else { panic!("{error}") };
    assert_eq!(round, 1);
    assert!(alive * 10 < attempts && attempts < 400, "{alive} of {attempts}");
    assert_eq!(reason, "empty");
    assert!(error.hint().is_some());
}

#[test]
fn operators_are_drawn_by_weight_and_independently_of_anything_else() {
    let named = [
        (Operator::AddConstraints, 3.0),
        (Operator::Deepening, 0.5),
        (Operator::Concretizing, 1.0),
        (Operator::IncreaseReasoning, 1.0),
        (Operator::ComplicateInput, 1.0),
    ];
    let weights = OperatorWeights::new(named);
    let n = 20_000_u64;
    let mut counts: HashMap<Operator, f64> = HashMap::new();
    for root in 1..=n {
        *counts.entry(weights.draw(7, root * 10_000, 1, 0, false)).or_insert(0.0) += 1.0;
    }
    assert!(!counts.contains_key(&Operator::Mutation));
    for operator in Operator::ALL {
        let p = weights.get(operator) / 6.5;
        // Five standard deviations of a binomial count.
        let tolerance = 5.0 * (n as f64 * p * (1.0 - p)).sqrt();
        let count = counts.get(&operator).copied().unwrap_or(0.0);
        assert!((count - n as f64 * p).abs() <= tolerance, "{operator:?}: {count}");
    }
}

#[test]
fn the_judge_does_not_mind_which_task_comes_first() {
    let same = library::JudgePrompts::new(Style::Completion).same;
    let tasks = [("Name a river.", "Name two rivers."), ("What is x?", "What is it, and why?")];
    for (a, b) in tasks {
        let mean = |first: &str, second: &str| {
            let pair = [(first.to_owned(), second.to_owned())];
            let margins = judge::margins(&mut ByPrompt, &same, &pair).unwrap();
            margins[0].unwrap().mean()
        };
        assert_eq!(mean(a, b).to_bits(), mean(b, a).to_bits());
    }
}

/// Scores a question by its prompt alone.
struct ByPrompt;

impl Generate for ByPrompt {
    fn chat_prompt(&self, _: &[llm::Message], _: usize) -> Option<Result<llm::Prompt, llm::Error>> {
        None
    }

    fn text_tokens(&self, text: &str) -> Result<usize, llm::Error> {
        Ok(text.len() / 4)
    }

    fn context_tokens(&self) -> usize {
        2048
    }

    fn generate(&mut self, _: &[llm::Request]) -> Result<Vec<llm::Completion>, llm::Error> {
        panic!("a judge generates nothing")
    }

    fn score(&mut self, questions: &[llm::Question]) -> Result<Vec<llm::Answer>, llm::Error> {
        let answer = |question: &llm::Question| {
            let text = &question.prompt.parts[1].text;
            let p = crate::rng::uniform(0, text.len() as u64, u64::from(text.as_bytes()[9]));
            llm::Answer { id: question.id, log_probs: Some(vec![p.ln(), (1.0 - p).ln()]) }
        };
        Ok(questions.iter().map(answer).collect())
    }
}

#[test]
fn auto_style_is_chat_for_large_models_with_a_template() {
    let style = |n, template| Style::Auto.resolve(n, template).unwrap();
    assert_eq!(style(Some(8_000_000_000), true), Style::Chat);
    assert_eq!(style(Some(8_000_000_000), false), Style::Completion);
    assert_eq!(style(Some(135_000_000), true), Style::Completion);
    assert_eq!(style(None, true), Style::Completion);
    assert!(matches!(Style::Chat.resolve(None, false), Err(Error::NoChatTemplate)));
}

#[test]
fn chat_style_runs_and_a_model_without_a_template_is_answered_by_completion() {
    for (style, has_template) in [(Style::Chat, true), (Style::Completion, false)] {
        let (_dir, mut store) = new_store();
        let mut scripted = Scripted { has_template, ..Scripted::new(4, 0.2) };
        let config = EvolveConfig { style, ..config(4) };
        let summary = go(&mut scripted, &mut store, &seeds(30), &config, &mut |_| ()).unwrap();
        assert!(summary.kept > 0);
    }
}

#[test]
fn a_configuration_out_of_range_is_named() {
    let refuse = |config: EvolveConfig, name: &str| {
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains(&format!("`{name}`")), "{error}");
    };
    refuse(EvolveConfig { rounds: Some(100), ..config(0) }, "rounds");
    refuse(EvolveConfig { attempts: Some(0), ..config(0) }, "attempts");
    refuse(EvolveConfig { chunk_size: 0, ..config(0) }, "chunk_size");
    refuse(EvolveConfig { min_yield: f64::NAN, ..config(0) }, "min_yield");
    refuse(EvolveConfig { operators: Some(OperatorWeights::new([])), ..config(0) }, "operators");
    let mut negative = OperatorWeights::wizardlm();
    negative.set(Operator::Mutation, -1.0);
    refuse(EvolveConfig { operators: Some(negative), ..config(0) }, "operators");
    let text = serde_json::to_string(&config(0)).unwrap();
    assert_eq!(serde_json::from_str::<EvolveConfig>(&text).unwrap(), config(0));
}

/// Replays with another generator of the same script.
pub(super) fn replay(
    scripted: &mut Scripted,
    store: &Store,
    selection: Selection,
    whole_lists: bool,
) -> Result<Verification, Error> {
    verify(scripted, store, selection, whole_lists, &mut |_, _| ())
}

/// The scripted completions depend on the whole list, so that equal bytes mean equal lists of equal requests.
#[test]
fn a_replay_asks_exactly_what_the_run_asked() {
    let seeds = seeds(50);
    let config = EvolveConfig { attempts: Some(2), ..config(9) };
    let (_dir, store, summary) = finished(9, &seeds, &config);
    let found = replay(&mut Scripted::new(9, 0.5), &store, Selection::All, true).unwrap();
    assert_eq!((found.differing, found.compared), (0, found.generations), "{:?}", found.differences.first());
    let generated = |history: &History| {
        usize::from(history.node.generation.is_some()) + usize::from(history.answer.is_some())
    };
    let all: usize = families(&store, seeds.len()).iter().flatten().map(generated).sum();
    assert_eq!(found.generations, all);
    assert!(all as u64 > summary.attempts && found.bytes > 1000);

    let sample = Selection::Sample { nodes: 20, seed: 1 };
    let found = replay(&mut Scripted::new(9, 0.5), &store, sample, true).unwrap();
    assert!(found.differing == 0 && (20..all).contains(&found.compared), "{found:?}");
    // One by one, everything has other neighbours than it had, and this generator shows it.
    let mut other = Scripted::new(9, 0.5);
    let found = replay(&mut other, &store, sample, false).unwrap();
    let nodes: HashSet<u64> = other.requested.iter().copied().collect();
    assert_eq!((nodes.len(), other.requested.len()), (20, found.compared));
    assert!(found.differing > 10, "{found:?}");
}

#[test]
fn a_replay_finds_what_was_changed_by_hand() {
    let seeds = seeds(20);
    let (dir, store, _) = finished(4, &seeds, &config(4));
    // Some of the script's texts are all the same; those with a number are not.
    let unique = |row: &store::TrainingRow| row.output.starts_with("Do this");
    let changed = store.training_rows().unwrap().into_iter().find(unique).unwrap();
    drop(store);
    // One byte of the answer, in the file, wherever it stands: SQLite leaves old copies where a page was
    // split.
    let path = dir.path().join(store::FILE_NAME);
    let mut file = std::fs::read(&path).unwrap();
    let answer = changed.output.as_bytes();
    let places: Vec<usize> =
        (0..=file.len() - answer.len()).filter(|&at| file[at..].starts_with(answer)).collect();
    assert!(!places.is_empty());
    for at in places {
        file[at + 3] ^= 1;
    }
    std::fs::write(&path, file).unwrap();
    let store = Store::open(dir.path()).unwrap();
    let found = replay(&mut Scripted::new(4, 0.5), &store, Selection::All, true).unwrap();
    assert_eq!(found.differing, 1, "{found:?}");
    let Difference { node_id, stage, field, byte, .. } = &found.differences[0];
    assert_eq!((*node_id, *stage, *field, *byte), (changed.node.id, Stage::Answer, Field::Answer, 3));
}

#[test]
fn a_journal_that_cannot_be_replayed_is_refused() {
    let go = |store: &Store| replay(&mut Scripted::new(1, 0.0), store, Selection::All, true);
    let (_dir, mut store) = new_store();
    assert!(matches!(go(&store), Err(Error::NothingToVerify)));
    let identity = |values: &[(&str, &str)]| values.iter().copied().collect::<Identity>();
    store.bind(&identity(&[("prompts.blake3", "others"), ("prompts.style", "chat")])).unwrap();
    assert!(matches!(go(&store), Err(Error::OtherPrompts { .. })));
    let (_dir, mut store) = new_store();
    store.bind(&identity(&[("config.rounds", "2")])).unwrap();
    assert!(matches!(go(&store), Err(Error::BadIdentity { .. })));
}
