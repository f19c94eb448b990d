//! [`cross_entropy`](super) on a GPU: products by cuBLAS, everything between them by
//! `kernels/cross_entropy.cu`.
//!
//! As on the CPU, the vocabulary is processed in tiles with a running maximum: logits never take more memory
//! than a block of rows by a tile.

use super::BLOCK_ROWS;
use crate::device::cuda::{Arena, Arg, CudaDevice, CudaError, Dtype, Grid, Operand, Tensor};
use crate::ops::cuda_matrix::CudaMatrix;

/// Vocabulary entries per tile.
const TILE: usize = 4096;

/// The op's scratch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scratch {
    /// (tile, C): decoded rows of the head; shared with linear layers.
    weights: Tensor,
    /// (rows, tile) in f32.
    logits: Tensor,
    /// (rows, tile): exp(logits - maximum), in the type of activations.
    exponentials: Tensor,
    /// (rows, 3): maximum, sum, logit of the target.
    running: Tensor,
    /// (rows): factor for sums made with the old maximum.
    rescale: Tensor,
    /// (rows, C): Σ exponentials · rows of the head.
    d_h: Tensor,
    /// (rows, C): the rows of the head that belong to the targets.
    target_rows: Tensor,
    total: Tensor,
}

/// Length of the buffer for decoded weights that the op needs.
pub(crate) fn weights_len(hidden_size: usize, vocab_size: usize) -> usize {
    TILE.min(vocab_size) * hidden_size
}

impl Scratch {
    /// Takes scratch for at most `rows` rows; `weights` has at least [`weights_len`] elements.
    pub(crate) fn take(
        arena: &mut Arena,
        act: Dtype,
        weights: Tensor,
        rows: usize,
        hidden: usize,
        vocab: usize,
    ) -> Self {
        let (rows, tile) = (rows.min(BLOCK_ROWS), TILE.min(vocab));
        Self {
            weights,
            logits: arena.take(Dtype::F32, rows * tile),
            exponentials: arena.take(act, rows * tile),
            running: arena.take(Dtype::F32, rows * 3),
            rescale: arena.take(Dtype::F32, rows),
            d_h: arena.take(Dtype::F32, rows * hidden),
            target_rows: arena.take(act, rows * hidden),
            total: arena.take(Dtype::F64, 1),
        }
    }
}

/// What [`run`] does about the gradient: it writes `scale` times the gradient of the loss to `dh`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScaledGradient {
    pub(crate) scale: f32,
    /// (M, C).
    pub(crate) dh: Tensor,
}

/// The sum of negative log-likelihoods; overwrites `gradient.dh`, if there is one.
pub(crate) fn run(
    device: &CudaDevice,
    w: &CudaMatrix,
    h: Tensor,
    targets: Tensor,
    gradient: Option<ScaledGradient>,
    scratch: &Scratch,
) -> Result<f64, CudaError> {
    let columns = w.cols();
    let mut nll = 0.0;
    for first in (0..targets.len()).step_by(BLOCK_ROWS) {
        let rows = BLOCK_ROWS.min(targets.len() - first);
        let part = |tensor: Tensor| tensor.slice(first * columns..(first + rows) * columns);
        let targets = targets.slice(first..first + rows);
        let gradient = gradient.map(|ScaledGradient { scale, dh }| ScaledGradient { scale, dh: part(dh) });
        nll += block(device, w, part(h), targets, gradient, scratch)?;
    }
    Ok(nll)
}

fn block(
    device: &CudaDevice,
    w: &CudaMatrix,
    h: Tensor,
    targets: Tensor,
    gradient: Option<ScaledGradient>,
    scratch: &Scratch,
) -> Result<f64, CudaError> {
    let (rows, columns, tile) = (targets.len(), w.cols(), TILE.min(w.rows()));
    let (running, rescale) = (scratch.running.first(rows * 3), scratch.rescale.first(rows));
    let d_h = scratch.d_h.first(rows * columns);
    for first in (0..w.rows()).step_by(tile) {
        let count = tile.min(w.rows() - first);
        let weights = w.decode_rows(device, first..first + count, scratch.weights)?;
        let logits = Operand::columns(scratch.logits, rows, tile, 0, count);
        device.multiply(1.0, Operand::new(h, rows, columns), weights.t(), 0.0, logits)?;
        let buffers = [scratch.logits, scratch.exponentials, targets, running, rescale].map(Arg::Tensor);
        let sizes = [first, count, tile].map(|n| Arg::U32(n as u32));
        let kernel = scratch.exponentials.dtype().kernel("cross_entropy_absorb");
        device.launch(&kernel, Grid::new([rows, 1], 256), &[&buffers[..], &sizes].concat())?;
        if gradient.is_some() {
            if first > 0 {
                let args = [Arg::Tensor(d_h), Arg::Tensor(rescale), Arg::U32(columns as u32)];
                device.launch("cross_entropy_rescale", Grid::rows(rows, columns), &args)?;
            }
            let exponentials = Operand::columns(scratch.exponentials, rows, tile, 0, count);
            let beta = if first == 0 { 0.0 } else { 1.0 };
            device.multiply(1.0, exponentials, weights, beta, Operand::new(d_h, rows, columns))?;
        }
    }
    if let Some(ScaledGradient { scale, dh }) = gradient {
        let target_rows = scratch.target_rows.first(rows * columns);
        w.decode_listed(device, targets, target_rows)?;
        let buffers = [d_h, target_rows, running].map(Arg::Tensor);
        let args = [&buffers[..], &[Arg::F32(scale), Arg::Tensor(dh), Arg::U32(columns as u32)]].concat();
        device.launch(&dh.dtype().kernel("cross_entropy_finish"), Grid::rows(rows, columns), &args)?;
    }
    let args = [Arg::Tensor(running), Arg::Tensor(scratch.total), Arg::U32(rows as u32)];
    device.launch("cross_entropy_total", Grid::new([1, 1], 256), &args)?;
    let mut total = [0.0];
    device.download(scratch.total, &mut total)?;
    Ok(total[0])
}
