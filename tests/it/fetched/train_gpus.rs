//! Catches two GPUs training another adapter than one with twice the accumulation, and a GPU that fails in
//! the middle and costs more than the unfinished step. Runs `evol train --device cuda:0,1` on simulated
//! GPUs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use super::train_cuda::driver;
use crate::evol;

/// A small model, data of which every example has a row of its own, and where programs find the simulated
/// device.
struct Place {
    folder: tempfile::TempDir,
    model: PathBuf,
    driver: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = super::models::two_layers(folder.path());
        let examples = ["Kiel has one.", "Cranes do.", "To Oslo.", "At two.", "It is red.", "Nobody."];
        let lines = examples.map(|answer| format!(r#"{{"instruction": "Answer.", "output": "{answer}"}}"#));
        fs::write(folder.path().join("data.jsonl"), lines.join("\n")).unwrap();
        let driver = driver(folder.path());
        Self { folder, model, driver }
    }

    fn out(&self, out: &str) -> PathBuf {
        self.folder.path().join(out)
    }

    /// Trains for so many steps of `rows` for each device, on a machine with two GPUs of which one may fail.
    fn train(&self, device: &str, rows: u32, steps: u32, out: &str, failure: Option<&Value>) -> Output {
        let machine = serde_json::json!({ "devices": 2, "failure": failure });
        let mut command = evol();
        command.current_dir(self.folder.path()).env("LD_LIBRARY_PATH", &self.driver);
        command.env("CUDASIM_CONFIG", machine.to_string());
        command.arg("train").arg("--base").arg(&self.model).args(["--data", "data.jsonl", "--out", out]);
        command.args(["--no-packing", "--mixed-precision", "no", "--device", device, "--json"]);
        command.args(["--lora-dropout", "0.1", "--save-steps", "2"]);
        command.args(["--gradient-accumulation-steps", &rows.to_string(), "--max-steps", &steps.to_string()]);
        command.output().unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn assert_same_adapter(one: &Path, other: &Path) {
    for file in ["adapter.gguf", "peft/adapter_model.safetensors", "peft/adapter_config.json"] {
        assert!(fs::read(one.join(file)).unwrap() == fs::read(other.join(file)).unwrap(), "{file}");
    }
}

#[test]
fn two_gpus_make_the_adapter_of_one_and_survive_a_loss() {
    let place = Place::new();
    // Twenty steps are those of a smaller model, in the trainer's own tests.
    let steps = 5;
    let one = place.train("cuda:0", 2, steps, "one", None);
    assert!(one.status.success(), "{}", said(&one));
    let two = place.train("cuda:0,1", 1, steps, "two", None);
    assert!(two.status.success(), "{}", said(&two));
    assert_same_adapter(&place.out("one"), &place.out("two"));
    let summary: Value = serde_json::from_slice(&two.stdout).unwrap();
    let device = summary["device"].as_str().unwrap();
    assert!(device.starts_with("cuda:0 (") && device.contains(", cuda:1 ("), "{device}");

    // Three steps of some 160 kernels each are made before.
    let failure = serde_json::json!({ "fault": "launch", "device": 1, "after": 550 });
    let lost = place.train("cuda:0,1", 1, steps, "lost", Some(&failure));
    let words = said(&lost);
    assert_eq!(lost.status.code(), Some(1), "{words}");
    assert!(words.contains("`cuda:1` failed, which stopped training on 2 GPUs: "), "{words}");
    assert!(
        words.contains("resumes from the last checkpoint, and so does one with as many other GPUs"),
        "{words}"
    );
    assert!(place.out("lost/checkpoint.safetensors").is_file() && !place.out("lost/adapter.gguf").exists());
    let metrics = fs::read_to_string(place.out("lost/metrics.jsonl")).unwrap();
    assert!(metrics.lines().count() > 2, "it had trained for a while: {metrics}");
    let again = place.train("cuda:0,1", 1, steps, "lost", None);
    assert!(again.status.success(), "{}", said(&again));
    assert_same_adapter(&place.out("two"), &place.out("lost"));

    let fewer = place.train("cuda:1", 1, steps, "two", None);
    assert_eq!(fewer.status.code(), Some(2));
    assert!(said(&fewer).contains("`device` was `cuda x 2`, is now `cuda`"), "{}", said(&fewer));
}

#[test]
fn devices_that_cannot_train_together_are_refused() {
    let place = Place::new();
    for (device, words) in [
        ("cuda:0,0", "GPU 0 is listed twice"),
        ("cuda:0,9", "device `cuda:9` does not exist: this machine has 2"),
        ("cuda:0,", "expected `auto`, `cpu`, `cuda`, `cuda:N`, or several: `cuda:0,1`"),
        ("cuda:0,cuda:1", "expected `auto`"),
    ] {
        let refused = place.train(device, 1, 1, "out", None);
        assert_eq!(refused.status.code(), Some(2), "{device}: {}", said(&refused));
        assert!(said(&refused).contains(words), "{device}: {}", said(&refused));
    }
    let mut bench = evol();
    bench.env("LD_LIBRARY_PATH", &place.driver).args(["bench", "train", "--device", "cuda:0,1", "--model"]);
    let refused = bench.arg(&place.model).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("`--device` is cuda:0,1, expected one device"), "{}", said(&refused));

    let doctor = || {
        let mut command = evol();
        command.env("LD_LIBRARY_PATH", &place.driver).env("CUDASIM_CONFIG", r#"{"devices": 2}"#);
        let output = command.args(["doctor", "--device", "cuda:0,1"]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (_, report) = doctor();
    assert!(report.contains("nccl") && report.contains("version 2.27.3"), "{report}");
    fs::remove_file(place.driver.join("libnccl.so")).unwrap();
    let (code, report) = doctor();
    assert!(code == Some(1) && report.contains("NCCL is not installed"), "{report}");
    let alone = place.train("cuda:0,1", 1, 1, "out", None);
    assert_eq!(alone.status.code(), Some(2));
    assert!(
        said(&alone).contains("libnccl.so was not found") && said(&alone).contains("libnccl-dev"),
        "{}",
        said(&alone)
    );
}
