//! Writer for GGUF files, version 3.
//!
//! Where in the flow: writes adapters (module `lora`) and merged models (`merge`).
//!
//! **Invariant:** [`super::Gguf::open`] reads back the same keys, values and tensors in the same order, with
//! one exception: an empty array has no element type in [`Value`], so it is written as an array of strings,
//! the only kind that is empty in practice.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;

use super::parse::{DEFAULT_ALIGNMENT, MAX_NAME_BYTES};
use super::{Error, GgmlType, Value, ValueType, replace_file};

/// A tensor to write, with its data.
#[derive(Debug)]
pub struct NewTensor<'a> {
    /// Name in the file, at most 63 bytes.
    pub name: String,
    /// Slowest axis first.
    pub shape: Vec<usize>,
    /// Block format.
    pub ggml_type: GgmlType,
    /// The encoded blocks, row after row.
    pub data: Cow<'a, [u8]>,
}

/// A tensor to write whose blocks are encoded while the file is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name in the file, at most 63 bytes.
    pub name: String,
    /// Slowest axis first.
    pub shape: Vec<usize>,
    /// Block format.
    pub ggml_type: GgmlType,
}

impl TensorSpec {
    fn bytes(&self) -> usize {
        let Self { name, shape, ggml_type } = self;
        let bytes = ggml_type.bytes_of(shape.iter().product());
        bytes.unwrap_or_else(|| panic!("`{name}` {shape:?} is not a whole number of {ggml_type} blocks"))
    }
}

/// Writes a GGUF v3 file atomically (temporary file beside it, fsync, rename). Tensor data is aligned to the
/// `general.alignment` in `metadata`, or to 32 bytes if it is absent.
///
/// # Errors
/// The file cannot be written.
///
/// # Panics
/// If a key or name occurs twice or is too long, an array is nested or of mixed types, or the size of a
/// tensor's data does not match its shape.
pub fn write(path: &Path, metadata: &[(String, Value)], tensors: &[NewTensor<'_>]) -> Result<(), Error> {
    let specs: Vec<TensorSpec> = tensors
        .iter()
        .map(|NewTensor { name, shape, ggml_type, data }| {
            let spec = TensorSpec { name: name.clone(), shape: shape.clone(), ggml_type: *ggml_type };
            let size = ggml_type.bytes_of(shape.iter().product());
            assert_eq!(Some(data.len()), size, "`{name}` of shape {shape:?} and type {ggml_type}");
            spec
        })
        .collect();
    write_with(path, metadata, &specs, |index| Ok(Cow::Borrowed(&*tensors[index].data)))
}

/// Like [`write()`], but calls `blocks(index)` for the data of each tensor as it is written, so that only one
/// tensor is in memory at a time.
///
/// # Errors
/// The file cannot be written, or `blocks` fails.
///
/// # Panics
/// As [`write()`], and if `blocks` returns a number of bytes that does not match the spec.
pub fn write_with<'a>(
    path: &Path,
    metadata: &[(String, Value)],
    tensors: &[TensorSpec],
    mut blocks: impl FnMut(usize) -> io::Result<Cow<'a, [u8]>>,
) -> Result<(), Error> {
    let alignment = alignment(metadata);
    let header = header(metadata, tensors, alignment);
    let fill = |file: &mut io::BufWriter<std::fs::File>| {
        file.write_all(&header)?;
        pad(file, header.len(), alignment)?;
        for (index, tensor) in tensors.iter().enumerate() {
            let blocks = blocks(index)?;
            assert_eq!(blocks.len(), tensor.bytes(), "bytes of `{}`", tensor.name);
            file.write_all(&blocks)?;
            pad(file, blocks.len(), alignment)?;
        }
        Ok(())
    };
    replace_file(path, fill).map_err(Error::io(path, "write"))
}

fn alignment(metadata: &[(String, Value)]) -> usize {
    match metadata.iter().find(|(key, _)| key == "general.alignment") {
        None => DEFAULT_ALIGNMENT as usize,
        Some((_, Value::U32(alignment))) if alignment.is_power_of_two() => *alignment as usize,
        Some((_, other)) => panic!("`general.alignment` is {other:?}, expected a power of two as u32"),
    }
}

fn header(metadata: &[(String, Value)], tensors: &[TensorSpec], alignment: usize) -> Vec<u8> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3_u32.to_le_bytes());
    bytes.extend((tensors.len() as u64).to_le_bytes());
    bytes.extend((metadata.len() as u64).to_le_bytes());
    let mut seen = HashSet::new();
    for (key, value) in metadata {
        assert!(seen.insert(key), "key `{key}` occurs twice");
        put_string(&mut bytes, key);
        bytes.extend((value.value_type() as u32).to_le_bytes());
        put_value(&mut bytes, value);
    }
    let mut seen = HashSet::new();
    let mut offset = 0;
    for tensor in tensors {
        let TensorSpec { name, shape, ggml_type } = tensor;
        assert!(seen.insert(name), "tensor `{name}` occurs twice");
        assert!(name.len() as u64 <= MAX_NAME_BYTES, "`{name}` has more than {MAX_NAME_BYTES} bytes");
        put_string(&mut bytes, name);
        bytes.extend((shape.len() as u32).to_le_bytes());
        for &axis in shape.iter().rev() {
            bytes.extend((axis as u64).to_le_bytes());
        }
        bytes.extend((*ggml_type as u32).to_le_bytes());
        bytes.extend((offset as u64).to_le_bytes());
        offset += tensor.bytes().next_multiple_of(alignment);
    }
    bytes
}

fn put_string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn put_value(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(v) => bytes.extend(v.to_le_bytes()),
        Value::I8(v) => bytes.extend(v.to_le_bytes()),
        Value::U16(v) => bytes.extend(v.to_le_bytes()),
        Value::I16(v) => bytes.extend(v.to_le_bytes()),
        Value::U32(v) => bytes.extend(v.to_le_bytes()),
        Value::I32(v) => bytes.extend(v.to_le_bytes()),
        Value::F32(v) => bytes.extend(v.to_le_bytes()),
        Value::U64(v) => bytes.extend(v.to_le_bytes()),
        Value::I64(v) => bytes.extend(v.to_le_bytes()),
        Value::F64(v) => bytes.extend(v.to_le_bytes()),
        Value::Bool(v) => bytes.push(u8::from(*v)),
        Value::String(v) => put_string(bytes, v),
        Value::Array(elements) => {
            let element = elements.first().map_or(ValueType::String, Value::value_type);
            assert_ne!(element, ValueType::Array, "no known reader accepts arrays of arrays");
            bytes.extend((element as u32).to_le_bytes());
            bytes.extend((elements.len() as u64).to_le_bytes());
            for value in elements {
                assert_eq!(value.value_type(), element, "an array holds values of one type");
                put_value(bytes, value);
            }
        }
    }
}

fn pad(file: &mut impl Write, written: usize, alignment: usize) -> io::Result<()> {
    let count = written.next_multiple_of(alignment) - written;
    io::copy(&mut io::Read::take(io::repeat(0), count as u64), file)?;
    Ok(())
}
