//! A model's sizes and constants, from the metadata of its file.
//!
//! Where in the flow: [`Llama::load`](super::Llama::load) reads it first and checks all tensors against it.
//!
//! **Invariant:** a configuration exists only for a model that the forward pass computes exactly. Variants
//! that need other formulas (experts, `longrope`, partial rotation, sliding windows) are refused here by
//! their key.
//!
//! Source of the keys: `docs/gguf.md` of ggml and `llm_load_hparams` of llama.cpp.

use super::Error;
use crate::gguf::{Gguf, Value};
use crate::lora::BaseShape;
use crate::ops::rope::Scaling;

/// Sizes and constants of a model, under the names of Hugging Face's `config.json`.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "Hugging Face's names")]
pub struct ModelConfig {
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub head_dim: usize,
    pub vocab_size: usize,
    pub max_position_embeddings: usize,
    pub rms_norm_eps: f32,
    pub rope_theta: f32,
    pub rope_scaling: Scaling,
    /// Factor on rotated queries and keys, in addition to that of the scaling itself.
    pub rope_attention_factor: f32,
    pub tie_word_embeddings: bool,
}

impl ModelConfig {
    /// Reads the configuration of a dense LLaMA.
    ///
    /// # Errors
    /// Names the first key that is missing, of the wrong type, or that asks for something not supported.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, Error> {
        let found = gguf.string("general.architecture")?;
        if found != "llama" {
            return Err(Error::Architecture { path: gguf.path().to_owned(), found: found.to_owned() });
        }
        refuse_variants(gguf)?;
        let hidden_size = positive(gguf, "llama.embedding_length")?;
        let num_attention_heads = positive(gguf, "llama.attention.head_count")?;
        let max_position_embeddings = positive(gguf, "llama.context_length")?;
        let config = Self {
            hidden_size,
            intermediate_size: positive(gguf, "llama.feed_forward_length")?,
            num_hidden_layers: positive(gguf, "llama.block_count")?,
            num_attention_heads,
            num_key_value_heads: kv_heads(gguf, num_attention_heads)?,
            head_dim: head_dim(gguf, hidden_size, num_attention_heads)?,
            vocab_size: gguf.weights("token_embd.weight")?.shape[0],
            max_position_embeddings,
            rms_norm_eps: gguf.f32("llama.attention.layer_norm_rms_epsilon")?,
            rope_theta: gguf.optional_f32("llama.rope.freq_base")?.unwrap_or(10_000.0),
            rope_scaling: rope_scaling(gguf, max_position_embeddings)?,
            rope_attention_factor: gguf.optional_f32("llama.rope.scaling.attn_factor")?.unwrap_or(1.0),
            tie_word_embeddings: gguf.tensor("output.weight").is_none(),
        };
        if !(config.rms_norm_eps >= 0.0 && config.rms_norm_eps.is_finite()) {
            let found = config.rms_norm_eps.to_string();
            return Err(refusal(gguf, "llama.attention.layer_norm_rms_epsilon", found, "0 or more"));
        }
        if !config.rope_attention_factor.is_finite() {
            let found = config.rope_attention_factor.to_string();
            return Err(refusal(gguf, "llama.rope.scaling.attn_factor", found, "a finite number"));
        }
        if !(config.rope_theta > 0.0 && config.rope_theta.is_finite()) {
            return Err(refusal(gguf, "llama.rope.freq_base", config.rope_theta.to_string(), "more than 0"));
        }
        Ok(config)
    }

    /// The sizes that decide an adapter's shapes.
    pub fn base_shape(&self) -> BaseShape {
        BaseShape {
            num_hidden_layers: self.num_hidden_layers,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_attention_heads: self.num_attention_heads,
            num_key_value_heads: self.num_key_value_heads,
            head_dim: self.head_dim,
        }
    }
}

/// Refuses variants of the architecture whose formulas differ from ours.
fn refuse_variants(gguf: &Gguf) -> Result<(), Error> {
    if let Some(experts) = gguf.optional_u32("llama.expert_count")?.filter(|&experts| experts > 0) {
        return Err(refusal(gguf, "llama.expert_count", experts.to_string(), "0 (a dense model)"));
    }
    let (window, context) = ("llama.attention.sliding_window", gguf.u32("llama.context_length")?);
    if let Some(found) = gguf.optional_u32(window)?.filter(|&found| found > 0 && found < context) {
        let expected = format!("none, or one of at least the context of {context} tokens");
        return Err(refusal(gguf, window, found.to_string(), &expected));
    }
    if let Some(parts) = gguf.optional_u32("split.count")?.filter(|&parts| parts > 1) {
        let expected = "1: join the parts with llama.cpp's `llama-gguf-split --merge`";
        return Err(refusal(gguf, "split.count", parts.to_string(), expected));
    }
    if gguf.optional_bool("llama.attention.causal")? == Some(false) {
        return Err(refusal(gguf, "llama.attention.causal", "false".to_owned(), "`true`"));
    }
    Ok(())
}

/// Reads the scaling as llama.cpp does: linear if no type is named, and with the factor under another key in
/// files from before 2023-10.
fn rope_scaling(gguf: &Gguf, context: usize) -> Result<Scaling, Error> {
    let (key, old_key) = ("llama.rope.scaling.factor", "llama.rope.scale_linear");
    let (key, factor) = match gguf.optional_f32(key)? {
        Some(factor) => (key, factor),
        None => (old_key, gguf.optional_f32(old_key)?.unwrap_or(0.0)),
    };
    // llama.cpp takes 0 for "none".
    let factor = if factor.abs() <= 0.0 { 1.0 } else { factor };
    if !(factor > 0.0 && factor.is_finite()) {
        return Err(refusal(gguf, key, factor.to_string(), "more than 0"));
    }
    let factor = f64::from(factor);
    let kind = "llama.rope.scaling.type";
    match gguf.optional_string(kind)?.unwrap_or("linear") {
        "none" => Ok(Scaling::None),
        "linear" if (factor - 1.0).abs() <= f64::EPSILON => Ok(Scaling::None),
        "linear" => Ok(Scaling::Linear { factor }),
        "yarn" => {
            let original = gguf.optional_u32("llama.rope.scaling.original_context_length")?;
            let original_context = original.map_or(context as f64, f64::from);
            Ok(Scaling::Yarn { factor, original_context })
        }
        other => Err(refusal(gguf, kind, other.to_owned(), "`none`, `linear` or `yarn`")),
    }
}

/// K, which must divide H; H if the key is missing.
fn kv_heads(gguf: &Gguf, heads: usize) -> Result<usize, Error> {
    let key = "llama.attention.head_count_kv";
    if let Some(Value::Array(per_layer)) = gguf.value(key) {
        let found = format!("a list of {} numbers", per_layer.len());
        return Err(refusal(gguf, key, found, "one number for all layers"));
    }
    let kv_heads = gguf.optional_u32(key)?.map_or(heads, |count| count as usize);
    if kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
        return Err(refusal(gguf, key, kv_heads.to_string(), &format!("a divisor of the {heads} heads")));
    }
    Ok(kv_heads)
}

/// D, which defaults to C/H and must be the same for keys, values and rotation.
fn head_dim(gguf: &Gguf, hidden_size: usize, heads: usize) -> Result<usize, Error> {
    let key = "llama.attention.key_length";
    let head_dim = match gguf.optional_u32(key)? {
        Some(length) => length as usize,
        None if hidden_size.is_multiple_of(heads) => hidden_size / heads,
        None => {
            let expected = format!("a divisor of the {hidden_size} columns, or `{key}` beside it");
            return Err(refusal(gguf, "llama.attention.head_count", heads.to_string(), &expected));
        }
    };
    if head_dim == 0 || !head_dim.is_multiple_of(2) {
        return Err(refusal(gguf, key, head_dim.to_string(), "an even number: RoPE rotates pairs"));
    }
    for key in ["llama.attention.value_length", "llama.rope.dimension_count"] {
        if let Some(other) = gguf.optional_u32(key)?.filter(|&other| other as usize != head_dim) {
            return Err(refusal(gguf, key, other.to_string(), &format!("{head_dim}, all columns of a head")));
        }
    }
    Ok(head_dim)
}

fn positive(gguf: &Gguf, key: &str) -> Result<usize, Error> {
    match gguf.u32(key)? {
        0 => Err(refusal(gguf, key, "0".to_owned(), "1 or more")),
        value => Ok(value as usize),
    }
}

fn refusal(gguf: &Gguf, key: &str, found: String, expected: &str) -> Error {
    Error::Key { path: gguf.path().to_owned(), key: key.to_owned(), found, expected: expected.to_owned() }
}
