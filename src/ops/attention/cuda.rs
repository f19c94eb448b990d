//! [`attention`](super) on a GPU: `kernels/attention.cu`, on tensor cores for common head sizes.
//!
//! Statistics (`lse` and `deltas`) are (H, T) here, so that those of a tile of queries are contiguous.

use super::Heads;
use crate::device::cuda::{Arg, CudaDevice, CudaError, Grid, Tensor};

/// Warps per block; without tensor cores also its queries or keys.
const WARPS: usize = 4;
/// Queries or keys per block with tensor cores.
const TILE: usize = 64;
/// The largest supported head, in columns.
pub(crate) const MAX_HEAD: usize = 256;

/// As [`Inputs`](super::Inputs).
#[derive(Debug, Clone, Copy)]
pub(crate) struct CudaInputs {
    pub(crate) heads: Heads,
    /// (T): the first token of each token's sample.
    pub(crate) starts: Tensor,
    /// (T): the token after the last one of each token's sample.
    pub(crate) ends: Tensor,
    pub(crate) q: Tensor,
    pub(crate) k: Tensor,
    pub(crate) v: Tensor,
}

/// As [`Saved`](super::Saved), with `lse` (H, T) in f32.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CudaSaved {
    pub(crate) out: Tensor,
    pub(crate) lse: Tensor,
    pub(crate) d_out: Tensor,
}

/// As [`Gradients`](super::Gradients).
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "`d_x` is the gradient of `x`, as everywhere in ops")]
pub(crate) struct CudaGradients {
    pub(crate) d_q: Tensor,
    pub(crate) d_k: Tensor,
    pub(crate) d_v: Tensor,
}

impl CudaInputs {
    fn tokens(&self) -> usize {
        self.starts.len()
    }

    fn shape(&self) -> Arg {
        let Heads { heads, kv_heads, head_dim } = self.heads;
        let tokens = self.tokens();
        assert_eq!(self.q.len(), tokens * heads * head_dim, "length of q");
        assert_eq!(
            (self.k.len(), self.v.len()),
            (tokens * kv_heads * head_dim, self.k.len()),
            "lengths of k and v"
        );
        assert!(head_dim <= MAX_HEAD && head_dim.is_multiple_of(4), "a head of {head_dim} columns");
        assert!(u32::try_from(self.q.len()).is_ok(), "kernels count elements in 32 bits");
        let scale = (1.0 / (head_dim as f64).sqrt()) as f32;
        let [tokens, heads, kv_heads, head_dim] = [tokens, heads, kv_heads, head_dim].map(|n| n as u32);
        Arg::Five([tokens, heads, kv_heads, head_dim, scale.to_bits()])
    }

    /// Launches the kernel of a pass for heads of this size; `heads` is H or K, whichever the blocks of the
    /// pass are divided by.
    fn launch(
        &self,
        device: &CudaDevice,
        pass: &str,
        heads: usize,
        tensors: &[Tensor],
    ) -> Result<(), CudaError> {
        let head_dim = self.heads.head_dim;
        let tiles = self.q.dtype().kernel(&format!("attention_{pass}_tiles_{head_dim}"));
        let (kernel, rows) = if device.has_kernel(&tiles) {
            (tiles, TILE)
        } else {
            let most = [64, 128, MAX_HEAD].into_iter().find(|&most| head_dim <= most);
            let most = most.expect("no head is larger, see `shape`");
            (self.q.dtype().kernel(&format!("attention_{pass}_{most}")), WARPS)
        };
        let args: Vec<Arg> =
            tensors.iter().copied().map(Arg::Tensor).chain(std::iter::once(self.shape())).collect();
        let grid = Grid::new([self.tokens().div_ceil(rows), heads], 32 * WARPS as u32);
        device.launch(&kernel, grid, &args)
    }
}

/// As [`forward`](super::forward); `lse` (H, T) is f32.
pub(crate) fn forward(
    device: &CudaDevice,
    inputs: CudaInputs,
    out: Tensor,
    lse: Tensor,
) -> Result<(), CudaError> {
    let CudaInputs { heads, starts, q, k, v, .. } = inputs;
    assert_eq!((out.len(), lse.len()), (q.len(), inputs.tokens() * heads.heads), "lengths of out and lse");
    inputs.launch(device, "forward", heads.heads, &[starts, q, k, v, out, lse])
}

/// As [`backward`](super::backward); `deltas` (H, T) is scratch in f32.
pub(crate) fn backward(
    device: &CudaDevice,
    inputs: CudaInputs,
    saved: CudaSaved,
    gradients: CudaGradients,
    deltas: Tensor,
) -> Result<(), CudaError> {
    let CudaInputs { heads, starts, ends, q, k, v } = inputs;
    let (CudaSaved { out, lse, d_out }, CudaGradients { d_q, d_k, d_v }) = (saved, gradients);
    assert_eq!(
        (out.len(), d_out.len(), d_q.len()),
        (q.len(), q.len(), q.len()),
        "lengths of out, d_out and d_q"
    );
    assert_eq!((d_k.len(), d_v.len()), (k.len(), k.len()), "lengths of d_k and d_v");
    assert_eq!(
        (lse.len(), deltas.len()),
        (inputs.tokens() * heads.heads, lse.len()),
        "lengths of lse and deltas"
    );
    let to_queries = [starts, q, k, v, out, lse, d_out, d_q, deltas];
    inputs.launch(device, "backward_q", heads.heads, &to_queries)?;
    let to_keys = [ends, q, k, v, lse, d_out, deltas, d_k, d_v];
    inputs.launch(device, "backward_kv", heads.kv_heads, &to_keys)
}
