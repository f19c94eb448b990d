//! Catches a figure that `evol bench` no longer measures, and a bench history that is misread instead of
//! refused.

use super::models::two_layers;
use super::{model_path, refused};
use crate::evol;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// One measurement, appended to `history`; what was printed on stdout.
fn measure(model: &Path, history: &Path, more: &[&str]) -> String {
    let output = evol()
        .args(["bench", "evolve", "--model"])
        .arg(model)
        .args(["--seeds", "2", "--widths", "1,2", "--repeats", "1", "--max-answer-tokens", "24"])
        .args(["--threads", "1", "--history"])
        .arg(history)
        .args(more)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn compare(history: &Path, arguments: &[&str]) -> (String, String) {
    let mut command = evol();
    command.args(["bench", "compare", "--history"]).arg(history).args(arguments);
    let output = command.output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    (stdout, stderr)
}

fn at_least(figures: &Value, pointer: &str, least: f64) -> f64 {
    let number =
        figures.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {pointer}: {figures}"));
    assert!(number.is_finite() && number >= least, "{pointer} is {number}");
    number
}

/// Records that differ from a measured one by what `change` does.
fn write_changed(record: &Value, history: &Path, change: impl FnOnce(&mut Value)) {
    let mut changed = record.clone();
    change(&mut changed);
    fs::write(history, format!("{record}\n{changed}\n")).unwrap();
}

#[test]
fn a_measurement_has_every_figure_and_is_kept_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let history = folder.path().join("state/bench.jsonl");
    let printed: Value =
        serde_json::from_str(&measure(&two_layers(folder.path()), &history, &["--json"])).unwrap();
    let lines = fs::read_to_string(&history).unwrap();
    assert_eq!(lines.lines().count(), 1);
    assert_eq!(serde_json::from_str::<Value>(&lines).unwrap(), printed, "what is printed is what is kept");

    assert_eq!(printed["model"]["sha256"].as_str().map(str::len), Some(64));
    assert!(printed["time"].as_str().is_some_and(|time| time.ends_with('Z') && time.starts_with("20")));
    assert_eq!((&printed["settings"]["seeds"], &printed["settings"]["threads"]), (&2.into(), &1.into()));
    let figures = &printed["figures"];
    for pointer in ["wall_seconds", "generated_tokens", "prompt_tokens", "attempts", "judgements"] {
        at_least(figures, &format!("/evolution/{pointer}"), 1e-3);
    }
    for pointer in ["tokens_per_second", "judgements_per_second", "peak_memory_bytes"] {
        at_least(figures, &format!("/evolution/{pointer}"), 0.1);
    }
    for pointer in ["kept", "kept_per_hour", "answers", "answers_per_hour"] {
        at_least(figures, &format!("/evolution/{pointer}"), 0.0);
    }
    // The judge's questions share most of their prompt.
    assert!(at_least(figures, "/evolution/prefix_reuse", 0.2) < 1.0);
    let shares = figures["evolution"]["shares"].as_object().unwrap();
    let names: Vec<&str> = shares.keys().map(String::as_str).collect();
    assert_eq!(names, ["prefill", "decode", "sampling", "judge", "filters", "store", "other"]);
    let sum: f64 = shares.values().map(|share| share.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-6, "{shares:?}");
    for stage in ["prefill", "decode", "sampling", "judge", "filters", "store"] {
        at_least(figures, &format!("/evolution/shares/{stage}"), 1e-9);
    }
    for (index, width) in [1, 2].into_iter().enumerate() {
        assert_eq!(figures["rates"][index]["width"], width);
        at_least(figures, &format!("/rates/{index}/prefill_tokens_per_second"), 1.0);
        at_least(figures, &format!("/rates/{index}/decode_rows_per_second"), 1.0);
    }
    at_least(figures, "/exact/cost", 0.01);
    at_least(figures, "/exact/exact_seconds", 0.01);

    two_records(folder.path(), &printed);
}

/// On a history of two: what was measured, and the same with a change.
fn two_records(folder: &Path, record: &Value) {
    let history = folder.join("two.jsonl");
    write_changed(record, &history, |changed| {
        changed["figures"]["evolution"]["tokens_per_second"] =
            (2.0 * record["figures"]["evolution"]["tokens_per_second"].as_f64().unwrap()).into();
        changed["settings"]["threads"] = 7.into();
    });
    let (stdout, stderr) = compare(&history, &[]);
    let speed = stdout.lines().find(|line| line.starts_with("tokens generated per second")).unwrap();
    assert!(speed.ends_with("2.00"), "{stdout}");
    assert!(stderr.contains("threads: 1 and 7"), "{stderr}");
    let (stdout, _) = compare(&history, &["2", "1", "--json"]);
    let comparison: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(comparison["numbers"], serde_json::json!([2, 1]));
    let line =
        comparison["lines"].as_array().unwrap().iter().find(|l| l["name"] == "tokens generated per second");
    // Numbers that pass through JSON may be one unit in the last place off.
    let ratio = line.unwrap()["ratio"].as_f64().unwrap();
    assert!((ratio - 0.5).abs() <= 1e-15, "{ratio}");
    let (_, stderr) = compare(&history, &["1", "1"]);
    assert_eq!(stderr, "", "a record does not differ from itself");

    let refusal = refused(folder, &["bench", "compare", "--history", "two.jsonl", "1", "3"]);
    assert!(refusal.contains("record 3 does not exist in the history `two.jsonl`, which has 2"), "{refusal}");
    assert!(refusal.contains("hint: records are numbered 1 to 2"), "{refusal}");
    write_changed(record, &history, |changed| changed["model"]["sha256"] = "0".repeat(64).into());
    let refusal = refused(folder, &["bench", "compare", "--history", "two.jsonl"]);
    assert!(refusal.contains("is the only one of its model"), "{refusal}");
    write_changed(record, &history, |changed| changed["format"] = 9.into());
    let refusal = refused(folder, &["bench", "compare", "--history", "two.jsonl"]);
    assert!(refusal.contains("line 2") && refusal.contains("its format is 9"), "{refusal}");
}

#[test]
fn histories_and_settings_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let compare = |file: &str| refused(folder.path(), &["bench", "compare", "--history", file]);
    let refusal = compare("none.jsonl");
    assert!(refusal.contains("cannot read the history `none.jsonl`"), "{refusal}");
    assert!(refusal.contains("hint: create it with `evol bench evolve"), "{refusal}");
    fs::write(folder.path().join("empty.jsonl"), "").unwrap();
    assert!(compare("empty.jsonl").contains("does not have two records of one model: it is empty"));
    fs::write(folder.path().join("bad.jsonl"), "{\"format\": 1}\n").unwrap();
    let refusal = compare("bad.jsonl");
    assert!(
        refusal.contains("line 1 of the history `bad.jsonl`") && refusal.contains("missing field"),
        "{refusal}"
    );
    fs::write(folder.path().join("bytes.jsonl"), b"\xff\xfe\n").unwrap();
    assert!(compare("bytes.jsonl").contains("cannot read the history `bytes.jsonl`"));

    let model = model_path().display().to_string();
    let measure = |flag: &str, value: &str| {
        refused(folder.path(), &["bench", "evolve", "--model", &model, "--history", "new.jsonl", flag, value])
    };
    assert!(measure("--seeds", "0").contains("`seeds` is 0, expected 1 to"));
    assert!(measure("--widths", "8,0").contains("`widths` is [8, 0]"));
    assert!(measure("--repeats", "0").contains("`repeats` is 0"));
    assert!(!folder.path().join("new.jsonl").exists(), "nothing is written before the settings are checked");
}

/// Every figure that is promised, on a model of two layers; how large they are is no matter of a test.
#[test]
fn training_is_measured_with_every_figure() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = evol();
    command.args(["bench", "train", "--steps", "2", "--tokens", "32", "--threads", "1", "--json", "--model"]);
    let output = command.arg(two_layers(folder.path())).args(["--masked", "0.5"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    for name in ["tokens_per_second", "cpu_seconds_per_step", "gemm_peak_gflops", "gemm_fraction"] {
        at_least(&figures, &format!("/{name}"), f64::MIN_POSITIVE);
    }
    // Two layers and an adapter: less than the whole model, more than the embeddings alone.
    let planned = at_least(&figures, "/planned_bytes", 30e6);
    let peak = at_least(&figures, "/peak_rss_bytes", 30e6);
    assert!(planned <= 200e6 && peak <= 200e6, "{figures}");
    let refusal = |more: &[&str]| {
        refused(folder.path(), &[&["bench", "train", "--model", "two-layers.gguf"][..], more].concat())
    };
    assert!(refusal(&["--tokens", "0"]).contains("`tokens` is 0, expected 1 to 8192"));
    assert!(refusal(&["--masked", "1"]).contains("`masked` is 1, expected at least 0 and below 1"));
    assert!(refusal(&["--steps", "0"]).contains("`steps` is 0, expected at least 1"));
}
