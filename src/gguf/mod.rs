//! The GGUF file format: memory-mapped reader, writer, block formats.

use std::path::{Path, PathBuf};

/// What a metadata value can be. Source: `docs/gguf.md` of ggml, version 3.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "named as in the specification")]
pub enum Value {
    U8(u8), I8(i8), U16(u16), I16(i16), U32(u32), I32(i32), F32(f32), Bool(bool), String(String),
    Array(Vec<Value>), U64(u64), I64(i64), F64(f64),
}

/// Block formats we read. Discriminants are ggml's type ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as in ggml")]
#[expect(non_camel_case_types, reason = "named as in ggml")]
pub enum GgmlType { F32 = 0, F16 = 1, Q4_0 = 2, Q4_1 = 3, Q8_0 = 8, BF16 = 30 }

/// One tensor of a mapped file: `shape` is row-major, slowest first (GGUF's `ne` reversed), so a linear
/// layer is `[out_features, in_features]`.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    /// Name in the file, such as `blk.0.attn_q.weight`.
    pub name: &'a str,
    /// Slowest axis first.
    pub shape: &'a [usize],
    /// Block format.
    pub ggml_type: GgmlType,
    /// The blocks, row after row.
    pub data: &'a [u8],
}

/// A validated, memory-mapped file.
#[derive(Debug)]
pub struct Gguf { path: PathBuf }

/// What can be wrong with a file. (Owner: make this a full thiserror enum.)
#[derive(Debug, thiserror::Error)]
#[error("gguf")]
pub struct Error;

impl Gguf {
    /// Maps and validates every header field, tensor name, shape, offset.
    ///
    /// # Errors
    /// Says what is wrong with the file.
    pub fn open(_path: &Path) -> Result<Self, Error> { todo!() }
    /// The file.
    pub fn path(&self) -> &Path { &self.path }
    /// Metadata by key.
    pub fn value(&self, _key: &str) -> Option<&Value> { todo!() }
    /// A tensor by name.
    pub fn tensor(&self, _name: &str) -> Option<TensorView<'_>> { todo!() }
    /// All tensors in file order.
    pub fn tensors(&self) -> impl Iterator<Item = TensorView<'_>> { std::iter::empty() }
    /// Lowercase hex SHA-256 of the whole file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn sha256(&self) -> Result<String, Error> { todo!() }
}

/// Decodes `blocks` of `ggml_type` into `out` (its length is the number of weights).
pub fn dequantize(_ggml_type: GgmlType, _blocks: &[u8], _out: &mut [f32]) { todo!() }

/// A tensor to be written.
#[derive(Debug)]
pub struct NewTensor<'a> {
    /// Name in the file.
    pub name: String,
    /// Slowest axis first.
    pub shape: Vec<usize>,
    /// Block format.
    pub ggml_type: GgmlType,
    /// The blocks.
    pub data: std::borrow::Cow<'a, [u8]>,
}

/// Writes a GGUF v3 file atomically (temporary file beside it, fsync, rename), alignment 32.
///
/// # Errors
/// The file cannot be written.
pub fn write(_path: &Path, _metadata: &[(String, Value)], _tensors: &[NewTensor<'_>]) -> Result<(), Error> { todo!() }
