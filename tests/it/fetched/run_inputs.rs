//! Catches a run that resumes although its inputs changed, or does not although nothing that matters did,
//! and later commands that take the wrong inputs from a run.

use super::run_loop::{Experiment, PATIENCE, without_seconds};
use super::{model_path, refused};
use crate::evol;
use serde_json::Value;
use std::fs;
use std::path::Path;

#[test]
fn a_finished_run_takes_no_other_model_seeds_or_format() {
    let (experiment, _) = &*Experiment::undisturbed();
    let folder = experiment.folder.path();
    let refused = |arguments: &[&str]| refused(folder, &[&["run"], arguments].concat());
    // The same weights in a file that is longer by a byte: another model, as far as anybody can know.
    let mut model = fs::read(model_path()).unwrap();
    model.push(0);
    fs::write(folder.join("other.gguf"), model).unwrap();
    let message = refused(&["x.toml", "--model", "other.gguf"]);
    assert!(
        message.contains("was started differently") && message.contains("`model.sha256` was"),
        "{message}"
    );

    let config = fs::read_to_string(folder.join("x.toml")).unwrap();
    fs::write(folder.join("seeds.txt"), "Name a river.\n").unwrap();
    fs::write(folder.join("seeds.toml"), config.replace("[seeds]", "[seeds]\nfile = 'seeds.txt'")).unwrap();
    let message = refused(&["seeds.toml"]);
    assert!(message.contains("`seeds.blake3` was"), "{message}");
    fs::write(folder.join("format.toml"), format!("compute_format = 'f16'\n{config}")).unwrap();
    let message = refused(&["format.toml"]);
    assert!(message.contains("`compute.format` was `as-is`, is now `f16`"), "{message}");
    fs::write(folder.join("level.toml"), format!("determinism = 'scheduled'\n{config}")).unwrap();
    let message = refused(&["level.toml"]);
    assert!(message.contains("`engine.determinism` was `exact`, is now `scheduled`"), "{message}");
}

#[test]
fn the_stored_configuration_makes_the_run_again() {
    let (experiment, summary) = &*Experiment::undisturbed();
    let run = |out: &[&str]| {
        let mut command = evol();
        command.current_dir(experiment.folder.path());
        command.args(["run", "run/config.toml", "--json", "--threads", "1"]).args(out);
        let output = command.timeout(PATIENCE).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    assert_eq!(&run(&[]), summary);
    let again = run(&["--out", "again"]);
    assert_eq!(without_seconds(again), without_seconds(summary.clone()));
    let config =
        |run: &str| fs::read_to_string(experiment.folder.path().join(run).join("config.toml")).unwrap();
    let (first, second) = (config("run"), config("again"));
    let differ: Vec<_> = first.lines().zip(second.lines()).filter(|(a, b)| a != b).collect();
    assert!(matches!(differ[..], [(a, _)] if a.starts_with("out = ")), "{differ:?}");
}

#[test]
fn another_build_of_llama_cpp_goes_on_with_a_run_only_where_nothing_is_left_to_generate() {
    let elsewhere = |dir: &Path| {
        let mut store = evol::store::Store::open(dir).unwrap();
        let unit = store.begin().unwrap();
        unit.set_meta("fingerprint.engine.instruction_sets", "NEON").unwrap();
        unit.set_meta("fingerprint.engine.recipe", "another attention").unwrap();
        unit.commit().unwrap();
    };
    let killed = Experiment::new();
    killed.kill_when(|run| run.join("status.json").exists());
    elsewhere(&killed.run_dir());
    let refused = refused(killed.folder.path(), &["run", "x.toml"]);
    assert!(refused.contains("`engine.instruction_sets` was `NEON`, is now `"), "{refused}");
    assert!(refused.contains("hint: another build of llama.cpp computes other bytes"), "{refused}");

    let (experiment, _) = &*Experiment::undisturbed();
    let copy = experiment.folder.path().join("elsewhere");
    fs::create_dir(&copy).unwrap();
    for name in ["run.db", "config.toml"] {
        fs::copy(experiment.run_dir().join(name), copy.join(name)).unwrap();
    }
    elsewhere(&copy);
    let mut command = evol();
    command.current_dir(experiment.folder.path());
    command.args(["run", "x.toml", "--out", "elsewhere", "--until", "export"]).assert().success();
    let export = |run: &Path| fs::read(run.join("export/train.jsonl")).unwrap();
    assert!(export(&copy) == export(&experiment.run_dir()), "the same bytes, whoever exports them");
    // Asking whether it is the same is something else.
    let mut command = evol();
    command.current_dir(experiment.folder.path()).args([
        "verify",
        "elsewhere",
        "--sample",
        "1",
        "--threads",
        "1",
    ]);
    let output = command.arg("--model").arg(model_path()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(
        stderr.contains("warning: this machine or build is not the run's") && stderr.contains("NEON"),
        "{stderr}"
    );
}

#[test]
fn an_export_splits_as_the_run_did_unless_it_is_told_otherwise() {
    let (experiment, _) = &*Experiment::undisturbed();
    let export = |out: &str, extra: &[&str]| {
        let mut command = evol();
        command.current_dir(experiment.folder.path()).args(["export", "run", "--out", out]).args(extra);
        command.assert().success();
        let rows = |name: &str| fs::read(experiment.folder.path().join(out).join(name)).unwrap_or_default();
        [rows("train.jsonl"), rows("validation.jsonl")]
    };
    let of_run = ["train.jsonl", "validation.jsonl"]
        .map(|name| fs::read(experiment.run_dir().join("export").join(name)).unwrap());
    assert!(export("as-run", &[]) == of_run, "half is held out, in the file and not by default");
    assert!(export("all", &["--validation-fraction", "0"])[1].is_empty());
}

#[test]
fn limits_for_giving_up_may_change_when_a_run_resumes() {
    let experiment = Experiment::new();
    let stored = |run: &Path, line: &str| {
        fs::read_to_string(run.join("config.toml")).is_ok_and(|text| text.lines().any(|l| l == line))
    };
    experiment.kill_when(|run| stored(run, "min_yield = 0.1"));
    let path = experiment.folder.path().join("x.toml");
    let config = fs::read_to_string(&path).unwrap();
    // Words of the hint that a run gives up with.
    fs::write(&path, config.replace("[evolve]", "[evolve]\nmin_yield = 0")).unwrap();
    experiment.kill_when(|run| stored(run, "min_yield = 0.0"));
    fs::write(&path, config.replace("rounds = 1", "rounds = 2")).unwrap();
    let refused = refused(experiment.folder.path(), &["run", "x.toml"]);
    assert!(refused.contains("`evolve.rounds` was `1`, is now `2`"), "{refused}");
    assert!(!refused.contains("min_yield"), "{refused}");
}
