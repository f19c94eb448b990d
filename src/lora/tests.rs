//! Tests of adapters for a small base; `tests/it/fetched/lora_engine.rs` tests real sizes and llama.cpp.

use std::fs;
use std::path::Path;

use rand::Rng;
use safetensors::SafeTensors;

use super::*;
use crate::explain::Explain as _;
use crate::gguf::{GgmlType, NewTensor, Value};
use crate::rng;

/// Two query heads share one key/value head of 8 rows. The permutation of 8 rows is not its own inverse, so a
/// test notices if it is applied in the wrong direction.
const BASE: BaseShape = BaseShape {
    num_hidden_layers: 2,
    hidden_size: 12,
    intermediate_size: 20,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 8,
};

fn config(target_modules: &[TargetModule]) -> LoraConfig {
    LoraConfig {
        r: 3,
        lora_alpha: 24.5,
        lora_dropout: 0.0,
        target_modules: target_modules.to_vec(),
        ..LoraConfig::default()
    }
}

/// An adapter with random A and random B, as after training.
fn trained(config: &LoraConfig, base: &BaseShape) -> LoraWeights {
    let mut weights = LoraWeights::init(config, base, 5);
    let mut stream = rng::stream(6, "test", &[]);
    for number in &mut weights.data {
        *number += (stream.next_u32() as f32 / 2.0_f32.powi(31) - 1.0) * 0.01;
    }
    weights
}

fn bits(weights: &LoraWeights) -> Vec<u32> {
    weights.data.iter().map(|number| number.to_bits()).collect()
}

#[test]
fn both_formats_read_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (file, dir) = (folder.path().join("a.gguf"), folder.path().join("new").join("peft"));
    for modules in [&TargetModule::ALL[..], &[TargetModule::DownProj, TargetModule::KProj]] {
        let written = trained(&config(modules), &BASE);
        written.write_gguf(&file, "test").unwrap();
        written.write_peft(&dir, &BASE, Some("owner/base")).unwrap();
        let from_gguf = LoraWeights::read_gguf(&file, &BASE).unwrap();
        let from_peft = LoraWeights::read_peft(&dir, &BASE).unwrap();
        assert_eq!(bits(&from_gguf), bits(&written));
        assert_eq!(bits(&from_peft), bits(&written));
        assert_eq!(from_gguf, from_peft);
        assert_eq!(from_gguf.config, written.config);
    }
}

/// Every projection has its own rank and alpha. A file has one alpha, so B is multiplied there, and the
/// product of scaling, B and A stays the same.
#[test]
fn ranks_and_alphas_of_projections_survive() {
    use TargetModule::{DownProj, QProj, VProj};
    let folder = tempfile::tempdir().unwrap();
    let config = LoraConfig {
        rank_pattern: [(QProj, 5), (DownProj, 2)].into(),
        alpha_pattern: [(VProj, 49.0)].into(),
        ..config(&TargetModule::ALL)
    };
    let written = trained(&config, &BASE);
    assert_eq!(written.pair_a(1, QProj).unwrap().len(), 5 * BASE.hidden_size);
    assert_eq!(written.pair_b(0, DownProj).unwrap().len(), BASE.hidden_size * 2);
    let (file, dir) = (folder.path().join("a.gguf"), folder.path().join("peft"));
    written.write_gguf(&file, "test").unwrap();
    written.write_peft(&dir, &BASE, None).unwrap();
    let from_peft = LoraWeights::read_peft(&dir, &BASE).unwrap();
    let from_gguf = LoraWeights::read_gguf(&file, &BASE).unwrap();
    assert_eq!(bits(&from_peft), bits(&from_gguf));
    // A folder written by another tool may have an `alpha_pattern`.
    let path = dir.join("adapter_config.json");
    let json = fs::read_to_string(&path).unwrap();
    fs::write(&path, json.replace(r#""alpha_pattern": {}"#, r#""alpha_pattern": {"k_proj": 49.0}"#)).unwrap();
    let named = LoraWeights::read_peft(&dir, &BASE).unwrap();
    let [plain, doubled] = [&from_peft, &named].map(|w| w.config.scaling(TargetModule::KProj));
    assert!((doubled / plain - 2.0).abs() <= 1e-6);
    for module in TargetModule::ALL {
        // The folded factor is 2, so the product is exact.
        let factor = if module == VProj { 2.0 } else { 1.0 };
        assert!((from_gguf.config.scaling(module) * factor - written.config.scaling(module)).abs() <= 1e-6);
        let b = written.pair_b(1, module).unwrap().iter().map(|b| b * factor).collect::<Vec<_>>();
        assert_eq!(from_gguf.pair_b(1, module).unwrap(), b, "{module}");
    }
}

#[test]
fn dropout_survives_in_peft() {
    let folder = tempfile::tempdir().unwrap();
    let written = trained(&LoraConfig { lora_dropout: 0.1, ..config(&TargetModule::ALL) }, &BASE);
    written.write_peft(folder.path(), &BASE, None).unwrap();
    assert_eq!(LoraWeights::read_peft(folder.path(), &BASE).unwrap(), written);
}

#[test]
fn pairs_tile_the_buffer_in_order_and_are_found() {
    let modules = [TargetModule::UpProj, TargetModule::QProj, TargetModule::UpProj];
    let mut weights = trained(&config(&modules), &BASE);
    assert_eq!(weights.config.target_modules, [TargetModule::QProj, TargetModule::UpProj]);
    let mut end = 0;
    for pair in &weights.pairs {
        assert_eq!((pair.a.start, pair.a.len()), (end, 3 * pair.in_features));
        assert_eq!((pair.b.start, pair.b.len()), (pair.a.end, pair.out_features * 3));
        assert_eq!(weights.pair(pair.layer, pair.module), Some(pair));
        assert_eq!(weights.pair_a(pair.layer, pair.module), Some(&weights.data[pair.a.clone()]));
        assert_eq!(weights.pair_b(pair.layer, pair.module), Some(&weights.data[pair.b.clone()]));
        end = pair.b.end;
    }
    assert_eq!(end, weights.data.len());
    assert_eq!(weights.pair(2, TargetModule::QProj), None);
    assert_eq!(weights.pair(0, TargetModule::VProj), None);
    let (a, b) = weights.pair_mut(1, TargetModule::QProj).unwrap();
    assert_eq!((a.len(), b.len()), (3 * 12, 16 * 3));
    (a[0], b[0]) = (7.0, 8.0);
    let pair = weights.pair(1, TargetModule::QProj).unwrap();
    assert_eq!((weights.data[pair.a.start], weights.data[pair.b.start]), (7.0, 8.0));
}

#[test]
fn initialisation_is_uniform_in_a_zero_in_b_and_independent_of_other_modules() {
    let base = BaseShape { hidden_size: 4096, ..BASE };
    let all = LoraWeights::init(&config(&TargetModule::ALL), &base, 1);
    let only_k = LoraWeights::init(&config(&[TargetModule::KProj]), &base, 1);
    assert_eq!(all.pair_a(1, TargetModule::KProj), only_k.pair_a(1, TargetModule::KProj));
    assert_ne!(all.pair_a(0, TargetModule::KProj), all.pair_a(1, TargetModule::KProj));
    assert_ne!(all.pair_a(0, TargetModule::KProj), all.pair_a(0, TargetModule::VProj));
    assert_ne!(all, LoraWeights::init(&config(&TargetModule::ALL), &base, 2));
    assert!(all.pairs.iter().all(|pair| all.data[pair.b.clone()].iter().all(|&b| b == 0.0)));
    let a = all.pair_a(0, TargetModule::QProj).unwrap();
    let bound = 1.0 / 64.0;
    assert!(a.iter().all(|&a| a.abs() <= bound));
    // 12288 draws have variance bound^2 / 3, so their mean has a standard deviation of 0.0052 bound and their
    // mean square one of 0.0027 bound^2 (the variance of U^2 is 4/45). The limits are 5 sigma.
    let mean = a.iter().sum::<f32>() / a.len() as f32;
    let square = a.iter().map(|a| a * a).sum::<f32>() / a.len() as f32;
    assert!(mean.abs() <= 0.026 * bound, "{mean}");
    assert!((square / (bound * bound) - 1.0 / 3.0).abs() <= 0.0135, "{square}");
}

/// The permutation as llama.cpp's converter writes it: `W.reshape(heads, 2, D/2, columns).swapaxes(1, 2)`.
fn to_gguf(hf: &[f32], heads: usize, head_dim: usize, columns: usize) -> Vec<f32> {
    let half = head_dim / 2;
    let mut gguf = Vec::new();
    for head in 0..heads {
        for i in 0..half {
            for part in 0..2 {
                let row = (head * 2 + part) * half + i;
                gguf.extend(&hf[row * columns..(row + 1) * columns]);
            }
        }
    }
    gguf
}

fn peft_tensor(dir: &Path, name: &str) -> Vec<f32> {
    let bytes = fs::read(dir.join("adapter_model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let data = file.tensor(&format!("base_model.model.model.layers.{name}.weight")).unwrap();
    data.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

#[test]
fn four_rows_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let base = BaseShape { head_dim: 4, num_attention_heads: 1, num_hidden_layers: 1, ..BASE };
    let mut weights = LoraWeights::zeros(&LoraConfig { r: 1, ..config(&[TargetModule::QProj]) }, &base);
    // In GGUF, neighbouring rows rotate together: element 0 of both halves, then element 1 of both halves.
    weights.pair_mut(0, TargetModule::QProj).unwrap().1.copy_from_slice(&[10.0, 20.0, 11.0, 21.0]);
    weights.write_peft(folder.path(), &base, None).unwrap();
    assert_eq!(peft_tensor(folder.path(), "0.self_attn.q_proj.lora_B"), [10.0, 11.0, 20.0, 21.0]);
}

#[test]
fn only_rows_of_q_and_k_are_permuted_as_the_converter_does() {
    let folder = tempfile::tempdir().unwrap();
    let weights = trained(&config(&TargetModule::ALL), &BASE);
    weights.write_peft(folder.path(), &BASE, None).unwrap();
    for pair in &weights.pairs {
        let name = |half| format!("{}.{}.{half}", pair.layer, pair.module.peft_path());
        assert_eq!(peft_tensor(folder.path(), &name("lora_A")), weights.data[pair.a.clone()]);
        let hf = peft_tensor(folder.path(), &name("lora_B"));
        let gguf = &weights.data[pair.b.clone()];
        match pair.module {
            TargetModule::QProj => assert_eq!(to_gguf(&hf, 2, 8, 3), gguf),
            TargetModule::KProj => assert_eq!(to_gguf(&hf, 1, 8, 3), gguf),
            _ => assert_eq!(hf, gguf),
        }
    }
}

#[test]
fn unknown_module_lists_all_seven() {
    for module in TargetModule::ALL {
        assert_eq!(module.peft_name().parse::<TargetModule>().unwrap(), module);
    }
    let message = "lm_head".parse::<TargetModule>().unwrap_err().to_string();
    assert_eq!(
        message,
        "unknown target module `lm_head`, expected one of: q_proj, k_proj, v_proj, o_proj, gate_proj, \
         up_proj, down_proj"
    );
}

#[test]
fn impossible_configurations_are_refused() {
    let good = config(&TargetModule::ALL);
    good.check().unwrap();
    let cases = [
        (LoraConfig { r: 0, ..good.clone() }, "`r` is 0, expected 1 or more"),
        (
            LoraConfig { lora_alpha: 0.0, ..good.clone() },
            "`lora_alpha` is 0, expected a finite number above 0",
        ),
        (
            LoraConfig { lora_alpha: f32::NAN, ..good.clone() },
            "`lora_alpha` is NaN, expected a finite number above 0",
        ),
        (
            LoraConfig { lora_dropout: 1.0, ..good.clone() },
            "`lora_dropout` is 1, expected 0 or more and below 1",
        ),
        (
            LoraConfig { target_modules: vec![], ..good },
            "`target_modules` is [], expected at least one projection",
        ),
    ];
    for (config, message) in cases {
        assert_eq!(config.check().unwrap_err().to_string(), message);
    }
}

/// The error message without the folder, whose name differs between runs.
fn message(error: &Error, folder: &Path) -> String {
    error.to_string().replace(&format!("{}/", folder.display()), "")
}

#[test]
fn adapter_of_another_base_names_tensor_found_and_expected() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.gguf");
    let written = trained(&config(&[TargetModule::VProj, TargetModule::UpProj]), &BASE);
    written.write_gguf(&file, "test").unwrap();
    written.write_peft(folder.path(), &BASE, None).unwrap();
    let wider = BaseShape { intermediate_size: 24, ..BASE };
    let deeper = BaseShape { num_hidden_layers: 3, ..BASE };
    let flatter = BaseShape { num_hidden_layers: 1, ..BASE };
    let cases = [
        (wider, "tensor `blk.0.ffn_up.weight.lora_b` in `a.gguf` has shape [20, 3], expected [24, 3]"),
        (deeper, "`a.gguf` has no tensor `blk.2.attn_v.weight.lora_a`, expected shape [3, 12]"),
        (
            flatter,
            "tensor `blk.1.attn_v.weight.lora_a` in `a.gguf` does not match any projection of a base with 1 \
             layers",
        ),
    ];
    for (base, expected) in cases {
        let error = LoraWeights::read_gguf(&file, &base).unwrap_err();
        assert_eq!(message(&error, folder.path()), expected);
        assert!(error.hint().unwrap().contains("trained on this base"));
    }
    let error = LoraWeights::read_peft(folder.path(), &wider).unwrap_err();
    assert_eq!(
        message(&error, folder.path()),
        "tensor `base_model.model.model.layers.0.mlp.up_proj.lora_B.weight` in `adapter_model.safetensors` \
         has shape [20, 3], expected [24, 3]"
    );
}

#[test]
fn gguf_files_of_other_kinds_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    let write = |general: &str, kind: &str, tensors: &[&str]| {
        let text = |key: &str, value: &str| (key.to_owned(), Value::String(value.to_owned()));
        let metadata = [
            text("general.type", general),
            text("general.architecture", "llama"),
            text("adapter.type", kind),
        ];
        let tensors: Vec<_> = tensors
            .iter()
            .map(|name| NewTensor {
                name: (*name).to_owned(),
                shape: vec![1],
                ggml_type: GgmlType::F32,
                data: vec![0; 4].into(),
            })
            .collect();
        crate::gguf::write(&path, &metadata, &tensors).unwrap();
        message(&LoraWeights::read_gguf(&path, &BASE).unwrap_err(), folder.path())
    };
    assert_eq!(write("model", "lora", &[]), "`general.type` in `a.gguf` is `model`, expected adapter");
    assert_eq!(
        write("adapter", "control_vector", &[]),
        "`adapter.type` in `a.gguf` is `control_vector`, expected lora"
    );
    assert_eq!(write("adapter", "lora", &[]), "`a.gguf` contains no LoRA tensors");
    assert_eq!(
        write("adapter", "lora", &["output.weight.lora_a"]),
        "tensor `output.weight.lora_a` in `a.gguf` does not match any projection of a base with 2 layers"
    );
    assert_eq!(
        write("adapter", "lora", &["blk.0.attn_q.weight.lora_a"]),
        "tensor `blk.0.attn_q.weight.lora_a` in `a.gguf` has shape [1], expected [1, 12]"
    );
}

#[test]
fn gguf_without_alpha_has_scaling_one_as_in_llama_cpp() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    let mut weights = trained(&config(&[TargetModule::VProj]), &BASE);
    weights.config.lora_alpha = 0.0;
    weights.write_gguf(&path, "test").unwrap();
    let read = LoraWeights::read_gguf(&path, &BASE).unwrap();
    assert_eq!(read.config.scaling(TargetModule::VProj).to_bits(), 1.0_f32.to_bits());
}

#[test]
fn peft_options_are_folded_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let written = trained(&LoraConfig { r: 4, lora_alpha: 8.0, ..config(&[TargetModule::VProj]) }, &BASE);
    written.write_peft(folder.path(), &BASE, None).unwrap();
    let path = folder.path().join("adapter_config.json");
    let original = fs::read_to_string(&path).unwrap();
    let read_with = |from: &str, to: &str| {
        assert!(original.contains(from), "{original}");
        fs::write(&path, original.replace(from, to)).unwrap();
        LoraWeights::read_peft(folder.path(), &BASE)
    };
    // alpha / sqrt(4) = alpha sqrt(4) / 4.
    let folded = read_with(r#""use_rslora": false"#, r#""use_rslora": true"#).unwrap();
    assert_eq!(folded.config.lora_alpha.to_bits(), 16.0_f32.to_bits());
    let cases = [
        (
            r#""r": 4"#,
            r#""r": 8"#,
            "`r` in `adapter_config.json` is `8`, expected 4, the rank of the tensors of v_proj",
        ),
        (
            r#""use_dora": false"#,
            r#""use_dora": true"#,
            "`use_dora` in `adapter_config.json` is `true`, expected false",
        ),
        (r#""LORA""#, r#""IA3""#, "`peft_type` in `adapter_config.json` is `IA3`, expected LORA"),
        (r#""bias": "none""#, r#""bias": "all""#, "`bias` in `adapter_config.json` is `all`, expected none"),
        (
            r#""rank_pattern": {}"#,
            r#""rank_pattern": {"v_proj": 2}"#,
            "`rank_pattern` in `adapter_config.json` is `2`, expected 4, the rank of the tensors of v_proj",
        ),
        (
            r#""alpha_pattern": {}"#,
            r#""alpha_pattern": {"layers.0.self_attn.v_proj": 2}"#,
            "`alpha_pattern` in `adapter_config.json` is `layers.0.self_attn.v_proj`, expected names of \
             projections, such as `q_proj`, alone",
        ),
        (
            r#""modules_to_save": null"#,
            r#""modules_to_save": ["lm_head"]"#,
            r#"`modules_to_save` in `adapter_config.json` is `["lm_head"]`, expected null"#,
        ),
        (r#""r": 4"#, r#""r": "four""#, "`adapter_config.json` is not a PEFT adapter configuration"),
    ];
    for (from, to, expected) in cases {
        assert_eq!(message(&read_with(from, to).unwrap_err(), folder.path()), expected);
    }
}

#[test]
fn damaged_safetensors_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    trained(&config(&[TargetModule::VProj]), &BASE).write_peft(folder.path(), &BASE, None).unwrap();
    let path = folder.path().join("adapter_model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 1);
    fs::write(&path, &bytes).unwrap();
    let error = LoraWeights::read_peft(folder.path(), &BASE).unwrap_err();
    assert_eq!(message(&error, folder.path()), "`adapter_model.safetensors` is not a valid safetensors file");
}
