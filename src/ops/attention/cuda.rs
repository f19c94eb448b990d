//! CUDA twin of [`attention`](super): `kernels/attention.cu`.

use super::Heads;
use crate::device::cuda::{Arg, CudaDevice, CudaError, Grid, Tensor};

/// Warps of a block: each has a query or a key.
const WARPS: usize = 4;
/// Columns of a head at most.
pub(crate) const MAX_HEAD: usize = 256;

/// What both directions read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CudaInputs {
    pub(crate) heads: Heads,
    /// (T): where the sample of a token begins, and where it ends.
    pub(crate) starts: Tensor,
    pub(crate) ends: Tensor,
    pub(crate) q: Tensor,
    pub(crate) k: Tensor,
    pub(crate) v: Tensor,
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
        let scale = (1.0 / (head_dim as f64).sqrt()) as f32;
        let [tokens, heads, kv_heads, head_dim] = [tokens, heads, kv_heads, head_dim].map(|n| n as u32);
        Arg::Five([tokens, heads, kv_heads, head_dim, scale.to_bits()])
    }

    /// The kernel of a pass that is made for heads of this size.
    fn kernel(&self, pass: &str) -> String {
        let most = [64, 128, MAX_HEAD].into_iter().find(|&most| self.heads.head_dim <= most);
        let most = most.expect("no head is larger, see `shape`");
        self.q.dtype().kernel(&format!("attention_{pass}_{most}"))
    }

    fn grid(&self, heads: usize) -> Grid {
        Grid::new([self.tokens().div_ceil(WARPS), heads], 32 * WARPS as u32)
    }
}

/// As [`forward`](super::forward); `lse` is f32.
pub(crate) fn forward(
    device: &CudaDevice,
    inputs: CudaInputs,
    out: Tensor,
    lse: Tensor,
) -> Result<(), CudaError> {
    let CudaInputs { heads, starts, q, k, v, .. } = inputs;
    assert_eq!((out.len(), lse.len()), (q.len(), inputs.tokens() * heads.heads), "lengths of out and lse");
    let args = [&[starts, q, k, v, out, lse].map(Arg::Tensor)[..], &[inputs.shape()]].concat();
    device.launch(&inputs.kernel("forward"), inputs.grid(heads.heads), &args)
}

/// As [`backward`](super::backward): `saved` is out, lse and `d_out`, `gradients` `d_q`, `d_k` and `d_v`; `deltas` (T, H) is scratch in f32.
pub(crate) fn backward(
    device: &CudaDevice,
    inputs: CudaInputs,
    saved: [Tensor; 3],
    gradients: [Tensor; 3],
    deltas: Tensor,
) -> Result<(), CudaError> {
    let CudaInputs { heads, starts, ends, q, k, v } = inputs;
    let ([out, lse, d_out], [d_q, d_k, d_v]) = (saved, gradients);
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
    let args =
        [&[starts, q, k, v, out, lse, d_out, d_q, deltas].map(Arg::Tensor)[..], &[inputs.shape()]].concat();
    device.launch(&inputs.kernel("backward_q"), inputs.grid(heads.heads), &args)?;
    let args =
        [&[ends, q, k, v, lse, d_out, deltas, d_k, d_v].map(Arg::Tensor)[..], &[inputs.shape()]].concat();
    device.launch(&inputs.kernel("backward_kv"), inputs.grid(heads.kv_heads), &args)
}
