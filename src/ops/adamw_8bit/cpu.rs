//! [`adamw_8bit`](super) on the CPU: blocks are independent, so threads cannot change a bit.

use super::{BLOCK, CodeBook, Moment, SIGNED, UNSIGNED};
use crate::device::CpuPool;
use crate::ops::adamw::Factors;
use rayon::prelude::*;

/// Blocks per task.
const BLOCKS_PER_TASK: usize = 64;

pub(super) fn step(
    pool: &CpuPool,
    f: &Factors<f32>,
    gradients: &[f32],
    params: &mut [f32],
    [m, v]: [Moment<'_>; 2],
) {
    let (signed, unsigned) = (&*SIGNED, &*UNSIGNED);
    pool.run(|| {
        params
            .par_chunks_mut(BLOCK)
            .zip(gradients.par_chunks(BLOCK))
            .zip(m.codes.par_chunks_mut(BLOCK).zip(m.scales))
            .zip(v.codes.par_chunks_mut(BLOCK).zip(v.scales))
            .with_min_len(BLOCKS_PER_TASK)
            .for_each(|(((params, gradients), (m_codes, m_scale)), (v_codes, v_scale))| {
                let (mut m, mut v) = ([0.0; BLOCK], [0.0; BLOCK]);
                decode(signed, m_codes, *m_scale, &mut m);
                decode(unsigned, v_codes, *v_scale, &mut v);
                for (((p, &g), m), v) in params.iter_mut().zip(gradients).zip(&mut m).zip(&mut v) {
                    let g = g * f.gradient_scale;
                    *m += (g - *m) * f.one_minus_beta1;
                    *v = *v * f.beta2 + g * g * f.one_minus_beta2;
                    *p = *p * f.keep - f.step_size * *m / (v.sqrt() / f.root_correction + f.epsilon);
                }
                *m_scale = encode(signed, &m[..gradients.len()], m_codes);
                *v_scale = encode(unsigned, &v[..gradients.len()], v_codes);
            });
    });
}

fn decode(book: &CodeBook, codes: &[u8], scale: f32, out: &mut [f32]) {
    for (out, &code) in out.iter_mut().zip(codes) {
        *out = scale * book.decode(code);
    }
}

/// Returns the scale.
fn encode(book: &CodeBook, numbers: &[f32], codes: &mut [u8]) -> f32 {
    let scale = numbers.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
    let times = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    for (code, &number) in codes.iter_mut().zip(numbers) {
        *code = book.encode(number * times);
        // Only for squares: their 0 is code 0, and code 1 is the smallest value above it.
        if *code == 0 && book.zero() == 0 && number > 0.0 {
            *code = 1;
        }
    }
    scale
}
