//! A tiny model file with everything in it that a real one has: grouped heads, quantized weights, a head of
//! its own or a tied one, `rope_freqs`.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use crate::gguf::{GgmlType, Gguf, NewTensor, Value, write};
use crate::lora::{LoraConfig, LoraWeights, TargetModule};
use crate::model::{Error, Llama, PackedRow};
use crate::ops::check::random;

pub(super) const HIDDEN: usize = 32;
pub(super) const HEADS: usize = 4;
pub(super) const KV_HEADS: usize = 2;
pub(super) const HEAD_DIM: usize = 8;
pub(super) const FFN: usize = 64;
pub(super) const VOCAB: usize = 97;
pub(super) const LAYERS: usize = 2;

/// A file to be: change it, then write it.
pub(super) struct TinyFile {
    pub(super) metadata: Vec<(String, Value)>,
    pub(super) tensors: Vec<NewTensor<'static>>,
}

impl TinyFile {
    /// Tied embeddings, no `rope_freqs`.
    pub(super) fn new() -> Self {
        Self::with_layers(LAYERS)
    }

    /// The same with another number of layers.
    pub(super) fn with_layers(layers: usize) -> Self {
        let count = |key: &str, value: usize| (format!("llama.{key}"), Value::U32(value as u32));
        let metadata = vec![
            ("general.architecture".to_owned(), Value::String("llama".to_owned())),
            count("block_count", layers),
            count("context_length", 64),
            count("embedding_length", HIDDEN),
            count("feed_forward_length", FFN),
            count("attention.head_count", HEADS),
            count("attention.head_count_kv", KV_HEADS),
            ("llama.attention.layer_norm_rms_epsilon".to_owned(), Value::F32(1e-5)),
            ("llama.rope.freq_base".to_owned(), Value::F32(1000.0)),
        ];
        let mut file = Self { metadata, tensors: Vec::new() };
        file.put_matrix("token_embd.weight", VOCAB, HIDDEN);
        file.put_vector("output_norm.weight", HIDDEN, 1.0);
        for layer in 0..layers {
            let name = |part: &str| format!("blk.{layer}.{part}.weight");
            file.put_vector(&name("attn_norm"), HIDDEN, 1.0);
            file.put_vector(&name("ffn_norm"), HIDDEN, 1.0);
            let (q, kv) = (HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM);
            let shapes = [
                (q, HIDDEN),
                (kv, HIDDEN),
                (kv, HIDDEN),
                (HIDDEN, q),
                (FFN, HIDDEN),
                (FFN, HIDDEN),
                (HIDDEN, FFN),
            ];
            for (module, (rows, columns)) in TargetModule::ALL.into_iter().zip(shapes) {
                file.put_matrix(&name(module.gguf_name()), rows, columns);
            }
        }
        file
    }

    /// With a head of its own and `rope_freqs`.
    pub(super) fn untied() -> Self {
        let mut file = Self::new();
        file.put_matrix("output.weight", VOCAB, HIDDEN);
        file.put_vector("rope_freqs.weight", HEAD_DIM / 2, 3.0);
        file
    }

    /// With a bias of every projection and a context that `YaRN` has stretched.
    pub(super) fn with_biases_and_yarn() -> Self {
        let mut file = Self::untied();
        let (q, kv) = (HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM);
        let lengths = [q, kv, kv, HIDDEN, FFN, FFN, HIDDEN];
        for layer in 0..LAYERS {
            for (module, len) in TargetModule::ALL.into_iter().zip(lengths) {
                file.put_vector(&format!("blk.{layer}.{}.bias", module.gguf_name()), len, 0.2);
            }
        }
        file.set("llama.rope.scaling.type", Value::String("yarn".to_owned()));
        file.set("llama.rope.scaling.factor", Value::F32(4.0));
        file.set("llama.rope.scaling.original_context_length", Value::U32(16));
        file
    }

    /// `Q8_0` blocks of noise in about (-0.3, 0.3): large enough that every part of the model matters.
    pub(super) fn put_matrix(&mut self, name: &str, rows: usize, columns: usize) {
        let mut data = Vec::new();
        let noise: Vec<f32> = random(rows * columns, self.tensors.len() as u64);
        for block in noise.chunks_exact(32) {
            data.extend(half::f16::from_f32(0.3 / 127.0).to_le_bytes());
            data.extend(block.iter().map(|x| ((127.0 * x) as i8).cast_unsigned()));
        }
        self.put(name, vec![rows, columns], GgmlType::Q8_0, data);
    }

    /// f32 noise of ±0.5 about `centre`.
    pub(super) fn put_vector(&mut self, name: &str, len: usize, centre: f32) {
        let noise: Vec<f32> = random(len, 1000 + self.tensors.len() as u64);
        let data = noise.iter().flat_map(|x| (centre + 0.5 * x).to_le_bytes()).collect();
        self.put(name, vec![len], GgmlType::F32, data);
    }

    pub(super) fn put(&mut self, name: &str, shape: Vec<usize>, ggml_type: GgmlType, data: Vec<u8>) {
        self.tensors.push(NewTensor { name: name.to_owned(), shape, ggml_type, data: Cow::Owned(data) });
    }

    pub(super) fn set(&mut self, key: &str, value: Value) {
        self.metadata.retain(|(present, _)| present != key);
        self.metadata.push((key.to_owned(), value));
    }

    pub(super) fn tensor(&mut self, name: &str) -> &mut NewTensor<'static> {
        self.tensors.iter_mut().find(|tensor| tensor.name == name).expect("a tensor of the tiny model")
    }

    /// Writes the file to `path` and loads it.
    pub(super) fn load_at(&self, path: &Path) -> Result<Llama, Error> {
        write(path, &self.metadata, &self.tensors).unwrap();
        Llama::load(Arc::new(Gguf::open(path).unwrap()))
    }

    /// The model; its file is gone from the folder, but stays mapped.
    pub(super) fn load(&self) -> Llama {
        let folder = tempfile::tempdir().unwrap();
        self.load_at(&folder.path().join("tiny.gguf")).unwrap()
    }
}

/// An adapter on `modules` with nothing zero in it.
pub(super) fn adapter(model: &Llama, modules: &[TargetModule], lora_dropout: f32) -> LoraWeights {
    let config = LoraConfig {
        r: 3,
        lora_alpha: 4.5,
        lora_dropout,
        target_modules: modules.to_vec(),
        ..LoraConfig::default()
    };
    let mut weights = LoraWeights::zeros(&config, &model.config().base_shape());
    weights.data = random::<f32>(weights.data.len(), 77).iter().map(|x| 0.4 * x).collect();
    weights
}

/// Samples of `lengths` tokens, packed; every third target is masked, and the last of each sample.
pub(super) fn packed(lengths: &[usize], seed: u64) -> PackedRow {
    let tokens = lengths.iter().sum();
    let noise: Vec<f64> = random(tokens + 1, seed);
    let ids: Vec<u32> = noise.iter().map(|x| ((x + 1.0) / 2.0 * VOCAB as f64) as u32).collect();
    let mut row = PackedRow { tokens: ids[..tokens].to_vec(), targets: Vec::new(), segments: Vec::new() };
    for &len in lengths {
        let start = row.targets.len();
        row.segments.push(start..start + len);
        row.targets
            .extend((start..start + len).map(|t| (t % 3 != 1 && t + 1 < start + len).then(|| ids[t + 1])));
    }
    row
}

/// The samples of a packed row, one row each.
pub(super) fn separate(row: &PackedRow) -> Vec<PackedRow> {
    let part = |segment: &std::ops::Range<usize>| PackedRow {
        tokens: row.tokens[segment.clone()].to_vec(),
        targets: row.targets[segment.clone()].to_vec(),
        segments: std::iter::once(0..segment.len()).collect(),
    };
    row.segments.iter().map(part).collect()
}
