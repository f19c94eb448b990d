//! The adapter folder of Hugging Face PEFT: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! Where in the flow: `train` writes it beside the GGUF adapter, for Python libraries, and reads it when
//! training continues from an adapter made elsewhere.
//!
//! **The q/k permutation.** llama.cpp's converter reorders the output rows of `q_proj` and `k_proj` so that
//! rotary embedding works on neighbouring rows instead of on halves: with D rows per head,
//! `gguf[2 i] = hf[i]` and `gguf[2 i + 1] = hf[i + D/2]`. This permutes rows of the product `B A`, hence rows
//! of B; A is the same in both formats. Source: `permute` in `conversion/llama.py` of llama.cpp.
//!
//! **Invariant:** reading a folder written here restores every bit, unless projections have their own
//! alphas. Those are folded into B, because llama.cpp's converter ignores `alpha_pattern`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::slot::{Factor, Slot, check_layout};
use super::{BaseShape, Error, LoraConfig, LoraWeights, TargetModule};
use crate::gguf::replace_file;

const CONFIG_FILE: &str = "adapter_config.json";
const TENSOR_FILE: &str = "adapter_model.safetensors";

/// The fields of `adapter_config.json` that decide what the tensors mean, with PEFT's names and defaults.
/// Other fields are ignored when reading.
#[derive(Debug, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "PEFT's fields, each a switch of its own")]
struct PeftConfig {
    peft_type: String,
    #[serde(default)]
    task_type: Option<String>,
    #[serde(default)]
    base_model_name_or_path: Option<String>,
    #[serde(default)]
    revision: Option<String>,
    #[serde(default)]
    inference_mode: bool,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    lora_dropout: f32,
    #[serde(default = "none")]
    bias: String,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    /// `true` or the name of an initialisation method; it has no effect on a trained adapter.
    #[serde(default)]
    init_lora_weights: Value,
    /// A list or a pattern. It is not read: the tensors show which modules are adapted.
    #[serde(default)]
    target_modules: Value,
    #[serde(default)]
    layers_to_transform: Value,
    #[serde(default)]
    layers_pattern: Value,
    #[serde(default)]
    rank_pattern: BTreeMap<String, usize>,
    #[serde(default)]
    alpha_pattern: BTreeMap<String, f64>,
    #[serde(default)]
    modules_to_save: Value,
}

fn none() -> String {
    "none".to_owned()
}

impl LoraWeights {
    /// Writes `adapter_config.json` and `adapter_model.safetensors` into `dir`, which is created if absent.
    /// `base_model_name` is the Hugging Face name of the base, if known.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn write_peft(
        &self,
        dir: &Path,
        base: &BaseShape,
        base_model_name: Option<&str>,
    ) -> Result<(), Error> {
        fs::create_dir_all(dir).map_err(Error::io(dir, "create"))?;
        let path = dir.join(TENSOR_FILE);
        let bytes =
            self.safetensors(base).map_err(|source| Error::Safetensors { path: path.clone(), source })?;
        write_file(&path, &bytes)?;
        // Written last, so that a folder with a configuration is complete.
        let path = dir.join(CONFIG_FILE);
        let json = serde_json::to_vec_pretty(&self.peft_config(base_model_name))
            .map_err(|source| Error::Json { path: path.clone(), source })?;
        write_file(&path, &json)
    }

    fn safetensors(&self, base: &BaseShape) -> Result<Vec<u8>, SafeTensorError> {
        let tensors = self.tensors().map(|(slot, shape, numbers)| {
            let numbers = match permuted_head_dim(slot, base) {
                Some(head_dim) => Cow::Owned(rows_to_hf(&numbers, shape[1], head_dim)),
                None => numbers,
            };
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            (slot.peft_name(), shape, bytes)
        });
        let tensors: Vec<_> = tensors.collect();
        let views = tensors
            .iter()
            .map(|(name, shape, bytes)| Ok((name, TensorView::new(Dtype::F32, shape.to_vec(), bytes)?)))
            .collect::<Result<Vec<_>, SafeTensorError>>()?;
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        safetensors::serialize(views, Some(metadata))
    }

    /// Reads a PEFT folder for a base of this shape.
    ///
    /// Rank-stabilised scaling (`use_rslora`, alpha / sqrt r) is converted to an alpha with the same scaling.
    /// `rank_pattern` and `alpha_pattern` may name projections but not single layers. Weight decomposition
    /// (`DoRA`), biases and fully trained modules are refused.
    ///
    /// # Errors
    /// The folder cannot be read or does not fit the base. The error names the file, the tensor or field,
    /// and what was found and expected.
    pub fn read_peft(dir: &Path, base: &BaseShape) -> Result<Self, Error> {
        let config = read_config(&dir.join(CONFIG_FILE))?;
        let path = dir.join(TENSOR_FILE);
        let bytes = fs::read(&path).map_err(Error::io(&path, "read"))?;
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|source| Error::Safetensors { path: path.clone(), source })?;
        // Sorted, so that the order of a hash map does not decide which of two errors is reported.
        let mut tensors = file.tensors();
        tensors.sort_by(|left, right| left.0.cmp(&right.0));
        let listed: Vec<_> = tensors.iter().map(|(name, view)| (name.as_str(), view.shape())).collect();
        let layout = check_layout(&path, &listed, Slot::peft_name, base)?;
        let field = |field, found: String, expected| {
            Err(Error::Field { path: dir.join(CONFIG_FILE), field, found, expected })
        };
        for (&module, &rank) in &layout.ranks {
            let (name, found) = match config.rank_pattern.get(module.peft_name()) {
                Some(&found) => ("rank_pattern", found),
                None => ("r", config.r),
            };
            if found != rank {
                return field(
                    name,
                    found.to_string(),
                    format!("{rank}, the rank of the tensors of {module}"),
                );
            }
        }
        // All projections share one alpha, unless one has its own or rank-stabilised scaling makes them
        // differ.
        let alpha = |module: TargetModule, rank: usize| {
            let alpha = config.alpha_pattern.get(module.peft_name()).copied().unwrap_or(config.lora_alpha);
            (alpha * if config.use_rslora { (rank as f64).sqrt() } else { 1.0 }) as f32
        };
        let Some((&first, &r)) = layout.ranks.first_key_value() else { return Err(Error::Empty { path }) };
        let lora_alpha = alpha(first, r);
        let alphas = layout.ranks.iter().map(|(&module, &rank)| (module, alpha(module, rank)));
        let config = LoraConfig {
            r,
            lora_alpha,
            rank_pattern: layout.rank_pattern(r),
            alpha_pattern: alphas.filter(|(_, alpha)| alpha.to_bits() != lora_alpha.to_bits()).collect(),
            lora_dropout: config.lora_dropout,
            target_modules: layout.target_modules(),
        };
        config.check()?;
        let mut weights = Self::zeros(&config, base);
        for (&slot, (name, view)) in layout.slots.iter().zip(&tensors) {
            let numbers = decode(&path, name, view)?;
            let numbers = match permuted_head_dim(slot, base) {
                Some(head_dim) => rows_from_hf(&numbers, config.rank(slot.module), head_dim),
                None => numbers,
            };
            slot.numbers_mut(&mut weights).copy_from_slice(&numbers);
        }
        Ok(weights)
    }

    fn peft_config(&self, base_model_name: Option<&str>) -> PeftConfig {
        let names = self.config.target_modules.iter().map(|module| module.peft_name().into());
        PeftConfig {
            peft_type: "LORA".to_owned(),
            task_type: Some("CAUSAL_LM".to_owned()),
            base_model_name_or_path: base_model_name.map(str::to_owned),
            revision: None,
            inference_mode: true,
            r: self.config.r,
            lora_alpha: self.config.lora_alpha.into(),
            lora_dropout: self.config.lora_dropout,
            bias: none(),
            fan_in_fan_out: false,
            use_rslora: false,
            use_dora: false,
            init_lora_weights: Value::Bool(true),
            target_modules: Value::Array(names.collect()),
            layers_to_transform: Value::Null,
            layers_pattern: Value::Null,
            rank_pattern: self
                .config
                .rank_pattern
                .iter()
                .map(|(m, &rank)| (m.peft_name().to_owned(), rank))
                .collect(),
            alpha_pattern: BTreeMap::new(),
            modules_to_save: Value::Null,
        }
    }
}

fn read_config(path: &Path) -> Result<PeftConfig, Error> {
    let text = fs::read(path).map_err(Error::io(path, "read"))?;
    let config: PeftConfig =
        serde_json::from_slice(&text).map_err(|source| Error::Json { path: path.to_owned(), source })?;
    let checks = [
        ("peft_type", config.peft_type.clone(), "LORA", config.peft_type == "LORA"),
        ("bias", config.bias.clone(), "none", config.bias == "none"),
        ("fan_in_fan_out", config.fan_in_fan_out.to_string(), "false", !config.fan_in_fan_out),
        ("use_dora", config.use_dora.to_string(), "false", !config.use_dora),
        ("modules_to_save", config.modules_to_save.to_string(), "null", is_empty(&config.modules_to_save)),
    ];
    for (field, found, expected, fits) in checks {
        if !fits {
            let expected = expected.to_owned();
            return Err(Error::Field { path: path.to_owned(), field, found, expected });
        }
    }
    let ranks = config.rank_pattern.keys().map(|key| ("rank_pattern", key));
    let alphas = config.alpha_pattern.keys().map(|key| ("alpha_pattern", key));
    if let Some((field, key)) = ranks.chain(alphas).find(|(_, key)| key.parse::<TargetModule>().is_err()) {
        let expected = "names of projections, such as `q_proj`, alone".to_owned();
        return Err(Error::Field { path: path.to_owned(), field, found: key.clone(), expected });
    }
    Ok(config)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(elements) => elements.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The rows per head of a tensor whose rows are permuted in PEFT files; `None` if they are not.
fn permuted_head_dim(slot: Slot, base: &BaseShape) -> Option<usize> {
    let is_permuted =
        slot.factor == Factor::B && matches!(slot.module, TargetModule::QProj | TargetModule::KProj);
    is_permuted.then_some(base.head_dim)
}

/// Maps a row of the GGUF tensor to the same row of the Hugging Face tensor.
fn hf_row(gguf_row: usize, head_dim: usize) -> usize {
    let (head, within) = (gguf_row / head_dim, gguf_row % head_dim);
    head * head_dim + within / 2 + (within % 2) * (head_dim / 2)
}

fn rows_to_hf(gguf: &[f32], columns: usize, head_dim: usize) -> Vec<f32> {
    let mut hf = vec![0.0; gguf.len()];
    for (row, numbers) in gguf.chunks_exact(columns).enumerate() {
        let start = hf_row(row, head_dim) * columns;
        hf[start..start + columns].copy_from_slice(numbers);
    }
    hf
}

fn rows_from_hf(hf: &[f32], columns: usize, head_dim: usize) -> Vec<f32> {
    let mut gguf = vec![0.0; hf.len()];
    for (row, numbers) in gguf.chunks_exact_mut(columns).enumerate() {
        let start = hf_row(row, head_dim) * columns;
        numbers.copy_from_slice(&hf[start..start + columns]);
    }
    gguf
}

/// Decodes a tensor to f32. PEFT also widens half-precision adapters to f32 when it loads them.
fn decode(path: &Path, name: &str, view: &TensorView<'_>) -> Result<Vec<f32>, Error> {
    let data = view.data();
    match view.dtype() {
        Dtype::F32 => Ok(data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()),
        Dtype::F16 => {
            Ok(data.as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32()).collect())
        }
        Dtype::BF16 => {
            Ok(data.as_chunks().0.iter().map(|&bytes| bf16::from_le_bytes(bytes).to_f32()).collect())
        }
        other => {
            Err(Error::Dtype { path: path.to_owned(), tensor: name.to_owned(), found: format!("{other:?}") })
        }
    }
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    use std::io::Write;
    replace_file(path, |file| file.write_all(bytes)).map_err(Error::io(path, "write"))
}
