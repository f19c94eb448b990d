//! Catches a guard that no longer acts in a real run, and `check`, `calibrate`, `stats` or `export`
//! disagreeing with what the guards did.

use super::models::quick_model;
use crate::evol;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Output;

fn run(folder: &Path, line: &str) -> Output {
    evol().current_dir(folder).args(line.split(' ')).output().unwrap()
}

fn succeeded(output: &Output) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    stdout.into_owned()
}

/// The model writes nonsense, so that little is kept: what is must pass when it is asked again.
#[test]
fn a_guarded_run_is_checked_replayed_and_measured() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!(
        "evolve --model {} --out run --limit 10 --seed 3 --profile auto --judge-pairs 10 --rounds 1 \
         --chunk-size 4 --max-instruction-tokens 24 --max-data-tokens 32 --max-answer-tokens 48 --threads 1 \
         --batch-width 8 --min-yield 0 --max-errors 1",
        quick_model().display()
    );
    let output = run(folder.path(), &line);
    succeeded(&output);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("profile auto: 1 rounds, 3 attempts") && stderr.contains("parameters"),
        "{stderr}"
    );
    let manifest: Value =
        serde_json::from_slice(&fs::read(folder.path().join("run/manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["policy"]["profile"], "auto");
    assert!(manifest["calibration"]["auc"].as_f64().is_some());
    succeeded(&run(folder.path(), "export run --out data --validation-fraction 0.3"));
    let found: Value = serde_json::from_str(&succeeded(&run(folder.path(), "check data --json"))).unwrap();
    assert_eq!((found["findings"].as_array().unwrap().len(), &found["without_parent"]), (0, &json!(0)));
    succeeded(&run(folder.path(), "verify run --all --threads 1"));
    let stats: Value = serde_json::from_str(&succeeded(&run(folder.path(), "stats run --json"))).unwrap();
    assert_eq!(stats["rounds"][0]["round"], 0);
    let card = fs::read_to_string(folder.path().join("data/README.md")).unwrap();
    assert!(card.starts_with("---\nlicense: ") && card.contains("| profile | auto |"), "{card}");
    // The same command says that all is done, another profile is refused.
    succeeded(&run(folder.path(), &line));
    let other = run(folder.path(), &line.replace("--profile auto", "--profile verified"));
    assert_eq!(other.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&other.stderr).contains("`config.profile` was `auto`, is now `verified`")
    );
}

/// A row of an export, as somebody may have changed it.
fn row(id: u64, parent_id: Option<u64>, instruction: &str, output: &str, constraints: &Value) -> String {
    let operator = parent_id.map(|_| "verifiable_constraints");
    let row = json!({
        "instruction": instruction, "input": "", "output": output, "id": id, "parent_id": parent_id,
        "root_id": parent_id.unwrap_or(id), "round": u32::from(parent_id.is_some()), "attempt": 0,
        "operator": operator, "skill": null, "difficulty": null, "harder": null,
        "constraints": constraints.to_string(),
    });
    format!("{row}\n")
}

#[test]
fn check_names_what_should_not_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let short = json!([{ "kind": "word_count", "relation": "at_most", "n": 5 }]);
    let child = "Name a river in Asia. Use at most 5 words.";
    let good = [
        row(10_000, None, "Name a river in Asia.", "The Lena flows there.", &json!([])),
        row(10_100, Some(10_000), child, "It is the Lena.", &short),
    ];
    fs::write(folder.path().join("train.jsonl"), good.concat()).unwrap();
    let text = succeeded(&run(folder.path(), "check ."));
    assert!(text.contains("2 rows: 1 constraints of 1 rows checked, 1 rows compared"), "{text}");
    let bad = row(10_100, Some(10_000), child, "It is the Lena, which flows north to the sea.", &short);
    fs::write(folder.path().join("train.jsonl"), format!("{}{bad}", good[0])).unwrap();
    let output = run(folder.path(), "check train.jsonl");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("constraint_failed: 1 rows") && text.contains("found 10 words"), "{text}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 findings in 2 rows"));
    // Not ours, and not there.
    fs::write(folder.path().join("other.jsonl"), "{\"text\": 1}\n").unwrap();
    for path in ["other.jsonl", "nowhere", "run.db"] {
        let output = run(folder.path(), &format!("check {path}"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(path), "{stderr}");
    }
}

#[test]
fn calibrate_measures_a_judge_on_all_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("calibrate --model {} --threads 1 --json", quick_model().display());
    let found: Value = serde_json::from_str(&succeeded(&run(folder.path(), &line))).unwrap();
    assert_eq!(found["calibration"]["pairs"], 262);
    for figure in ["auc", "ece", "false_elimination", "true_elimination"] {
        let value = found["calibration"][figure].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&value), "{figure} {value}");
    }
    assert_eq!(found["pairs"].as_array().unwrap().len(), 262);
}

#[test]
fn shares_and_groups_of_an_export_are_checked_as_they_are_typed() {
    let folder = tempfile::tempdir().unwrap();
    for (value, expected) in [
        ("seeds", "is not of the form GROUP=SHARE"),
        ("deepness=0.1", "unknown group `deepness`"),
        ("round.x=0.1", "unknown group `round.x`"),
        ("seeds=much", "`much` is not a number"),
        ("seeds=1.5", "the maximum share of `seeds` is 1.5"),
    ] {
        let output = run(folder.path(), &format!("export run --out data --shares {value}"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(expected), "{stderr}");
    }
}
