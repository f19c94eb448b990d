//! Catches our reader losing or misreading a tensor or key of the default model.

use evol::gguf::{GgmlType, Gguf, dequantize};

use super::model_path;

#[test]
fn default_model_is_what_its_manifest_says() {
    let model = Gguf::open(&model_path()).unwrap();
    let count = |ggml_type| model.tensors().filter(|tensor| tensor.ggml_type == ggml_type).count();
    assert_eq!(model.tensors().len(), 272);
    assert_eq!((count(GgmlType::Q4_1), count(GgmlType::F32), count(GgmlType::Q8_0)), (210, 61, 1));
    assert_eq!(model.sha256().unwrap(), "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53");
    model.check_for_llama_cpp().unwrap();

    assert_eq!(model.string("general.architecture").unwrap(), "llama");
    assert_eq!(model.u32("llama.block_count").unwrap(), 30);
    assert_eq!(model.u32("llama.attention.head_count_kv").unwrap(), 3);
    assert_eq!(model.f32("llama.rope.freq_base").unwrap().to_bits(), 100_000.0_f32.to_bits());
    assert_eq!(model.strings("tokenizer.ggml.tokens").unwrap().len(), 49_152);

    let embedding = model.weights("token_embd.weight").unwrap();
    assert_eq!((embedding.shape, embedding.ggml_type), (&[49_152, 576][..], GgmlType::Q8_0));
    let up = model.weights("blk.29.ffn_up.weight").unwrap();
    assert_eq!((up.shape, up.data.len()), (&[1536, 576][..], 1536 * 576 / 32 * 20));
}

/// A misread layout would give wild numbers; trained weights are small, and a linear layer is nearly
/// centred: |mean| is below a tenth of the standard deviation here.
#[test]
fn decoded_weights_look_like_weights() {
    let model = Gguf::open(&model_path()).unwrap();
    for tensor in model.tensors().filter(|tensor| tensor.shape.len() == 2) {
        let mut weights = vec![f32::NAN; tensor.weights()];
        dequantize(tensor.ggml_type, tensor.data, &mut weights);
        let count = weights.len() as f64;
        let mean = weights.iter().map(|&w| f64::from(w)).sum::<f64>() / count;
        let deviation = (weights.iter().map(|&w| (f64::from(w) - mean).powi(2)).sum::<f64>() / count).sqrt();
        let name = tensor.name;
        assert!((0.01..1.0).contains(&deviation), "{name}: {deviation}");
        assert!(mean.abs() <= 0.1 * deviation, "{name}: mean {mean}, deviation {deviation}");
    }
}
