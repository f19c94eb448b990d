//! The frozen base: its tensors, checked once, and access to them for ops.
//!
//! Where in the flow: [`Llama::load`] turns an arbitrary file into a model whose passes rely on every tensor
//! existing with the right shape and a format that can be decoded.
//!
//! **Invariant:** weights stay in their blocks in the mapped file and are never written; only norms and
//! biases (a few thousand numbers) are decoded into memory.

use rayon::prelude::*;
use std::collections::HashSet;
use std::sync::Arc;

use super::{Error, ModelConfig};
use crate::device::CpuPool;
use crate::gguf::{Gguf, dequantize};
use crate::lora::TargetModule;
use crate::ops::{QuantMatrix, rope};

/// A loaded base.
#[derive(Debug)]
pub struct Llama {
    gguf: Arc<Gguf>,
    config: ModelConfig,
    layers: Vec<Layer>,
    output_norm: Vec<f32>,
    /// `output.weight`, or the embedding if the head is tied to it.
    head: &'static str,
    /// Radians per position for each pair of a head.
    rope_frequencies: Vec<f64>,
    /// Factor of the rotation on the length of vectors.
    rope_magnitude: f64,
}

/// One decoder layer.
#[derive(Debug)]
struct Layer {
    /// Tensor names in the order of [`TargetModule::ALL`], formatted once, so that a pass allocates no
    /// strings.
    linears: [String; 7],
    /// (out) of each projection, if the file has one.
    biases: [Option<Vec<f32>>; 7],
    attn_norm: Vec<f32>,
    ffn_norm: Vec<f32>,
}

const EMBEDDING: &str = "token_embd.weight";
const OUTPUT: &str = "output.weight";
const OUTPUT_NORM: &str = "output_norm.weight";
const ROPE_FREQS: &str = "rope_freqs.weight";

impl Llama {
    /// Checks name, shape and format of every tensor that the architecture needs.
    ///
    /// # Errors
    /// Names the first key or tensor for which the file is not a LLaMA that we can train.
    pub fn load(gguf: Arc<Gguf>) -> Result<Self, Error> {
        let config = ModelConfig::from_gguf(&gguf)?;
        let (hidden, vocab) = (config.hidden_size, config.vocab_size);
        let mut tensors = Tensors { gguf: &gguf, expected: HashSet::new() };
        tensors.check(EMBEDDING, &[vocab, hidden])?;
        let head = if config.tie_word_embeddings { EMBEDDING } else { OUTPUT };
        tensors.check(head, &[vocab, hidden])?;
        let output_norm = tensors.vector(OUTPUT_NORM, hidden)?;
        let factors = match gguf.tensor(ROPE_FREQS) {
            Some(_) => Some(tensors.vector(ROPE_FREQS, config.head_dim / 2)?),
            None => None,
        };
        let layers = (0..config.num_hidden_layers)
            .map(|layer| tensors.layer(layer, &config))
            .collect::<Result<_, _>>()?;
        tensors.refuse_others()?;
        let theta = f64::from(config.rope_theta);
        let rope_frequencies =
            rope::frequencies(config.head_dim, theta, factors.as_deref(), config.rope_scaling);
        let rope_magnitude = config.rope_scaling.magnitude() * f64::from(config.rope_attention_factor);
        Ok(Self { gguf, config, layers, output_norm, head, rope_frequencies, rope_magnitude })
    }

    /// Sizes and constants.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Bytes of all tensors in the file.
    pub fn bytes(&self) -> u64 {
        self.gguf.tensors().map(|tensor| tensor.data.len() as u64).sum()
    }

    /// Decodes every matrix once, on all threads, and checks that every weight is finite.
    ///
    /// # Errors
    /// [`Error::NotFinite`] with the first weight that is not.
    pub fn check_finite(&self, pool: &CpuPool) -> Result<(), Error> {
        let linears = self.layers.iter().flat_map(|layer| layer.linears.iter().map(String::as_str));
        for name in linears.chain([EMBEDDING, self.head]) {
            let view = self.gguf.weights(name)?;
            let bytes = CHECKED_AT_ONCE / view.ggml_type.block_weights() * view.ggml_type.block_bytes();
            let found = pool.run(|| {
                view.data.par_chunks(bytes).enumerate().find_map_first(|(chunk, blocks)| {
                    let count = blocks.len() / view.ggml_type.block_bytes() * view.ggml_type.block_weights();
                    let mut values = vec![0.0; count];
                    dequantize(view.ggml_type, blocks, &mut values);
                    require_finite(&self.gguf, name, chunk * CHECKED_AT_ONCE, &values).err()
                })
            });
            if let Some(error) = found {
                return Err(error);
            }
        }
        Ok(())
    }

    /// (V, C).
    pub(super) fn embedding(&self) -> QuantMatrix<'_> {
        self.matrix(EMBEDDING)
    }

    /// (V, C).
    pub(super) fn head(&self) -> QuantMatrix<'_> {
        self.matrix(self.head)
    }

    /// (out, in).
    pub(super) fn linear(&self, layer: usize, module: TargetModule) -> QuantMatrix<'_> {
        self.matrix(&self.layers[layer].linears[module as usize])
    }

    /// (out), if the projection has a bias.
    pub(super) fn bias(&self, layer: usize, module: TargetModule) -> Option<&[f32]> {
        self.layers[layer].biases[module as usize].as_deref()
    }

    pub(super) fn attn_norm(&self, layer: usize) -> &[f32] {
        &self.layers[layer].attn_norm
    }

    pub(super) fn ffn_norm(&self, layer: usize) -> &[f32] {
        &self.layers[layer].ffn_norm
    }

    pub(super) fn output_norm(&self) -> &[f32] {
        &self.output_norm
    }

    pub(super) fn rope_frequencies(&self) -> &[f64] {
        &self.rope_frequencies
    }

    pub(super) fn rope_magnitude(&self) -> f64 {
        self.rope_magnitude
    }

    fn matrix(&self, name: &str) -> QuantMatrix<'_> {
        QuantMatrix::from_view(&self.gguf.tensor(name).expect("`load` has found every tensor"))
    }
}

/// Weights that are decoded and checked at a time.
const CHECKED_AT_ONCE: usize = 1 << 16;

fn require_finite(gguf: &Gguf, tensor: &str, first: usize, values: &[f32]) -> Result<(), Error> {
    // 0 · x is 0 for every finite x and NaN for others. The sum has no branch, so it becomes vector code.
    let sum: f32 = values.iter().map(|value| 0.0 * value).sum();
    if sum.is_finite() {
        return Ok(());
    }
    let at = values.iter().position(|value| !value.is_finite()).unwrap_or(0);
    let (path, tensor) = (gguf.path().to_owned(), tensor.to_owned());
    Err(Error::NotFinite { path, tensor, index: first + at, found: values[at] })
}

/// Checks the tensors of a file, and remembers which were expected.
struct Tensors<'a> {
    gguf: &'a Gguf,
    expected: HashSet<String>,
}

impl Tensors<'_> {
    /// Checks that a tensor exists, can be decoded and has `shape`.
    fn check(&mut self, name: &str, shape: &[usize]) -> Result<(), Error> {
        let view = self.gguf.weights(name)?;
        self.expected.insert(name.to_owned());
        if view.shape == shape {
            return Ok(());
        }
        Err(Error::Shape {
            path: self.gguf.path().to_owned(),
            tensor: name.to_owned(),
            found: view.shape.to_vec(),
            expected: shape.to_vec(),
        })
    }

    /// Checks and decodes a vector.
    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, Error> {
        self.check(name, &[len])?;
        let view = self.gguf.weights(name)?;
        let mut values = vec![0.0; len];
        dequantize(view.ggml_type, view.data, &mut values);
        require_finite(self.gguf, name, 0, &values)?;
        Ok(values)
    }

    fn layer(&mut self, layer: usize, config: &ModelConfig) -> Result<Layer, Error> {
        let base = config.base_shape();
        let linears = TargetModule::ALL.map(|module| format!("blk.{layer}.{}.weight", module.gguf_name()));
        for (name, module) in linears.iter().zip(TargetModule::ALL) {
            self.check(name, &[base.out_features(module), base.in_features(module)])?;
        }
        let mut biases = [const { None }; 7];
        for (bias, module) in biases.iter_mut().zip(TargetModule::ALL) {
            let name = format!("blk.{layer}.{}.bias", module.gguf_name());
            if self.gguf.tensor(&name).is_some() {
                *bias = Some(self.vector(&name, base.out_features(module))?);
            }
        }
        let attn_norm = self.vector(&format!("blk.{layer}.attn_norm.weight"), config.hidden_size)?;
        let ffn_norm = self.vector(&format!("blk.{layer}.ffn_norm.weight"), config.hidden_size)?;
        Ok(Layer { linears, biases, attn_norm, ffn_norm })
    }

    /// Refuses a file with tensors that the passes would ignore, such as norms of queries.
    fn refuse_others(&self) -> Result<(), Error> {
        match self.gguf.tensors().find(|view| !self.expected.contains(view.name)) {
            None => Ok(()),
            Some(view) => Err(Error::UnexpectedTensor {
                path: self.gguf.path().to_owned(),
                tensor: view.name.to_owned(),
            }),
        }
    }
}
