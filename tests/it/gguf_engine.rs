//! Catches a block format that we decode otherwise than ggml does.

#![expect(unsafe_code, reason = "ggml's own functions are called through the raw bindings")]

use std::ffi::CStr;

use evol::gguf::{GgmlType, dequantize};
use evol::rng;
use llama_cpp_sys_2::{GGML_TYPE_COUNT, ggml_get_type_traits, ggml_type_traits};
use rand::Rng;

fn traits(id: u32) -> ggml_type_traits {
    assert!(id < GGML_TYPE_COUNT);
    // SAFETY: the table has an entry for every id below the count and lives as long as the program.
    unsafe { *ggml_get_type_traits(id) }
}

#[test]
fn every_format_of_ggml_is_known_with_its_sizes() {
    for id in 0..GGML_TYPE_COUNT {
        let theirs = traits(id);
        let Some(ours) = GgmlType::from_id(id) else {
            // Removed formats have no size (or, in the gaps of the table, no entry at all).
            assert_eq!(theirs.blck_size, 0, "id {id}");
            continue;
        };
        // SAFETY: the names of existing formats are string literals.
        let name = unsafe { CStr::from_ptr(theirs.type_name) };
        assert_eq!(ours.name(), name.to_str().unwrap());
        assert_eq!(ours as u32, id);
        assert_eq!(ours.block_weights() as i64, theirs.blck_size, "{ours}");
        assert_eq!(ours.block_bytes(), theirs.type_size, "{ours}");
    }
}

/// ggml's decoder; f32 has none and is copied.
fn reference(ggml_type: GgmlType, blocks: &[u8], count: usize) -> Vec<f32> {
    let mut weights = vec![0.0_f32; count];
    match traits(ggml_type as u32).to_float {
        // SAFETY: `blocks` holds exactly the blocks of `count` weights, and `weights` has room for them;
        // the decoder reads its input as bytes or 16-bit numbers, for which a `Vec` is aligned.
        Some(to_float) => unsafe {
            to_float(blocks.as_ptr().cast(), weights.as_mut_ptr(), count as i64);
        },
        None => weights = blocks.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
    }
    weights
}

/// NaN has many bit patterns, and which one comes out is the processor's choice.
fn bits(weights: &[f32]) -> Vec<u32> {
    weights.iter().map(|weight| if weight.is_nan() { f32::NAN.to_bits() } else { weight.to_bits() }).collect()
}

fn compare(ggml_type: GgmlType, blocks: &[u8], count: usize) {
    let mut ours = vec![f32::NAN; count];
    dequantize(ggml_type, blocks, &mut ours);
    assert_eq!(bits(&ours), bits(&reference(ggml_type, blocks, count)), "{ggml_type}");
}

#[test]
fn random_blocks_decode_to_the_bits_of_ggml() {
    for ggml_type in GgmlType::TRAINABLE {
        let count = 64 * 1024;
        let mut blocks = vec![0; ggml_type.bytes_of(count).unwrap()];
        rng::stream(1, "test", &[ggml_type as u64]).fill_bytes(&mut blocks);
        compare(ggml_type, &blocks, count);
    }
}

/// Zero, the smallest and largest subnormal, the smallest and largest normal number, infinity, NaN; both
/// signs; as scale and as minimum.
#[test]
fn extreme_scales_decode_to_the_bits_of_ggml() {
    let extremes = [0, 1, 0x03FF, 0x0400, 0x3C00, 0x7BFF, 0x7C00, 0x7E00];
    let extremes: Vec<u16> = extremes.iter().flat_map(|&half| [half, half | 0x8000]).collect();
    for ggml_type in GgmlType::TRAINABLE {
        let mut blocks = Vec::new();
        for (first, second) in extremes.iter().flat_map(|a| extremes.iter().map(move |b| (a, b))) {
            let start = blocks.len();
            blocks.extend(first.to_le_bytes());
            blocks.extend(second.to_le_bytes());
            // Every pattern of the 4-bit formats, and a spread of the others.
            blocks.extend((0..ggml_type.block_bytes().saturating_sub(4)).map(|i| (i * 17) as u8));
            blocks.truncate(start + ggml_type.block_bytes().max(4));
            // Some have their scales at the end.
            if matches!(ggml_type, GgmlType::Q2_K | GgmlType::Q3_K | GgmlType::Q6_K) {
                let end = blocks.len();
                blocks[start..start + 4].fill(0x5A);
                blocks[end - 4..end - 2].copy_from_slice(&first.to_le_bytes());
                blocks[end - 2..].copy_from_slice(&second.to_le_bytes());
            }
        }
        let count = blocks.len() / ggml_type.block_bytes() * ggml_type.block_weights();
        compare(ggml_type, &blocks, count);
    }
}

/// Every 16-bit number there is.
#[test]
fn all_half_precision_numbers_decode_to_the_bits_of_ggml() {
    let blocks: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    compare(GgmlType::F16, &blocks, 1 << 16);
    compare(GgmlType::BF16, &blocks, 1 << 16);
}
