//! [`lora`](super) on a GPU: products by cuBLAS, dropout by `kernels/elementwise.cu`.
//!
//! Factors are read in the type of activations, gradients are accumulated in f32. Branches write their own
//! columns of t and u. A branch's output is written first, and the product with the frozen weight is added to
//! it. The other way round most of it would be lost: it is often smaller than half a unit in the last place
//! of the bf16 number to which the frozen product was rounded.

use super::LoraSlot;
use crate::device::cuda::{Arg, CudaDevice, CudaError, Grid, Operand, Tensor};

/// As [`Branch`](super::Branch).
#[derive(Debug, Clone, Copy)]
pub(crate) struct CudaBranch {
    /// `lora_a` (R, in) and `lora_b` (out, R), in the type of activations.
    pub(crate) a: Tensor,
    pub(crate) b: Tensor,
    /// Gradients of both in f32, which [`backward`] adds to.
    pub(crate) da: Tensor,
    pub(crate) db: Tensor,
    pub(crate) slot: LoraSlot,
}

/// The first column of branch `index` in t and u, and the columns of all branches.
fn columns(branches: &[Option<CudaBranch>], index: usize) -> (usize, usize) {
    let rank =
        |branches: &[Option<CudaBranch>]| branches.iter().flatten().map(|branch| branch.slot.rank).sum();
    (rank(&branches[..index]), rank(branches))
}

/// The columns of a branch in t or u.
fn block(branches: &[Option<CudaBranch>], index: usize, rows: usize, buffer: Tensor) -> Operand {
    let (first, stride) = columns(branches, index);
    let rank = branches[index].map_or(0, |branch| branch.slot.rank);
    Operand::columns(buffer, rows, stride, first, rank)
}

/// `dropout(x)`: x itself without dropout, else written to scratch.
fn dropped(device: &CudaDevice, slot: &LoraSlot, x: Tensor, scratch: Tensor) -> Result<Tensor, CudaError> {
    if slot.dropout <= 0.0 {
        return Ok(x);
    }
    let out = scratch.first(x.len());
    drop_into(device, "dropout", slot, x, out)?;
    Ok(out)
}

fn drop_into(
    device: &CudaDevice,
    kernel: &str,
    slot: &LoraSlot,
    x: Tensor,
    out: Tensor,
) -> Result<(), CudaError> {
    let p = f64::from(slot.dropout);
    let kept = (1.0 / (1.0 - p)) as f32;
    let sizes = [Arg::U32(slot.in_features as u32), Arg::U64(x.len() as u64)];
    let args = [Arg::U64(slot.dropout_key), Arg::F64(p), Arg::F32(kept), Arg::Tensor(x), Arg::Tensor(out)];
    device.launch(&x.dtype().kernel(kernel), Grid::elements(x.len(), 4), &[&args[..], &sizes].concat())
}

/// As [`down`](super::down): overwrites `t` (`rows`, R).
pub(crate) fn down(
    device: &CudaDevice,
    branches: &[Option<CudaBranch>],
    rows: usize,
    x: Tensor,
    t: Tensor,
    scratch: Tensor,
) -> Result<(), CudaError> {
    for (i, branch) in branches.iter().enumerate() {
        let Some(CudaBranch { a, slot, .. }) = branch else { continue };
        let d = Operand::new(dropped(device, slot, x, scratch)?, rows, slot.in_features);
        let a = Operand::new(*a, slot.rank, slot.in_features);
        device.multiply(1.0, d, a.t(), 0.0, block(branches, i, rows, t))?;
    }
    Ok(())
}

/// `y = s t Bᵀ` of branch `index`. Returns the `beta` with which the frozen product is added: 0 if the
/// projection has no branch and y was not written.
pub(crate) fn up(
    device: &CudaDevice,
    branches: &[Option<CudaBranch>],
    index: usize,
    rows: usize,
    t: Tensor,
    y: Tensor,
) -> Result<f32, CudaError> {
    let Some(CudaBranch { b, slot, .. }) = branches[index] else { return Ok(0.0) };
    let b = Operand::new(b, slot.out_features, slot.rank);
    let y = Operand::new(y, rows, slot.out_features);
    device.multiply(slot.scaling, block(branches, index, rows, t), b.t(), 0.0, y)?;
    Ok(1.0)
}

/// As [`backward`](super::backward): adds to the gradients and overwrites `u`.
pub(crate) fn backward(
    device: &CudaDevice,
    branches: &[Option<CudaBranch>],
    rows: usize,
    x: Tensor,
    t: Tensor,
    dy: &[Tensor],
    u: Tensor,
    scratch: Tensor,
) -> Result<(), CudaError> {
    for (i, (branch, &dy)) in branches.iter().zip(dy).enumerate() {
        let &Some(CudaBranch { b, da, db, ref slot, .. }) = branch else { continue };
        let dy = Operand::new(dy, rows, slot.out_features);
        let u = block(branches, i, rows, u);
        device.multiply(slot.scaling, dy, Operand::new(b, slot.out_features, slot.rank), 0.0, u)?;
        let db = Operand::new(db, slot.out_features, slot.rank);
        device.multiply(slot.scaling, dy.t(), block(branches, i, rows, t), 1.0, db)?;
        let d = Operand::new(dropped(device, slot, x, scratch)?, rows, slot.in_features);
        device.multiply(1.0, u.t(), d, 1.0, Operand::new(da, slot.rank, slot.in_features))?;
    }
    Ok(())
}

/// `dx = Σ dropout'(u A)` over the branches. Returns the `beta` with which the frozen products are added: 0
/// if there is no branch and dx was not written.
pub(crate) fn input(
    device: &CudaDevice,
    branches: &[Option<CudaBranch>],
    rows: usize,
    u: Tensor,
    dx: Tensor,
    scratch: Tensor,
) -> Result<f32, CudaError> {
    let mut beta = 0.0;
    for (i, branch) in branches.iter().enumerate() {
        let Some(CudaBranch { a, slot, .. }) = branch else { continue };
        let (u, a) = (block(branches, i, rows, u), Operand::new(*a, slot.rank, slot.in_features));
        if slot.dropout <= 0.0 {
            device.multiply(1.0, u, a, beta, Operand::new(dx, rows, slot.in_features))?;
        } else {
            let dd = scratch.first(rows * slot.in_features);
            device.multiply(1.0, u, a, 0.0, Operand::new(dd, rows, slot.in_features))?;
            drop_into(device, if beta > 0.0 { "dropout_add" } else { "dropout" }, slot, dd, dx)?;
        }
        beta = 1.0;
    }
    Ok(beta)
}

/// Converts f32 numbers to the type of `out`.
pub(crate) fn cast(device: &CudaDevice, x: Tensor, out: Tensor) -> Result<(), CudaError> {
    assert_eq!(x.len(), out.len(), "lengths of x (left) and out (right)");
    let args = [Arg::Tensor(x), Arg::Tensor(out), Arg::U64(x.len() as u64)];
    device.launch(&out.dtype().kernel("cast"), Grid::elements(x.len(), 4), &args)
}
