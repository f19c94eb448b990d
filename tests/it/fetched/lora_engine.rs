//! Catches adapters of the default model's size that llama.cpp refuses or reads in another way than we wrote
//! them.

#![expect(unsafe_code, reason = "llama.cpp's loader is called through the raw bindings")]

use std::ffi::CString;
use std::path::Path;

use evol::gguf::Gguf;
use evol::lora::{BaseShape, LoraConfig, LoraWeights, TargetModule};
use llama_cpp_sys_2::{
    llama_adapter_lora_init, llama_backend_init, llama_model_default_params, llama_model_free,
    llama_model_load_from_file,
};

use super::model_path;

const SMOLLM2_135M: BaseShape = BaseShape {
    num_hidden_layers: 30,
    hidden_size: 576,
    intermediate_size: 1536,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    head_dim: 64,
};

fn adapter(base: &BaseShape, modules: &[TargetModule]) -> LoraWeights {
    let config = LoraConfig {
        r: 16,
        lora_alpha: 32.0,
        lora_dropout: 0.0,
        target_modules: modules.to_vec(),
        ..LoraConfig::default()
    };
    LoraWeights::init(&config, base, 1)
}

#[test]
fn real_size_has_420_tensors_and_reads_back_from_both_formats() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter.gguf");
    let mut written = adapter(&SMOLLM2_135M, &TargetModule::ALL);
    // No two numbers alike, so that a permutation anywhere shows.
    for (i, number) in written.data.iter_mut().enumerate() {
        *number += i as f32 * 1e-6;
    }
    written.write_gguf(&path, "real size").unwrap();
    assert_eq!(Gguf::open(&path).unwrap().tensors().len(), 420);
    let from_gguf = LoraWeights::read_gguf(&path, &SMOLLM2_135M).unwrap();
    written.write_peft(folder.path(), &SMOLLM2_135M, None).unwrap();
    let from_peft = LoraWeights::read_peft(folder.path(), &SMOLLM2_135M).unwrap();
    assert!(from_gguf == written, "the GGUF adapter differs");
    assert!(from_peft == written, "the PEFT folder differs");
}

/// Whether llama.cpp loads each of the adapters on top of the default model.
fn loads(adapters: &[&Path]) -> Vec<bool> {
    let c_path = |path: &Path| CString::new(path.to_str().unwrap()).unwrap();
    let model_file = c_path(&model_path());
    // SAFETY: the paths are C strings that outlive the calls; the model is checked before it is used and
    // freed once, after the adapters, which it owns and frees with itself.
    unsafe {
        llama_backend_init();
        let model = llama_model_load_from_file(model_file.as_ptr(), llama_model_default_params());
        assert!(!model.is_null());
        let load = |path: &&Path| !llama_adapter_lora_init(model, c_path(path).as_ptr()).is_null();
        let loaded = adapters.iter().map(load).collect();
        llama_model_free(model);
        loaded
    }
}

#[test]
fn llama_cpp_loads_ours_and_refuses_what_we_refuse() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, base: &BaseShape, modules: &[TargetModule]| {
        let path = folder.path().join(name);
        adapter(base, modules).write_gguf(&path, name).unwrap();
        path
    };
    let wider = BaseShape { intermediate_size: 2048, ..SMOLLM2_135M };
    let deeper = BaseShape { num_hidden_layers: 31, ..SMOLLM2_135M };
    let all = write("all", &SMOLLM2_135M, &TargetModule::ALL);
    let some = write("some", &SMOLLM2_135M, &[TargetModule::QProj, TargetModule::DownProj]);
    let wider = write("wider", &wider, &TargetModule::ALL);
    let deeper = write("deeper", &deeper, &TargetModule::ALL);
    let paths = [&*all, &*some, &*wider, &*deeper];
    let ours = paths.map(|path| LoraWeights::read_gguf(path, &SMOLLM2_135M).is_ok());
    assert_eq!(loads(&paths), [true, true, false, false]);
    assert_eq!(ours, [true, true, false, false]);
}
