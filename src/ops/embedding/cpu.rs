//! CPU twin of [`embedding`](super).

use crate::device::CpuDevice;
use crate::ops::QuantMatrix;
use crate::tensor::Real;
use rayon::prelude::*;

pub(super) fn forward<T: Real>(cpu: &CpuDevice, w: &QuantMatrix<'_>, tokens: &[u32], out: &mut [T]) {
    if out.is_empty() {
        return;
    }
    cpu.run(|| {
        out.par_chunks_exact_mut(w.cols())
            .zip(tokens)
            .with_min_len(8)
            .for_each(|(out, &token)| w.dequantize_row(token as usize, out));
    });
}
