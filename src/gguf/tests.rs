//! Tests of the GGUF module on files made here; `tests/it/gguf_*.rs` compares with llama.cpp.

use super::*;

#[test]
fn written_file_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    let metadata = [("general.architecture".to_owned(), Value::String("llama".to_owned()))];
    let data: Vec<u8> = [1.0_f32, 2.0, 3.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let tensor =
        NewTensor { name: "t".to_owned(), shape: vec![3, 1], ggml_type: GgmlType::F32, data: data.into() };
    write(&path, &metadata, &[tensor]).unwrap();
    let file = Gguf::open(&path).unwrap();
    let view = file.tensor("t").unwrap();
    let mut weights = [0.0; 3];
    dequantize(view.ggml_type, view.data, &mut weights);
    assert_eq!(weights.map(f32::to_bits), [1.0_f32, 2.0, 3.0].map(f32::to_bits));
    assert_eq!(view.shape, [3, 1]);
}
