//! Catches a converted copy of a model that computes something else than its source, that is trusted after
//! it or its source changed, or that is left half-written.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use evol::gguf::{GgmlType, Gguf, dequantize};
use evol::llm::{
    ComputeFile, ComputeFormat, ConversionCache, ConversionStep, Error, Part, Tokenizer, reference_logits,
};

use super::{model_path, refused};
use crate::evol;

fn source_sha256() -> String {
    Gguf::open(&model_path()).unwrap().sha256().unwrap()
}

/// The model in `format`, and whether a conversion was reported.
fn get(folder: &Path, sha256: &str, format: ComputeFormat) -> (ComputeFile, bool) {
    let cache = ConversionCache { folder: folder.to_owned(), threads: 1 };
    let mut converting = false;
    let mut tell = |step| converting |= step == ConversionStep::Converting;
    let file = cache.get(&model_path(), sha256, format, &AtomicBool::new(false), &mut tell).unwrap();
    (file, converting)
}

/// Names of what is in `folder`.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The weights of a tensor.
fn floats(gguf: &Gguf, tensor: &str) -> Vec<f32> {
    let view = gguf.weights(tensor).unwrap();
    let mut out = vec![0.0; view.weights()];
    dequantize(view.ggml_type, view.data, &mut out);
    out
}

/// Largest difference of two lists of numbers.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn a_converted_model_says_what_its_source_says() {
    let folder = tempfile::tempdir().unwrap();
    let sha256 = source_sha256();
    let text = "The capital of France is Paris. Name three rivers of Europe and say how long they are.";
    let parts = [Part { text: text.to_owned(), special: false }];
    let tokens = Tokenizer::load(&model_path()).unwrap().tokenize(&parts).unwrap();
    let source = reference_logits(&model_path(), None, &tokens).unwrap();
    // The weights are what the source says, rounded (below). The logits are further apart, because llama.cpp
    // rounds activations to 8 bits before it multiplies them with Q4_1 and Q8_0, and to 11 before `f16`: at
    // most 0.97 was measured for `f16` and 2.01 for `q8_0`. Twice that is allowed.
    for (format, weights, tolerance) in
        [(ComputeFormat::F16, GgmlType::F16, 2.0), (ComputeFormat::Q8_0, GgmlType::Q8_0, 4.0)]
    {
        let (file, converting) = get(folder.path(), &sha256, format);
        assert!(converting && file.converted);
        let (old, new) = (Gguf::open(&model_path()).unwrap(), Gguf::open(&file.path).unwrap());
        assert_eq!(new.sha256().unwrap(), file.sha256);
        assert!(new.tensors().all(|tensor| tensor.shape.len() < 2 || tensor.ggml_type == weights));
        for tensor in ["token_embd.weight", "blk.0.attn_q.weight", "blk.29.ffn_down.weight"] {
            // Half a step: of 127 to the largest of 32, or of 11 bits; the scale of a block has 11 bits too.
            let step = if format == ComputeFormat::Q8_0 { 1.0 / 254.0 + 1.0 / 2048.0 } else { 1.0 / 2048.0 };
            for (old, new) in floats(&old, tensor).chunks(32).zip(floats(&new, tensor).chunks(32)) {
                let largest = old.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
                assert!(distance(old, new) <= largest * step + 1e-7, "{tensor}: {old:?} became {new:?}");
            }
        }
        for key in ["tokenizer.chat_template", "tokenizer.ggml.tokens", "tokenizer.ggml.merges"] {
            assert!(old.value(key).is_some() && old.value(key) == new.value(key), "{key}");
        }
        assert_eq!(Tokenizer::load(&file.path).unwrap().tokenize(&parts).unwrap(), tokens);
        let logits = reference_logits(&file.path, None, &tokens).unwrap();
        let distance = distance(&source, &logits);
        assert!(distance > 0.0 && distance < tolerance, "{format:?}: {distance}");
    }
}

#[test]
fn a_model_is_converted_once_and_again_when_its_file_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let sha256 = source_sha256();
    let (first, _) = get(folder.path(), &sha256, ComputeFormat::Q8_0);
    let name = first.path.file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(names(folder.path()), [format!(".{name}.lock"), name.clone(), format!("{name}.json")]);
    assert_eq!(
        get(folder.path(), &sha256, ComputeFormat::Q8_0).0,
        ComputeFile { converted: false, ..first.clone() }
    );

    let whole = fs::read(&first.path).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&whole[..whole.len() - 100], &flipped, b"GGUF"] {
        fs::write(&first.path, damaged).unwrap();
        assert_eq!(get(folder.path(), &sha256, ComputeFormat::Q8_0).0, first);
        assert!(fs::read(&first.path).unwrap() == whole, "the same bytes again");
    }
    // Killed between the file and its record: what has no record is not trusted.
    fs::remove_file(first.path.with_file_name(format!("{name}.json"))).unwrap();
    // Killed while it was written.
    fs::write(folder.path().join(format!(".{name}.partial")), b"half").unwrap();
    assert_eq!(get(folder.path(), &sha256, ComputeFormat::Q8_0).0, first);
    assert_eq!(names(folder.path()).len(), 3, "nothing is left behind");
}

#[test]
fn what_is_in_the_format_already_stays_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let sha256 = source_sha256();
    let as_is = get(folder.path(), &sha256, ComputeFormat::AsIs).0;
    assert_eq!(as_is, ComputeFile { path: model_path(), sha256: sha256.clone(), converted: false });
    let converted = get(folder.path(), &sha256, ComputeFormat::Q8_0).0;
    let cache = ConversionCache { folder: folder.path().to_owned(), threads: 1 };
    let again = cache
        .get(&converted.path, &converted.sha256, ComputeFormat::Q8_0, &AtomicBool::new(false), &mut |_| ())
        .unwrap();
    assert_eq!(again, ComputeFile { converted: false, ..converted });
}

#[test]
fn two_that_convert_at_once_get_the_same_whole_file() {
    let folder = tempfile::tempdir().unwrap();
    let sha256 = source_sha256();
    let files: Vec<ComputeFile> = std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| get(folder.path(), &sha256, ComputeFormat::Q8_0).0));
        both.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!((&files[0].path, &files[0].sha256), (&files[1].path, &files[1].sha256));
    assert_eq!(files.iter().filter(|file| file.converted).count(), 1, "the second waited for the first");
    assert_eq!(Gguf::open(&files[0].path).unwrap().sha256().unwrap(), files[0].sha256);
}

#[test]
fn waiting_for_another_process_can_be_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let sha256 = source_sha256();
    let cache = ConversionCache { folder: folder.path().to_owned(), threads: 1 };
    let (first, _) = get(folder.path(), &sha256, ComputeFormat::Q8_0);
    let name = first.path.file_name().unwrap().to_str().unwrap();
    let lock = fs::File::open(folder.path().join(format!(".{name}.lock"))).unwrap();
    lock.lock().unwrap();
    let interrupt = AtomicBool::new(false);
    let mut tell = |step| {
        assert_eq!(step, ConversionStep::Waiting);
        interrupt.store(true, Ordering::Relaxed);
    };
    let result = cache.get(&model_path(), &sha256, ComputeFormat::Q8_0, &interrupt, &mut tell);
    assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
}

#[test]
fn what_is_no_model_is_refused_before_llama_cpp_sees_it() {
    let folder = tempfile::tempdir().unwrap();
    let cache = ConversionCache { folder: folder.path().join("cache"), threads: 1 };
    let whole = fs::read(model_path()).unwrap();
    let path: PathBuf = folder.path().join("cut.gguf");
    for bytes in [&whole[..whole.len() / 2], &whole[..20], b"no model at all"] {
        fs::write(&path, bytes).unwrap();
        let result =
            cache.get(&path, "00", ComputeFormat::F16, &AtomicBool::new(false), &mut |_| panic!("converts"));
        assert!(matches!(result, Err(Error::Gguf(_))), "{result:?}");
    }
    assert!(!cache.folder.exists());
}

#[test]
fn bad_values_are_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let model = model_path();
    let evolve = ["evolve", "--model", model.to_str().unwrap(), "--out", "run"];
    for (flag, value) in [("--compute-format", "q4_k"), ("--determinism", "yes"), ("--gpu-layers", "many")] {
        let stderr = refused(folder.path(), &[&evolve[..], &[flag, value]].concat());
        assert!(stderr.contains(flag) && stderr.contains(value), "{stderr}");
    }
    let stderr = refused(folder.path(), &[&evolve[..], &["--batch-width", "0"]].concat());
    assert!(stderr.contains("`--batch-width` is 0, expected at least 1 sequence"), "{stderr}");
    if !cfg!(feature = "llama-cuda") {
        let stderr = refused(folder.path(), &[&evolve[..], &["--gpu-layers", "9"]].concat());
        assert!(
            stderr.contains("`--gpu-layers` is 9") && stderr.contains("--features llama-cuda"),
            "{stderr}"
        );
    }
    assert!(!folder.path().join("run").exists());
}

/// A cache folder that cannot take the file: the system's limit on file sizes stands in for a full disk,
/// because both fail in `write`.
#[test]
fn a_cache_without_room_is_named_with_the_reason_and_left_clean() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "trap '' XFSZ; ulimit -f 20000; exec '{}' evolve --model '{}' --out run --limit 1 --compute-format \
         q8_0",
        env!("CARGO_BIN_EXE_evol"),
        model_path().display()
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("XDG_CACHE_HOME", folder.path().join("cache"))
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for part in
        ["cache/evol/converted` in the cache of converted models", "File too large", "hint: make room"]
    {
        assert!(stderr.contains(part), "no `{part}` in {stderr}");
    }
    let left = names(&folder.path().join("cache/evol/converted"));
    let is_lock = |name: &String| Path::new(name).extension().is_some_and(|extension| extension == "lock");
    assert!(left.iter().all(is_lock), "{left:?}");
}

/// A small run in another format; `more` are flags.
fn run(folder: &Path, more: &[&str]) -> std::process::Output {
    let model = model_path();
    let base =
        ["evolve", "--model", model.to_str().unwrap(), "--out", "run", "--limit", "2", "--rounds", "1"];
    let short = [
        "--profile",
        "wizardlm",
        "--judge-pairs",
        "10",
        "--threads",
        "1",
        "--batch-width",
        "4",
        "--max-answer-tokens",
        "8",
        "--min-yield",
        "0",
    ];
    evol()
        .current_dir(folder)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .args(base)
        .args(short)
        .args(more)
        .output()
        .unwrap()
}

#[test]
fn a_resumed_run_keeps_its_compute_format() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["--compute-format", "q8_0"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.path().join("run/manifest.json")).unwrap()).unwrap();
    let compute = &manifest["compute"];
    let path = Path::new(compute["path"].as_str().unwrap());
    let sha256 = Gguf::open(path).unwrap().sha256().unwrap();
    assert_eq!((&compute["format"], &compute["sha256"]), (&"q8_0".into(), &sha256.as_str().into()));
    assert_eq!((&compute["determinism"], &compute["reason"]), (&"exact".into(), &serde_json::Value::Null));
    assert_eq!(manifest["journal"]["compute.sha256"], sha256);
    assert_eq!(manifest["model"]["sha256"], source_sha256());
    assert_eq!(manifest["journal"].get("engine.batch_width"), None, "it has no part in exact results");

    // `auto` follows the journal and measures nothing.
    let before = fs::metadata(path).unwrap().modified().unwrap();
    let output = run(folder.path(), &["--compute-format", "auto"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::metadata(path).unwrap().modified().unwrap(), before);
    assert!(names(&folder.path().join("cache/evol/converted")).iter().all(|name| !name.contains("auto")));

    let output = run(folder.path(), &["--compute-format", "f16"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("`compute.format` was `q8_0`, is now `f16`"), "{stderr}");
    let output = run(folder.path(), &["--compute-format", "q8_0", "--determinism", "scheduled"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("`engine.determinism` was `exact`, is now `scheduled`"), "{stderr}");
}
