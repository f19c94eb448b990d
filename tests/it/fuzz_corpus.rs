//! Catches a crash, or an error without an explanation, on the files that the fuzz target starts from and
//! those that it has found. `benches/fuzz.rs` makes more of them.
//!
//! `EVOL_WRITE_CORPUS=1 cargo test --release --test it fuzz_corpus` writes the seeds anew.

use crate::fuzz_input::{BASE, Read, read};
use evol::gguf::{GgmlType, NewTensor, Value, write};
use evol::lora::{LoraConfig, LoraWeights, TargetModule};
use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fuzz/gguf")
}

fn tensor(name: &str, shape: &[usize], ggml_type: GgmlType) -> NewTensor<'static> {
    let bytes = ggml_type.bytes_of(shape.iter().product()).unwrap();
    let data =
        if ggml_type == GgmlType::F32 { 0.5_f32.to_le_bytes().repeat(bytes / 4) } else { vec![7; bytes] };
    NewTensor { name: name.to_owned(), shape: shape.to_vec(), ggml_type, data: Cow::Owned(data) }
}

/// A whole model of one layer, with a bias and factors of frequencies.
fn model() -> (Vec<(String, Value)>, Vec<NewTensor<'static>>) {
    let key = |key: &str, value| (format!("llama.{key}"), value);
    let metadata = vec![
        ("general.architecture".to_owned(), Value::String("llama".to_owned())),
        key("block_count", Value::U32(1)),
        key("context_length", Value::U32(16)),
        key("embedding_length", Value::U32(8)),
        key("feed_forward_length", Value::U32(8)),
        key("attention.head_count", Value::U32(2)),
        key("attention.head_count_kv", Value::U32(1)),
        key("attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        key("rope.scaling.type", Value::String("yarn".to_owned())),
        key("rope.scaling.factor", Value::F32(2.0)),
        ("tokenizer.ggml.tokens".to_owned(), Value::Array(vec![Value::String("a".to_owned()); 3])),
    ];
    let f32 = GgmlType::F32;
    let mut tensors = vec![
        tensor("token_embd.weight", &[3, 8], f32),
        tensor("output_norm.weight", &[8], f32),
        tensor("rope_freqs.weight", &[2], f32),
        tensor("blk.0.attn_norm.weight", &[8], f32),
        tensor("blk.0.ffn_norm.weight", &[8], f32),
        tensor("blk.0.attn_q.bias", &[8], f32),
    ];
    for module in TargetModule::ALL {
        let shape = [BASE.out_features(module), BASE.in_features(module)];
        tensors.push(tensor(&format!("blk.0.{}.weight", module.gguf_name()), &shape, GgmlType::F16));
    }
    (metadata, tensors)
}

fn write_corpus() {
    let folder = corpus();
    fs::create_dir_all(&folder).unwrap();
    let (metadata, tensors) = model();
    write(&folder.join("model"), &metadata, &tensors).unwrap();
    let config = LoraConfig {
        r: 2,
        lora_alpha: 4.0,
        target_modules: TargetModule::ALL.to_vec(),
        ..LoraConfig::default()
    };
    LoraWeights::init(&config, &BASE, 1).write_gguf(&folder.join("adapter"), "a").unwrap();
    let formats: Vec<_> = GgmlType::ALL.iter().map(|&t| tensor(t.name(), &[1, 256], t)).collect();
    write(&folder.join("formats"), &[], &formats).unwrap();
    let values = vec![
        Value::U8(1),
        Value::I8(-1),
        Value::U16(2),
        Value::I16(-2),
        Value::U32(3),
        Value::I32(-3),
        Value::F32(0.5),
        Value::U64(4),
        Value::I64(-4),
        Value::F64(0.25),
        Value::Bool(true),
        Value::String("x".to_owned()),
        Value::Array(vec![Value::F64(1.0); 3]),
        Value::Array(Vec::new()),
    ];
    let metadata: Vec<_> =
        values.into_iter().enumerate().map(|(i, value)| (format!("k{i}"), value)).collect();
    write(&folder.join("values"), &metadata, &[]).unwrap();
    let whole = fs::read(folder.join("model")).unwrap();
    for at in [0, 4, 23, 24, 60, 300, 900, whole.len() - 1] {
        fs::write(folder.join(format!("cut-{at}")), &whole[..at]).unwrap();
    }
}

#[test]
fn every_file_of_the_corpus_is_read_or_refused_with_words() {
    if std::env::var_os("EVOL_WRITE_CORPUS").is_some() {
        write_corpus();
    }
    let found: Vec<Read> =
        fs::read_dir(corpus()).unwrap().map(|entry| read(&entry.unwrap().path())).collect();
    let count = |is: fn(&Read) -> bool| found.iter().filter(|read| is(read)).count();
    // The model, an adapter, all formats, all values; the model cut in eight places, twice where nothing is
    // missing.
    assert_eq!((count(|read| read.is_model), count(|read| read.is_adapter)), (1, 1), "{found:?}");
    assert!(count(|read| read.is_gguf) >= 4 && count(|read| !read.is_gguf) >= 7, "{found:?}");
}
