//! Helper: smaller models, cut out of the default one, for tests of what happens around a model. The whole
//! model would take minutes.
//!
//! Tokenizer, template and the vocabulary of 49,152 tokens are the default model's; the output is nonsense.

use super::model_path;
use evol::gguf::{Gguf, NewTensor, Value, write};
use half::f16;
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Bytes of a block of `Q8_0`: a scale of 16 bits, then 32 weights.
const Q8_0_BYTES: usize = 34;

/// The default model with its first two layers only.
pub(crate) fn two_layers(folder: &Path) -> PathBuf {
    let path = folder.join("two-layers.gguf");
    write_layers(&path, &["0", "1"], None);
    path
}

/// One layer of the default model, in which texts end: a run of a few seeds takes seconds and keeps some of
/// them. Made once for all tests, in the folder that cargo has for such files.
pub(crate) fn quick_model() -> &'static Path {
    static PATH: LazyLock<PathBuf> = LazyLock::new(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("quick.gguf");
        write_layers(&path, &["29"], Some(END_SCALE));
        path
    });
    &PATH
}

/// Factor of the output row of the token that ends a turn. The last layer alone gives that token
/// a negative logit nearly everywhere; a positive one of this size ends texts after a few tokens, but not at
/// once.
const END_SCALE: f32 = -0.7;

/// Writes the default model with these layers only, in this order. `end_scale`: with an output matrix of its
/// own, in which the row of `<|im_end|>` is multiplied.
fn write_layers(path: &Path, layers: &[&str], end_scale: Option<f32>) {
    let whole = Gguf::open(&model_path()).unwrap();
    let metadata: Vec<(String, Value)> = whole
        .metadata()
        .iter()
        .map(|(key, value)| {
            let count = Value::U32(layers.len() as u32);
            (key.clone(), if key == "llama.block_count" { count } else { value.clone() })
        })
        .collect();
    let name = |old: &str| -> Option<String> {
        let Some((layer, rest)) = old.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) else {
            return Some(old.to_owned());
        };
        let new = layers.iter().position(|kept| *kept == layer)?;
        Some(format!("blk.{new}.{rest}"))
    };
    let mut tensors: Vec<NewTensor<'_>> = whole
        .tensors()
        .filter_map(|tensor| {
            Some(NewTensor {
                name: name(tensor.name)?,
                shape: tensor.shape.to_vec(),
                ggml_type: tensor.ggml_type,
                data: Cow::Borrowed(tensor.data),
            })
        })
        .collect();
    if let Some(scale) = end_scale {
        tensors.push(output_matrix(&whole, scale));
    }
    write(path, &metadata, &tensors).unwrap();
}

/// The embeddings as an output matrix, the row of `<|im_end|>` multiplied by `scale`.
fn output_matrix(whole: &Gguf, scale: f32) -> NewTensor<'static> {
    let embeddings = whole.weights("token_embd.weight").unwrap();
    let tokens = whole.strings("tokenizer.ggml.tokens").unwrap();
    let end = tokens.iter().position(|token| *token == "<|im_end|>").unwrap();
    let row = embeddings.data.len() / tokens.len();
    let mut data = embeddings.data.to_vec();
    for block in data[end * row..][..row].chunks_exact_mut(Q8_0_BYTES) {
        let old = f16::from_le_bytes([block[0], block[1]]);
        block[..2].copy_from_slice(&f16::from_f32(old.to_f32() * scale).to_le_bytes());
    }
    NewTensor {
        name: "output.weight".to_owned(),
        shape: embeddings.shape.to_vec(),
        ggml_type: embeddings.ggml_type,
        data: Cow::Owned(data),
    }
}
