//! `report::gather` and `report::draw` on a run directory with and without each of its files.

use super::manifest::origin;
use super::{KEPT_CHILDREN, Recorder, RunDir, SEEDS, config, files, journal};
use crate::report::NodeStatus;
use crate::run::manifest::Manifest;
use crate::run::report::{draw, gather, run};
use std::path::PathBuf;

#[test]
fn a_run_without_a_manifest_has_all_its_instructions_and_little_to_say() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("experiment-7");
    let store = journal(&dir);
    let (data, records) = gather(&store, &dir).unwrap();
    assert_eq!(data.manifest.title, "experiment-7");
    assert_eq!((data.manifest.model_sha256.as_str(), data.manifest.machine.len()), ("", 0));
    assert!(data.manifest.reproduce.contains("`evol evolve`"), "{}", data.manifest.reproduce);
    assert_eq!(records.len(), SEEDS.len() + KEPT_CHILDREN);
    assert_eq!(data.nodes.len(), 2 * SEEDS.len());
    let eliminated = data.nodes.iter().filter(|node| node.status == NodeStatus::Eliminated);
    assert_eq!(eliminated.count(), SEEDS.len() - KEPT_CHILDREN);
    let child = data.nodes.iter().find(|node| node.round == 1 && node.status == NodeStatus::Kept).unwrap();
    // Its own tokens and those of its answer.
    assert_eq!((child.prompt_tokens, child.completion_tokens), (200, 20));
    assert!(child.constraints.len() == 1 && !child.constraints[0].contains('{'), "{:?}", child.constraints);
    let counts: Vec<_> = data.funnel.iter().map(|cell| (cell.round, cell.attempts, cell.kept)).collect();
    assert_eq!(counts, [(0, 8, 8), (1, 8, 5)]);
    assert!(data.evaluation.is_none() && data.training.is_empty());
}

#[test]
fn manifest_configuration_and_metrics_are_on_the_page_where_they_exist() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let store = journal(&path);
    let dir = RunDir::claim(&path).unwrap();
    Manifest::new(origin(), &store).unwrap().write(&dir).unwrap();
    dir.write(files::CONFIG, &config(&path).to_toml()).unwrap();
    let step = |step: u64, memory: u64| {
        format!(
            "{{\"event\":\"step\",\"step\":{step},\"loss\":2.5,\"learning_rate\":0.1,\"grad_norm\":1.0,\
             \"tokens\":9,\"targets\":3,\"tokens_per_second\":4.0,\"seconds\":1.0,\
             \"peak_memory_bytes\":{memory}}}\n"
        )
    };
    for name in ["adapter", "baselines/seeds", "baselines/data", "baselines/evolved-2"] {
        std::fs::create_dir_all(path.join(name)).unwrap();
    }
    std::fs::write(path.join("adapter/metrics.jsonl"), step(1, 7) + &step(2, 9) + "{\"event\":\"st").unwrap();
    std::fs::write(path.join("baselines/seeds/metrics.jsonl"), step(1, 5)).unwrap();
    std::fs::write(path.join("baselines/evolved-2/metrics.jsonl"), "").unwrap();

    let (data, _) = gather(&store, &path).unwrap();
    let manifest = &data.manifest;
    assert_eq!((manifest.model_name.as_str(), manifest.seed), ("a model", 5));
    assert!(manifest.config_toml.contains("validation_fraction") && manifest.reproduce.contains("--out NEW"));
    let licences: Vec<&str> = manifest.licences.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(licences, ["model", "seeds"]);
    assert!(manifest.machine.iter().any(|(name, value)| name == "threads" && value != "0"));
    let curves: Vec<_> = data.training.iter().map(|curve| (curve.name.as_str(), curve.steps.len())).collect();
    assert_eq!(curves, [("evolved", 2), ("seeds", 1)], "not data, what has no step, and a cut line");
    let memory: Vec<u64> = data.memory.iter().map(|figure| figure.bytes).collect();
    assert_eq!(memory, [9, 5]);
}

#[test]
fn a_page_has_no_map_where_the_model_is_gone_and_the_host_hears_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let store = journal(&path);
    let page = folder.path().join("page.html");
    let host = Recorder::default();
    run(&store, &path, &page, host.context()).unwrap();
    let lines = host.lines();
    assert!(
        matches!(&lines[..], [line] if line.starts_with("warning: ") && line.contains("no map")),
        "{lines:?}"
    );
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(SEEDS.iter().all(|text| html.contains(text)), "every instruction is on it");

    let silent = Recorder::default();
    let (data, _) = gather(&store, &path).unwrap();
    draw(data, None, &path, &page, silent.context()).unwrap();
    assert_eq!(silent.lines(), Vec::<String>::new(), "no map was asked for");
    let absent = PathBuf::from("absent/page.html");
    let (data, _) = gather(&store, &path).unwrap();
    assert!(draw(data, None, &path, &folder.path().join(absent), silent.context()).is_err());
}
