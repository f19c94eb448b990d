//! Tests on a model of one layer; `tests/it/fetched/merge.rs` tests the real model, llama.cpp's quantizer and
//! perplexity.

use super::*;
use crate::explain::Explain as _;
use crate::gguf::NewTensor;
use crate::lora::{BaseShape, LoraConfig};
use crate::ops::check::random;
use std::sync::Arc;

const BASE: BaseShape = BaseShape {
    num_hidden_layers: 1,
    hidden_size: 6,
    intermediate_size: 10,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 4,
};

/// A file with all projections as `ggml_type` and a norm. All numbers are exact in f16 and bf16.
fn base(folder: &Path, ggml_type: GgmlType) -> Arc<Gguf> {
    let matrix = |(i, module): (usize, TargetModule)| {
        let shape = vec![BASE.out_features(module), BASE.in_features(module)];
        let numbers: Vec<f32> = random::<f32>(shape.iter().product(), i as u64);
        let numbers: Vec<f32> = numbers.iter().map(|x| (x * 64.0).round() / 64.0 + 0.0).collect();
        let data = Cow::Owned(encode(ggml_type, &numbers).unwrap());
        NewTensor { name: format!("blk.0.{}.weight", module.gguf_name()), shape, ggml_type, data }
    };
    let mut tensors: Vec<NewTensor<'_>> = TargetModule::ALL.into_iter().enumerate().map(matrix).collect();
    let norm = encode(GgmlType::F32, &[1.5; 6]).unwrap();
    tensors.push(NewTensor {
        name: "blk.0.attn_norm.weight".to_owned(),
        shape: vec![6],
        ggml_type: GgmlType::F32,
        data: Cow::Owned(norm),
    });
    let metadata = [
        ("general.name".to_owned(), Value::String("base".to_owned())),
        (FILE_TYPE.to_owned(), Value::U32(0)),
    ];
    let path = folder.join("base.gguf");
    gguf::write(&path, &metadata, &tensors).unwrap();
    Arc::new(Gguf::open(&path).unwrap())
}

fn adapter(scale: f32) -> LoraWeights {
    let config = LoraConfig {
        r: 2,
        lora_alpha: 3.0,
        rank_pattern: [(TargetModule::UpProj, 3)].into(),
        target_modules: vec![TargetModule::QProj, TargetModule::UpProj, TargetModule::DownProj],
        ..LoraConfig::default()
    };
    let mut weights = LoraWeights::zeros(&config, &BASE);
    weights.data = random::<f32>(weights.data.len(), 9).iter().map(|x| x * scale).collect();
    weights
}

fn merged(base: &Gguf, adapter: &LoraWeights, to: FileType, out: &Path) -> Result<Gguf, Error> {
    merge(base, adapter, &CpuPool::new(2).unwrap(), to, out)?;
    Ok(Gguf::open(out).unwrap())
}

#[test]
fn adapted_weights_are_summed_and_everything_else_is_copied() {
    let folder = tempfile::tempdir().unwrap();
    let base = base(folder.path(), GgmlType::F32);
    let adapter = adapter(0.7);
    let file = merged(&base, &adapter, FileType::F32, &folder.path().join("merged.gguf")).unwrap();
    assert_eq!(file.string("general.name").unwrap(), "base");
    assert_eq!(file_type(&file), Some(FileType::F32));
    assert_eq!(file.tensors().len(), base.tensors().len());
    for tensor in base.tensors() {
        let new = file.tensor(tensor.name).unwrap();
        let decode = |view: &TensorView<'_>| {
            let mut weights = vec![0.0; view.weights()];
            dequantize(view.ggml_type, view.data, &mut weights);
            weights
        };
        let (old, new) = (decode(&tensor), decode(&new));
        let module =
            TargetModule::ALL.into_iter().find(|m| tensor.name.contains(&format!(".{}.", m.gguf_name())));
        let Some((a, b)) = module.and_then(|m| Some((adapter.pair_a(0, m)?, adapter.pair_b(0, m)?))) else {
            assert_eq!(old, new, "{} is not adapted", tensor.name);
            continue;
        };
        let module = module.unwrap();
        let (rank, inputs) = (adapter.config.rank(module), BASE.in_features(module));
        for (i, (old, new)) in old.iter().zip(&new).enumerate() {
            let (row, column) = (i / inputs, i % inputs);
            let sum: f32 = (0..rank).map(|r| b[row * rank + r] * a[r * inputs + column]).sum();
            let expected = old + adapter.config.scaling(module) * sum;
            // The tolerance covers a few roundings of numbers near 1.
            assert!((new - expected).abs() <= 1e-6, "{} at {i}: {new} for {expected}", tensor.name);
        }
    }
}

/// An adapter whose B is 0 changes no byte of a tensor, in every format that holds the base's numbers
/// exactly.
#[test]
fn merging_a_zero_adapter_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let formats =
        [(GgmlType::F32, FileType::F32), (GgmlType::F16, FileType::F16), (GgmlType::BF16, FileType::BF16)];
    for (ggml_type, to) in formats {
        let base = base(folder.path(), ggml_type);
        let file = merged(&base, &adapter(0.0), to, &folder.path().join("merged.gguf")).unwrap();
        for tensor in base.tensors() {
            let new = file.tensor(tensor.name).unwrap();
            assert!(
                new.data == tensor.data && new.ggml_type == tensor.ggml_type,
                "{ggml_type} {}",
                tensor.name
            );
        }
    }
}

#[test]
fn a_weight_that_f16_cannot_hold_is_named_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let base = base(folder.path(), GgmlType::F32);
    let out = folder.path().join("merged.gguf");
    let error = merged(&base, &adapter(400.0), FileType::F16, &out).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("of tensor `blk.0.attn_q.weight` is "), "{message}");
    assert!(error.hint().unwrap().contains("bf16"));
    assert!(merged(&base, &adapter(400.0), FileType::BF16, &out).is_ok());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left behind");
}
