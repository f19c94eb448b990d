//! Helper: model files of any size that take no room: headers as of a real file, and a hole where the
//! weights would be. Also part of `benches/memory.rs`.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use evol::gguf::{GgmlType, Gguf};
use evol::model::Llama;

/// Sizes of a model.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) name: &'static str,
    pub(crate) layers: usize,
    pub(crate) hidden: usize,
    pub(crate) ffn: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) vocab: usize,
    pub(crate) tied: bool,
}

const fn sizes(
    name: &'static str,
    layers: usize,
    hidden: usize,
    ffn: usize,
    heads: [usize; 2],
    vocab: usize,
    tied: bool,
) -> Sizes {
    Sizes { name, layers, hidden, ffn, heads: heads[0], kv_heads: heads[1], vocab, tied }
}

/// By number of weights.
pub(crate) const MODELS: [Sizes; 6] = [
    sizes("Llama-3.2-1B", 16, 2048, 8192, [32, 8], 128_256, true),
    sizes("Llama-3.2-3B", 28, 3072, 8192, [24, 8], 128_256, true),
    sizes("LLaMA-2-7B", 32, 4096, 11_008, [32, 32], 32_000, false),
    sizes("Llama-3-8B", 32, 4096, 14_336, [32, 8], 128_256, false),
    sizes("LLaMA-2-13B", 40, 5120, 13_824, [40, 40], 32_000, false),
    sizes("Llama-3-70B", 80, 8192, 28_672, [64, 8], 128_256, false),
];

/// llama.cpp's `Q4_K_M`: `Q6_K` for the head, and for v and down projections of the first and last eighth of
/// the layers and every third between.
fn tensors(sizes: &Sizes) -> Vec<(String, Vec<usize>, GgmlType)> {
    let Sizes { layers, hidden, ffn, heads, kv_heads, vocab, tied, .. } = *sizes;
    let (q4, q6, kv) = (GgmlType::Q4_K, GgmlType::Q6_K, hidden / heads * kv_heads);
    let embedding = if tied { q6 } else { q4 };
    let mut all = vec![
        ("token_embd.weight".to_owned(), vec![vocab, hidden], embedding),
        ("output_norm.weight".to_owned(), vec![hidden], GgmlType::F32),
    ];
    if !tied {
        all.push(("output.weight".to_owned(), vec![vocab, hidden], q6));
    }
    for layer in 0..layers {
        let more_bits = layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
        let larger = if more_bits { q6 } else { q4 };
        let parts = [
            ("attn_norm", vec![hidden], GgmlType::F32),
            ("attn_q", vec![hidden, hidden], q4),
            ("attn_k", vec![kv, hidden], q4),
            ("attn_v", vec![kv, hidden], larger),
            ("attn_output", vec![hidden, hidden], q4),
            ("ffn_norm", vec![hidden], GgmlType::F32),
            ("ffn_gate", vec![ffn, hidden], q4),
            ("ffn_up", vec![ffn, hidden], q4),
            ("ffn_down", vec![hidden, ffn], larger),
        ];
        all.extend(parts.map(|(part, shape, ty)| (format!("blk.{layer}.{part}.weight"), shape, ty)));
    }
    all
}

/// Writes the file into `folder` and loads it.
pub(crate) fn load(sizes: &Sizes, folder: &Path) -> Llama {
    let tensors = tensors(sizes);
    let mut header = b"GGUF".to_vec();
    let text = |header: &mut Vec<u8>, text: &str| {
        header.extend((text.len() as u64).to_le_bytes());
        header.extend(text.as_bytes());
    };
    let numbers = [
        ("block_count", sizes.layers),
        ("context_length", 1 << 17),
        ("embedding_length", sizes.hidden),
        ("feed_forward_length", sizes.ffn),
        ("attention.head_count", sizes.heads),
        ("attention.head_count_kv", sizes.kv_heads),
        ("vocab_size", sizes.vocab),
    ];
    header.extend(3_u32.to_le_bytes());
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend((numbers.len() as u64 + 2).to_le_bytes());
    text(&mut header, "general.architecture");
    header.extend(8_u32.to_le_bytes());
    text(&mut header, "llama");
    text(&mut header, "llama.attention.layer_norm_rms_epsilon");
    header.extend(6_u32.to_le_bytes());
    header.extend(1e-5_f32.to_le_bytes());
    for (key, value) in numbers {
        text(&mut header, &format!("llama.{key}"));
        header.extend(4_u32.to_le_bytes());
        header.extend((value as u32).to_le_bytes());
    }
    let mut offset = 0;
    for (name, shape, ggml_type) in &tensors {
        text(&mut header, name);
        header.extend((shape.len() as u32).to_le_bytes());
        shape.iter().rev().for_each(|&n| header.extend((n as u64).to_le_bytes()));
        let code = match ggml_type {
            GgmlType::F32 => 0_u32,
            GgmlType::Q4_K => 12,
            _ => 14,
        };
        header.extend(code.to_le_bytes());
        header.extend((offset as u64).to_le_bytes());
        offset += ggml_type.bytes_of(shape.iter().product()).unwrap().next_multiple_of(32);
    }
    let path = folder.join(format!("{}.gguf", sizes.name));
    let mut file = File::create(&path).unwrap();
    file.write_all(&header).unwrap();
    file.set_len((header.len().next_multiple_of(32) + offset) as u64).unwrap();
    Llama::load(Arc::new(Gguf::open(&path).unwrap())).unwrap()
}
