//! The GGUF adapter file that llama.cpp loads.
//!
//! Where in the flow: `train` writes it at the end of a run; `chat` and `eval` pass it to llama.cpp, and
//! `merge` reads it back. Source: `llama-adapter.cpp` and `convert_lora_to_gguf.py` of llama.cpp.
//!
//! llama.cpp requires `general.type` = `adapter`, `general.architecture` equal to the base's, and
//! `adapter.type` = `lora`. It scales by `adapter.lora.alpha` (f32) divided by the number of columns of
//! `lora_b`; if alpha is absent or 0, it does not scale.
//!
//! **Invariant:** tensors are written as f32, bit for bit as they are in memory, with one exception: a file
//! has a single alpha, so `lora_b` of a projection with its own alpha is multiplied by the ratio of the two.
//! Ranks may differ between projections.

use std::path::Path;

use super::slot::{Slot, check_layout};
use super::{BaseShape, Error, LoraConfig, LoraWeights};
use crate::gguf::{self, GgmlType, Gguf, NewTensor, Value};

/// The only architecture whose projections this module knows.
const ARCHITECTURE: &str = "llama";
/// Version of the block formats; llama.cpp's converter writes it into adapters as well.
const QUANTIZATION_VERSION: u32 = 2;

impl LoraWeights {
    /// Writes the adapter as a GGUF file; `name` becomes `general.name`.
    ///
    /// The format has no field for the dropout, which only matters in training.
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

    /// Reads a GGUF adapter for a base of this shape. The dropout of the result is 0.
    ///
    /// # Errors
    /// The file is not an adapter or does not fit the base. The error names the file, the tensor or field,
    /// and what was found and expected.
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
        let layout = check_layout(path, &listed, Slot::gguf_name, base)?;
        // As in llama.cpp, no alpha means no scaling, which is an alpha equal to the rank.
        let alpha = file.optional_f32("adapter.lora.alpha")?.filter(|&alpha| alpha != 0.0);
        let r = layout.r();
        if alpha.is_none() && !layout.rank_pattern(r).is_empty() {
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
            rank_pattern: layout.rank_pattern(r),
            target_modules: layout.target_modules(),
            ..LoraConfig::default()
        };
        config.check()?;
        let mut weights = Self::zeros(&config, base);
        for (slot, tensor) in layout.slots.iter().zip(file.tensors()) {
            let tensor = file.weights(tensor.name)?;
            gguf::dequantize(tensor.ggml_type, tensor.data, slot.numbers_mut(&mut weights));
        }
        Ok(weights)
    }
}
