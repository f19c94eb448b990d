//! Facts about a model file from its metadata, read without llama.cpp.
//!
//! Where in the flow: `evol doctor` and the manifest of a run show them; loading checks them.
//!
//! **Invariant:** only metadata is read; the weights are not touched.

use std::path::Path;

use super::Error;
use crate::gguf::Gguf;

/// Facts about a model file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ModelInfo {
    /// `general.architecture`, such as `llama`.
    pub architecture: String,
    /// `general.name`, if given.
    pub name: Option<String>,
    /// `general.license`, if given.
    pub license: Option<String>,
    /// Number of weights.
    pub n_params: u64,
    /// Longest context that the model was trained on, in tokens.
    pub n_ctx_train: usize,
    /// Size of one attention head.
    pub head_dim: usize,
    /// Bytes that the cache of one token takes, at most (as `f16`).
    pub cache_bytes_per_token: u64,
    /// Tokens in the vocabulary.
    pub n_vocab: usize,
    /// Whether the file carries a chat template.
    pub has_chat_template: bool,
    /// Whether attention is causal, which generating needs.
    pub causal: bool,
}

impl ModelInfo {
    /// Reads the metadata of `gguf`.
    ///
    /// # Errors
    /// A needed key is missing or of the wrong type.
    pub fn read(gguf: &Gguf) -> Result<Self, Error> {
        let architecture = gguf.string("general.architecture")?.to_owned();
        let key = |name: &str| format!("{architecture}.{name}");
        // If the number of heads differs by layer, it is an array, and the size of a head has its own key.
        let heads = gguf.optional_u32(&key("attention.head_count")).ok().flatten().unwrap_or(1);
        let width = gguf.optional_u32(&key("embedding_length"))?.unwrap_or(0);
        let head_dim = gguf.optional_u32(&key("attention.key_length"))?.unwrap_or(width / heads.max(1));
        Ok(Self {
            name: gguf.optional_string("general.name")?.map(str::to_owned),
            license: gguf.optional_string("general.license")?.map(str::to_owned),
            n_params: gguf.tensors().map(|tensor| tensor.weights() as u64).sum(),
            n_ctx_train: gguf.u32(&key("context_length"))? as usize,
            head_dim: head_dim as usize,
            // Keys and values have two bytes per number. Without a number of kv heads, it is that of queries.
            cache_bytes_per_token: 4
                * u64::from(gguf.optional_u32(&key("block_count"))?.unwrap_or(1))
                * u64::from(
                    gguf.optional_u32(&key("attention.head_count_kv")).ok().flatten().unwrap_or(heads),
                )
                * u64::from(head_dim),
            n_vocab: gguf.optional_strings("tokenizer.ggml.tokens")?.map_or(0, |tokens| tokens.len()),
            has_chat_template: gguf.optional_string("tokenizer.chat_template")?.is_some(),
            causal: gguf.optional_bool(&key("attention.causal"))?.unwrap_or(true),
            architecture,
        })
    }

    /// Refuses models that cannot generate: llama.cpp gives no logits for them.
    pub(super) fn check_generative(&self, path: &Path) -> Result<(), Error> {
        let reason = match self.architecture.as_str() {
            _ if !self.causal => "its attention looks forward",
            _ if self.n_vocab == 0 => "it has no vocabulary",
            "t5" | "t5encoder" => "it needs an encoder",
            _ => return Ok(()),
        };
        Err(Error::NotGenerative { path: path.to_owned(), reason })
    }
}
