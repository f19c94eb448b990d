//! The base on the device: matrices in their blocks, norms and biases in f32.
//!
//! Where in the flow: [`CudaModel::new`](super::CudaModel::new) fills it once; passes read it.
//!
//! **Invariant:** the blocks are those of the file, byte for byte, and never written.

use crate::device::cuda::{Arena, CudaDevice, CudaError, Dtype, Tensor};
use crate::lora::TargetModule;
use crate::model::Llama;
use crate::ops::QuantMatrix;
use crate::ops::cuda_matrix::CudaMatrix;

/// All tensors of a base.
#[derive(Debug)]
pub(super) struct Weights {
    pub(super) embedding: CudaMatrix,
    /// The same as `embedding` if the head is tied to it.
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

    /// All copies from the mapped file: bytes and their destination.
    fn parts<'m>(&self, model: &'m Llama) -> Vec<(&'m [u8], Tensor)> {
        let matrix = |to: &CudaMatrix, from: QuantMatrix<'m>| to.copy_of(&from);
        let floats = |to: Tensor, from: &'m [f32]| (bytemuck::cast_slice(from), to);
        let mut parts = vec![matrix(&self.embedding, model.embedding())];
        if !model.config().tie_word_embeddings {
            parts.push(matrix(&self.head, model.head()));
        }
        parts.push(floats(self.output_norm, model.output_norm()));
        for (i, layer) in self.layers.iter().enumerate() {
            for module in TargetModule::ALL {
                parts.push(matrix(layer.linear(module), model.linear(i, module)));
                let bias = layer.bias(module).zip(model.bias(i, module));
                parts.extend(bias.map(|(to, from)| floats(to, from)));
            }
            parts.push(floats(layer.attn_norm, model.attn_norm(i)));
            parts.push(floats(layer.ffn_norm, model.ffn_norm(i)));
        }
        parts
    }

    /// Copies everything, straight from the mapped file, until done or until `on_upload`, which gets the
    /// bytes done and in all, returns false.
    pub(super) fn fill(
        &self,
        device: &CudaDevice,
        model: &Llama,
        on_upload: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<(), CudaError> {
        let parts = self.parts(model);
        let total = parts.iter().map(|(from, _)| from.len() as u64).sum();
        let mut done = 0;
        for (from, to) in parts {
            if !on_upload(done, total) {
                return Ok(());
            }
            device.upload_bytes(from, to)?;
            done += from.len() as u64;
        }
        on_upload(done, total);
        Ok(())
    }
}
