//! Files that are refused, and what is said about them.

#![expect(clippy::float_cmp, reason = "these numbers must be equal, not close")]

use super::tiny::{HIDDEN, LAYERS, TinyFile, VOCAB};
use crate::explain::Explain as _;
use crate::gguf::{GgmlType, Value};
use crate::model::ModelConfig;
use crate::ops::check::cpu;
use crate::ops::rope::Scaling;

/// The message for a tiny file changed by `change`, with the path replaced by `FILE`; asserts that there is
/// a hint.
#[track_caller]
fn refusal(change: impl FnOnce(&mut TinyFile)) -> String {
    let mut file = TinyFile::new();
    change(&mut file);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    let error = file.load_at(&path).expect_err("a file that must be refused");
    assert!(error.hint().is_some(), "no hint for: {error}");
    error.to_string().replace(&path.display().to_string(), "FILE")
}

#[test]
fn reads_the_configuration() {
    let expected = ModelConfig {
        hidden_size: HIDDEN,
        intermediate_size: 64,
        num_hidden_layers: LAYERS,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 8,
        vocab_size: VOCAB,
        max_position_embeddings: 64,
        rms_norm_eps: 1e-5,
        rope_theta: 1000.0,
        rope_scaling: Scaling::None,
        rope_attention_factor: 1.0,
        tie_word_embeddings: true,
    };
    assert_eq!(*TinyFile::new().load().config(), expected);
    assert!(!TinyFile::untied().load().config().tie_word_embeddings);
}

#[test]
fn defaults_are_those_of_the_format() {
    let mut file = TinyFile::new();
    file.metadata.retain(|(key, _)| key != "llama.rope.freq_base");
    assert_eq!(file.load().config().rope_theta, 10_000.0);
    // Without `head_count_kv` there are as many kv heads as heads, so the tiny k and v do not fit.
    let message = refusal(|file| file.metadata.retain(|(key, _)| key != "llama.attention.head_count_kv"));
    assert_eq!(message, "tensor `blk.0.attn_k.weight` in `FILE` has shape [16, 32], expected [32, 32]");
}

#[test]
fn names_the_key_that_cannot_be_computed() {
    let cases = [
        (
            "general.architecture",
            Value::String("qwen2".to_owned()),
            "`FILE` has architecture `qwen2`, expected `llama`",
        ),
        (
            "llama.expert_count",
            Value::U32(8),
            "key `llama.expert_count` in `FILE` is `8`, expected 0 (a dense model)",
        ),
        (
            "llama.rope.scaling.type",
            Value::String("longrope".to_owned()),
            "key `llama.rope.scaling.type` in `FILE` is `longrope`, expected `none`, `linear` or `yarn`",
        ),
        (
            "llama.rope.scale_linear",
            Value::F32(-4.0),
            "key `llama.rope.scale_linear` in `FILE` is `-4`, expected more than 0",
        ),
        (
            "llama.rope.scaling.attn_factor",
            Value::F32(f32::INFINITY),
            "key `llama.rope.scaling.attn_factor` in `FILE` is `inf`, expected a finite number",
        ),
        (
            "llama.attention.sliding_window",
            Value::U32(16),
            "key `llama.attention.sliding_window` in `FILE` is `16`, expected none, or one of at least the \
             context of 64 tokens",
        ),
        (
            "split.count",
            Value::U16(3),
            "key `split.count` in `FILE` is `3`, expected 1: join the parts with llama.cpp's \
             `llama-gguf-split --merge`",
        ),
        (
            "llama.attention.causal",
            Value::Bool(false),
            "key `llama.attention.causal` in `FILE` is `false`, expected `true`",
        ),
        (
            "llama.attention.head_count_kv",
            Value::U32(3),
            "key `llama.attention.head_count_kv` in `FILE` is `3`, expected a divisor of the 4 heads",
        ),
        (
            "llama.attention.head_count_kv",
            Value::Array(vec![Value::U32(2), Value::U32(2)]),
            "key `llama.attention.head_count_kv` in `FILE` is `a list of 2 numbers`, expected one number \
             for all layers",
        ),
        (
            "llama.attention.key_length",
            Value::U32(7),
            "key `llama.attention.key_length` in `FILE` is `7`, expected an even number: RoPE rotates pairs",
        ),
        (
            "llama.rope.dimension_count",
            Value::U32(4),
            "key `llama.rope.dimension_count` in `FILE` is `4`, expected 8, all columns of a head",
        ),
    ];
    for (key, value, expected) in cases {
        assert_eq!(refusal(|file| file.set(key, value.clone())), expected, "{key} = {value:?}");
    }
}

#[test]
fn names_the_number_that_cannot_be_computed_with() {
    let cases = [
        (
            "llama.attention.head_count",
            Value::U32(5),
            "key `llama.attention.head_count_kv` in `FILE` is `2`, expected a divisor of the 5 heads",
        ),
        (
            "llama.attention.head_count",
            Value::U32(0),
            "key `llama.attention.head_count` in `FILE` is `0`, expected 1 or more",
        ),
        (
            "llama.rope.freq_base",
            Value::F32(f32::NAN),
            "key `llama.rope.freq_base` in `FILE` is `NaN`, expected more than 0",
        ),
        (
            "llama.attention.layer_norm_rms_epsilon",
            Value::F32(-1.0),
            "key `llama.attention.layer_norm_rms_epsilon` in `FILE` is `-1`, expected 0 or more",
        ),
    ];
    for (key, value, expected) in cases {
        assert_eq!(refusal(|file| file.set(key, value.clone())), expected, "{key} = {value:?}");
    }
}

#[test]
fn names_the_tensor_that_does_not_fit() {
    let missing = refusal(|file| file.tensors.retain(|tensor| tensor.name != "blk.1.ffn_up.weight"));
    assert_eq!(missing, "`FILE` has no tensor `blk.1.ffn_up.weight`");
    let norm = refusal(|file| file.put_vector("blk.0.attn_q_norm.weight", 8, 0.0));
    assert_eq!(norm, "tensor `blk.0.attn_q_norm.weight` in `FILE` is not part of a dense LLaMA model");
    let bias = refusal(|file| file.put_vector("blk.0.attn_q.bias", 31, 0.0));
    assert_eq!(bias, "tensor `blk.0.attn_q.bias` in `FILE` has shape [31], expected [32]");
    let shape = refusal(|file| file.tensor("blk.1.ffn_down.weight").shape = vec![64, 32]);
    assert_eq!(shape, "tensor `blk.1.ffn_down.weight` in `FILE` has shape [64, 32], expected [32, 64]");
    let head = refusal(|file| file.put_matrix("output.weight", VOCAB + 1, HIDDEN));
    assert_eq!(head, "tensor `output.weight` in `FILE` has shape [98, 32], expected [97, 32]");
    let freqs = refusal(|file| file.put_vector("rope_freqs.weight", 3, 1.0));
    assert_eq!(freqs, "tensor `rope_freqs.weight` in `FILE` has shape [3], expected [4]");
    let format = refusal(|file| {
        let tensor = file.tensor("blk.0.attn_v.weight");
        (tensor.ggml_type, tensor.data) = (GgmlType::MXFP4, vec![0; 16 * 17].into());
    });
    assert!(format.contains("`blk.0.attn_v.weight` in `FILE` has type mxfp4"), "{format}");
    let vector = refusal(|file| file.tensor("token_embd.weight").shape = vec![VOCAB * HIDDEN]);
    assert_eq!(vector, "tensor `token_embd.weight` in `FILE` has shape [3104], expected [3104, 32]");
}

/// A week of training on a broken file would end in NaN, and nobody would know where it came from.
#[test]
fn names_the_weight_that_is_no_number() {
    let norm = refusal(|file| file.tensor("blk.1.ffn_norm.weight").data.to_mut()[8..12].fill(0xFF));
    assert_eq!(norm, "weight 2 of tensor `blk.1.ffn_norm.weight` in `FILE` is NaN, expected a finite number");
    let mut file = TinyFile::new();
    assert!(file.load().check_finite(&cpu(2)).is_ok());
    // The scale of the third block: an infinite one. Quants of 0 make it NaN, others infinite.
    let scale = half::f16::INFINITY.to_le_bytes();
    file.tensor("blk.0.attn_k.weight").data.to_mut()[68..70].copy_from_slice(&scale);
    let error = file.load().check_finite(&cpu(2)).unwrap_err().to_string();
    assert!(error.starts_with("weight 64 of tensor `blk.0.attn_k.weight`"), "{error}");
}
