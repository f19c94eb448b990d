//! Catches a run, or a stage of it, that needs the program around it: that resumes to other bytes, does not
//! stop when it is to, or reports nothing, when it is called as a function.
//!
//! The model is [`talker`], so a whole run takes a second. `fetched::stages` has one with the real tokenizer.

use crate::tiny_model::talker;
use Moment::{Displays, UnitOf};
use evol::dataset::read_examples;
use evol::eval::{ResponseOptions, Suite};
use evol::run::eval::{EvalPlan, JudgeChoice};
use evol::run::train::TrainPlan;
use evol::run::{
    self, Context, Error, Host, NamedAdapter, Overrides, Progress, RunConfig, RunDir, Stage, Summary,
};
use evol::train::TrainConfig;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

/// A run of seconds.
const CONFIG: &str = "
seed = 5
out = 'run'
batch_width = 4
[seeds]
file = 'seeds.txt'
[evolve]
profile = 'wizardlm'
judge.pairs = 10
rounds = 1
chunk_size = 4
max_tokens = { instruction = 40, instruction_with_data = 60, answer = 60 }
[export]
validation_fraction = 0.4
[train]
r = 4
learning_rate = 0.05
max_steps = 4
gradient_accumulation_steps = 1
max_seq_len = 256
save_steps = 1
[eval]
limit = 3
max_tokens = 16
judge = false
";

const SEEDS: &str = "Name a river.
Why is bread soft?
Write a poem about rain.
List four tools.
How old is the moon?
Plan a walk for two.
Sum up a fairy tale.
Say what a lens does.
";

/// When a [`Watcher`] interrupts the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A unit of this stage is done.
    UnitOf(&'static str),
    /// So many displays of progress have ended.
    Displays(usize),
}

/// A host that keeps what is reported.
#[derive(Default)]
pub(crate) struct Watcher {
    /// Messages, each stage when its progress is first reported, and the end of each display of progress.
    lines: Mutex<Vec<String>>,
    interrupt: Arc<AtomicBool>,
    interrupt_at: Option<Moment>,
}

/// Line of a [`Watcher`] for the end of a display of progress.
const ENDS: &str = "progress ends";

impl Watcher {
    pub(crate) fn interrupting(moment: Moment) -> Self {
        Self { interrupt_at: Some(moment), ..Self::default() }
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context { host: self, threads: 1, gpus: &[] }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    fn push(&self, line: String) {
        let mut lines = self.lines.lock().unwrap();
        if !line.starts_with("progress: ") || !lines.contains(&line) {
            lines.push(line);
        }
    }
}

impl Host for Watcher {
    fn note(&self, text: &str) {
        self.push(format!("note: {text}"));
    }

    fn detail(&self, text: &str) {
        self.push(format!("detail: {text}"));
    }

    fn warn(&self, text: &str) {
        self.push(format!("warning: {text}"));
    }

    fn progress(&self, progress: &Progress<'_>) {
        self.push(format!("progress: {}", progress.stage));
        let is_unit = |moment| matches!(moment, Moment::UnitOf(stage) if stage == progress.stage);
        if progress.done > 0 && self.interrupt_at.is_some_and(is_unit) {
            self.interrupt.store(true, Ordering::SeqCst);
        }
    }

    fn progress_done(&self) {
        self.push(ENDS.to_owned());
        let count = self.lines().iter().filter(|line| *line == ENDS).count();
        if self.interrupt_at == Some(Moment::Displays(count)) {
            self.interrupt.store(true, Ordering::SeqCst);
        }
    }

    fn interrupt(&self) -> &Arc<AtomicBool> {
        &self.interrupt
    }
}

/// A folder with an experiment in it.
pub(crate) struct Experiment {
    folder: tempfile::TempDir,
    config: RunConfig,
}

impl Experiment {
    pub(crate) fn new(model: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.toml");
        fs::write(&file, format!("model = '{}'\n{CONFIG}", model.display())).unwrap();
        fs::write(folder.path().join("seeds.txt"), SEEDS).unwrap();
        let config = run::load_config(&file, Overrides::default()).unwrap();
        Self { folder, config }
    }

    pub(crate) fn run(&self, until: Option<Stage>, host: &Watcher) -> run::Result<Option<Summary>> {
        run::run(&self.config, until, host.context())
    }

    /// The bytes of every file that later stages depend on, and of the result.
    pub(crate) fn results(&self) -> BTreeMap<&'static str, Vec<u8>> {
        let names = [
            "export/train.jsonl",
            "export/validation.jsonl",
            "adapter/adapter.gguf",
            "adapter/peft/adapter_model.safetensors",
            "baselines/seeds/adapter.gguf",
            "eval/eval.json",
            "eval/generations-evolved.jsonl",
        ];
        let read = |name| fs::read(self.folder.path().join("run").join(name)).unwrap_or_default();
        names.map(|name| (name, read(name))).into()
    }
}

/// The talker, written once for all tests.
fn model() -> &'static Path {
    static MODEL: LazyLock<PathBuf> = LazyLock::new(|| talker(Path::new(env!("CARGO_TARGET_TMPDIR"))));
    &MODEL
}

/// A run that was not disturbed, its summary and what was reported.
fn undisturbed() -> &'static (Experiment, Summary, Vec<String>) {
    static UNDISTURBED: LazyLock<(Experiment, Summary, Vec<String>)> = LazyLock::new(|| {
        let (experiment, host) = (Experiment::new(model()), Watcher::default());
        let summary = experiment.run(None, &host).unwrap().expect("it ran to the end");
        (experiment, summary, host.lines())
    });
    &UNDISTURBED
}

/// # Panics
/// The lines do not start like these, one after the other, with any others between them.
fn assert_in_order(lines: &[String], starts: &[&str]) {
    let mut rest = lines.iter();
    for start in starts {
        assert!(rest.any(|line| line.starts_with(start)), "`{start}` is not in its place: {lines:#?}");
    }
}

#[test]
fn a_run_works_its_stages_off_in_their_order_and_reports_each() {
    let (experiment, summary, lines) = undisturbed();
    let stages = [
        "note: evolving 8 seeds",
        "progress: round 1 evolve",
        "progress: round 1 answer",
        ENDS,
        "progress: train",
        ENDS,
        "note: training on the seeds alone",
        ENDS,
        // Three contestants.
        ENDS,
        ENDS,
        ENDS,
        "note: reading ",
    ];
    assert_in_order(lines, &stages);
    let timed: Vec<&str> = summary.seconds.keys().map(String::as_str).collect();
    let mut all = run::STAGES;
    all.sort_unstable();
    assert_eq!(timed, all);
    assert_eq!((summary.seeds, summary.attempts, summary.train_steps), (8, 8, 4));
    assert!(summary.train_records > 0 && summary.validation_records > 0 && summary.kept > 0, "{summary:?}");
    let empty: Vec<_> = experiment.results().into_iter().filter(|(_, bytes)| bytes.is_empty()).collect();
    assert!(empty.is_empty(), "{empty:?}");
    assert_eq!(summary.check.len(), 2, "two held-out instructions are answered with the adapter and without");
    let has_effect = summary.check.iter().all(|pair| !pair.base.is_empty() && pair.base != pair.adapted);
    assert!(has_effect, "the adapter changes what llama.cpp answers: {:?}", summary.check);
    let page = fs::read_to_string(summary.report.as_ref().unwrap()).unwrap();
    assert!(page.contains("Why is bread soft?") && page.contains("principal components"));
}

#[test]
fn a_run_interrupted_in_the_middle_of_a_stage_resumes_to_the_same_bytes() {
    let expected = undisturbed().0.results();
    let moments = [
        (UnitOf("seeds answer"), true),
        (UnitOf("round 1 answer"), true),
        (UnitOf("train"), false),
        // Of evolving, of two trainings and of the base's responses.
        (Displays(4), false),
    ];
    for (moment, is_evolving) in moments {
        let experiment = Experiment::new(model());
        let found = experiment.run(None, &Watcher::interrupting(moment));
        assert!(matches!(found, Err(Error::Interrupted)), "{moment:?}: {found:?}");
        assert!(experiment.results() != expected, "{moment:?}: something was left to do");
        let host = Watcher::default();
        experiment.run(None, &host).unwrap().expect("it ran to the end");
        assert!(experiment.results() == expected, "{moment:?}");
        let evolved = host.lines().iter().any(|line| line.starts_with("note: evolving"));
        assert_eq!(evolved, is_evolving, "{moment:?}: what is done is not done again");
    }
}

#[test]
fn a_finished_run_does_nothing_and_another_configuration_is_refused() {
    let experiment = Experiment::new(model());
    let first = experiment.run(None, &Watcher::default()).unwrap();
    let results = experiment.results();
    let page = experiment.folder.path().join("run/report.html");
    fs::remove_file(&page).unwrap();
    let host = Watcher::default();
    assert_eq!(experiment.run(None, &host).unwrap(), first);
    let lines = host.lines();
    assert!(matches!(&lines[..], [line] if line.contains("is finished")), "{lines:?}");
    assert!(experiment.results() == results && !page.exists(), "nothing is made again");

    let mut config = experiment.config.clone();
    config.train.learning_rate *= 2.0;
    let found = run::run(&config, None, host.context());
    assert!(matches!(found, Err(Error::OtherConfig { .. })), "{found:?}");
    let mut config = experiment.config.clone();
    config.seeds.file = None;
    let error = run::run(&config, None, host.context()).unwrap_err();
    assert!(format!("{:?}", error.without_context()).contains("seeds.blake3"), "{error:?}");
}

#[test]
fn a_run_stops_after_the_stage_that_is_named_and_resumes_from_there() {
    let experiment = Experiment::new(model());
    let made = [
        (Stage::Evolve, "run.db"),
        (Stage::Export, "export/train.jsonl"),
        (Stage::Train, "adapter/adapter.gguf"),
        (Stage::Baselines, "baselines/seeds/adapter.gguf"),
        (Stage::Eval, "eval/eval.json"),
    ];
    let exists = |name: &str| experiment.folder.path().join("run").join(name).exists();
    for (at, (stage, _)) in made.iter().enumerate() {
        assert_eq!(experiment.run(Some(*stage), &Watcher::default()).unwrap(), None);
        let found: Vec<bool> = made.iter().map(|(_, name)| exists(name)).collect();
        let expected: Vec<bool> = (0..made.len()).map(|other| other <= at).collect();
        assert_eq!(found, expected, "{stage:?}");
        assert!(!exists("summary.json"));
    }
    experiment.run(None, &Watcher::default()).unwrap().expect("it ran to the end");
    assert!(experiment.results() == undisturbed().0.results());
}

fn train_plan(data: &Path, out: &Path) -> TrainPlan {
    TrainPlan {
        model: model().to_owned(),
        data: data.to_owned(),
        validation: None,
        out: out.to_owned(),
        config: TrainConfig {
            r: 4,
            max_steps: Some(4),
            gradient_accumulation_steps: 1,
            max_seq_len: 128,
            save_steps: 1,
            ..TrainConfig::default()
        },
        init: None,
        tensorboard: false,
    }
}

/// Eight short conversations.
fn data(folder: &Path) -> PathBuf {
    let path = folder.join("data.jsonl");
    let row = |text: &str| {
        let turn = |role, content| serde_json::json!({ "role": role, "content": content });
        serde_json::json!({ "messages": [turn("user", text), turn("assistant", "A bridge.")] }).to_string()
    };
    fs::write(&path, SEEDS.lines().map(|line| row(line) + "\n").collect::<String>()).unwrap();
    assert_eq!(read_examples(&path).unwrap().examples.len(), 8);
    path
}

#[test]
fn a_training_interrupted_after_a_step_resumes_to_the_same_adapter() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(folder.path());
    let [whole, cut] = ["whole", "cut"].map(|name| train_plan(&data, &folder.path().join(name)));
    let host = Watcher::default();
    let summary = run::train::run(&whole, host.context()).unwrap();
    assert_in_order(&host.lines(), &["note: samples ", "progress: train"]);
    assert_eq!(summary.steps, 4);

    let host = Watcher::interrupting(UnitOf("train"));
    let found = run::train::run(&cut, host.context());
    assert!(matches!(found, Err(Error::Interrupted)), "{found:?}");
    assert_in_order(&host.lines(), &["progress: train", "note: checkpoint at step 1 of 4"]);
    let resumed = run::train::run(&cut, Watcher::default().context()).unwrap();
    assert_eq!((resumed.steps, resumed.tokens), (summary.steps, summary.tokens));
    let adapter = |plan: &TrainPlan| fs::read(plan.out.join("adapter.gguf")).unwrap();
    assert!(adapter(&whole) == adapter(&cut));
}

#[test]
fn a_training_is_as_long_as_tokens_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let plan = train_plan(&data(folder.path()), &folder.path().join("out"));
    let host = Watcher::default();
    let summary = run::train::run(&plan, host.context()).unwrap();
    let steps = |tokens| run::train::steps_for_tokens(&plan, host.context(), tokens).unwrap();
    assert_eq!((steps(1), steps(summary.tokens), steps(10 * summary.tokens)), (1, 4, 40));
}

#[test]
fn an_evaluation_keeps_responses_and_refuses_other_settings() {
    let folder = tempfile::tempdir().unwrap();
    let training = train_plan(&data(folder.path()), &folder.path().join("adapter"));
    let path = run::train::run(&training, Watcher::default().context()).unwrap().adapter_gguf;
    let mut plan = EvalPlan {
        model: model().to_owned(),
        adapters: vec![NamedAdapter { name: "mine".to_owned(), path }],
        suite: Suite::builtin(),
        items: vec![0, 7],
        contaminated: 0,
        validation: Some(training.data.clone()),
        max_seq_len: 128,
        judge: JudgeChoice::Never,
        options: ResponseOptions { seed: 1, max_tokens: 12, temperature: 0.5 },
        kinds: Vec::new(),
        out: folder.path().join("eval"),
    };
    let dir = RunDir::claim(&plan.out).unwrap();
    let found = run::eval::run(&plan, &dir, Watcher::interrupting(Displays(1)).context());
    assert!(matches!(found, Err(Error::Interrupted)), "{found:?}");
    let host = Watcher::default();
    let evaluation = run::eval::run(&plan, &dir, host.context()).unwrap();
    assert!(fs::read_to_string(plan.out.join("generations-mine.jsonl")).unwrap().lines().count() == 2);
    let names: Vec<&str> = evaluation.contestants.iter().map(|found| found.name.as_str()).collect();
    assert_eq!((names, evaluation.suite.items), (vec!["base", "mine"], 2));
    assert_eq!(run::eval::read(&plan.out).as_ref(), Some(&evaluation));
    // What is kept is not asked for again: a response that was changed by hand stays.
    let kept = plan.out.join("generations-base.jsonl");
    let text = fs::read_to_string(&kept).unwrap();
    let mut lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines[0]["response"] = "by hand".into();
    fs::write(&kept, lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")).unwrap();
    run::eval::run(&plan, &dir, host.context()).unwrap();
    assert!(fs::read_to_string(&kept).unwrap().contains("by hand"));
    plan.options.max_tokens = 13;
    let found = run::eval::run(&plan, &dir, host.context());
    assert!(matches!(found, Err(Error::OtherEvaluation { .. })), "{found:?}");
}
