//! Valid files whose metadata would make llama.cpp abort the process.

use super::text;
use crate::gguf::{Error, Gguf, Value, write};

type Entry = (String, Value);

fn count(key: &str, value: u32) -> Entry {
    (format!("llama.{key}"), Value::U32(value))
}

fn per_layer(key: &str, values: &[u32]) -> Entry {
    (format!("llama.{key}"), Value::Array(values.iter().map(|&value| Value::U32(value)).collect()))
}

fn tokens(tokens: &[&str]) -> Entry {
    let tokens = tokens.iter().map(|token| Value::String((*token).to_owned())).collect();
    ("tokenizer.ggml.tokens".to_owned(), Value::Array(tokens))
}

/// The key that is refused when a good model's metadata is changed so; empty if none is.
fn refused(changes: Vec<Entry>) -> String {
    let epsilon = ("llama.attention.layer_norm_rms_epsilon".to_owned(), Value::F32(1e-5));
    let mut metadata = vec![text("general.architecture", "llama"), count("block_count", 2), epsilon];
    metadata.retain(|(key, _)| changes.iter().all(|(changed, _)| changed != key));
    metadata.extend(changes);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    write(&path, &metadata, &[]).unwrap();
    match Gguf::open(&path).unwrap().check_for_llama_cpp() {
        Ok(()) => String::new(),
        Err(Error::KeyValue { key, .. } | Error::KeyType { key, .. }) => key,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn layer_counts() {
    assert_eq!(refused(vec![]), "");
    assert_eq!(refused(vec![text("general.type", "model"), count("block_count", 512)]), "");
    assert_eq!(refused(vec![text("general.type", "adapter")]), "general.type");
    assert_eq!(refused(vec![count("block_count", 0)]), "llama.block_count");
    assert_eq!(refused(vec![count("block_count", 513)]), "llama.block_count");
    assert_eq!(refused(vec![text("llama.block_count", "2")]), "llama.block_count");
    assert_eq!(refused(vec![count("nextn_predict_layers", 3)]), "llama.nextn_predict_layers");
}

#[test]
fn expert_counts() {
    let experts = |all, used, groups| {
        vec![
            count("expert_count", all),
            count("expert_used_count", used),
            count("expert_group_count", groups),
        ]
    };
    let per_layer = |used| vec![count("expert_count", 4), per_layer("expert_used_count", used)];
    assert_eq!(refused(experts(8, 2, 1)), "");
    assert_eq!(refused(per_layer(&[2, 4])), "");
    assert_eq!(refused(per_layer(&[2, 5])), "llama.expert_used_count");
    assert_eq!(refused(experts(1025, 2, 0)), "llama.expert_count");
    assert_eq!(refused(experts(0, 1, 0)), "llama.expert_used_count");
    assert_eq!(refused(experts(4, 0, 0)), "llama.expert_used_count");
    assert_eq!(refused(experts(0, 0, 2)), "llama.expert_group_count");
    assert_eq!(refused(experts(4, 2, 3)), "llama.expert_group_count");
    assert_eq!(refused(experts(4, 2, 4)), "llama.expert_group_count");
    assert_eq!(refused(experts(4, 2, 2)), "llama.expert_group_used_count");
}

#[test]
fn attention() {
    let key = "llama.attention.value_length";
    let lengths = |k, v| vec![count("attention.key_length", k), count("attention.value_length", v)];
    assert_eq!(refused(lengths(64, 64)), "");
    assert_eq!(refused(lengths(64, 32)), key);
    let heads = [count("embedding_length", 576), count("attention.head_count", 9)];
    assert_eq!(refused([&heads[..], &[count("attention.key_length", 64)]].concat()), "");
    assert_eq!(refused([&heads[..], &[count("attention.key_length", 32)]].concat()), key);
    assert_eq!(refused(vec![text("llama.rope.scaling.type", "yarn")]), "");
    assert_eq!(refused(vec![text("llama.rope.scaling.type", "ntk")]), "llama.rope.scaling.type");
    let key = "llama.attention.layer_norm_rms_epsilon";
    for epsilon in [f32::NAN, -1e-5] {
        assert_eq!(refused(vec![(key.to_owned(), Value::F32(epsilon))]), key);
    }
}

#[test]
fn equal_tokens() {
    assert_eq!(refused(vec![tokens(&["", "a", ""])]), "");
    assert_eq!(refused(vec![tokens(&["a", "b", "a"])]), "tokenizer.ggml.tokens");
    assert_eq!(refused(vec![tokens(&["a\0b", "a\0c"])]), "tokenizer.ggml.tokens");
}

#[test]
fn missing_architecture() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    write(&path, &[], &[]).unwrap();
    let error = Gguf::open(&path).unwrap().check_for_llama_cpp().unwrap_err();
    let message = format!("`{}` has no key `general.architecture`, expected a string", path.display());
    assert_eq!(error.to_string(), message);
}
