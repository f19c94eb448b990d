//! The GGUF file format: memory-mapped reader, writer, block formats.
//!
//! Where in the flow: [`Gguf`] opens models for the trainer (which decodes their weights with
//! [`dequantize`]), checks models before llama.cpp gets them ([`Gguf::check_for_llama_cpp`]), and opens
//! adapters; [`write()`] makes adapters and merged models.
//!
//! - `ggml_type`: the tensor formats and their sizes
//! - `value`, `metadata`: metadata values, and getters that accept the integer widths found in practice
//! - `parse`: from untrusted bytes to checked values
//! - `map`: the mapped file
//! - `blocks`: decoding to `f32`
//! - `llama_cpp_check`: what llama.cpp would die of
//! - `write`, `atomic`: files that are complete or absent
//!
//! **Invariant:** a [`Gguf`] exists only for a file whose every length and offset was checked
//! (`parse.rs`); files come from the internet, and nothing in them can make this module panic or read
//! out of bounds.

mod atomic;
mod blocks;
mod error;
mod ggml_type;
mod llama_cpp_check;
mod map;
mod metadata;
mod parse;
#[cfg(test)]
mod tests;
mod value;
mod write;

pub use atomic::{publish, replace_file};
pub use blocks::dequantize;
pub use error::{Error, Problem};
pub use ggml_type::GgmlType;
pub use map::{Gguf, TensorView, sha256};
pub use value::{Value, ValueType};
pub use write::{NewTensor, TensorSpec, write, write_with};
