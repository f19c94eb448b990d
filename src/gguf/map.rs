//! A GGUF file in memory: mapped, checked, looked up by name.
//!
//! Where in the flow: weights are used where they lie in the page cache; nothing is copied until a tile
//! is decoded.
//!
//! **Invariant:** [`Gguf::open`] is the only constructor and checks the whole header first, so slicing
//! the mapping by a [`TensorInfo`]'s range cannot fail.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use sha2::{Digest, Sha256};

use super::parse::{Header, TensorInfo, parse};
use super::{Error, GgmlType, Problem, Value};

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
    /// Maps and validates every header field, tensor name, shape, offset.
    ///
    /// Every format of [`GgmlType`] is accepted: what may be trained on is decided by
    /// [`Gguf::weights`], what may be run by [`Gguf::check_for_llama_cpp`].
    ///
    /// # Errors
    /// Says what is wrong with the file, and for a truncated one how many bytes are missing.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let invalid = |problem| Error::Invalid { path: path.to_owned(), problem };
        let file = File::open(path).map_err(Error::io(path, "open"))?;
        let status = file.metadata().map_err(Error::io(path, "examine"))?;
        if !status.is_file() {
            return Err(invalid(Problem::NotAFile));
        }
        if status.len() == 0 {
            // An empty range cannot be mapped.
            return Err(invalid(Problem::Empty));
        }
        let map = map(&file).map_err(Error::io(path, "map"))?;
        let Header { metadata, tensors } = parse(&map).map_err(invalid)?;
        let key_index = metadata.iter().enumerate().map(|(i, (key, _))| (key.clone(), i)).collect();
        let tensor_index = tensors.iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect();
        Ok(Self { path: path.to_owned(), file, map, metadata, key_index, tensors, tensor_index })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Metadata by key.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.key_index.get(key).map(|&index| &self.metadata[index].1)
    }

    /// All metadata in file order.
    pub fn metadata(&self) -> &[(String, Value)] {
        &self.metadata
    }

    /// A tensor by name.
    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        self.tensor_index.get(name).map(|&index| self.view(&self.tensors[index]))
    }

    /// All tensors in file order.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = TensorView<'_>> {
        self.tensors.iter().map(|info| self.view(info))
    }

    /// A tensor that must be there, in a format that [`super::dequantize`] decodes.
    ///
    /// # Errors
    /// It is missing, or in a format that cannot be trained on.
    pub fn weights(&self, name: &str) -> Result<TensorView<'_>, Error> {
        let missing = || Error::MissingTensor { path: self.path.clone(), tensor: name.to_owned() };
        let view = self.tensor(name).ok_or_else(missing)?;
        if view.ggml_type.is_trainable() {
            return Ok(view);
        }
        Err(Error::NotTrainable { path: self.path.clone(), tensor: name.to_owned(), found: view.ggml_type })
    }

    /// Lowercase hex SHA-256 of the whole file.
    ///
    /// # Errors
    /// The file changed its size since it was opened.
    pub fn sha256(&self) -> Result<String, Error> {
        let now = self.file.metadata().map_err(Error::io(&self.path, "examine"))?.len();
        let before = self.map.len() as u64;
        // Every page will be touched, and a page behind the end of a shrunken file kills the process.
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

/// SHA-256 of bytes, in lowercase hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    let mut hex = String::new();
    for byte in Sha256::digest(bytes) {
        write!(hex, "{byte:02x}").expect("a string grows as needed");
    }
    hex
}
