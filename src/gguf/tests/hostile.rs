//! Damaged and hostile files: truncated ones, randomly overwritten ones, and a hand-made one per message.

use proptest::prelude::*;

use super::small_bytes;
use crate::gguf::parse::parse;
use crate::gguf::{Problem, dequantize};

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

/// Every prefix of a valid file: the header is cut anywhere, the data too.
#[test]
fn every_truncation_is_reported_with_the_missing_bytes() {
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

/// Checks the guarantees of `parse` for a file that it accepts.
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
    fn random_bytes_after_the_magic_never_panic(noise in prop::collection::vec(any::<u8>(), 0..300)) {
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
        (Bytes::header(3 << 24, 0, 0), "it has the opposite byte order (version field 0x03000000)"),
        (Bytes::header(3, 1 << 40, 0), "it declares 1099511627776 tensors, expected at most 65536"),
        (Bytes::header(3, 0, 1 << 40), "it declares 1099511627776 metadata keys, expected at most 65536"),
        (
            Bytes::header(3, 0, 1).u64(9).raw(b"abc"),
            "it ends after 35 bytes, in the name of key 0: at least 6 bytes are missing",
        ),
        (Bytes::header(3, 0, 1).u64(65_536), "the name of key 0 has 65536 bytes, expected at most 65535"),
        (Bytes::header(3, 0, 1).u64(1).raw(&[0xFF]), "the name of key 0 is not UTF-8"),
        (Bytes::header(3, 0, 1).text(""), "the name of key 0 is empty"),
        (Bytes::header(3, 0, 2).text("k").u32(0).raw(&[1]).text("k"), "key `k` occurs twice"),
        (key("k", 13, &[]), "key `k` has unknown type id 13, expected 0 to 12"),
        (key("k", 7, &[2]), "key `k` holds byte 2 for a bool, expected 0 or 1"),
        (
            key("k", 8, &(1_u64 << 40).to_le_bytes()),
            "key `k` has 1099511627776 bytes, expected at most 67108864",
        ),
        (key("k", 9, &[]).u32(9), "key `k` is an array of arrays, expected an array of plain values"),
        (
            key("k", 9, &[]).u32(0).u64(u64::MAX),
            "it declares 18446744073709551615 array elements, expected at most 16777216",
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
        (one().u64(64), "the name of tensor 0 has 64 bytes, expected at most 63"),
        (one().text(""), "the name of tensor 0 is empty"),
        (two().text("a"), "tensor `a` occurs twice"),
        (one().tensor("a", &[], 0, 0), "tensor `a` has 0 dimensions, expected 1 to 4"),
        (one().tensor("a", &[1; 5], 0, 0), "tensor `a` has 5 dimensions, expected 1 to 4"),
        (
            one().tensor("a", &[4, 0], 0, 0),
            "tensor `a` has shape [4, 0] (fastest axis first), which contains a zero",
        ),
        (
            one().tensor("a", &[1 << 32, 1 << 32], 0, 0),
            "tensor `a` has shape [4294967296, 4294967296] (fastest axis first), which is too large to \
             address",
        ),
        (
            one().tensor("a", &[8], 0, u64::MAX - 31),
            "tensor `a` has shape [8] (fastest axis first), which is too large to address",
        ),
        (
            one().tensor("a", &[33], 3, 0),
            "tensor `a` of type q4_1 has rows of 33 weights, expected a multiple of 32",
        ),
        (
            one().tensor("a", &[8], 0, 4).data(64),
            "tensor `a` starts at data offset 4, expected a multiple of 32",
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
        let start =
            format!("tensor `a` has unknown ggml type id {id}{name}, expected one of: f32, f16, q4_0, ");
        assert!(message.starts_with(&start), "{message}");
    }
}
