//! Catches `evol train` ending with another adapter after it was interrupted, and its first lines saying
//! something else than what it then does. On two layers of the real model.

use super::models::two_layers;
use super::refused;
use crate::evol;
use evol::rng;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A model, data, and a folder for runs.
struct Place {
    folder: tempfile::TempDir,
    model: PathBuf,
}

/// A checkpoint after every step and validation passes between them, with all that has a state or a file of
/// its own.
const SETTINGS: [&str; 19] = [
    "--max-steps",
    "8",
    "--r",
    "4",
    "--max-seq-len",
    "64",
    "--gradient-accumulation-steps",
    "1",
    "--eval-steps",
    "3",
    "--load-best-model-at-end",
    "--lora-dropout",
    "0.1",
    "--loraplus-lr-ratio",
    "4",
    "--optim",
    "adamw_8bit",
    "--threads",
    "1",
];

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let row = |i| format!("{{\"instruction\": \"Say {i}.\", \"output\": \"This is number {i}.\"}}\n");
        fs::write(folder.path().join("d.jsonl"), (0..12).map(row).collect::<String>()).unwrap();
        let model = two_layers(folder.path());
        Self { folder, model }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn arguments<'a>(&'a self, out: &'a str) -> Vec<&'a str> {
        let model = self.model.to_str().unwrap();
        let files = ["train", "--base", model, "--data", "d.jsonl", "--validation", "d.jsonl", "--out", out];
        [&files[..], &SETTINGS].concat()
    }

    fn command(&self, out: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evol"));
        command.current_dir(self.path()).args(self.arguments(out));
        command
    }

    fn run(&self, out: &str) -> Output {
        let output = self.command(out).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Files of a run that are used afterwards.
    fn adapter(&self, out: &str) -> [Vec<u8>; 2] {
        ["adapter.gguf", "peft/adapter_model.safetensors"]
            .map(|name| fs::read(self.path().join(out).join(name)).unwrap())
    }
}

/// Instants are drawn uniformly over an undisturbed run, most of which is steps and, with a checkpoint after
/// each, writing.
#[test]
fn killed_at_random_instants_it_ends_with_the_same_bytes() {
    let place = Place::new();
    let started = Instant::now();
    place.run("whole");
    let lasted = started.elapsed();
    let whole = place.adapter("whole");
    let (mut kills, mut in_training) = (0, 0);
    for attempt in 0..60 {
        let out = format!("killed-{}", attempt / 6);
        let mut child = place.command(&out).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let share = rng::uniform(rng::key(5, "test.train_kills", &[attempt]), 0, 0);
        std::thread::sleep(lasted.mul_f64(share).max(Duration::from_millis(1)));
        child.kill().unwrap();
        if child.wait().unwrap().code().is_none() {
            kills += 1;
            in_training += usize::from(place.path().join(&out).join("metrics.jsonl").exists());
        }
        if attempt % 6 == 5 {
            place.run(&out);
            assert!(place.adapter(&out) == whole, "{out}");
            if kills >= 12 {
                break;
            }
        }
    }
    assert!(kills >= 12 && in_training >= 6, "{kills} kills, {in_training} of them with a run in the folder");
}

/// A limit on the size of files binds root as well, and writing beyond it fails as writing to a full disk
/// does.
#[test]
fn a_disk_without_room_is_named_and_the_run_goes_on_when_there_is() {
    let place = Place::new();
    place.run("whole");
    let checkpoint = fs::metadata(place.path().join("whole/checkpoint.safetensors")).unwrap().len();
    for (blocks, file) in [(2, "checkpoint.safetensors"), (checkpoint / 512 - 8, "checkpoint.safetensors")] {
        let (evol, arguments) = (env!("CARGO_BIN_EXE_evol"), place.arguments("out").join(" "));
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec '{evol}' {arguments}");
        let output = Command::new("sh").current_dir(place.path()).args(["-c", &script]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{blocks} blocks: {said}");
        assert!(said.contains("cannot write") && said.contains(file), "{blocks} blocks: {said}");
        let left: Vec<_> =
            fs::read_dir(place.path().join("out")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".partial")), "{left:?}");
    }
    place.run("out");
    assert!(place.adapter("out") == place.adapter("whole"));
}

#[test]
fn places_where_nothing_can_be_written_are_named() {
    let place = Place::new();
    fs::write(place.path().join("file"), "x").unwrap();
    // Somebody's file is wrong input; a place that refuses may be a matter of time.
    for (out, code) in [("file", 2), ("file/run", 2), ("/proc/evol/run", 1)] {
        let output = place.command(out).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{out}: {said}");
        assert!(said.contains(out), "{said}");
    }
    assert_eq!(fs::read(place.path().join("file")).unwrap(), b"x");
}

/// Refused before anything is allocated, with what to change; the process does not die of an allocation.
#[test]
fn a_run_that_does_not_fit_is_refused() {
    let place = Place::new();
    let mut arguments = place.arguments("out");
    arguments.extend(["--r", "576", "--overlong", "truncate"]);
    // The earlier `--r` is replaced, not repeated.
    let first = arguments.iter().position(|argument| *argument == "--r").unwrap();
    arguments.drain(first..first + 2);
    // Address space for the program, the model (mapped twice, for llama.cpp too) and little more.
    let script = format!("ulimit -v 420000; exec '{}' {}", env!("CARGO_BIN_EXE_evol"), arguments.join(" "));
    let output = Command::new("sh").current_dir(place.path()).args(["-c", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("error: the run needs ") && said.contains("MiB are available"), "{said}");
    assert!(said.contains("hint: use `--gradient-checkpointing layer`"), "{said}");
    assert!(!place.path().join("out").exists());
}

#[test]
fn a_dry_run_says_what_the_run_is_and_makes_nothing() {
    let place = Place::new();
    let rows = fs::read_to_string(place.path().join("d.jsonl")).unwrap();
    // And one that is too long.
    let long = format!("{{\"instruction\": \"Count.\", \"output\": \"{}\"}}\n", "one two three ".repeat(40));
    fs::write(place.path().join("d.jsonl"), rows + &long).unwrap();
    let dry = |more: &[&str]| -> Value {
        let output = place.command("out").args(["--dry-run", "--json"]).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let plan = dry(&[]);
    assert_eq!((&plan["plan"]["samples"], &plan["plan"]["steps"]), (&12.into(), &8.into()));
    assert_eq!(plan["dropped"], serde_json::json!({ "too_long": 1 }));
    assert_eq!((&plan["truncated"], &plan["fits"]), (&0.into(), &true.into()));
    let memory = plan["plan"]["memory"].as_object().unwrap();
    let sum: u64 = memory.values().map(|bytes| bytes.as_u64().unwrap()).sum();
    assert_eq!(plan["total_bytes"].as_u64(), Some(sum));
    assert!(plan["estimated_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0));
    assert_eq!(dry(&["--overlong", "truncate"])["truncated"], 1);
    assert!(!place.path().join("out").exists());
}

/// Both answers come from one formula, which no other test would notice if `doctor` had its own.
#[test]
fn doctor_and_a_dry_run_give_the_same_memory() {
    let place = Place::new();
    // More than a row of tokens: `doctor` assumes a full one.
    let row = |i| format!("{{\"instruction\": \"Say {i}.\", \"output\": \"This is number {i}.\"}}\n");
    fs::write(place.path().join("d.jsonl"), (0..100).map(row).collect::<String>()).unwrap();
    let model = place.model.to_str().unwrap();
    let json = |words: &[&str]| -> Value {
        let output = evol().current_dir(place.path()).args(words).args(["--json", "--threads", "1"]).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let plan = json(&["train", "--base", model, "--data", "d.jsonl", "--out", "out", "--dry-run"]);
    assert_eq!(plan["plan"]["longest_row"], 1024);
    let report = json(&["doctor", "--model", model]);
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == "training").unwrap()["found"].as_str().unwrap();
    let expected = format!(
        "needs {} MiB of memory for rows of 1024 tokens",
        plan["total_bytes"].as_u64().unwrap() >> 20
    );
    assert!(found.contains(&expected), "{found}, but a dry run says: {expected}");
}

/// A flag that contradicts the adapter of `--init-adapter` is refused with both values; a flag that agrees
/// with it is not.
#[test]
fn an_initial_adapter_decides_its_shape() {
    let place = Place::new();
    place.run("first");
    let words = |more: &[&'static str]| {
        let model = place.model.to_str().unwrap();
        let files = ["train", "--base", model, "--data", "d.jsonl", "--out", "second", "--max-steps", "1"];
        [&files[..], &["--init-adapter", "first/adapter.gguf"], more].concat()
    };
    let cases: [(&[&str], &str); 3] = [
        (&["--r", "8"], "the initial adapter has `r` 4, expected 8"),
        (&["--rank-pattern", "q_proj=4,up_proj=2"], "has `rank_pattern` up_proj=4, expected up_proj=2"),
        (&["--target-modules", "q_proj"], "down_proj, expected q_proj"),
    ];
    for (more, expected) in cases {
        let said = refused(place.path(), &words(more));
        assert!(said.contains(expected) && said.contains("hint: leave out the option"), "{said}");
    }
    let same =
        ["--r", "4", "--lora-alpha", "32", "--rank-pattern", "q_proj=4", "--target-modules", "all-linear"];
    let output = evol().current_dir(place.path()).args(words(&same)).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
