//! Helper: what is done with every input of the fuzz target, for the target itself (`benches/fuzz.rs`) and
//! for the test that reads its corpus.

use evol::explain::Explain as _;
use evol::gguf::{Gguf, dequantize};
use evol::lora::{BaseShape, LoraWeights};
use evol::model::Llama;
use std::path::Path;
use std::sync::Arc;

/// Weights that are decoded of a tensor.
const DECODED: usize = 1 << 14;

/// The base of the adapters in the corpus.
pub(crate) const BASE: BaseShape = BaseShape {
    num_hidden_layers: 1,
    hidden_size: 8,
    intermediate_size: 8,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 4,
};

/// What a file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) is_gguf: bool,
    pub(crate) is_model: bool,
    pub(crate) is_adapter: bool,
}

/// Reads a file as a model and as an adapter, and some of its weights; every refusal names the file.
pub(crate) fn read(path: &Path) -> Read {
    let name = path.display().to_string();
    let gguf = match Gguf::open(path) {
        Ok(gguf) => Arc::new(gguf),
        Err(error) => {
            assert!(error.to_string().contains(&name), "{error}");
            let _ = error.hint();
            return Read { is_gguf: false, is_model: false, is_adapter: false };
        }
    };
    for tensor in gguf.tensors() {
        let Ok(view) = gguf.weights(tensor.name) else { continue };
        let (weights, bytes) = (view.ggml_type.block_weights(), view.ggml_type.block_bytes());
        let blocks = (view.data.len() / bytes).min(DECODED / weights);
        dequantize(view.ggml_type, &view.data[..blocks * bytes], &mut vec![0.0; blocks * weights]);
    }
    let _ = gguf.check_for_llama_cpp();
    let model = Llama::load(gguf);
    if let Err(error) = &model {
        assert!(error.to_string().contains(&name), "{error}");
    }
    Read { is_gguf: true, is_model: model.is_ok(), is_adapter: LoraWeights::read_gguf(path, &BASE).is_ok() }
}
