//! The GGUF model file format: memory-mapped reader, writer, and block formats.
//!
//! Where in the flow: [`Gguf`] opens models for the trainer, which decodes their weights with
//! [`dequantize`]; it checks a model before llama.cpp loads it ([`Gguf::check_for_llama_cpp`]), and it
//! opens adapters. [`write()`] writes adapters and merged models.
//!
//! - `ggml_type`: tensor formats and their block sizes
//! - `value`, `metadata`: metadata values, and getters that accept every integer width in use
//! - `parse`: parses and checks the header of an untrusted file
//! - `map`: the memory-mapped file
//! - `blocks`: decodes blocks of weights to `f32`
//! - `llama_cpp_check`: refuses models that would make llama.cpp abort the process
//! - `write`, `atomic`: the writer, and atomic replacement of files
//!
//! **Invariant:** a [`Gguf`] exists only for a file whose lengths and offsets have all been checked
//! (`parse.rs`). Model files come from the internet; no content can make this module panic or read out of
//! bounds.

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
