//! Merges an adapter into its base and writes one model file.
//!
//! Where in the flow: `cli` reads both, calls [`merge`], and compares the perplexity of the merged model with
//! that of base and adapter.
//!
//! Every adapted weight becomes `W + s · B · A`, computed in f32 from the decoded base. Files in f32, f16 and
//! bf16 are written here. For a quantized format, llama.cpp's own quantizer converts a temporary f32 file
//! beside the target. The tokenizer, the chat template and all other metadata are copied from the base.
//!
//! **Invariant:** only one tensor is in memory at a time, and the target path holds a complete model or its
//! previous content.
//! **Invariant:** the bytes depend only on base, adapter and format, and for quantized formats on the
//! version of llama.cpp.

mod error;
#[cfg(test)]
mod tests;

pub use error::Error;

use crate::device::CpuPool;
use crate::gguf::{self, GgmlType, Gguf, TensorSpec, TensorView, Value, dequantize};
use crate::llm::FileType;
use crate::lora::{LoraWeights, TargetModule};
use crate::ops::matmul::matmul;
use crate::tensor::{Matrix, MatrixMut};
use half::{bf16, f16};
use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

/// Metadata keys that describe the storage format. They are replaced, not copied from the base.
const FILE_TYPE: &str = "general.file_type";
const QUANTIZATION_VERSION: &str = "general.quantization_version";

/// The format of a model file as a whole; `None` if the file does not state it or it cannot be written.
pub fn file_type(base: &Gguf) -> Option<FileType> {
    base.optional_u32(FILE_TYPE).ok().flatten().and_then(FileType::from_id)
}

/// Merges `adapter` into `base` and writes the model to `out` in format `to`.
///
/// # Errors
/// A tensor cannot be decoded, a weight is too large for f16, the file cannot be written, or llama.cpp
/// cannot quantize it.
pub fn merge(
    base: &Gguf,
    adapter: &LoraWeights,
    pool: &CpuPool,
    to: FileType,
    out: &Path,
) -> Result<(), Error> {
    // Refuse tensors that cannot be decoded before anything is written.
    for tensor in base.tensors() {
        base.weights(tensor.name)?;
    }
    match to {
        FileType::F32 => write(base, adapter, pool, to, GgmlType::F32, out),
        FileType::F16 => write(base, adapter, pool, to, GgmlType::F16, out),
        FileType::BF16 => write(base, adapter, pool, to, GgmlType::BF16, out),
        _ => quantized(base, adapter, pool, to, out),
    }
}

/// Writes a temporary f32 file beside `out` and lets llama.cpp quantize it. The temporary file is removed in
/// every case.
fn quantized(
    base: &Gguf,
    adapter: &LoraWeights,
    pool: &CpuPool,
    to: FileType,
    out: &Path,
) -> Result<(), Error> {
    let whole = RemoveOnDrop(beside(out, "f32.partial"));
    write(base, adapter, pool, FileType::F32, GgmlType::F32, &whole.0)?;
    // Load the file before quantizing it, because only loading reports a broken model as an error.
    drop(crate::llm::Tokenizer::load(&whole.0)?);
    let partial = RemoveOnDrop(beside(out, "partial"));
    if !to.quantize(&whole.0, &partial.0, pool.threads(), false) {
        return Err(Error::Quantize { path: out.to_owned(), to: to.name() });
    }
    Gguf::open(&partial.0)?;
    gguf::publish(&partial.0, out).map_err(|source| Error::Io { path: out.to_owned(), source })
}

/// A temporary file that is removed when this value is dropped.
struct RemoveOnDrop(PathBuf);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        // The file may have been renamed already, or never created.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The path `.NAME.SUFFIX` in the folder of `out`, where `NAME` is the file name of `out`.
fn beside(out: &Path, suffix: &str) -> PathBuf {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    out.with_file_name(format!(".{name}.{suffix}"))
}

/// Writes all matrices in the format `matrices` and all vectors in f32, as llama.cpp's converter does.
fn write(
    base: &Gguf,
    adapter: &LoraWeights,
    pool: &CpuPool,
    to: FileType,
    matrices: GgmlType,
    out: &Path,
) -> Result<(), Error> {
    let kept = base.metadata().iter().filter(|(key, _)| key != FILE_TYPE && key != QUANTIZATION_VERSION);
    let mut metadata: Vec<(String, Value)> = kept.cloned().collect();
    metadata.push((FILE_TYPE.to_owned(), Value::U32(to.id())));
    let views: Vec<TensorView<'_>> = base.tensors().collect();
    let specs: Vec<TensorSpec> = views
        .iter()
        .map(|view| TensorSpec {
            name: view.name.to_owned(),
            shape: view.shape.to_vec(),
            ggml_type: if view.shape.len() > 1 { matrices } else { GgmlType::F32 },
        })
        .collect();
    let mut refused = None;
    let written = gguf::write_with(out, &metadata, &specs, |index| {
        let view = &views[index];
        let mut weights = vec![0.0; view.weights()];
        dequantize(view.ggml_type, view.data, &mut weights);
        add_adapter(view, adapter, pool, &mut weights);
        encode(specs[index].ggml_type, &weights).map(Cow::Owned).map_err(|TooLarge { index, found }| {
            refused =
                Some(Error::TooLarge { path: out.to_owned(), tensor: view.name.to_owned(), index, found });
            // Only ends the writing; the caller gets `refused`, which names the weight.
            io::Error::other("a weight does not fit")
        })
    });
    match refused {
        Some(error) => Err(error),
        None => Ok(written?),
    }
}

/// Computes `W += s · B · A` for the tensor `view`, if it is adapted.
fn add_adapter(view: &TensorView<'_>, adapter: &LoraWeights, pool: &CpuPool, weights: &mut [f32]) {
    let pair = adapter.pairs.iter().find(|pair| {
        view.name.strip_prefix("blk.").and_then(|name| name.split_once('.')).is_some_and(|(layer, name)| {
            layer.parse() == Ok(pair.layer) && name.strip_suffix(".weight") == Some(pair.module.gguf_name())
        })
    });
    let Some(pair) = pair else { return };
    let module: TargetModule = pair.module;
    let b = Matrix::new(&adapter.data[pair.b.clone()], pair.out_features, pair.rank);
    let a = Matrix::new(&adapter.data[pair.a.clone()], pair.rank, pair.in_features);
    let weights = MatrixMut::new(weights, pair.out_features, pair.in_features);
    matmul(pool, adapter.config.scaling(module), b, a, 1.0, weights);
}

/// A weight that does not fit into the target type.
#[derive(Debug)]
struct TooLarge {
    index: usize,
    found: f32,
}

/// Encodes weights as `ggml_type`, rounding to nearest even.
///
/// # Errors
/// The first weight that is too large for the format.
fn encode(ggml_type: GgmlType, weights: &[f32]) -> Result<Vec<u8>, TooLarge> {
    match ggml_type {
        GgmlType::F16 => {
            let fits = |weight: f32| f16::from_f32(weight).is_finite() || !weight.is_finite();
            match weights.iter().position(|&weight| !fits(weight)) {
                Some(index) => Err(TooLarge { index, found: weights[index] }),
                None => Ok(weights.iter().flat_map(|&weight| f16::from_f32(weight).to_le_bytes()).collect()),
            }
        }
        GgmlType::BF16 => {
            Ok(weights.iter().flat_map(|&weight| bf16::from_f32(weight).to_le_bytes()).collect())
        }
        _ => Ok(weights.iter().flat_map(|weight| weight.to_le_bytes()).collect()),
    }
}
