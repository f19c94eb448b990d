//! Catches `evol status`, `evol compare` or `evol report` showing something else than what is in the run:
//! its progress while it runs, its figures when it is over.

use super::report::Page;
use super::run_loop::Experiment;
use crate::evol;
use serde_json::Value;
use std::cell::RefCell;
use std::fs;
use std::path::Path;

fn said(arguments: &[&str], run: &Path) -> String {
    let output = evol().args(arguments).arg(run).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn status_shows_a_run_in_progress_and_after_a_kill() {
    let experiment = Experiment::new();
    let seen = RefCell::new(String::new());
    experiment.kill_when(|run| {
        // Before there is a journal there is no run to look at.
        if !run.join("status.json").exists() {
            return false;
        }
        *seen.borrow_mut() = said(&["status"], run);
        true
    });
    let running = seen.into_inner();
    let first = running.lines().next().unwrap_or_default();
    assert!(first.ends_with(": running"), "{running}");
    assert!(running.contains("(process "), "{running}");
    let after = said(&["status"], &experiment.run_dir());
    assert!(after.contains(": stopped; rerun the command"), "{after}");
    let json: Value = serde_json::from_str(&said(&["status", "--json"], &experiment.run_dir())).unwrap();
    assert_eq!(json["state"].as_str(), Some("stopped"));
}

#[test]
fn a_finished_run_has_its_evaluation_its_baseline_and_its_page() {
    let run = Experiment::undisturbed();
    let (experiment, summary) = &*run;
    let dir = experiment.run_dir();
    let status: Value = serde_json::from_str(&said(&["status", "--json"], &dir)).unwrap();
    assert_eq!(status["state"].as_str(), Some("finished"));
    let names: Vec<&str> = status["evaluation"]["contestants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["base", "seeds", "evolved"]);
    // As many tokens as the evolved data has, up to half a step.
    let steps = |folder: &str| {
        let text = fs::read_to_string(dir.join(folder).join("metrics.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .filter(|line| line["event"] == "step")
            .map(|line| line["tokens"].as_u64().unwrap())
            .collect::<Vec<u64>>()
    };
    let (evolved, seeds) = (steps("adapter"), steps("baselines/seeds"));
    let largest = *seeds.iter().max().unwrap();
    let (evolved, seeds): (u64, u64) = (evolved.iter().sum(), seeds.iter().sum());
    assert!(evolved.abs_diff(seeds) <= largest, "{evolved} and {seeds} tokens");
    assert_eq!(summary["report"].as_str(), dir.join("report.html").to_str());
    let text = said(&["status"], &dir);
    assert!(text.contains("evolved against seeds") && text.contains("report.html"), "{text}");
}

#[test]
fn a_run_compared_with_itself_differs_in_nothing() {
    let run = Experiment::undisturbed();
    let dir = run.0.run_dir();
    let found: Value =
        serde_json::from_str(&said(&["compare", "--json", dir.to_str().unwrap()], &dir)).unwrap();
    assert_eq!(found["settings"], serde_json::json!([]));
    for paired in found["responses"]["paired"].as_array().unwrap() {
        assert_eq!((paired["wins"].as_u64(), paired["losses"].as_u64()), (Some(0), Some(0)));
    }
    let table = said(&["compare", dir.to_str().unwrap()], &dir);
    assert!(table.contains("validation loss") && table.contains("evolved"), "{table}");
}

#[test]
fn the_page_of_a_real_run_is_well() {
    let run = Experiment::undisturbed();
    let dir = run.0.run_dir();
    let page = dir.join("report.html");
    let bytes = fs::metadata(&page).unwrap().len();
    assert!(bytes < 5_000_000, "{bytes}");
    let again = dir.join("again.html");
    let path = said(&["report", "--out", again.to_str().unwrap()], &dir);
    assert_eq!(path.trim(), again.to_str().unwrap());
    Page::open(&page, "").is_well();
    fs::remove_file(again).unwrap();
}
