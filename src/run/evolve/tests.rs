//! Whether a run is the same, and a finished one: neither needs a model.

use super::*;
use crate::dataset::{Seed, builtin_seeds};
use crate::evolve::{EvolveConfig, Shard};
use crate::explain::Explain as _;
use crate::llm::{
    Answer, Completion, ComputeFormat, Determinism, Generate, Message, Prompt, Question, Request,
};
use crate::run::host::tests::Recorder;
use crate::run::identity::{ComputeRecipe, EngineRecipe, Schedule};
use crate::run::manifest::{ModelEntry, SeedsEntry};
use crate::run::settings::{EngineSettings, FormatChoice};
use crate::run::tests::manifest::origin;
use std::path::PathBuf;

const SHA256: &str = "aa";

/// A generator that is interrupted before it generates anything: a run records its identity and stops.
struct Stopped;

impl Generate for Stopped {
    fn chat_prompt(&self, _: &[Message], _: usize) -> Option<Result<Prompt, llm::Error>> {
        None
    }

    fn text_tokens(&self, text: &str) -> Result<usize, llm::Error> {
        Ok(text.len() / 4)
    }

    fn context_tokens(&self) -> usize {
        2048
    }

    fn generate(&mut self, _: &[Request]) -> Result<Vec<Completion>, llm::Error> {
        Err(llm::Error::Interrupted)
    }

    fn score(&mut self, _: &[Question]) -> Result<Vec<Answer>, llm::Error> {
        Err(llm::Error::Interrupted)
    }
}

/// A plan with a model whose converted file is known by its hash alone, so that no file is read.
fn with_seeds(seeds: &[Seed]) -> EvolvePlan {
    let model = PathBuf::from("absent.gguf");
    EvolvePlan {
        model_entry: ModelEntry {
            path: model.clone(),
            known_as: None,
            name: None,
            architecture: None,
            sha256: SHA256.to_owned(),
            licence: None,
        },
        model,
        seeds_entry: SeedsEntry::new(None, None, seeds),
        seeds: seeds.to_vec(),
        config: EvolveConfig::default(),
        engine: EngineSettings { compute_format: FormatChoice::Auto, ..EngineSettings::default() },
        judge: None,
        shard: Shard::WHOLE,
    }
}

/// How the run in a [`Fixture`] was started.
fn recipe() -> Recipe {
    let schedule = Schedule { threads: 2, batch_width: Some(8), gpu_layers: 0 };
    Recipe {
        compute: ComputeRecipe { format: ComputeFormat::F16, sha256: "bb".to_owned() },
        engine: EngineRecipe::new(Determinism::Exact, schedule),
        judge: None,
    }
}

struct Fixture {
    dir: RunDir,
    store: Store,
    host: Recorder,
    _folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = RunDir::claim(&folder.path().join("run")).unwrap();
        let store = Store::create(dir.path()).unwrap();
        Self { dir, store, host: Recorder::default(), _folder: folder }
    }

    /// A run by `plan` that was interrupted at its first generation.
    fn started(plan: &EvolvePlan) -> Self {
        let mut fixture = Self::new();
        let model = evolve::Model {
            generate: &mut Stopped,
            sha256: SHA256.to_owned(),
            recipe: recipe().identity(),
            n_params: None,
            judge: None,
        };
        let found = evolve::run(model, &mut fixture.store, plan.roots(), &plan.config, &mut |_| ());
        assert!(matches!(found, Err(evolve::Error::Llm(llm::Error::Interrupted))), "{found:?}");
        fixture
    }

    fn set_meta(&mut self, key: &str, value: &str) {
        let unit = self.store.begin().unwrap();
        unit.set_meta(key, value).unwrap();
        unit.commit().unwrap();
    }

    fn check(&self, plan: &EvolvePlan) -> Result<()> {
        check_same_run(plan, &self.dir, &self.store, self.host.context())
    }

    /// Names of what differs between the run and `plan`.
    fn differences(&self, plan: &EvolvePlan) -> Vec<String> {
        let error = self.check(plan).unwrap_err();
        match error.without_context() {
            Error::Store(store::Error::Changed { differences, .. }) => {
                differences.iter().map(|found| found.name.clone()).collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_fresh_journal_and_the_same_plan_fit() {
    let plan = with_seeds(&builtin_seeds()[..3]);
    Fixture::new().check(&plan).unwrap();
    Fixture::started(&plan).check(&plan).unwrap();
}

#[test]
fn another_plan_is_refused_by_what_differs() {
    let seeds = builtin_seeds();
    let fixture = Fixture::started(&with_seeds(&seeds[..3]));
    assert_eq!(fixture.differences(&with_seeds(&seeds[..2])), ["seeds.blake3"]);
    let mut other = with_seeds(&seeds[..3]);
    other.model_entry.sha256 = "cc".to_owned();
    other.config.rounds = Some(9);
    other.engine.compute_format = FormatChoice::Q8_0;
    assert_eq!(fixture.differences(&other), ["compute.format", "config.rounds", "model.sha256"]);
    let shard = EvolvePlan { shard: Shard::new(1, 2).unwrap(), ..with_seeds(&seeds[..3]) };
    assert_eq!(fixture.differences(&shard), ["shard"]);
}

#[test]
fn another_build_is_refused_as_such_until_nothing_is_left_to_generate() {
    let seeds = builtin_seeds();
    let plan = with_seeds(&seeds[..3]);
    let mut fixture = Fixture::started(&plan);
    fixture.set_meta("fingerprint.engine.llama_cpp", "another");
    match fixture.check(&plan) {
        Err(Error::OtherBuild { path, differences }) => {
            assert_eq!(path, fixture.store.path());
            assert!(
                matches!(&differences[..], [found] if found.name == "engine.llama_cpp"),
                "{differences:?}"
            );
        }
        other => panic!("{other:?}"),
    }
    // With more that differs, the build is not the reason.
    let names = fixture.differences(&with_seeds(&seeds[..2]));
    assert_eq!(names, ["engine.llama_cpp", "seeds.blake3"]);

    fixture.set_meta("finished", "true");
    fixture.check(&plan).unwrap();
    assert_eq!(fixture.differences(&with_seeds(&seeds[..2])), ["seeds.blake3"]);
}

#[test]
fn a_run_with_other_prompts_is_of_another_version_finished_or_not() {
    let plan = with_seeds(&builtin_seeds()[..3]);
    let mut fixture = Fixture::started(&plan);
    for key in ["fingerprint.prompts.blake3", "finished"] {
        fixture.set_meta(key, "others");
        match fixture.check(&plan) {
            Err(Error::OtherVersion { reason, .. }) => {
                assert!(reason.starts_with("`prompts.blake3` was `others`, is now `"), "{reason}");
            }
            other => panic!("{key}: {other:?}"),
        }
    }
}

#[test]
fn a_journal_that_recorded_less_is_of_another_version() {
    let plan = with_seeds(&builtin_seeds()[..3]);
    let mut fixture = Fixture::new();
    fixture.store.bind(&[("model.sha256", SHA256), ("config.rounds", "2")].into_iter().collect()).unwrap();
    match fixture.check(&plan) {
        Err(Error::OtherVersion { path, .. }) => assert_eq!(path, fixture.dir.path()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_finished_run_is_counted_and_its_manifest_completed_without_a_model() {
    let plan = with_seeds(&builtin_seeds()[..3]);
    let mut fixture = Fixture::started(&plan);
    fixture.set_meta("finished", "true");
    let started = Origin { seed: 0, model: plan.model_entry.clone(), ..origin() };
    let manifest = Manifest {
        journal: crate::identity::Identity::default(),
        ..Manifest::new(started, &fixture.store).unwrap()
    };
    manifest.write(&fixture.dir).unwrap();
    let Fixture { dir, store, host, .. } = &mut fixture;
    let summary = run(&plan, dir, store, host.context()).unwrap();
    assert_eq!((summary.seeds, summary.attempts), (3, 0));
    assert_eq!(host.lines(), Vec::<String>::new());
    let completed = Manifest::read(dir.path()).unwrap().unwrap();
    assert_eq!(completed.journal, store.identity().unwrap());
    assert!(!completed.journal.is_empty());
}

#[test]
fn a_run_that_another_program_started_is_told_from_another_plan() {
    let of = |names: &[&str]| {
        let difference = |name: &&str| Difference { name: (*name).to_owned(), was: None, is: None };
        other_run("run.db".into(), names.iter().map(difference).collect())
    };
    assert!(matches!(of(&["config.rounds", "prompts.blake3"]), Error::OtherVersion { .. }));
    assert!(matches!(of(&["rules.version"]), Error::OtherVersion { .. }));
    let build = of(&["engine.llama_cpp", "engine.instruction_sets"]);
    assert!(build.hint().unwrap().starts_with("another build of llama.cpp"));
    let plan = of(&["config.rounds", "engine.llama_cpp"]);
    assert!(plan.hint().unwrap().starts_with("a run resumes only"), "{:?}", plan.hint());
}
