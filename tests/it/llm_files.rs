//! Catches a file that is no model, no adapter, or not of this model, and ends the process instead of giving
//! an error.
//!
//! llama.cpp aborts on input that it does not expect, so these tests pass by reaching their end. They mutate
//! a tiny model, because each mutation is loaded and run.

use std::fs;
use std::path::Path;

use evol::gguf::{Value, write};
use evol::llm::{Engine, EngineOptions, Error, Generate, Part, Prompt, Request, Sampling, Tokenizer};
use evol::lora::{BaseShape, LoraConfig, LoraWeights, TargetModule};
use evol::rng;

use crate::tiny_model::{BOS, FFN, TINY, metadata, tensors, tiny};

/// A vocabulary that starts each text with a token, and a template that writes that token too.
#[test]
fn a_prompt_has_one_bos_token_alone_and_in_a_list() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bos.gguf");
    let mut metadata = metadata();
    metadata.push(("tokenizer.ggml.add_bos_token".to_owned(), Value::Bool(true)));
    write(&path, &metadata, &tensors()).unwrap();
    let tokenizer = Tokenizer::load(&path).unwrap();
    let mut engine = Engine::load(EngineOptions { n_seq: 2, ..EngineOptions::new(&path, 1) }).unwrap();
    let part = |text: &str, special| Part { text: text.to_owned(), special };
    let plain = [part("th", false), part("e end", false)];
    let written = [part("<|start|>", true), part("th", false), part("e end", false)];
    let beginnings = |tokens: &[u32]| tokens.iter().filter(|&&token| token == BOS).count();
    for parts in [plain.as_slice(), &written, &[]] {
        let tokens = tokenizer.tokenize(parts).unwrap();
        assert_eq!((tokens[0], beginnings(&tokens)), (BOS, 1), "{tokens:?}");
        let prompt = |shared| Prompt { parts: parts.to_vec(), shared };
        let requests: Vec<Request> = (0..=parts.len()).map(|shared| greedy(prompt(shared))).collect();
        for done in engine.generate(&requests).unwrap() {
            assert_eq!(done.prompt_tokens, tokens.len(), "{parts:?}");
        }
    }
    // Written twice on purpose, as text: only the one that the model adds is taken away.
    let twice = [part("<|start|><|start|>", true), part("the", false)];
    assert_eq!(beginnings(&tokenizer.tokenize(&twice).unwrap()), 2);
}

/// Three tokens.
fn greedy(prompt: Prompt) -> Request {
    let sampling = Sampling {
        temperature: 0.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        repetition_penalty: 1.0,
        frequency_penalty: 0.0,
        presence_penalty: 0.0,
    };
    let restriction = evol::llm::Restriction::None;
    Request { id: 1, prompt, sampling, stop: Vec::new(), max_tokens: 3, key: 1, sample: 0, restriction }
}

/// Loads the file as a model and as a vocabulary and generates three tokens.
fn run(path: &Path, adapter: Option<&Path>) -> Result<String, Error> {
    Tokenizer::load(path)?.tokenize(&[Part { text: "the end".to_owned(), special: true }])?;
    let adapter = adapter.map(|adapter| (adapter, 1.0));
    let mut engine = Engine::load(EngineOptions { adapter, n_seq: 2, ..EngineOptions::new(path, 1) })?;
    let prompt = Prompt { parts: vec![Part { text: "the end".to_owned(), special: false }], shared: 0 };
    let request = greedy(prompt);
    Ok(engine.generate(&[request.clone(), request])?.remove(0).text)
}

#[test]
fn the_tiny_model_runs() {
    let folder = tempfile::tempdir().unwrap();
    run(&tiny(folder.path()), None).unwrap();
}

#[test]
fn foreign_and_missing_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let noise: Vec<u8> = (0..5000).map(|i| (rng::uniform(3, i, 0) * 256.0) as u8).collect();
    let with_magic = [b"GGUF\x03\0\0\0".as_slice(), &noise].concat();
    for path in [
        file("empty", b""),
        file("text", b"I am not a model.\n"),
        file("png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        file("noise", &noise),
        file("noise-with-magic", &with_magic),
        folder.path().to_owned(),
        folder.path().join("missing"),
    ] {
        assert!(matches!(run(&path, None), Err(Error::Gguf(_))), "{}", path.display());
    }
    // An adapter is a GGUF file, but no model.
    let adapter = folder.path().join("adapter.gguf");
    lora(&TINY).write_gguf(&adapter, "a").unwrap();
    let error = run(&adapter, None).unwrap_err().to_string();
    assert!(error.contains("general.type"), "{error}");
}

#[test]
fn a_model_cut_anywhere_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(tiny(folder.path())).unwrap();
    let cut = folder.path().join("cut.gguf");
    for step in 0..200 {
        fs::write(&cut, &bytes[..bytes.len() * step / 200]).unwrap();
        assert!(run(&cut, None).is_err(), "cut at {step}/200");
    }
    fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(run(&cut, None), Err(Error::Gguf(_))), "inside the last weight");
}

/// Mutations of the header: counts, lengths, types, keys, names, shapes, offsets. Some still give a model.
#[test]
fn a_model_with_wrong_bytes_never_ends_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(tiny(folder.path())).unwrap();
    let weights: usize = tensors().iter().map(|tensor| tensor.data.len()).sum();
    let header = (bytes.len() - weights) as f64;
    let path = folder.path().join("mutant.gguf");
    let (mut ran, mut refused) = (0, 0);
    for mutant in 0..600_u64 {
        let mut bytes = bytes.clone();
        for change in 0..=mutant % 3 {
            let at = (rng::uniform(mutant, change, 0) * header) as usize;
            bytes[at] = match mutant % 4 {
                0 => bytes[at] ^ (1 << (mutant / 4 % 8)),
                1 => 0,
                2 => 0xFF,
                _ => (rng::uniform(mutant, change, 1) * 256.0) as u8,
            };
        }
        fs::write(&path, &bytes).unwrap();
        match run(&path, None) {
            Ok(_) => ran += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(ran > 20 && refused > 100, "{ran} ran, {refused} were refused: the mutations test too little");
}

/// Values that are well-formed and wrong.
#[test]
fn a_model_with_impossible_sizes_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.gguf");
    for (key, value) in [
        ("llama.block_count", Value::U32(0)),
        ("llama.block_count", Value::U32(600)),
        ("llama.block_count", Value::U32(3)),
        ("llama.attention.head_count", Value::U32(0)),
        ("llama.attention.head_count", Value::U32(5)),
        ("llama.attention.head_count_kv", Value::U32(0)),
        ("llama.attention.head_count_kv", Value::U32(7)),
        ("llama.embedding_length", Value::U32(0)),
        ("llama.embedding_length", Value::U32(128)),
        ("llama.feed_forward_length", Value::U32(1)),
        ("llama.attention.key_length", Value::U32(0)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(f32::NAN)),
        ("llama.rope.dimension_count", Value::U32(33)),
        ("llama.expert_count", Value::U32(4)),
        ("general.architecture", Value::String("gpt99".to_owned())),
        ("general.architecture", Value::String("bert".to_owned())),
        ("tokenizer.ggml.tokens", Value::Array(Vec::new())),
        ("tokenizer.ggml.model", Value::String("unheard-of".to_owned())),
        ("tokenizer.ggml.pre", Value::String("unheard-of".to_owned())),
        ("tokenizer.ggml.token_type", Value::Array(vec![Value::I32(1)])),
        ("tokenizer.chat_template", Value::String("{% if %}".to_owned())),
    ] {
        let mut metadata: Vec<_> = metadata().into_iter().filter(|(k, _)| k != key).collect();
        metadata.push((key.to_owned(), value.clone()));
        write(&path, &metadata, &tensors()).unwrap();
        assert!(run(&path, None).is_err(), "{key} = {value:?}");
    }
}

fn lora(base: &BaseShape) -> LoraWeights {
    let config = LoraConfig {
        r: 4,
        lora_alpha: 8.0,
        lora_dropout: 0.0,
        target_modules: TargetModule::ALL.to_vec(),
        ..LoraConfig::default()
    };
    let mut weights = LoraWeights::init(&config, base, 5);
    weights.data.iter_mut().enumerate().for_each(|(i, x)| *x += (rng::uniform(9, i as u64, 0) - 0.5) as f32);
    weights
}

#[test]
fn an_adapter_changes_the_text_and_a_wrong_one_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let model = tiny(folder.path());
    let write_lora = |name: &str, base: &BaseShape| {
        let path = folder.path().join(name);
        lora(base).write_gguf(&path, name).unwrap();
        path
    };
    let right = write_lora("right.gguf", &TINY);
    assert_ne!(run(&model, Some(&right)).unwrap(), run(&model, None).unwrap());
    let wider = write_lora("wider.gguf", &BaseShape { intermediate_size: FFN * 2, ..TINY });
    let deeper = write_lora("deeper.gguf", &BaseShape { num_hidden_layers: 3, ..TINY });
    for (adapter, said) in
        [(&wider, "ffn_gate.weight` has shape (96, 64)"), (&deeper, "`blk.2."), (&model, "general.type")]
    {
        match run(&model, Some(adapter)) {
            Err(error @ Error::AdapterMismatch { .. }) => {
                assert!(error.to_string().contains(said), "{error}");
            }
            other => panic!("{}: {other:?}", adapter.display()),
        }
    }
    let bytes = fs::read(&right).unwrap();
    let cut = folder.path().join("cut.gguf");
    for step in 0..50 {
        fs::write(&cut, &bytes[..bytes.len() * step / 50]).unwrap();
        assert!(matches!(run(&model, Some(&cut)), Err(Error::Gguf(_))), "cut at {step}/50");
    }
}

#[test]
fn an_adapter_with_wrong_bytes_never_ends_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let model = tiny(folder.path());
    let right = folder.path().join("right.gguf");
    lora(&TINY).write_gguf(&right, "right").unwrap();
    let bytes = fs::read(&right).unwrap();
    let header = bytes.len() - lora(&TINY).data.len() * 4;
    let mutant_path = folder.path().join("mutant.gguf");
    let mut refused = 0;
    for mutant in 0..200_u64 {
        let mut bytes = bytes.clone();
        let at = (rng::uniform(mutant, 7, 0) * header as f64) as usize;
        bytes[at] = (rng::uniform(mutant, 7, 1) * 256.0) as u8;
        fs::write(&mutant_path, &bytes).unwrap();
        refused += u32::from(run(&model, Some(&mutant_path)).is_err());
    }
    assert!(refused > 50, "{refused} were refused: the mutations test too little");
}
