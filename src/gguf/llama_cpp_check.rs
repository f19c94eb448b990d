//! Refuses models whose metadata would make llama.cpp abort the process.
//!
//! Where in the flow: module `llm` calls [`Gguf::check_for_llama_cpp`] before llama.cpp loads a model file.
//! For most bad files llama.cpp returns an error, but some values fail an assertion, which ends the whole
//! process with no message about the file. These values are refused here.
//!
//! Source: the `GGML_ASSERT`s that metadata can reach in the llama.cpp bundled by `llama-cpp-sys-2`:
//! `llama-model.cpp` (`load_hparams`), `llama-vocab.cpp` (`load`) and the graph of the `llama` architecture
//! (`models/llama.cpp`).
//!
//! **Invariant:** no model that llama.cpp can run is refused here.

use std::collections::HashSet;

use super::{Error, Gguf, Value};

/// `LLAMA_MAX_LAYERS`.
const MAX_LAYERS: u32 = 512;
/// `LLAMA_MAX_EXPERTS`.
const MAX_EXPERTS: u32 = 1024;

impl Gguf {
    /// Refuses a model whose metadata would make llama.cpp abort the process.
    ///
    /// # Errors
    /// Names the key, its value and the values that are accepted.
    pub fn check_for_llama_cpp(&self) -> Result<(), Error> {
        let kind = self.optional_string("general.type")?;
        if let Some(other @ ("adapter" | "imatrix" | "mmproj")) = kind {
            return Err(self.wrong_value("general.type", other, "`model`"));
        }
        let architecture = self.string("general.architecture")?;
        let layers = self.check_layers(architecture)?;
        self.check_experts(architecture, layers)?;
        self.check_rope_scaling(architecture)?;
        if architecture == "llama" {
            self.check_llama()?;
        }
        self.check_tokens()
    }

    fn check_layers(&self, architecture: &str) -> Result<u32, Error> {
        let key = format!("{architecture}.block_count");
        let layers = self.u32(&key)?;
        if !(1..=MAX_LAYERS).contains(&layers) {
            return Err(self.wrong_value(&key, &layers.to_string(), &format!("1 to {MAX_LAYERS}")));
        }
        let key = format!("{architecture}.nextn_predict_layers");
        let extra = self.optional_u32(&key)?.unwrap_or(0);
        if extra > layers {
            return Err(self.wrong_value(&key, &extra.to_string(), &format!("0 to {layers}")));
        }
        Ok(layers)
    }

    /// Checks that the mixture-of-experts counts are consistent with each other.
    fn check_experts(&self, architecture: &str, layers: u32) -> Result<(), Error> {
        let key = |name: &str| format!("{architecture}.{name}");
        let count_key = key("expert_count");
        let count = self.optional_u32(&count_key)?.unwrap_or(0);
        if count > MAX_EXPERTS {
            return Err(self.wrong_value(&count_key, &count.to_string(), &format!("0 to {MAX_EXPERTS}")));
        }
        // One value per layer, or one for all layers. For any other array length llama.cpp returns an error.
        let used_key = key("expert_used_count");
        let used = match self.value(&used_key) {
            Some(Value::Array(per_layer)) => {
                per_layer.iter().take(layers as usize).filter_map(Value::as_integer).max().unwrap_or(0)
            }
            _ => self.optional_u32(&used_key)?.unwrap_or(0).into(),
        };
        let least = i128::from(count > 0);
        // With at most one expert, llama.cpp itself sets both counts to 0 for these architectures.
        let ignores_one = matches!(architecture, "hunyuan-dense" | "hunyuan_vl") && count <= 1;
        if !ignores_one && !(least..=count.into()).contains(&used) {
            return Err(self.wrong_value(&used_key, &used.to_string(), &format!("{least} to {count}")));
        }
        let groups_key = key("expert_group_count");
        let groups = self.optional_u32(&groups_key)?.unwrap_or(0);
        let fits = if count == 0 { groups == 0 } else { groups < count && count % groups.max(1) == 0 };
        if !ignores_one && !fits {
            let expected = format!("a divisor of the expert count {count}, and less");
            return Err(self.wrong_value(&groups_key, &groups.to_string(), &expected));
        }
        let used_groups_key = key("expert_group_used_count");
        let used_groups = self.optional_u32(&used_groups_key)?.unwrap_or(0);
        if groups > 1 && !(1..groups).contains(&used_groups) {
            let expected = format!("1 to {}", groups - 1);
            return Err(self.wrong_value(&used_groups_key, &used_groups.to_string(), &expected));
        }
        Ok(())
    }

    fn check_rope_scaling(&self, architecture: &str) -> Result<(), Error> {
        let key = format!("{architecture}.rope.scaling.type");
        match self.optional_string(&key)? {
            None | Some("none" | "linear" | "yarn" | "longrope") => Ok(()),
            Some(other) => Err(self.wrong_value(&key, other, "`none`, `linear`, `yarn` or `longrope`")),
        }
    }

    /// The graph of `llama` asserts that keys and values have the same length and epsilon is not negative.
    fn check_llama(&self) -> Result<(), Error> {
        let integer = |key: &str| self.value(key).and_then(Value::as_integer);
        // If absent, both lengths default to the embedding length divided by the number of heads.
        let default = match (integer("llama.embedding_length"), integer("llama.attention.head_count")) {
            (Some(embedding), Some(heads @ 1..)) => Some(embedding / heads),
            _ => None,
        };
        let value_key = "llama.attention.value_length";
        let key_length = integer("llama.attention.key_length").or(default);
        let value_length = integer(value_key).or(default);
        if let (Some(key_length), Some(value_length)) = (key_length, value_length)
            && key_length != value_length
        {
            let expected = format!("{key_length}, the key length");
            return Err(self.wrong_value(value_key, &value_length.to_string(), &expected));
        }
        let key = "llama.attention.layer_norm_rms_epsilon";
        let epsilon = self.f32(key)?;
        // This form of the comparison also refuses NaN.
        if epsilon >= 0.0 {
            return Ok(());
        }
        Err(self.wrong_value(key, &epsilon.to_string(), "0 or more"))
    }

    /// Refuses duplicate tokens: llama.cpp asserts that there are as many token texts as ids.
    fn check_tokens(&self) -> Result<(), Error> {
        let key = "tokenizer.ggml.tokens";
        let mut seen = HashSet::new();
        for (id, token) in self.optional_strings(key)?.unwrap_or_default().into_iter().enumerate() {
            // llama.cpp reads tokens as C strings and replaces empty ones by a name made from their id.
            let text = token.split('\0').next().unwrap_or_default();
            if !text.is_empty() && !seen.insert(text) {
                let found = format!("token {id} = {text:?}, which occurs before");
                return Err(self.wrong_value(key, &found, "every token once"));
            }
        }
        Ok(())
    }
}
