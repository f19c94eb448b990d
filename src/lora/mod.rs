//! LoRA adapters: configuration, tensors in one flat buffer, files (GGUF and PEFT).

use std::ops::Range;
use std::path::Path;

/// A linear projection that can carry an adapter, in the order of tensors within a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "PEFT's names")]
pub enum TargetModule { QProj, KProj, VProj, OProj, GateProj, UpProj, DownProj }

impl TargetModule {
    /// All seven.
    pub const ALL: [Self; 7] = [Self::QProj, Self::KProj, Self::VProj, Self::OProj, Self::GateProj, Self::UpProj, Self::DownProj];
    // owner adds: peft_name() "q_proj", peft_path() "self_attn.q_proj", gguf_name() "attn_q"
}

/// PEFT's words.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LoraConfig {
    /// Rank.
    pub r: usize,
    /// scaling = `lora_alpha / r`.
    pub lora_alpha: f32,
    /// Dropout on the input of the LoRA branch.
    pub lora_dropout: f32,
    /// Which projections.
    pub target_modules: Vec<TargetModule>,
}

/// Where one (layer, module) lies in [`LoraWeights::data`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoraPair {
    /// Decoder layer.
    pub layer: usize,
    /// Projection.
    pub module: TargetModule,
    /// Columns of the base weight.
    pub in_features: usize,
    /// Rows of the base weight.
    pub out_features: usize,
    /// `lora_a` (R, in), row-major.
    pub a: Range<usize>,
    /// `lora_b` (out, R), row-major, rows in GGUF order (see `peft.rs` for the q/k permutation).
    pub b: Range<usize>,
}

/// All adapter tensors in one flat buffer: what AdamW, clipping and checkpoints run over.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraWeights {
    /// Configuration.
    pub config: LoraConfig,
    /// Layer-major, then [`TargetModule`] order.
    pub pairs: Vec<LoraPair>,
    /// The numbers.
    pub data: Vec<f32>,
}

/// Shapes of the base that decide an adapter's shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "Hugging Face's names")]
pub struct BaseShape {
    pub num_hidden_layers: usize, pub hidden_size: usize, pub intermediate_size: usize,
    pub num_attention_heads: usize, pub num_key_value_heads: usize, pub head_dim: usize,
}

/// (Owner: full thiserror enum.)
#[derive(Debug, thiserror::Error)]
#[error("lora")]
pub struct Error;

impl LoraWeights {
    /// Zeros everywhere (also the shape of a gradient).
    pub fn zeros(_config: &LoraConfig, _base: &BaseShape) -> Self { todo!() }
    /// PEFT's start: A ~ U(-1/sqrt(in), 1/sqrt(in)) (kaiming, a = sqrt 5), B = 0; one stream per (seed, layer, module).
    pub fn init(_config: &LoraConfig, _base: &BaseShape, _seed: u64) -> Self { todo!() }
    /// `lora_alpha / r`.
    pub fn scaling(&self) -> f32 { self.config.lora_alpha / self.config.r as f32 }
    /// The pair of (layer, module), if adapted. O(1).
    pub fn pair(&self, _layer: usize, _module: TargetModule) -> Option<&LoraPair> { todo!() }
    /// Writes llama.cpp's adapter layout.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_gguf(&self, _path: &Path, _name: &str) -> Result<(), Error> { todo!() }
    /// Reads an adapter GGUF made for a base of this shape.
    ///
    /// # Errors
    /// Names the file, the tensor, what was found and expected.
    pub fn read_gguf(_path: &Path, _base: &BaseShape) -> Result<Self, Error> { todo!() }
    /// Writes `adapter_config.json` and `adapter_model.safetensors` into `dir`.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn write_peft(&self, _dir: &Path, _base: &BaseShape, _base_model_name: Option<&str>) -> Result<(), Error> { todo!() }
    /// Reads a PEFT folder.
    ///
    /// # Errors
    /// Names the file, the tensor, what was found and expected.
    pub fn read_peft(_dir: &Path, _base: &BaseShape) -> Result<Self, Error> { todo!() }
}
