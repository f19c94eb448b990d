//! Decoders for blocks of 256 weights, split into parts that each have their own scale.
//!
//! Where in the flow: [`super::dequantize`] calls these functions once per block.
//!
//! | format | block | parts | weight |
//! |---|---|---|---|
//! | `Q2_K` | 16 bytes of scales, 64 bytes, `d`, `dmin` | 16 of 16 | `d·s·q - dmin·m` |
//! | `Q3_K` | 32 of third bits, 64 bytes, 12 bytes of scales, `d` | 16 of 16 | `d·(s - 32)·(q - 4)` |
//! | `Q4_K` | `d`, `dmin`, 12 bytes of scales, 128 bytes | 8 of 32 | `d·s·q - dmin·m` |
//! | `Q5_K` | `d`, `dmin`, 12 bytes of scales, 32 of fifth bits, 128 bytes | 8 of 32 | `d·s·q - dmin·m` |
//! | `Q6_K` | 128 bytes, 64 bytes of high bits, 16 signed scales, `d` | 16 of 16 | `d·s·(q - 32)` |
//! | `IQ4_XS` | `d`, 2 and 4 bytes of scales, 128 bytes | 8 of 32 | `d·(s - 32)·table[q]` |
//!
//! `d` and `dmin` are f16, `s` and `m` the scale and minimum of a part, `q` the quant of a weight. Source of
//! the layouts: `block_q2_K` and its siblings in `ggml-common.h`.
//!
//! **Invariant:** products are formed in ggml's order, `(d·s)·q`: the first is exact, so the result is
//! rounded only once.

use super::{IQ4_VALUES, f16_at};

/// Weights per block.
const WEIGHTS: usize = 256;

/// Decodes `Q2_K`. Each 32 bytes hold two bits of 128 weights; the lowest bits belong to the first 32
/// weights.
#[inline]
pub(super) fn q2(block: &[u8; 84], weights: &mut [f32; WEIGHTS]) {
    let (d, dmin) = (f16_at(block, 80), f16_at(block, 82));
    for (part, weights) in weights.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let (half, shift) = (part / 8, part % 8 / 2 * 2);
        let quants = &block[16 + 32 * half + part % 2 * 16..][..16];
        let (scale, minimum) = (d * f32::from(block[part] & 0x0F), dmin * f32::from(block[part] >> 4));
        for (weight, byte) in weights.iter_mut().zip(quants) {
            *weight = scale * f32::from(byte >> shift & 3) - minimum;
        }
    }
}

/// Decodes `Q3_K`: like [`q2`], with the third bit of weight `i` in bit `i / 32` of byte `i % 32`. If that
/// bit is 0, the quant is 4 lower.
#[inline]
pub(super) fn q3(block: &[u8; 110], weights: &mut [f32; WEIGHTS]) {
    let d = f16_at(block, 108);
    for (part, weights) in weights.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let (half, shift, third) = (part / 8, part % 8 / 2 * 2, part / 2);
        let quants = &block[32 + 32 * half + part % 2 * 16..][..16];
        let thirds = &block[part % 2 * 16..][..16];
        // A scale has its four low bits in bytes 0 to 7 and its two high bits in bytes 8 to 11.
        let low = block[96 + part % 8] >> (part / 8 * 4) & 0x0F;
        let high = block[104 + part % 4] >> (part / 4 * 2) & 3;
        let scale = d * f32::from((high << 4 | low) as i8 - 32);
        for (weight, (byte, thirds)) in weights.iter_mut().zip(quants.iter().zip(thirds)) {
            let absent = 4 * (1 - (thirds >> third & 1)).cast_signed();
            *weight = scale * f32::from((byte >> shift & 3).cast_signed() - absent);
        }
    }
}

/// Unpacks the six-bit scale and minimum of part `part` (of 8) from 12 bytes. The first four parts have one
/// byte for each; the top two bits of these bytes belong to the last four parts.
#[inline]
fn six_bits(scales: &[u8], part: usize) -> (f32, f32) {
    let (scale, minimum) = if part < 4 {
        (scales[part] & 63, scales[part + 4] & 63)
    } else {
        let low = scales[part + 4];
        (low & 0x0F | scales[part - 4] >> 6 << 4, low >> 4 | scales[part] >> 6 << 4)
    };
    (f32::from(scale), f32::from(minimum))
}

/// Decodes `Q4_K`. Each 32 bytes hold 64 weights: the low halves are the first 32, the high halves the rest.
#[inline]
pub(super) fn q4(block: &[u8; 144], weights: &mut [f32; WEIGHTS]) {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    for (part, weights) in weights.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, minimum) = six_bits(&block[4..16], part);
        let (scale, minimum) = (d * scale, dmin * minimum);
        for (weight, byte) in weights.iter_mut().zip(&block[16 + part / 2 * 32..][..32]) {
            *weight = scale * f32::from(byte >> (part % 2 * 4) & 0x0F) - minimum;
        }
    }
}

/// Decodes `Q5_K`: like [`q4`], with the fifth bit of weight `i` in bit `i / 32` of byte `i % 32`.
#[inline]
pub(super) fn q5(block: &[u8; 176], weights: &mut [f32; WEIGHTS]) {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    let fifths = &block[16..48];
    for (part, weights) in weights.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, minimum) = six_bits(&block[4..16], part);
        let (scale, minimum) = (d * scale, dmin * minimum);
        let quants = block[48 + part / 2 * 32..][..32].iter().zip(fifths);
        for (weight, (byte, fifths)) in weights.iter_mut().zip(quants) {
            let quant = byte >> (part % 2 * 4) & 0x0F | (fifths >> part & 1) << 4;
            *weight = scale * f32::from(quant) - minimum;
        }
    }
}

/// Decodes `Q6_K`, 128 weights at a time. Their four low bits are in 64 bytes: the low halves of all bytes
/// are the first 64 weights, the high halves the last 64. Their two high bits are in 32 bytes.
#[inline]
pub(super) fn q6(block: &[u8; 210], weights: &mut [f32; WEIGHTS]) {
    let d = f16_at(block, 208);
    for (part, weights) in weights.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let (half, quarter, sixteen) = (part / 8, part % 8 / 2, part % 2 * 16);
        let low = &block[64 * half + quarter % 2 * 32 + sixteen..][..16];
        let high = &block[128 + 32 * half + sixteen..][..16];
        let scale = d * f32::from(block[192 + part].cast_signed());
        for (weight, (low, high)) in weights.iter_mut().zip(low.iter().zip(high)) {
            let quant = low >> (quarter / 2 * 4) & 0x0F | (high >> (quarter * 2) & 3) << 4;
            *weight = scale * f32::from(quant.cast_signed() - 32);
        }
    }
}

/// Decodes `IQ4_XS`: eight parts in the layout of `IQ4_NL`, each with a six-bit scale. The four low bits of
/// the scales are packed in 4 bytes, the two high bits in 2 bytes.
#[inline]
pub(super) fn iq4_xs(block: &[u8; 136], weights: &mut [f32; WEIGHTS]) {
    let d = f16_at(block, 0);
    let high = u16::from_le_bytes([block[2], block[3]]);
    for (part, weights) in weights.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let low = block[4 + part / 2] >> (part % 2 * 4) & 0x0F;
        let scale = d * f32::from((low | ((high >> (2 * part) & 3) as u8) << 4).cast_signed() - 32);
        let (first, second) = weights.split_at_mut(16);
        for ((first, second), byte) in first.iter_mut().zip(second).zip(&block[8 + 16 * part..][..16]) {
            *first = scale * IQ4_VALUES[usize::from(byte & 0x0F)];
            *second = scale * IQ4_VALUES[usize::from(byte >> 4)];
        }
    }
}
