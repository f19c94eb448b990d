//! Catches a break anywhere in the whole loop, in small, on the real model: run through once, repeated, and
//! killed in the middle.

use super::model_path;
use crate::evol;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

// One thread each: these tests run beside others, and llama.cpp's threads wait for each other by spinning.

/// The longest that a busy machine may take for one small run.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// Eight seeds, one round, short texts, a handful of training steps.
const CONFIG: &str = "
seed = 5
out = 'run'
[seeds]
limit = 8
[evolve]
profile = 'wizardlm'
judge.pairs = 24
rounds = 1
chunk_size = 4
max_tokens = { instruction = 40, instruction_with_data = 60, answer = 80 }
[export]
validation_fraction = 0.5
[train]
r = 4
max_steps = 4
gradient_accumulation_steps = 1
max_seq_len = 256
save_steps = 1
[eval]
limit = 6
max_tokens = 24
judge = false
";

/// A folder with an experiment in it.
pub(crate) struct Experiment {
    pub(crate) folder: tempfile::TempDir,
}

impl Experiment {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!("model = '{}'\n{CONFIG}", model_path().display());
        fs::write(folder.path().join("x.toml"), config).unwrap();
        Self { folder }
    }

    /// One that was run to its end without being disturbed, with its summary; made once for all tests. Who
    /// has it has it alone: a run directory is locked by the process that looks at it.
    pub(crate) fn undisturbed() -> MutexGuard<'static, (Self, Value)> {
        static UNDISTURBED: LazyLock<Mutex<(Experiment, Value)>> = LazyLock::new(|| {
            let experiment = Experiment::new();
            let (summary, _) = experiment.finish();
            Mutex::new((experiment, summary))
        });
        UNDISTURBED.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// Runs to the end; the summary and what was said on stderr.
    fn finish(&self) -> (Value, String) {
        let output = evol()
            .current_dir(self.folder.path())
            .args(["run", "x.toml", "--json", "--threads", "1"])
            .timeout(PATIENCE)
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        (serde_json::from_slice(&output.stdout).unwrap(), stderr)
    }

    /// Starts the run and kills it (SIGKILL) as soon as `reached` says so.
    pub(crate) fn kill_when(&self, reached: impl Fn(&Path) -> bool) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_evol"))
            .current_dir(self.folder.path())
            .args(["run", "x.toml", "--threads", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while !reached(&self.run_dir()) {
            assert!(still_running(&mut child), "the run ended before it could be killed");
            assert!(started.elapsed() < PATIENCE, "nothing to kill after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), None, "it must have died of the signal, not ended");
        assert!(!self.run_dir().join("summary.json").exists());
    }

    /// The bytes of every file that later stages depend on.
    fn results(&self) -> Vec<(String, Vec<u8>)> {
        [
            "export/train.jsonl",
            "export/validation.jsonl",
            "adapter/adapter.gguf",
            "adapter/peft/adapter_model.safetensors",
            "baselines/seeds/adapter.gguf",
            "eval/eval.json",
            "eval/generations-base.jsonl",
            "eval/generations-seeds.jsonl",
            "eval/generations-evolved.jsonl",
        ]
        .map(|name| {
            (name.to_owned(), fs::read(self.run_dir().join(name)).unwrap_or_else(|e| panic!("{name}: {e}")))
        })
        .to_vec()
    }

    /// Steps in `metrics.jsonl`, in file order.
    fn steps(&self) -> Vec<u64> {
        let text = fs::read_to_string(self.run_dir().join("adapter/metrics.jsonl")).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|line| line["event"] == "step")
            .map(|line| line["step"].as_u64().unwrap())
            .collect()
    }

    /// Nodes and answers in the journal.
    fn rows(&self) -> (usize, usize) {
        let nodes = nodes(&self.run_dir());
        (nodes.len(), nodes.iter().filter(|node| !node["answer"].is_null()).count())
    }
}

fn still_running(child: &mut Child) -> bool {
    child.try_wait().unwrap().is_none()
}

/// All nodes of a journal that no process has open.
fn nodes(run: &Path) -> Vec<Value> {
    let output = evol().args(["tree", "--json"]).arg(run).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// Nodes of a journal that another process has open and is writing: those of a copy, taken like this by a
/// crash at this moment.
fn committed_nodes(run: &Path) -> Vec<Value> {
    let copy = tempfile::tempdir().unwrap();
    for name in ["run.db", "run.db-wal"] {
        if fs::copy(run.join(name), copy.path().join(name)).is_err() && name == "run.db" {
            return Vec::new();
        }
    }
    let output = evol().args(["tree", "--json"]).arg(copy.path()).output().unwrap();
    // A copy taken in the middle of a checkpoint of the journal may be torn; the next one is not.
    String::from_utf8_lossy(&output.stdout).lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
}

pub(crate) fn without_seconds(mut summary: Value) -> Value {
    for key in ["seconds", "train_tokens_per_second", "adapter", "adapter_peft", "report"] {
        summary.as_object_mut().unwrap().remove(key).unwrap_or_else(|| panic!("no `{key}`"));
    }
    summary
}

#[test]
fn the_whole_loop_leaves_what_it_says() {
    let (experiment, summary) = &*Experiment::undisturbed();
    assert_eq!(summary["seeds"], 8);
    let count = |key: &str| summary[key].as_u64().unwrap_or_else(|| panic!("no `{key}`: {summary}"));
    let eliminated: u64 =
        summary["eliminated"].as_object().unwrap().values().map(|v| v.as_u64().unwrap()).sum();
    assert_eq!(count("kept") + eliminated, count("attempts"));
    assert_eq!(count("attempts"), 8, "in one round every seed is tried once: {summary}");
    assert!(count("answers") >= 2 && count("generated_tokens") > 0);
    assert_eq!(count("answers"), count("train_records") + count("validation_records"));
    assert_eq!((count("train_steps"), experiment.steps()), (4, vec![1, 2, 3, 4]));
    for key in ["validation_loss_before", "validation_loss_after"] {
        let loss = summary[key].as_f64().unwrap_or_else(|| panic!("no `{key}`: {summary}"));
        // ln(49152) = 10.8 is what guessing would give.
        assert!(loss > 0.0 && loss < 10.8, "{key} {loss}");
    }
    assert!(Path::new(summary["adapter"].as_str().unwrap()).is_file());
    let checked = summary["check"].as_array().unwrap();
    assert!(
        !checked.is_empty() && checked.iter().all(|c| c["base"] != "" && c["adapted"] != ""),
        "{summary}"
    );
    assert!(["evolve", "export", "train", "check"].iter().all(|s| summary["seconds"][s].as_f64().is_some()));
    let manifest: Value =
        serde_json::from_slice(&fs::read(experiment.run_dir().join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["model"]["sha256"], summary["model_sha256"]);
    assert_eq!(manifest["seeds"]["count"], 8);
    assert_eq!(manifest["journal"]["model.sha256"], summary["model_sha256"]);
    assert!(manifest["journal"]["prompts.blake3"].is_string());
}

#[test]
fn a_finished_run_is_not_done_again_and_takes_no_other_configuration() {
    let (experiment, summary) = &*Experiment::undisturbed();
    let (results, rows) = (experiment.results(), experiment.rows());
    let (again, stderr) = experiment.finish();
    assert!(stderr.contains("is finished"), "{stderr}");
    assert_eq!(&again, summary);
    assert_eq!((experiment.results(), experiment.rows()), (results, rows));

    let config = fs::read_to_string(experiment.folder.path().join("x.toml")).unwrap();
    fs::write(experiment.folder.path().join("y.toml"), config.replace("max_steps = 4", "max_steps = 5"))
        .unwrap();
    let refused = super::refused(experiment.folder.path(), &["run", "y.toml"]);
    assert!(refused.contains("`train.max_steps` was `4`, is now `5`"), "{refused}");
}

#[test]
fn the_adapter_can_be_talked_to() {
    let (experiment, summary) = &*Experiment::undisturbed();
    let chat = |extra: &[&str]| {
        let output = evol()
            .current_dir(experiment.folder.path())
            .args(["chat", "--threads", "1", "--temperature", "0", "--max-tokens", "12", "--json"])
            .args(["--model", summary["model"].as_str().unwrap()])
            .args(extra)
            .write_stdin("Name a river.\n\nAnd another one?\n")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let stdout = String::from_utf8(output.stdout).unwrap();
        stdout.lines().map(|l| serde_json::from_str(l).unwrap()).collect::<Vec<Value>>()
    };
    let with_adapter = chat(&["--adapter", "run/adapter/adapter.gguf"]);
    assert_eq!(with_adapter.len(), 2, "one answer for each line that is not blank");
    assert!(with_adapter.iter().all(|a| a["answer"] != "" && a["completion_tokens"].as_u64() <= Some(12)));
    let prompt_tokens = |answer: &Value| answer["prompt_tokens"].as_u64().unwrap();
    assert!(
        prompt_tokens(&with_adapter[1]) > prompt_tokens(&with_adapter[0]),
        "the second turn has the first in it"
    );
    assert_eq!(chat(&[]).len(), 2);
}

#[test]
fn doctor_passes_a_sound_model_and_fails_a_broken_one() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(model_path()).unwrap();
    fs::write(folder.path().join("cut.gguf"), &bytes[..bytes.len() / 2]).unwrap();
    let doctor = |model: &Path, code: i32| {
        let output =
            evol().args(["doctor", "--threads", "1", "--json", "--model"]).arg(model).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let sound = doctor(&model_path(), 0);
    assert_eq!(sound["model"]["architecture"], "llama");
    assert!(sound["llama_cpp"].as_array().is_some_and(|sets| !sets.is_empty()));
    let names: Vec<&str> =
        sound["checks"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert!(
        ["model file", "chat template", "training", "generation"].iter().all(|n| names.contains(n)),
        "{names:?}"
    );
    let broken = doctor(&folder.path().join("cut.gguf"), 1);
    let failed = broken["checks"].as_array().unwrap().iter().find(|c| c["verdict"] == "failed").unwrap();
    assert!(failed["found"].as_str().unwrap().contains("bytes are missing"), "{failed}");
}

#[test]
fn bad_seed_lines_can_be_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let seeds = "{\"prompt\": \"Name a river.\"}\n{\"prompt\": 7}\n{\"instruction\": \"Name a lake.\"}\n";
    fs::write(folder.path().join("seeds.jsonl"), seeds).unwrap();
    let output = evol()
        .current_dir(folder.path())
        .args([
            "evolve",
            "--threads",
            "1",
            "--seeds",
            "seeds.jsonl",
            "--on-bad-input",
            "skip",
            "--out",
            "run",
        ])
        .args([
            "--profile",
            "wizardlm",
            "--judge-pairs",
            "10",
            "--rounds",
            "1",
            "--max-instruction-tokens",
            "8",
            "--max-data-tokens",
            "8",
            "--max-answer-tokens",
            "8",
        ])
        .arg("--model")
        .arg(model_path())
        .timeout(PATIENCE)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("warning: line 2 of `seeds.jsonl` cannot be used"), "{stderr}");
    let next = format!("Next: {} export run --out data", env!("CARGO_BIN_EXE_evol"));
    assert!(stderr.contains(&next), "as it was called, to be pasted: {stderr}");
    let seeds = nodes(&folder.path().join("run")).into_iter().filter(|node| node["round"] == 0);
    let texts: Vec<Value> = seeds.map(|node| node["instruction"].clone()).collect();
    assert_eq!(texts, ["Name a river.", "Name a lake."]);
}

#[test]
fn killed_in_evolve_train_and_eval_it_ends_as_if_nothing_had_happened() {
    let (undisturbed, expected) = &*Experiment::undisturbed();
    let killed = Experiment::new();
    // After the first committed chunk: some seed has an answer or some instruction has been evolved.
    killed.kill_when(|run| {
        committed_nodes(run).iter().any(|node| node["round"] != 0 || !node["answer"].is_null())
    });
    let before = nodes(&killed.run_dir());
    assert!(!killed.run_dir().join("adapter").exists(), "killed too late to say anything about evolve");
    killed.kill_when(|run| {
        fs::read_to_string(run.join("adapter/metrics.jsonl")).is_ok_and(|text| text.contains("\"step\""))
    });
    let steps_before = killed.steps();
    assert!(steps_before.len() < 4, "killed too late to say anything about training");
    killed.kill_when(|run| run.join("eval/generations-base.jsonl").exists());
    assert!(!killed.run_dir().join("eval/eval.json").exists(), "killed too late to say anything about eval");
    let (summary, _) = killed.finish();

    assert_eq!(without_seconds(summary), without_seconds(expected.clone()));
    assert_eq!(killed.results(), undisturbed.results());
    assert_eq!(killed.steps(), [1, 2, 3, 4], "every step has one line");
    assert_eq!(killed.rows(), undisturbed.rows());
    // What was committed before the first kill is still there as it was, apart from what came after it.
    let after = nodes(&killed.run_dir());
    for node in before.iter().filter(|node| !node["answer"].is_null()) {
        let same = after.iter().find(|other| other["id"] == node["id"]).expect("no node is lost");
        assert_eq!(same["answer"], node["answer"]);
        assert_eq!(same["generation"], node["generation"]);
    }
}

#[test]
fn two_processes_do_not_share_a_run() {
    let experiment = Experiment::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_evol"))
        .current_dir(experiment.folder.path())
        .args(["run", "x.toml", "--threads", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !experiment.run_dir().join("config.toml").exists() {
        assert!(started.elapsed() < PATIENCE && still_running(&mut child));
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = evol().current_dir(experiment.folder.path()).args(["run", "x.toml"]).output().unwrap();
    let second = String::from_utf8(output.stderr).unwrap();
    let first_was_running = still_running(&mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(first_was_running, "the first run ended too early to be in the way");
    assert_eq!(output.status.code(), Some(1), "{second}");
    assert!(second.contains("another process is using"), "{second}");
}
