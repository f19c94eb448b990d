//! Decoding of weight blocks to `f32`.
//!
//! Where in the flow: the frozen base stays in its blocks in memory, and every product with it decodes
//! rows first, so this runs for every matrix product. Rows are independent: callers split them over
//! threads as they like.
//!
//! Layouts (`ggml-common.h`; every scale is a little-endian f16):
//!
//! | format | block | weight |
//! |---|---|---|
//! | `Q4_0` | `d`, 16 bytes | `(q - 8) * d` |
//! | `Q4_1` | `d`, `m`, 16 bytes | `q * d + m` |
//! | `Q8_0` | `d`, 32 signed bytes | `q * d` |
//!
//! In the 4-bit formats byte `j` holds weight `j` in its low half and weight `j + 16` in its high half.
//!
//! **Invariant:** results equal those of ggml's `dequantize_row_*` bit for bit: the products of a small
//! integer and an 11-bit significand are exact in `f32`, so a compiler that fuses the addition of `Q4_1`
//! changes nothing (`tests/it/gguf_engine.rs` compares the bits).

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::GgmlType;

/// Weights per block of the formats with blocks that are decoded here.
const WEIGHTS: usize = 32;

/// Decodes `blocks` of `ggml_type` into `out` (its length is the number of weights).
///
/// # Panics
/// The lengths do not belong together, or the format is not one of [`GgmlType::TRAINABLE`]
/// ([`super::Gguf::weights`] hands out only tensors that are).
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
        GgmlType::Q8_0 => decode(blocks, out, q8_0),
        other => panic!("`{other}` is not decoded, only {:?}", GgmlType::TRAINABLE),
    }
}

/// Runs `block` over all blocks. Array sizes are constants here, so that its loops become vector code.
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

/// Through a buffer of `f16`, because a tensor need not start at an even address, and the slice
/// conversion is several times faster than one number at a time.
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

#[inline]
fn q4_0(block: &[u8; 18], weights: &mut [f32; WEIGHTS]) {
    let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
    let (low, high) = weights.split_at_mut(WEIGHTS / 2);
    for j in 0..WEIGHTS / 2 {
        let byte = block[2 + j];
        low[j] = f32::from((byte & 0x0F) as i8 - 8) * scale;
        high[j] = f32::from((byte >> 4) as i8 - 8) * scale;
    }
}

#[inline]
fn q4_1(block: &[u8; 20], weights: &mut [f32; WEIGHTS]) {
    let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
    let minimum = f16::from_le_bytes([block[2], block[3]]).to_f32();
    let (low, high) = weights.split_at_mut(WEIGHTS / 2);
    for j in 0..WEIGHTS / 2 {
        let byte = block[4 + j];
        low[j] = f32::from(byte & 0x0F) * scale + minimum;
        high[j] = f32::from(byte >> 4) * scale + minimum;
    }
}

#[inline]
fn q8_0(block: &[u8; 34], weights: &mut [f32; WEIGHTS]) {
    let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
    for j in 0..WEIGHTS {
        weights[j] = f32::from(block[2 + j].cast_signed()) * scale;
    }
}
