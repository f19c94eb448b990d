//! A memory-mapped and validated GGUF file, with lookup of keys and tensors by name.
//!
//! Where in the flow: weights are read directly from the page cache; nothing is copied until a tile is
//! decoded.
//!
//! **Invariant:** [`Gguf::open`] is the only constructor, and it checks the whole header first, so slicing
//! the mapping by the range of a [`TensorInfo`] cannot fail.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use sha2::{Digest, Sha256};

use super::parse::{Header, TensorInfo, parse};
use super::{Error, GgmlType, Problem, Value};

/// One tensor of a mapped file.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    /// Name in the file, such as `blk.0.attn_q.weight`.
    pub name: &'a str,
    /// Shape in row-major order, slowest axis first (GGUF's `ne` reversed): a linear layer is
    /// `[out_features, in_features]`.
    pub shape: &'a [usize],
    /// Block format.
    pub ggml_type: GgmlType,
    /// The encoded blocks, row after row.
    pub data: &'a [u8],
}

impl TensorView<'_> {
    /// The number of weights.
    pub fn weights(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A validated, memory-mapped file.
#[derive(Debug)]
pub struct Gguf {
    path: PathBuf,
    file: File,
    map: Mmap,
    metadata: Vec<(String, Value)>,
    key_index: HashMap<String, usize>,
    tensors: Vec<TensorInfo>,
    tensor_index: HashMap<String, usize>,
}

impl Gguf {
    /// Maps the file and validates every header field, tensor name, shape and offset.
    ///
    /// Every format of [`GgmlType`] is accepted here. [`Gguf::weights`] decides which tensors can be trained
    /// on, [`Gguf::check_for_llama_cpp`] which models can be run.
    ///
    /// # Errors
    /// The file cannot be read or is invalid. For a truncated file the error says how many bytes are missing.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let invalid = |problem| Error::Invalid { path: path.to_owned(), problem };
        let file = File::open(path).map_err(Error::io(path, "open"))?;
        let status = file.metadata().map_err(Error::io(path, "examine"))?;
        if !status.is_file() {
            return Err(invalid(Problem::NotAFile));
        }
        if status.len() == 0 {
            // mmap fails on an empty range, with a less helpful error.
            return Err(invalid(Problem::Empty));
        }
        let map = map(&file).map_err(Error::io(path, "map"))?;
        let Header { metadata, tensors } = parse(&map).map_err(invalid)?;
        let key_index = metadata.iter().enumerate().map(|(i, (key, _))| (key.clone(), i)).collect();
        let tensor_index = tensors.iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect();
        Ok(Self { path: path.to_owned(), file, map, metadata, key_index, tensors, tensor_index })
    }

    /// The path that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The metadata value of `key`, if present.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.key_index.get(key).map(|&index| &self.metadata[index].1)
    }

    /// All metadata in file order.
    pub fn metadata(&self) -> &[(String, Value)] {
        &self.metadata
    }

    /// The tensor with this name, if present.
    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        self.tensor_index.get(name).map(|&index| self.view(&self.tensors[index]))
    }

    /// All tensors in file order.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = TensorView<'_>> {
        self.tensors.iter().map(|info| self.view(info))
    }

    /// The tensor with this name, in a format that [`super::dequantize`] decodes.
    ///
    /// # Errors
    /// The tensor is missing, or its format cannot be trained on.
    pub fn weights(&self, name: &str) -> Result<TensorView<'_>, Error> {
        let missing = || Error::MissingTensor { path: self.path.clone(), tensor: name.to_owned() };
        let view = self.tensor(name).ok_or_else(missing)?;
        if view.ggml_type.is_trainable() {
            return Ok(view);
        }
        Err(Error::NotTrainable { path: self.path.clone(), tensor: name.to_owned(), found: view.ggml_type })
    }

    /// SHA-256 of the whole file, in lowercase hex.
    ///
    /// # Errors
    /// The size of the file has changed since it was opened.
    pub fn sha256(&self) -> Result<String, Error> {
        let now = self.file.metadata().map_err(Error::io(&self.path, "examine"))?.len();
        let before = self.map.len() as u64;
        // Hashing touches every page, and a page beyond the end of a truncated file kills the process.
        if now != before {
            return Err(Error::Changed { path: self.path.clone(), before, now });
        }
        Ok(sha256(&self.map))
    }

    fn view<'a>(&'a self, info: &'a TensorInfo) -> TensorView<'a> {
        TensorView {
            name: &info.name,
            shape: &info.shape,
            ggml_type: info.ggml_type,
            data: &self.map[info.range.clone()],
        }
    }
}

#[expect(unsafe_code, reason = "mapping a file is unsafe because others may change it; see SAFETY")]
fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the mapping is private and only read, as plain bytes, for which every bit pattern is valid.
    // The file must not shrink while it is mapped: nothing in this program writes a model or adapter in
    // place (`replace_file` renames a complete new file over the name, which leaves the mapped one alone),
    // and a user who truncates a model in use gets SIGBUS, not wrong memory.
    unsafe { Mmap::map(file) }
}

/// SHA-256 of `bytes`, in lowercase hex.
pub fn sha256(bytes: &[u8]) -> String {
    let mut hex = String::new();
    for byte in Sha256::digest(bytes) {
        write!(hex, "{byte:02x}").expect("a string grows as needed");
    }
    hex
}
