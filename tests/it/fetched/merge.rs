//! Catches `evol merge` writing a model that computes something else than base and adapter together, checked
//! by llama.cpp's quantiser and perplexity.

use super::{model_path, refused};
use crate::evol;
use evol::gguf::Gguf;
use evol::lora::{LoraConfig, LoraWeights, TargetModule};
use evol::model::Llama;
use evol::rng;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An adapter that changes what the model says, as a PEFT folder.
fn adapter(folder: &Path) -> PathBuf {
    let model = Llama::load(Arc::new(Gguf::open(&model_path()).unwrap())).unwrap();
    let config = LoraConfig {
        r: 4,
        lora_alpha: 8.0,
        target_modules: TargetModule::ALL.to_vec(),
        ..LoraConfig::default()
    };
    let base = model.config().base_shape();
    let mut weights = LoraWeights::init(&config, &base, 3);
    for pair in weights.pairs.clone() {
        for i in pair.b {
            weights.data[i] = (0.8 * (rng::uniform(4, 0, i as u64) - 0.5)) as f32;
        }
    }
    let path = folder.join("peft");
    weights.write_peft(&path, &base, None).unwrap();
    path
}

fn merge(adapter: &Path, out: &Path, more: &[&str]) -> Value {
    let mut command = evol();
    command.arg("merge").arg("--base").arg(model_path()).arg("--adapter").arg(adapter).arg("--out").arg(out);
    let output = command.args(["--json", "--perplexity-tokens", "600"]).args(more).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The merged file says what base and adapter say, far closer than the base without the adapter: in f16 and 8
/// bits up to what llama.cpp loses where it multiplies the base's 4-bit weights with 8-bit activations, in 4
/// bits up to what they lose. The limits, in log perplexity, are about three times what was measured.
#[test]
fn a_merged_model_says_what_base_and_adapter_say() {
    let folder = tempfile::tempdir().unwrap();
    let adapter = adapter(folder.path());
    for (format, limit) in [("f16", 0.06), ("q8_0", 0.06), ("q4_k_m", 0.2)] {
        let out = folder.path().join(format!("{format}.gguf"));
        let merged = merge(&adapter, &out, &["--type", format]);
        let number = |key: &str| merged["perplexity"][key].as_f64().unwrap();
        let (base, beside, alone) = (number("base"), number("base_with_adapter"), number("merged"));
        println!("{format}: {base} {beside} {alone}");
        assert!((alone / beside).ln().abs() <= limit, "{merged}");
        assert!((base / beside).ln().abs() >= 2.0 * limit, "the adapter does too little to tell: {merged}");
        assert_eq!(merged["bytes"].as_u64(), Some(fs::metadata(&out).unwrap().len()));
        assert_eq!(number("tokens") as u64, 600);
    }
    let files = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 4, "the adapter and three models; nothing is left behind");
}

#[test]
fn what_cannot_be_merged_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (model, adapter) = (model_path(), adapter(path));
    let (model, adapter) = (model.to_str().unwrap(), adapter.to_str().unwrap());
    let words = |out: &'static str| ["merge", "--base", model, "--adapter", adapter, "--out", out];
    let message = refused(path, &[&words("m.gguf")[..], &["--type", "iq2_xxs"]].concat());
    assert!(message.contains("cannot write file type `iq2_xxs`; expected one of: f32, f16"), "{message}");
    fs::write(path.join("there.gguf"), "somebody's").unwrap();
    let message = refused(path, &words("there.gguf"));
    assert!(message.contains("`there.gguf` already exists") && message.contains("--force"), "{message}");
    assert_eq!(fs::read(path.join("there.gguf")).unwrap(), b"somebody's");
    let message = refused(path, &["merge", "--base", model, "--adapter", "there.gguf", "--out", "m.gguf"]);
    assert!(message.contains("cannot merge `there.gguf`"), "{message}");
    assert!(!path.join("m.gguf").exists());
}
