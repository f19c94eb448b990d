//! Tests of the GGUF module on files made here, byte by byte where they are bad; `tests/it/gguf_*.rs`
//! compares with llama.cpp and opens the real model.

use std::fs;

use proptest::prelude::*;

use super::parse::parse;
use super::*;

/// A file under construction, with the fields of the header written one after the other.
#[derive(Clone)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn header(version: u32, tensors: u64, keys: u64) -> Self {
        Self(b"GGUF".to_vec()).u32(version).u64(tensors).u64(keys)
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.u64(text.len() as u64).raw(text.as_bytes())
    }

    /// Shape fastest axis first.
    fn tensor(self, name: &str, shape: &[u64], type_id: u32, offset: u64) -> Self {
        let bytes = self.text(name).u32(shape.len() as u32);
        shape.iter().fold(bytes, |bytes, &axis| bytes.u64(axis)).u32(type_id).u64(offset)
    }

    /// Fills up to the tensor data and appends `count` bytes of it.
    fn data(mut self, count: usize) -> Self {
        self.0.resize(self.0.len().next_multiple_of(32) + count, 0x2A);
        self
    }
}

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
    let tensors = GgmlType::TRAINABLE.iter().map(|t| tensor(t.name(), &[3, 1, 64], *t)).collect();
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
            assert_eq!(read.weights(), 192);
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
    assert_eq!(parse(&bytes).unwrap().tensors.len(), 6);
}

#[test]
fn empty_array_becomes_one_of_strings() {
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
fn wrong_length_is_a_broken_contract() {
    dequantize(GgmlType::Q4_1, &[0; 18], &mut [0.0; 32]);
}

/// Every prefix of a valid file: the header is cut anywhere, the data too.
#[test]
fn every_truncation_is_told_with_the_missing_bytes() {
    let bytes = small_bytes();
    let end = parse(&bytes).unwrap().tensors.last().unwrap().range.end;
    for length in 0..end {
        let problem = parse(&bytes[..length]).expect_err("a prefix is no whole file");
        match problem {
            Problem::Empty => assert_eq!(length, 0),
            Problem::TruncatedHeader { file_bytes, missing, .. } => {
                assert_eq!(file_bytes, length as u64);
                assert!(missing >= 1 && missing <= (bytes.len() - length) as u64, "{missing} at {length}");
            }
            Problem::TruncatedData { file_bytes, expected_bytes, missing, .. } => {
                assert_eq!((file_bytes, expected_bytes), (length as u64, end as u64));
                assert_eq!(missing, (end - length) as u64);
            }
            other => panic!("{other} at {length}"),
        }
    }
    assert!(parse(&bytes[..end]).is_ok(), "padding after the last tensor is not needed");
}

/// What `parse` promises of a file that it accepts.
fn check_header(bytes: &[u8]) {
    let Ok(header) = parse(bytes) else { return };
    let mut ranges: Vec<_> = header.tensors.iter().map(|tensor| tensor.range.clone()).collect();
    ranges.sort_by_key(|range| range.start);
    assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start), "{ranges:?}");
    for tensor in &header.tensors {
        let data = &bytes[tensor.range.clone()];
        let weights: usize = tensor.shape.iter().product();
        assert_eq!(tensor.ggml_type.bytes_of(weights), Some(data.len()));
        if tensor.ggml_type.is_trainable() {
            dequantize(tensor.ggml_type, data, &mut vec![0.0; weights]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Bytes, words and lengths overwritten anywhere, mostly in the header, then cut.
    #[test]
    fn damaged_files_never_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![
            any::<u8>().prop_map(|byte| vec![byte]),
            (0..70_u32).prop_map(|word| word.to_le_bytes().to_vec()),
            any::<u64>().prop_map(|word| word.to_le_bytes().to_vec()),
            (0..9_u32).prop_map(|bit| (u64::MAX >> (bit * 8)).to_le_bytes().to_vec()),
        ]), 1..4),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut bytes = small_bytes_once().to_vec();
        let header = bytes.len() - 2000;
        for (at, edit) in edits {
            let at = at.index(header);
            bytes[at..at + edit.len()].copy_from_slice(&edit);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        check_header(&bytes);
    }

    #[test]
    fn noise_after_the_magic_never_panics(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        check_header(&Bytes(b"GGUF\x03\0\0\0".to_vec()).raw(&noise).0);
    }
}

fn small_bytes_once() -> &'static [u8] {
    static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    BYTES.get_or_init(small_bytes)
}

/// A file of one key of the given type and raw value.
fn key(name: &str, type_id: u32, value: &[u8]) -> Bytes {
    Bytes::header(3, 0, 1).text(name).u32(type_id).raw(value)
}

#[test]
fn bad_headers_are_explained() {
    let cases = [
        (Bytes(vec![]), "it is empty"),
        (Bytes(b"PK\x03\x04".to_vec()), "it starts with bytes [50, 4b, 03, 04], expected `GGUF`"),
        (Bytes::header(1, 0, 0), "it has GGUF version 1, expected 2 or 3"),
        (Bytes::header(0, 0, 0), "it has GGUF version 0, expected 2 or 3"),
        (Bytes::header(3 << 24, 0, 0), "it is of the other byte order (version field 0x03000000)"),
        (Bytes::header(3, 1 << 40, 0), "it announces 1099511627776 tensors, limit 65536"),
        (Bytes::header(3, 0, 1 << 40), "it announces 1099511627776 metadata keys, limit 65536"),
        (
            Bytes::header(3, 0, 1).u64(9).raw(b"abc"),
            "it ends after 35 bytes, in the name of key 0: at least 6 bytes are missing",
        ),
        (Bytes::header(3, 0, 1).u64(65_536), "the name of key 0 has 65536 bytes, limit 65535"),
        (Bytes::header(3, 0, 1).u64(1).raw(&[0xFF]), "the name of key 0 is not UTF-8"),
        (Bytes::header(3, 0, 1).text(""), "the name of key 0 is empty"),
        (Bytes::header(3, 0, 2).text("k").u32(0).raw(&[1]).text("k"), "key `k` occurs twice"),
        (key("k", 13, &[]), "key `k` has unknown type id 13, expected 0 to 12"),
        (key("k", 7, &[2]), "key `k` holds byte 2 for a bool, expected 0 or 1"),
        (key("k", 8, &(1_u64 << 40).to_le_bytes()), "key `k` has 1099511627776 bytes, limit 67108864"),
        (key("k", 9, &[]).u32(9), "key `k` is an array of arrays, which no reader of models accepts"),
        (
            key("k", 9, &[]).u32(0).u64(u64::MAX),
            "it announces 18446744073709551615 array elements, limit 16777216",
        ),
        (
            key("k", 9, &[]).u32(8).u64(1 << 20),
            "it ends after 49 bytes, in array `k`: at least 8388608 bytes are missing",
        ),
        (
            key("general.alignment", 4, &24_u32.to_le_bytes()),
            "key `general.alignment` is U32(24), expected a power of two as u32",
        ),
    ];
    for (bytes, message) in cases {
        assert_eq!(parse(&bytes.0).unwrap_err().to_string(), message);
    }
}

#[test]
fn bad_tensors_are_explained() {
    let one = || Bytes::header(3, 1, 0);
    let two = || Bytes::header(3, 2, 0).tensor("a", &[8], 0, 0);
    let cases = [
        (one().u64(64), "the name of tensor 0 has 64 bytes, limit 63"),
        (one().text(""), "the name of tensor 0 is empty"),
        (two().text("a"), "tensor `a` occurs twice"),
        (one().tensor("a", &[], 0, 0), "tensor `a` has 0 dimensions, expected 1 to 4"),
        (one().tensor("a", &[1; 5], 0, 0), "tensor `a` has 5 dimensions, expected 1 to 4"),
        (
            one().tensor("a", &[4, 0], 0, 0),
            "tensor `a` has the shape [4, 0] (fastest axis first) with a zero in it",
        ),
        (
            one().tensor("a", &[1 << 32, 1 << 32], 0, 0),
            "tensor `a` has the shape [4294967296, 4294967296] (fastest axis first), which is too large to address",
        ),
        (
            one().tensor("a", &[8], 0, u64::MAX - 31),
            "tensor `a` has the shape [8] (fastest axis first), which is too large to address",
        ),
        (
            one().tensor("a", &[33], 3, 0),
            "tensor `a` of type q4_1 has rows of 33 weights, expected a multiple of 32",
        ),
        (
            one().tensor("a", &[8], 0, 4).data(64),
            "tensor `a` starts at offset 4 of the data, expected a multiple of 32",
        ),
        (two().tensor("b", &[8], 0, 0).data(64), "tensors `a` and `b` overlap in the data"),
        (
            two().tensor("b", &[8], 0, 32).data(60),
            "it ends after 156 of 160 bytes: 4 bytes are missing, tensor `b` is the first that is incomplete",
        ),
    ];
    for (bytes, message) in cases {
        assert_eq!(parse(&bytes.0).unwrap_err().to_string(), message);
    }
    for (id, name) in [(36, " (iq4_nl_4_4, removed from ggml)"), (99, "")] {
        let message = parse(&one().tensor("a", &[256], id, 0).data(256).0).unwrap_err().to_string();
        let start = format!("tensor `a` has unknown ggml type id {id}{name}; known: f32, f16, q4_0, ");
        assert!(message.starts_with(&start), "{message}");
    }
}

#[test]
fn open_names_the_file_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    let error = Gguf::open(&path).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot open `{}`", path.display()));
    let error = Gguf::open(folder.path()).unwrap_err();
    assert!(error.to_string().ends_with("is not a usable GGUF file: it is no regular file"), "{error}");
    fs::write(&path, "").unwrap();
    let error = Gguf::open(&path).unwrap_err();
    assert_eq!(error.to_string(), format!("`{}` is not a usable GGUF file: it is empty", path.display()));
    fs::write(&path, &small_bytes()[..1000]).unwrap();
    let error = Gguf::open(&path).unwrap_err();
    assert!(error.hint().unwrap().contains("fetch the file again"), "{error}");
}

#[test]
fn tensors_to_train_on_must_be_there_and_decodable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    let tensors = [tensor("good", &[2, 32], GgmlType::Q8_0), tensor("bad", &[256], GgmlType::Q4_K)];
    write(&path, &[], &tensors).unwrap();
    let file = Gguf::open(&path).unwrap();
    assert_eq!(file.weights("good").unwrap().data.len(), 68);
    let shown = path.display();
    assert_eq!(file.weights("none").unwrap_err().to_string(), format!("`{shown}` has no tensor `none`"));
    let error = file.weights("bad").unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "tensor `bad` in `{shown}` is of type q4_K, which cannot be trained on; supported: f32, f16, bf16, \
             q4_0, q4_1, q8_0"
        )
    );
    assert!(error.hint().unwrap().contains("llama.cpp can run this file"));
}

#[test]
fn hash_of_a_file_that_shrank_is_an_error_and_not_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    let bytes = small_bytes();
    fs::write(&path, &bytes).unwrap();
    let file = Gguf::open(&path).unwrap();
    assert_eq!(file.sha256().unwrap().len(), 64);
    fs::File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
    let message = file.sha256().unwrap_err().to_string();
    assert!(message.ends_with(&format!("it had {} bytes, now 100", bytes.len())), "{message}");
}

#[test]
fn getters_take_every_width_and_explain_the_rest() {
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
        (file.u32("none").unwrap_err(), format!("`{shown}` has no key `none` (expected: an integer)")),
        (
            file.u32("negative").unwrap_err(),
            format!("key `negative` in `{shown}` is `-1`, expected 0 to 4294967295"),
        ),
        (file.u32("f64").unwrap_err(), format!("key `f64` in `{shown}` is of type f64, expected an integer")),
        (
            file.f32("u8").unwrap_err(),
            format!("key `u8` in `{shown}` is of type u8, expected a floating-point number"),
        ),
        (
            file.string("bool").unwrap_err(),
            format!("key `bool` in `{shown}` is of type bool, expected a string"),
        ),
        (
            file.optional_bool("u8").unwrap_err(),
            format!("key `u8` in `{shown}` is of type u8, expected a bool"),
        ),
        (
            file.strings("text").unwrap_err(),
            format!("key `text` in `{shown}` is of type string, expected an array of strings"),
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

/// Each case changes or adds keys of a model that passes.
#[test]
fn metadata_that_kills_llama_cpp_is_refused() {
    let entry = |key: &str, value| (key.to_owned(), value);
    let count = |key: &str, value| entry(&format!("llama.{key}"), Value::U32(value));
    let per_layer = |key: &str, values: &[u32]| {
        entry(&format!("llama.{key}"), Value::Array(values.iter().map(|&v| Value::U32(v)).collect()))
    };
    let tokens = |tokens: &[&str]| {
        let tokens = tokens.iter().map(|token| Value::String((*token).to_owned())).collect();
        entry("tokenizer.ggml.tokens", Value::Array(tokens))
    };
    let cases = [
        (vec![], ""),
        (vec![text("general.type", "model"), count("block_count", 512)], ""),
        (vec![count("expert_count", 8), per_layer("expert_used_count", &[2, 2])], ""),
        (vec![tokens(&["", "a", ""])], ""),
        (vec![text("general.type", "adapter")], "general.type"),
        (vec![count("block_count", 0)], "llama.block_count"),
        (vec![count("block_count", 513)], "llama.block_count"),
        (vec![text("llama.block_count", "2")], "llama.block_count"),
        (vec![count("nextn_predict_layers", 3)], "llama.nextn_predict_layers"),
        (vec![count("expert_count", 1025)], "llama.expert_count"),
        (vec![count("expert_used_count", 1)], "llama.expert_used_count"),
        (vec![count("expert_count", 4)], "llama.expert_used_count"),
        (vec![count("expert_count", 4), per_layer("expert_used_count", &[2, 5])], "llama.expert_used_count"),
        (vec![count("expert_group_count", 2)], "llama.expert_group_count"),
        (
            vec![count("expert_count", 4), count("expert_used_count", 2), count("expert_group_count", 3)],
            "llama.expert_group_count",
        ),
        (
            vec![count("expert_count", 4), count("expert_used_count", 2), count("expert_group_count", 2)],
            "llama.expert_group_used_count",
        ),
        (vec![text("llama.rope.scaling.type", "ntk")], "llama.rope.scaling.type"),
        (
            vec![count("attention.key_length", 64), count("attention.value_length", 32)],
            "llama.attention.value_length",
        ),
        (
            vec![
                count("embedding_length", 576),
                count("attention.head_count", 9),
                count("attention.key_length", 32),
            ],
            "llama.attention.value_length",
        ),
        (
            vec![entry("llama.attention.layer_norm_rms_epsilon", Value::F32(f32::NAN))],
            "llama.attention.layer_norm_rms_epsilon",
        ),
        (vec![tokens(&["a", "b", "a"])], "tokenizer.ggml.tokens"),
        (vec![tokens(&["a\0b", "a\0c"])], "tokenizer.ggml.tokens"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    for (changes, bad_key) in cases {
        let mut metadata = vec![
            text("general.architecture", "llama"),
            count("block_count", 2),
            entry("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ];
        metadata.retain(|(key, _)| changes.iter().all(|(changed, _)| changed != key));
        metadata.extend(changes);
        write(&path, &metadata, &[]).unwrap();
        let checked = Gguf::open(&path).unwrap().check_for_llama_cpp();
        let found = match &checked {
            Ok(()) => "",
            Err(Error::KeyValue { key, .. } | Error::KeyType { key, .. }) => key,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(found, bad_key, "{metadata:?}: {checked:?}");
    }
}

#[test]
fn model_without_architecture_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    write(&path, &[], &[]).unwrap();
    let error = Gguf::open(&path).unwrap().check_for_llama_cpp().unwrap_err();
    let message = format!("`{}` has no key `general.architecture` (expected: a string)", path.display());
    assert_eq!(error.to_string(), message);
}
