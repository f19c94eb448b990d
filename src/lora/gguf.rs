//! The adapter file that llama.cpp loads.
//!
//! Where in the flow: `train` writes it at the end, `chat`, `eval` and `merge` give it to llama.cpp or read
//! it back. Source: `llama-adapter.cpp` of llama.cpp and its `convert_lora_to_gguf.py`.
//!
//! The loader requires `general.type` = `adapter`, `general.architecture` = the base's, `adapter.type` =
//! `lora`, and scales by `adapter.lora.alpha` (f32) over the number of columns of `lora_b`; without alpha,
//! or with 0, it does not scale.
//!
//! **Invariant:** tensors are written as f32 exactly as they are in memory: rows are in GGUF order already.
//! Only B of a projection with an alpha of its own is multiplied, because files have one alpha; ranks may
//! differ.

use std::path::Path;

use super::slot::{Slot, fit};
use super::{BaseShape, Error, LoraConfig, LoraWeights};
use crate::gguf::{self, GgmlType, Gguf, NewTensor, Value};

/// The only architecture with the projections of this module.
const ARCHITECTURE: &str = "llama";
/// Version of the block formats, which llama.cpp's own converter writes into adapters too.
const QUANTIZATION_VERSION: u32 = 2;

impl LoraWeights {
    /// Writes llama.cpp's adapter layout; `name` becomes `general.name`.
    ///
    /// The format has no place for the dropout, which only matters in training.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_gguf(&self, path: &Path, name: &str) -> Result<(), Error> {
        let text = |key: &str, value: &str| (key.to_owned(), Value::String(value.to_owned()));
        let metadata = [
            text("general.type", "adapter"),
            text("general.architecture", ARCHITECTURE),
            text("general.name", name),
            ("general.quantization_version".to_owned(), Value::U32(QUANTIZATION_VERSION)),
            text("adapter.type", "lora"),
            ("adapter.lora.alpha".to_owned(), Value::F32(self.config.lora_alpha)),
        ];
        let tensors = self.tensors().map(|(slot, shape, numbers)| NewTensor {
            name: slot.gguf_name(),
            shape: shape.to_vec(),
            ggml_type: GgmlType::F32,
            data: numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
        });
        let tensors: Vec<_> = tensors.collect();
        Ok(gguf::write(path, &metadata, &tensors)?)
    }

    /// Reads an adapter GGUF made for a base of this shape. The dropout of the result is 0.
    ///
    /// # Errors
    /// Names the file, the tensor, what was found and expected.
    pub fn read_gguf(path: &Path, base: &BaseShape) -> Result<Self, Error> {
        let file = Gguf::open(path)?;
        for (key, expected) in
            [("general.type", "adapter"), ("general.architecture", ARCHITECTURE), ("adapter.type", "lora")]
        {
            let found = file.optional_string(key)?.unwrap_or("(absent)");
            if found != expected {
                let (found, expected) = (found.to_owned(), expected.to_owned());
                return Err(Error::Field { path: path.to_owned(), field: key, found, expected });
            }
        }
        let listed: Vec<_> = file.tensors().map(|tensor| (tensor.name, tensor.shape)).collect();
        let fit = fit(path, &listed, Slot::gguf_name, base)?;
        // As llama.cpp reads it: no alpha means no scaling.
        let alpha = file.optional_f32("adapter.lora.alpha")?.filter(|&alpha| alpha != 0.0);
        let r = fit.r();
        if alpha.is_none() && !fit.rank_pattern(r).is_empty() {
            let (field, expected) = ("adapter.lora.alpha", "a number, as ranks differ".to_owned());
            return Err(Error::Field {
                path: path.to_owned(),
                field,
                found: "(absent)".to_owned(),
                expected,
            });
        }
        let config = LoraConfig {
            r,
            lora_alpha: alpha.unwrap_or(r as f32),
            rank_pattern: fit.rank_pattern(r),
            target_modules: fit.target_modules(),
            ..LoraConfig::default()
        };
        config.check()?;
        let mut weights = Self::zeros(&config, base);
        for (slot, tensor) in fit.slots.iter().zip(file.tensors()) {
            let tensor = file.weights(tensor.name)?;
            gguf::dequantize(tensor.ggml_type, tensor.data, slot.numbers_mut(&mut weights));
        }
        Ok(weights)
    }
}
