//! Tensors of one dimension in a safetensors file, as checkpoints hold them.
//!
//! Where in the flow: `checkpoint.rs` reads and writes the adapter with it, `moments` the optimiser's state.

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

/// A tensor that goes into a file.
pub(super) struct FlatTensor<'a> {
    pub(super) name: &'static str,
    dtype: Dtype,
    len: usize,
    bytes: &'a [u8],
}

impl<'a> FlatTensor<'a> {
    pub(super) fn of_numbers(name: &'static str, numbers: &'a [f32]) -> Self {
        Self { name, dtype: Dtype::F32, len: numbers.len(), bytes: bytemuck::cast_slice(numbers) }
    }

    pub(super) fn of_bytes(name: &'static str, bytes: &'a [u8]) -> Self {
        Self { name, dtype: Dtype::U8, len: bytes.len(), bytes }
    }

    pub(super) fn view(&self) -> TensorView<'a> {
        TensorView::new(self.dtype, vec![self.len], self.bytes)
            .expect("the bytes are those of `len` elements")
    }
}

/// The bytes of a tensor that must have this type and length.
///
/// # Errors
/// Says what the file has instead.
pub(super) fn elements<'a>(
    tensors: &SafeTensors<'a>,
    name: &str,
    expected: Dtype,
    len: usize,
) -> Result<&'a [u8], String> {
    let tensor = tensors.tensor(name).map_err(|error| error.to_string())?;
    if tensor.dtype() == expected && tensor.shape() == [len] {
        return Ok(tensor.data());
    }
    let (found, shape) = (tensor.dtype(), tensor.shape());
    Err(format!("tensor `{name}` is {found:?} {shape:?}, expected {expected:?} [{len}]"))
}

/// The numbers of an f32 tensor that must have this length.
///
/// # Errors
/// As [`elements`].
pub(super) fn numbers(tensors: &SafeTensors<'_>, name: &str, len: usize) -> Result<Vec<f32>, String> {
    let numbers = elements(tensors, name, Dtype::F32, len)?.as_chunks::<4>().0;
    Ok(numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
}
