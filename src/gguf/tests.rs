//! Tests of the GGUF module on generated files. `hostile.rs` covers damaged files, `llama_cpp_check.rs`
//! valid files that would make llama.cpp abort; `tests/it/gguf_*.rs` compares with llama.cpp and opens the
//! real model.

mod hostile;
mod llama_cpp_check;

use std::fs;

use super::parse::parse;
use super::*;
use crate::explain::Explain as _;

fn text(key: &str, value: &str) -> (String, Value) {
    (key.to_owned(), Value::String(value.to_owned()))
}

fn tensor(name: &str, shape: &[usize], ggml_type: GgmlType) -> NewTensor<'static> {
    let size = ggml_type.bytes_of(shape.iter().product()).unwrap();
    let data: Vec<u8> = (0..size).map(|i| (i * 7 + name.len()) as u8).collect();
    NewTensor { name: name.to_owned(), shape: shape.to_vec(), ggml_type, data: data.into() }
}

/// A small file with every value type and every trainable format.
fn small_file() -> (Vec<(String, Value)>, Vec<NewTensor<'static>>) {
    let values = [
        Value::U8(200),
        Value::I8(-100),
        Value::U16(60_000),
        Value::I16(-30_000),
        Value::U32(4_000_000_000),
        Value::I32(-2_000_000_000),
        Value::F32(0.1),
        Value::Bool(true),
        Value::String("grün".to_owned()),
        Value::Array(vec![Value::String("a".to_owned()), Value::String(String::new())]),
        Value::Array(vec![Value::I32(-1), Value::I32(2)]),
        Value::U64(u64::MAX),
        Value::I64(i64::MIN),
        Value::F64(1e300),
    ];
    let named = values.into_iter().enumerate().map(|(i, value)| (format!("test.key{i}"), value));
    let metadata = [text("general.architecture", "llama")].into_iter().chain(named).collect();
    let tensors = GgmlType::TRAINABLE.iter().map(|t| tensor(t.name(), &[3, 1, 256], *t)).collect();
    (metadata, tensors)
}

fn small_bytes() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (metadata, tensors) = small_file();
    let path = folder.path().join("a.gguf");
    write(&path, &metadata, &tensors).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn written_file_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    for alignment in [None, Some(8), Some(64)] {
        let (mut metadata, tensors) = small_file();
        metadata.extend(alignment.map(|a| ("general.alignment".to_owned(), Value::U32(a))));
        write(&path, &metadata, &tensors).unwrap();
        let file = Gguf::open(&path).unwrap();
        assert_eq!(file.path(), path);
        assert_eq!(file.metadata(), metadata);
        assert_eq!(file.tensors().len(), tensors.len());
        for (read, written) in file.tensors().zip(&tensors) {
            assert_eq!((read.name, read.shape), (&*written.name, &*written.shape));
            assert_eq!((read.ggml_type, read.data), (written.ggml_type, &*written.data));
            assert_eq!(read.weights(), 768);
            assert_eq!(file.tensor(&written.name).unwrap().data, read.data);
            let address = read.data.as_ptr() as usize;
            assert!(address.is_multiple_of(alignment.unwrap_or(32) as usize), "{address}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the temporary file is gone");
    }
}

#[test]
fn version_2_is_read() {
    let mut bytes = small_bytes();
    bytes[4] = 2;
    assert_eq!(parse(&bytes).unwrap().tensors.len(), GgmlType::TRAINABLE.len());
}

#[test]
fn an_empty_array_becomes_an_array_of_strings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    write(&path, &[("k".to_owned(), Value::Array(vec![]))], &[]).unwrap();
    let file = Gguf::open(&path).unwrap();
    assert_eq!(file.strings("k").unwrap(), Vec::<&str>::new());
}

#[test]
fn failed_write_leaves_the_old_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    fs::write(&path, "old").unwrap();
    let fill = |file: &mut std::io::BufWriter<fs::File>| {
        std::io::Write::write_all(file, b"new")?;
        Err(std::io::Error::other("disk full"))
    };
    assert_eq!(replace_file(&path, fill).unwrap_err().to_string(), "disk full");
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn half_formats_decode_at_odd_addresses_and_any_length() {
    for count in [0, 1, 31, 33, 63, 64, 65, 127, 128, 129, 257] {
        let mut bytes = vec![0];
        (0..count).for_each(|i| bytes.extend(half::f16::from_f32(i as f32 / 8.0).to_le_bytes()));
        let mut weights = vec![f32::NAN; count];
        dequantize(GgmlType::F16, &bytes[1..], &mut weights);
        let expected: Vec<f32> = (0..count).map(|i| i as f32 / 8.0).collect();
        assert_eq!(weights, expected);
    }
}

#[test]
#[should_panic(expected = "32 weights of q4_1 do not fill 18 bytes")]
fn a_wrong_length_panics() {
    dequantize(GgmlType::Q4_1, &[0; 18], &mut [0.0; 32]);
}

#[test]
fn open_names_the_file_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    let error = Gguf::open(&path).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot open `{}`", path.display()));
    let error = Gguf::open(folder.path()).unwrap_err();
    assert!(error.to_string().ends_with("is not a usable GGUF file: it is not a regular file"), "{error}");
    fs::write(&path, "").unwrap();
    let error = Gguf::open(&path).unwrap_err();
    assert_eq!(error.to_string(), format!("`{}` is not a usable GGUF file: it is empty", path.display()));
    fs::write(&path, &small_bytes()[..1000]).unwrap();
    let error = Gguf::open(&path).unwrap_err();
    assert!(error.hint().unwrap().contains("fetch the file again"), "{error}");
}

#[test]
fn tensors_to_train_on_must_exist_and_be_decodable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    let tensors = [tensor("good", &[2, 32], GgmlType::Q8_0), tensor("bad", &[256], GgmlType::IQ2_XS)];
    write(&path, &[], &tensors).unwrap();
    let file = Gguf::open(&path).unwrap();
    assert_eq!(file.weights("good").unwrap().data.len(), 68);
    let shown = path.display();
    assert_eq!(file.weights("none").unwrap_err().to_string(), format!("`{shown}` has no tensor `none`"));
    let error = file.weights("bad").unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "tensor `bad` in `{shown}` has type iq2_xs, which training does not support; expected one of: \
             f32, f16, bf16, q4_0, q4_1, q5_0, q5_1, q8_0, q2_K, q3_K, q4_K, q5_K, q6_K, iq4_nl, iq4_xs"
        )
    );
    assert!(error.hint().unwrap().contains("llama.cpp can run this file"));
}

#[test]
fn hashing_a_truncated_file_is_an_error_and_not_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    let bytes = small_bytes();
    fs::write(&path, &bytes).unwrap();
    let file = Gguf::open(&path).unwrap();
    assert_eq!(file.sha256().unwrap().len(), 64);
    fs::File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
    let message = file.sha256().unwrap_err().to_string();
    assert!(message.ends_with(&format!("it had {} bytes and now has 100", bytes.len())), "{message}");
}

#[test]
fn getters_accept_every_width_and_explain_other_types() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    let entry = |key: &str, value| (key.to_owned(), value);
    let metadata = [
        entry("u8", Value::U8(7)),
        entry("i64", Value::I64(7)),
        entry("negative", Value::I32(-1)),
        entry("f64", Value::F64(0.5)),
        entry("bool", Value::Bool(true)),
        entry("mixed", Value::Array(vec![Value::U8(1)])),
        text("text", "yes"),
    ];
    write(&path, &metadata, &[]).unwrap();
    let file = Gguf::open(&path).unwrap();
    assert_eq!((file.u32("u8").unwrap(), file.u32("i64").unwrap()), (7, 7));
    assert_eq!(file.f32("f64").unwrap().to_bits(), 0.5_f32.to_bits());
    assert_eq!(file.string("text").unwrap(), "yes");
    assert_eq!(file.optional_bool("bool").unwrap(), Some(true));
    assert_eq!(file.optional_u32("none").unwrap(), None);
    let shown = path.display();
    let cases = [
        (file.u32("none").unwrap_err(), format!("`{shown}` has no key `none`, expected an integer")),
        (
            file.u32("negative").unwrap_err(),
            format!("key `negative` in `{shown}` is `-1`, expected 0 to 4294967295"),
        ),
        (file.u32("f64").unwrap_err(), format!("key `f64` in `{shown}` has type f64, expected an integer")),
        (
            file.f32("u8").unwrap_err(),
            format!("key `u8` in `{shown}` has type u8, expected a floating-point number"),
        ),
        (
            file.string("bool").unwrap_err(),
            format!("key `bool` in `{shown}` has type bool, expected a string"),
        ),
        (
            file.optional_bool("u8").unwrap_err(),
            format!("key `u8` in `{shown}` has type u8, expected a bool"),
        ),
        (
            file.strings("text").unwrap_err(),
            format!("key `text` in `{shown}` has type string, expected an array of strings"),
        ),
        (
            file.strings("mixed").unwrap_err(),
            format!("key `mixed` in `{shown}` is `an array of u8`, expected an array of strings"),
        ),
    ];
    for (error, message) in cases {
        assert_eq!(error.to_string(), message);
    }
}
