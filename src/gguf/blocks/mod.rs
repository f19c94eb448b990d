//! Decodes blocks of quantized weights to `f32`.
//!
//! Where in the flow: the frozen base stays quantized in memory, and every matrix product with it decodes
//! the rows it needs, so this is on the hot path of training. Rows are independent; callers may split them
//! over threads in any way.
//!
//! Layouts (`ggml-common.h`; `d` and `m` are little-endian f16):
//!
//! | format | block | weight |
//! |---|---|---|
//! | `Q4_0` | `d`, 16 bytes | `(q - 8) * d` |
//! | `Q4_1` | `d`, `m`, 16 bytes | `q * d + m` |
//! | `Q5_0` | `d`, 4 bytes of fifth bits, 16 bytes | `(q - 16) * d` |
//! | `Q5_1` | `d`, `m`, 4 bytes of fifth bits, 16 bytes | `q * d + m` |
//! | `Q8_0` | `d`, 32 signed bytes | `q * d` |
//! | `IQ4_NL` | `d`, 16 bytes | `table[q] * d` |
//!
//! In the 4-bit and 5-bit formats, byte `j` holds weight `j` in its low half and weight `j + 16` in its high
//! half. The formats with blocks of 256 weights (`Q2_K` to `Q6_K`, `IQ4_XS`) are in `k`.
//!
//! **Invariant:** results equal those of ggml's `dequantize_row_*` bit for bit (`tests/it/gguf_engine.rs`
//! compares them). A compiler may fuse a product with an addition without changing the result: the product
//! of small integers and an 11-bit significand has at most 24 bits, so it is exact in `f32`.

mod k;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::GgmlType;

/// Weights per block of the formats decoded in this file.
const WEIGHTS: usize = 32;

/// Decodes `blocks`, encoded as `ggml_type`, into `out`, whose length is the number of weights.
///
/// # Panics
/// If the lengths do not match, or the format is not one of [`GgmlType::TRAINABLE`]
/// ([`super::Gguf::weights`] returns only tensors in those formats).
pub fn dequantize(ggml_type: GgmlType, blocks: &[u8], out: &mut [f32]) {
    assert_eq!(
        ggml_type.bytes_of(out.len()),
        Some(blocks.len()),
        "{} weights of {ggml_type} do not fill {} bytes",
        out.len(),
        blocks.len(),
    );
    match ggml_type {
        GgmlType::F32 => decode(blocks, out, |bytes: &[u8; 4], weight: &mut [f32; 1]| {
            weight[0] = f32::from_le_bytes(*bytes);
        }),
        GgmlType::F16 => decode_f16(blocks, out),
        GgmlType::BF16 => decode(blocks, out, |bytes: &[u8; 2], weight: &mut [f32; 1]| {
            weight[0] = bf16::from_le_bytes(*bytes).to_f32();
        }),
        GgmlType::Q4_0 => decode(blocks, out, q4_0),
        GgmlType::Q4_1 => decode(blocks, out, q4_1),
        GgmlType::Q5_0 => decode(blocks, out, q5_0),
        GgmlType::Q5_1 => decode(blocks, out, q5_1),
        GgmlType::Q8_0 => decode(blocks, out, q8_0),
        GgmlType::IQ4_NL => decode(blocks, out, iq4_nl),
        GgmlType::Q2_K => decode(blocks, out, k::q2),
        GgmlType::Q3_K => decode(blocks, out, k::q3),
        GgmlType::Q4_K => decode(blocks, out, k::q4),
        GgmlType::Q5_K => decode(blocks, out, k::q5),
        GgmlType::Q6_K => decode(blocks, out, k::q6),
        GgmlType::IQ4_XS => decode(blocks, out, k::iq4_xs),
        other => panic!("`{other}` is not decoded, only {:?}", GgmlType::TRAINABLE),
    }
}

/// Calls `block` for each block of `BYTES` bytes and `COUNT` weights. The sizes are constants so that the
/// compiler vectorises the loops inside `block`.
#[inline]
fn decode<const BYTES: usize, const COUNT: usize>(
    blocks: &[u8],
    out: &mut [f32],
    block: impl Fn(&[u8; BYTES], &mut [f32; COUNT]),
) {
    for (bytes, weights) in blocks.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
        block(bytes, weights);
    }
}

/// Decodes f16 through a buffer: a tensor need not start at an even address, and converting a slice is
/// several times faster than converting one number at a time.
fn decode_f16(blocks: &[u8], out: &mut [f32]) {
    let mut halves = [f16::ZERO; 64];
    for (bytes, weights) in blocks.chunks(128).zip(out.chunks_mut(64)) {
        let halves = &mut halves[..weights.len()];
        for (half, pair) in halves.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *half = f16::from_le_bytes(*pair);
        }
        halves.convert_to_f32_slice(weights);
    }
}

/// The values that the quants of `IQ4_NL` and `IQ4_XS` stand for: a non-linear scale, denser near zero.
/// Source: `kvalues_iq4nl` in `ggml-common.h`.
const IQ4_VALUES: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0,
];

/// Reads the little-endian f16 at byte `at` of a block.
#[inline]
fn f16_at<const BYTES: usize>(block: &[u8; BYTES], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Unpacks the five-bit quants of weights `j` and `j + 16` from their shared byte and the block's fifth bits.
#[inline]
fn five_bits(byte: u8, fifths: u32, j: usize) -> (u8, u8) {
    let fifth = |bit: usize| ((fifths >> bit & 1) << 4) as u8;
    (byte & 0x0F | fifth(j), byte >> 4 | fifth(j + WEIGHTS / 2))
}

#[inline]
fn q5_0(block: &[u8; 22], weights: &mut [f32; WEIGHTS]) {
    let scale = f16_at(block, 0);
    let fifths = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    let (low, high) = weights.split_at_mut(WEIGHTS / 2);
    for j in 0..WEIGHTS / 2 {
        let (first, second) = five_bits(block[6 + j], fifths, j);
        low[j] = f32::from(first as i8 - 16) * scale;
        high[j] = f32::from(second as i8 - 16) * scale;
    }
}

#[inline]
fn q5_1(block: &[u8; 24], weights: &mut [f32; WEIGHTS]) {
    let (scale, minimum) = (f16_at(block, 0), f16_at(block, 2));
    let fifths = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
    let (low, high) = weights.split_at_mut(WEIGHTS / 2);
    for j in 0..WEIGHTS / 2 {
        let (first, second) = five_bits(block[8 + j], fifths, j);
        low[j] = f32::from(first) * scale + minimum;
        high[j] = f32::from(second) * scale + minimum;
    }
}

#[inline]
fn iq4_nl(block: &[u8; 18], weights: &mut [f32; WEIGHTS]) {
    let scale = f16_at(block, 0);
    let (low, high) = weights.split_at_mut(WEIGHTS / 2);
    for j in 0..WEIGHTS / 2 {
        let byte = block[2 + j];
        low[j] = scale * IQ4_VALUES[usize::from(byte & 0x0F)];
        high[j] = scale * IQ4_VALUES[usize::from(byte >> 4)];
    }
}

#[inline]
fn q4_0(block: &[u8; 18], weights: &mut [f32; WEIGHTS]) {
    let scale = f16_at(block, 0);
    let (low, high) = weights.split_at_mut(WEIGHTS / 2);
    for j in 0..WEIGHTS / 2 {
        let byte = block[2 + j];
        low[j] = f32::from((byte & 0x0F) as i8 - 8) * scale;
        high[j] = f32::from((byte >> 4) as i8 - 8) * scale;
    }
}

#[inline]
fn q4_1(block: &[u8; 20], weights: &mut [f32; WEIGHTS]) {
    let (scale, minimum) = (f16_at(block, 0), f16_at(block, 2));
    let (low, high) = weights.split_at_mut(WEIGHTS / 2);
    for j in 0..WEIGHTS / 2 {
        let byte = block[4 + j];
        low[j] = f32::from(byte & 0x0F) * scale + minimum;
        high[j] = f32::from(byte >> 4) * scale + minimum;
    }
}

#[inline]
fn q8_0(block: &[u8; 34], weights: &mut [f32; WEIGHTS]) {
    let scale = f16_at(block, 0);
    for j in 0..WEIGHTS {
        weights[j] = f32::from(block[2 + j].cast_signed()) * scale;
    }
}
