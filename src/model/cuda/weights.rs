//! The base on the device: matrices in their blocks, norms and biases in f32.
//!
//! **Invariant:** the blocks are those of the file, byte for byte; nothing is ever written to them.

use crate::device::cuda::{Arena, CudaDevice, CudaError, Dtype, Tensor};
use crate::lora::TargetModule;
use crate::model::Llama;
use crate::ops::cuda_matrix::CudaMatrix;

/// All tensors of a base.
#[derive(Debug)]
pub(super) struct Weights {
    pub(super) embedding: CudaMatrix,
    /// The embedding, if the head is tied to it.
    pub(super) head: CudaMatrix,
    pub(super) layers: Vec<Layer>,
    pub(super) output_norm: Tensor,
}

/// One decoder layer.
#[derive(Debug)]
pub(super) struct Layer {
    linears: [CudaMatrix; 7],
    biases: [Option<Tensor>; 7],
    pub(super) attn_norm: Tensor,
    pub(super) ffn_norm: Tensor,
}

impl Layer {
    pub(super) fn linear(&self, module: TargetModule) -> &CudaMatrix {
        &self.linears[module as usize]
    }

    pub(super) fn bias(&self, module: TargetModule) -> Option<Tensor> {
        self.biases[module as usize]
    }
}

impl Weights {
    pub(super) fn take(arena: &mut Arena, model: &Llama) -> Self {
        let embedding = CudaMatrix::take(arena, &model.embedding());
        let is_tied = model.config().tie_word_embeddings;
        let head = if is_tied { embedding } else { CudaMatrix::take(arena, &model.head()) };
        let output_norm = arena.take(Dtype::F32, model.output_norm().len());
        let mut layer = |layer| Layer {
            linears: TargetModule::ALL.map(|module| CudaMatrix::take(arena, &model.linear(layer, module))),
            biases: TargetModule::ALL
                .map(|module| Some(arena.take(Dtype::F32, model.bias(layer, module)?.len()))),
            attn_norm: arena.take(Dtype::F32, model.attn_norm(layer).len()),
            ffn_norm: arena.take(Dtype::F32, model.ffn_norm(layer).len()),
        };
        let layers = (0..model.config().num_hidden_layers).map(&mut layer).collect();
        Self { embedding, head, layers, output_norm }
    }

    /// Copies everything.
    pub(super) fn fill(&self, device: &CudaDevice, model: &Llama) -> Result<(), CudaError> {
        self.embedding.upload(device, &model.embedding())?;
        if !model.config().tie_word_embeddings {
            self.head.upload(device, &model.head())?;
        }
        device.upload(model.output_norm(), self.output_norm)?;
        for (i, layer) in self.layers.iter().enumerate() {
            for module in TargetModule::ALL {
                layer.linear(module).upload(device, &model.linear(i, module))?;
                if let (Some(tensor), Some(bias)) = (layer.bias(module), model.bias(i, module)) {
                    device.upload(bias, tensor)?;
                }
            }
            device.upload(model.attn_norm(i), layer.attn_norm)?;
            device.upload(model.ffn_norm(i), layer.ffn_norm)?;
        }
        Ok(())
    }
}
