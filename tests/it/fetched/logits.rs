//! Catches a forward pass that computes other logits than llama.cpp on the same file, with and without an
//! adapter.
//!
//! On an f32 copy both compute the same formulas in f32, so logits must agree closely at every position. On
//! the quantized file llama.cpp also quantizes activations to 8 bits, and only means can agree.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use evol::device::CpuPool;
use evol::gguf::{GgmlType, Gguf, NewTensor, Value, write};
use evol::lora::{LoraConfig, LoraWeights, TargetModule};
use evol::model::{Llama, PackedRow, Purpose};
use evol::rng;

use super::llama_cpp::{Reference, write_f32_copy};
use super::model_path;
use super::models::two_layers;

/// Tokens of each sequence.
const TOKENS: usize = 128;
/// The project's limit for f32: 30 layers of sums over up to 1536 terms, added in different orders, give
/// logits of order 10 about 1e-4 apart; a wrong formula or layout gives 1 and more.
const LOGIT_TOLERANCE: f64 = 2e-3;
/// The project's limit for the quantized file, in nats.
const NLL_TOLERANCE: f64 = 0.02;

/// Prose, a conversation with control tokens, code, and text that needs byte tokens.
const TEXTS: [&str; 4] = [
    "The harbour lay quiet under a low sky. Two fishermen were mending nets on the quay, and neither of them \
     spoke, because the news from the north had been the same for a week: no herring, no wind, and the price \
     of salt rising every morning. The older one had seen a season like it in his youth. He remembered that \
     his father sold the second boat that autumn, kept the first, and taught his sons to build barrels \
     instead. In spring the fish came back, as they always do, but by then half of the village earned its \
     bread with wood. It was the barrel makers, not the sailors, who paid for the new church roof, and who \
     argued for ten years afterwards about the shape of the weather vane.",
    "<|im_start|>system\nYou are a helpful assistant who answers in short sentences.<|im_end|>\n\
     <|im_start|>user\nWhy does bread become stale, and what can I do with three old rolls before they are \
     too hard to cut?<|im_end|>\n<|im_start|>assistant\n\
     Bread becomes stale because its starch slowly crystallises and pushes water out towards the crust. \
     Warmth reverses this for a while. Sprinkle the rolls with water and bake them for five minutes. You can \
     also cut them into cubes, fry them in butter with garlic, and use them on a salad or in a soup. If they \
     are already hard, grate them and keep the crumbs in a dry jar. They will last for several \
     weeks.<|im_end|>\n<|im_start|>user\nThank you!<|im_end|>\n",
    r"fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        Some(values[middle])
    } else {
        Some((values[middle - 1] + values[middle]) / 2.0)
    }
}

#[test]
fn median_of_an_even_number_of_values() {
    let mut values = [4.0, 1.0, 3.0, 2.0];
    assert_eq!(median(&mut values), Some(2.5));
    assert_eq!(median(&mut []), None);
}
",
    "Übermorgen fährt der Zug um 17:45 Uhr über Köln nach Zürich; Fahrpreis: 129,90 €. — ¿Dónde está la \
     estación? — Le train n° 8 742 a été supprimé à cause de la grève. 東京の桜は三月に咲きます。 \
     Δx · Δp ≥ ħ/2, ∑ 1/n² = π²/6 ≈ 1.644934. Заказ № 42 будет доставлен завтра. 🚲🌧️ → ☀️?",
];

/// Our side of the comparison.
struct Ours {
    pool: CpuPool,
    model: Llama,
    adapter: Option<LoraWeights>,
}

impl Ours {
    fn logits(&self, tokens: &[u32]) -> Vec<f32> {
        let adapter = self.adapter.as_ref();
        let mut ws = self.model.workspace(tokens.len(), adapter, Purpose::Inference);
        let row = PackedRow {
            tokens: tokens.to_vec(),
            targets: vec![None; tokens.len()],
            segments: std::iter::once(0..tokens.len()).collect(),
        };
        self.model.logits(&self.pool, &mut ws, adapter, &row)
    }
}

fn load(path: &Path) -> Llama {
    Llama::load(Arc::new(Gguf::open(path).unwrap())).unwrap()
}

/// An adapter on everything with nothing zero in it, strong enough to change what the model says.
fn adapter(model: &Llama) -> LoraWeights {
    let config = LoraConfig {
        r: 8,
        lora_alpha: 16.0,
        lora_dropout: 0.0,
        target_modules: TargetModule::ALL.to_vec(),
        ..LoraConfig::default()
    };
    let mut weights = LoraWeights::init(&config, &model.config().base_shape(), 3);
    for pair in weights.pairs.clone() {
        for i in pair.b {
            weights.data[i] = (0.3 * (rng::uniform(4, 0, i as u64) - 0.5)) as f32;
        }
    }
    weights
}

fn argmax(logits: &[f32]) -> usize {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).expect("a vocabulary is not empty")
}

/// Mean over the positions that have a next token, in nats.
fn mean_nll(logits: &[f32], tokens: &[u32]) -> f64 {
    let vocab = logits.len() / tokens.len();
    let rows = logits.chunks_exact(vocab).zip(&tokens[1..]);
    let nll = rows.map(|(row, &next)| {
        let peak = f64::from(row[argmax(row)]);
        let total: f64 = row.iter().map(|&z| (f64::from(z) - peak).exp()).sum();
        peak + total.ln() - f64::from(row[next as usize])
    });
    nll.sum::<f64>() / (tokens.len() - 1) as f64
}

/// Calls `compare(ours, theirs, tokens)` for the logits of every text.
fn for_each_text(ours: &Ours, reference: &mut Reference, mut compare: impl FnMut(&[f32], &[f32], &[u32])) {
    for text in TEXTS {
        let mut tokens = reference.tokenize(text);
        assert!(tokens.len() >= TOKENS, "{} tokens: {text}", tokens.len());
        tokens.truncate(TOKENS);
        let (ours, theirs) = (ours.logits(&tokens), reference.logits(&tokens));
        assert_eq!(ours.len(), theirs.len(), "logits of {TOKENS} positions");
        compare(&ours, &theirs, &tokens);
    }
}

#[test]
fn f32_logits_are_those_of_llama_cpp() {
    let folder = tempfile::tempdir().unwrap();
    let (model_file, adapter_file) = (folder.path().join("f32.gguf"), folder.path().join("adapter.gguf"));
    write_f32_copy(&model_path(), &model_file);
    let mut ours = Ours { pool: CpuPool::new(0).unwrap(), model: load(&model_file), adapter: None };
    let weights = adapter(&ours.model);
    weights.write_gguf(&adapter_file, "random").unwrap();
    let vocab = ours.model.config().vocab_size;
    for (adapter, adapter_file) in [(None, None), (Some(weights), Some(&*adapter_file))] {
        ours.adapter = adapter;
        let mut reference = Reference::load(&model_file, adapter_file, TOKENS);
        for_each_text(&ours, &mut reference, |ours, theirs, _| {
            let (mut worst, mut far, mut differing) = (0.0_f64, 0, 0);
            for (ours, theirs) in ours.chunks_exact(vocab).zip(theirs.chunks_exact(vocab)) {
                differing += usize::from(argmax(ours) != argmax(theirs));
                for (&a, &b) in ours.iter().zip(theirs) {
                    let difference = f64::from(a - b).abs();
                    // Written so that NaN is far.
                    let close = difference <= LOGIT_TOLERANCE;
                    far += usize::from(!close);
                    worst = worst.max(difference);
                }
            }
            println!("adapter {}: largest difference {worst:.1e}", adapter_file.is_some());
            assert_eq!(far, 0, "logits that are not close; the largest difference is {worst:e}");
            assert_eq!(differing, 0, "positions with another most likely token");
        });
    }
}

#[test]
fn quantized_likelihood_is_that_of_llama_cpp() {
    let folder = tempfile::tempdir().unwrap();
    let adapter_file = folder.path().join("adapter.gguf");
    let mut ours = Ours { pool: CpuPool::new(0).unwrap(), model: load(&model_path()), adapter: None };
    let weights = adapter(&ours.model);
    weights.write_gguf(&adapter_file, "random").unwrap();
    let mut means = Vec::new();
    for (adapter, adapter_file) in [(None, None), (Some(weights), Some(&*adapter_file))] {
        ours.adapter = adapter;
        let mut reference = Reference::load(&model_path(), adapter_file, TOKENS);
        let mut sums = [0.0, 0.0];
        for_each_text(&ours, &mut reference, |ours, theirs, tokens| {
            sums[0] += mean_nll(ours, tokens) / TEXTS.len() as f64;
            sums[1] += mean_nll(theirs, tokens) / TEXTS.len() as f64;
        });
        let [ours, theirs] = sums;
        println!("adapter {}: mean nll {ours:.4}, llama.cpp {theirs:.4}", adapter_file.is_some());
        assert!((ours - theirs).abs() <= NLL_TOLERANCE, "mean nll {ours}, llama.cpp {theirs}");
        means.push(ours);
    }
    assert!((means[1] - means[0]).abs() >= 0.1, "the adapter changes nothing: {means:?}");
}

/// Name, keys, and whether the file has `rope_freqs` and biases.
type Variant = (&'static str, Vec<(String, Value)>, bool, bool);

/// Every variant of the architecture on two layers: what llama.cpp computes, we compute. Each variant must
/// also change the logits, or it would not be tested.
#[test]
fn variants_of_the_architecture_are_those_of_llama_cpp() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain.gguf");
    write_f32_copy(&two_layers(folder.path()), &plain);
    let key = |key: &str, value: Value| (format!("llama.rope.{key}"), value);
    let text = |text: &str| Value::String(text.to_owned());
    let factor = || key("scaling.factor", Value::F32(4.0));
    let original = || key("scaling.original_context_length", Value::U32(64));
    let yarn = || vec![key("scaling.type", text("yarn")), factor(), original()];
    let attention = key("scaling.attn_factor", Value::F32(0.75));
    let variants: [Variant; 8] = [
        ("plain", Vec::new(), false, false),
        ("no scaling", vec![key("scaling.type", text("none")), factor()], false, false),
        ("linear", vec![key("scaling.type", text("linear")), factor()], false, false),
        ("linear by the old key", vec![key("scale_linear", Value::F32(2.0))], false, false),
        ("yarn", yarn(), false, false),
        ("yarn and a factor", [yarn(), vec![attention]].concat(), false, false),
        ("rope_freqs", Vec::new(), true, false),
        ("biases", yarn(), true, true),
    ];
    let mut plain_logits = Vec::new();
    for (what, keys, rope_freqs, biases) in variants {
        let path = folder.path().join("variant.gguf");
        write_variant(&plain, &path, keys, rope_freqs, biases);
        let mut ours = Ours { pool: CpuPool::new(0).unwrap(), model: load(&path), adapter: None };
        let (weights, adapter_file) = (adapter(&ours.model), folder.path().join("adapter.gguf"));
        weights.write_gguf(&adapter_file, "random").unwrap();
        ours.adapter = Some(weights);
        let mut reference = Reference::load(&path, Some(&adapter_file), TOKENS);
        let mut tokens = reference.tokenize(TEXTS[0]);
        tokens.truncate(TOKENS);
        let (ours, theirs) = (ours.logits(&tokens), reference.logits(&tokens));
        let distance = |a: &[f32], b: &[f32]| {
            assert_eq!(a.len(), b.len(), "{what}: logits");
            let differences = a.iter().zip(b).map(|(&a, &b)| f64::from(a - b).abs());
            // NaN is far, and stays it.
            differences.fold(0.0, |worst: f64, d| if worst.is_nan() || d <= worst { worst } else { d })
        };
        let worst = distance(&ours, &theirs);
        println!("{what}: largest difference {worst:.1e}");
        assert!(worst <= LOGIT_TOLERANCE, "{what}: largest difference {worst:e}");
        if plain_logits.is_empty() {
            plain_logits = ours;
        } else {
            let changed = distance(&ours, &plain_logits);
            assert_eq!(changed >= 0.1, what != "no scaling", "{what} changes logits by {changed}");
        }
    }
}

/// A copy of an f32 model with more keys, factors of frequencies that differ, and biases.
fn write_variant(from: &Path, to: &Path, keys: Vec<(String, Value)>, rope_freqs: bool, biases: bool) {
    let base = Gguf::open(from).unwrap();
    let metadata: Vec<(String, Value)> = base.metadata().iter().cloned().chain(keys).collect();
    let mut tensors: Vec<NewTensor<'_>> = base
        .tensors()
        .map(|tensor| NewTensor {
            name: tensor.name.to_owned(),
            shape: tensor.shape.to_vec(),
            ggml_type: tensor.ggml_type,
            data: Cow::Borrowed(tensor.data),
        })
        .collect();
    let mut add = |name: String, len: usize, number: &dyn Fn(usize) -> f32| {
        let data: Vec<u8> = (0..len).flat_map(|i| number(i).to_le_bytes()).collect();
        tensors.push(NewTensor { name, shape: vec![len], ggml_type: GgmlType::F32, data: Cow::Owned(data) });
    };
    if rope_freqs {
        add("rope_freqs.weight".to_owned(), 32, &|i| 1.0 + i as f32 / 8.0);
    }
    for (layer, module) in (0..2).flat_map(|layer| TargetModule::ALL.map(|module| (layer, module))) {
        let name = format!("blk.{layer}.{}", module.gguf_name());
        let rows = base.tensor(&format!("{name}.weight")).unwrap().shape[0];
        if biases {
            add(format!("{name}.bias"), rows, &|i| (rng::uniform(9, layer, i as u64) - 0.5) as f32);
        }
    }
    write(to, &metadata, &tensors).unwrap();
}
