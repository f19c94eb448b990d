//! Helper: a model of two layers and 260 tokens, with weights that are noise. llama.cpp loads and runs it.
//!
//! [`talker`] is one that also has words, and says a few of them at random: enough for a run to keep
//! something.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use evol::gguf::{GgmlType, NewTensor, Value, write};
use evol::lora::BaseShape;
use evol::rng;

const HIDDEN: usize = 64;
pub(crate) const FFN: usize = 96;
const VOCAB: usize = 260;
const END: u32 = 256;
pub(crate) const BOS: u32 = 257;
pub(crate) const TINY: BaseShape = BaseShape {
    num_hidden_layers: 2,
    hidden_size: HIDDEN,
    intermediate_size: FFN,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 32,
};

/// GPT-2's printable stand-in for each byte: printable Latin-1 stays, the rest is moved up.
fn byte_tokens() -> Vec<String> {
    let printable = |b: u32| (33..=126).contains(&b) || (161..=172).contains(&b) || (174..=255).contains(&b);
    let mut moved = 256;
    let mut stand_in = |b: u32| {
        let code = if printable(b) { b } else { moved };
        moved += u32::from(!printable(b));
        char::from_u32(code).unwrap().to_string()
    };
    (0..256).map(&mut stand_in).collect()
}

pub(crate) fn metadata() -> Vec<(String, Value)> {
    let number = |key: &str, value: usize| (format!("llama.{key}"), Value::U32(value as u32));
    let string = |key: &str, value: &str| (key.to_owned(), Value::String(value.to_owned()));
    let mut tokens = byte_tokens();
    tokens.extend(["<|end|>", "<|start|>", "th", "he"].map(str::to_owned));
    let types = (0..VOCAB).map(|i| Value::I32(if (256..258).contains(&i) { 3 } else { 1 })).collect();
    let merges = ["t h", "h e"].map(|merge| Value::String(merge.to_owned())).to_vec();
    vec![
        string("general.architecture", "llama"),
        number("block_count", 2),
        number("context_length", 64),
        number("embedding_length", HIDDEN),
        number("feed_forward_length", FFN),
        number("attention.head_count", 2),
        number("attention.head_count_kv", 1),
        ("llama.attention.layer_norm_rms_epsilon".to_owned(), Value::F32(1e-5)),
        ("llama.rope.freq_base".to_owned(), Value::F32(10_000.0)),
        string("tokenizer.ggml.model", "gpt2"),
        string("tokenizer.ggml.pre", "smollm"),
        ("tokenizer.ggml.tokens".to_owned(), Value::Array(tokens.into_iter().map(Value::String).collect())),
        ("tokenizer.ggml.token_type".to_owned(), Value::Array(types)),
        ("tokenizer.ggml.merges".to_owned(), Value::Array(merges)),
        ("tokenizer.ggml.eos_token_id".to_owned(), Value::U32(END)),
        ("tokenizer.ggml.bos_token_id".to_owned(), Value::U32(BOS)),
        string(
            "tokenizer.chat_template",
            "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}\
             {% if add_generation_prompt %}<|start|>assistant\n{% endif %}",
        ),
    ]
}

pub(crate) fn tensors() -> Vec<NewTensor<'static>> {
    let mut shapes = vec![
        ("token_embd.weight".to_owned(), vec![VOCAB, HIDDEN]),
        ("output_norm.weight".to_owned(), vec![HIDDEN]),
    ];
    for layer in 0..2 {
        let parts = [
            ("attn_norm", vec![HIDDEN]),
            ("attn_q", vec![HIDDEN, HIDDEN]),
            ("attn_k", vec![32, HIDDEN]),
            ("attn_v", vec![32, HIDDEN]),
            ("attn_output", vec![HIDDEN, HIDDEN]),
            ("ffn_norm", vec![HIDDEN]),
            ("ffn_gate", vec![FFN, HIDDEN]),
            ("ffn_up", vec![FFN, HIDDEN]),
            ("ffn_down", vec![HIDDEN, FFN]),
        ];
        shapes.extend(parts.map(|(part, shape)| (format!("blk.{layer}.{part}.weight"), shape)));
    }
    let noise = |(key, (name, shape)): (usize, (String, Vec<usize>))| {
        let count = shape.iter().product::<usize>() as u64;
        let numbers = (0..count).map(|i| (rng::uniform(key as u64, i, 0) - 0.4) as f32);
        let data = Cow::Owned(numbers.flat_map(f32::to_le_bytes).collect());
        NewTensor { name, shape, ggml_type: GgmlType::F32, data }
    };
    shapes.into_iter().enumerate().map(noise).collect()
}

/// Writes `tiny.gguf` into `folder`.
pub(crate) fn tiny(folder: &Path) -> PathBuf {
    let path = folder.join("tiny.gguf");
    write(&path, &metadata(), &tensors()).unwrap();
    path
}

/// What [`talker`] says, each a token of its own. No text is tokenized into them, but for the first two: the
/// judge's labels ` same` and ` different` have to differ in their first token.
const WORDS: [&str; 26] = [
    "s", "d", "river", "stone", "garden", "winter", "copper", "ladder", "engine", "paper", "market",
    "island", "violin", "bridge", "harvest", "lantern", "pepper", "saddle", "thunder", "walnut", "anchor",
    "basket", "candle", "desert", "feather", "glacier",
];
/// Logit of a word over that of a byte, and of the end of a turn over that of a word, about.
const WORD_BONUS: f32 = 6.0;
const END_BONUS: f32 = 0.5;

/// Writes `talker.gguf` into `folder`: the tiny model with a context of 4,096 tokens, whose answers are a few
/// random words. The layers add little to the embeddings, so the next word depends on the last token alone.
pub(crate) fn talker(folder: &Path) -> PathBuf {
    let rows = VOCAB + WORDS.len();
    let mut metadata = metadata();
    for (key, value) in &mut metadata {
        match (key.as_str(), value) {
            ("llama.context_length", value) => *value = Value::U32(4096),
            ("tokenizer.ggml.tokens", Value::Array(tokens)) => {
                // GPT-2's stand-in for the space before a word.
                tokens.extend(WORDS.map(|word| Value::String(format!("\u{120}{word}"))));
            }
            ("tokenizer.ggml.merges", Value::Array(merges)) => {
                merges.extend(["\u{120} s", "\u{120} d"].map(|merge| Value::String(merge.to_owned())));
            }
            ("tokenizer.ggml.token_type", Value::Array(types)) => types.resize(rows, Value::I32(1)),
            _ => {}
        }
    }
    let centred = |key: usize, i: usize| 2.0 * rng::uniform(key as u64, i as u64, 0) as f32 - 1.0;
    let bytes = |numbers: Vec<f32>| Cow::Owned(numbers.into_iter().flat_map(f32::to_le_bytes).collect());
    let mut tensors = tensors();
    for (key, tensor) in tensors.iter_mut().enumerate() {
        let count: usize = tensor.shape.iter().product();
        let number = |i: usize| match &tensor.shape[..] {
            // The first of a token's numbers is the same for all: what an output row gains on it is a bonus.
            _ if key == 0 => {
                if i.is_multiple_of(HIDDEN) {
                    1.0
                } else {
                    centred(key, i)
                }
            }
            [_] => 1.0,
            _ => 0.05 * centred(key, i),
        };
        let count = if key == 0 { rows * HIDDEN } else { count };
        tensor.data = bytes((0..count).map(number).collect());
    }
    tensors[0].shape[0] = rows;
    let bonus = |row: usize| match row {
        _ if row as u32 == END => WORD_BONUS + END_BONUS,
        // Not the two that are no words.
        _ if row >= VOCAB + 2 => WORD_BONUS,
        _ => 0.0,
    };
    // After the norm a token's first number is about 1.7.
    let output = |i: usize| match i % HIDDEN {
        0 => bonus(i / HIDDEN) / 1.7,
        // Equally likely after every token, and never the likeliest.
        _ if i / HIDDEN == END as usize => 0.0,
        _ => 0.1 * centred(tensors.len(), i),
    };
    let data = bytes((0..rows * HIDDEN).map(output).collect());
    let output = NewTensor {
        name: "output.weight".to_owned(),
        shape: vec![rows, HIDDEN],
        ggml_type: GgmlType::F32,
        data,
    };
    tensors.push(output);
    let path = folder.join("talker.gguf");
    write(&path, &metadata, &tensors).unwrap();
    path
}
