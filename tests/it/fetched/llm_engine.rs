//! Catches completions of the real model that depend on anything but their request, and that stop too late,
//! too early or not at all.
//!
//! One thread where nothing else is said: tests run side by side, and llama.cpp's threads wait for each
//! other by spinning.

use std::sync::atomic::{AtomicBool, Ordering};

use evol::gguf::Gguf;
use evol::llm::{
    Completion, ComputeFormat, ConversionCache, Engine, EngineOptions, Error, FinishReason, Generate,
    Message, Part, Prompt, Request, Restriction, Sampling,
};

use super::model_path;
use super::models::quick_model;

const GREEDY: Sampling = Sampling {
    temperature: 0.0,
    top_k: 0,
    top_p: 1.0,
    min_p: 0.0,
    repetition_penalty: 1.0,
    frequency_penalty: 0.0,
    presence_penalty: 0.0,
};
const WARM: Sampling = Sampling {
    temperature: 0.8,
    top_k: 40,
    top_p: 0.95,
    min_p: 0.02,
    repetition_penalty: 1.1,
    frequency_penalty: 0.0,
    presence_penalty: 0.0,
};

fn engine_with(change: impl FnOnce(&mut EngineOptions<'_>)) -> Engine {
    let path = model_path();
    let mut options = EngineOptions::new(&path, 1);
    change(&mut options);
    Engine::load(options).expect("the default model loads")
}

fn engine() -> Engine {
    engine_with(|_| ())
}

fn message(role: &str, content: &str) -> Message {
    Message { role: role.to_owned(), content: content.to_owned() }
}

fn chat(engine: &Engine, content: &str) -> Prompt {
    engine.chat_prompt(&[message("user", content)], 0).expect("the model has a template").unwrap()
}

fn completion_prompt(shared: &str, own: &str) -> Prompt {
    let part = |text: &str| Part { text: text.to_owned(), special: false };
    Prompt { parts: vec![part(shared), part(own)], shared: 1 }
}

fn request(id: u64, prompt: Prompt, sampling: Sampling, max_tokens: usize) -> Request {
    Request {
        id,
        prompt,
        sampling,
        stop: Vec::new(),
        max_tokens,
        key: id.wrapping_mul(77),
        sample: 0,
        restriction: Restriction::None,
    }
}

/// Chats and completions with two shared prefixes, of different lengths and limits, some with stop strings.
fn mixed_requests(engine: &Engine) -> Vec<Request> {
    let prefixes = [
        "Rewrite each sentence so that it is harder.\n\nSimple: Name a colour.\nHarder:",
        "A list of short facts about animals, one per line.\n",
    ];
    let topics = ["the sea", "copper wire", "a broken clock", "rye bread", "the number seven", "fog"];
    (0..18_u64)
        .map(|id| {
            let topic = topics[id as usize % topics.len()];
            let prompt = match id % 3 {
                0 => chat(engine, &format!("Explain {topic} in {id} words.")),
                other => completion_prompt(prefixes[other as usize - 1], &format!(" {topic} and {id}, then")),
            };
            let stop = if id % 4 == 0 { vec!["\n".to_owned(), ". ".to_owned()] } else { Vec::new() };
            Request { stop, ..request(id, prompt, WARM, 6 + id as usize % 11) }
        })
        .collect()
}

fn by_id(mut completions: Vec<Completion>) -> Vec<Completion> {
    completions.sort_by_key(|completion| completion.id);
    completions
}

/// The strong property, which holds for the default model's formats on the CPUs it was measured on: a
/// completion is a function of its own request.
#[test]
fn a_completion_depends_on_nothing_but_its_request() {
    let mut wide = engine_with(|options| (options.n_seq, options.threads) = (32, 2));
    let requests = mixed_requests(&wide);
    let expected = wide.generate(&requests).unwrap();
    assert_eq!(expected.iter().map(|c| c.id).collect::<Vec<_>>(), (0..18).collect::<Vec<_>>());
    assert_eq!(wide.generate(&requests).unwrap(), expected, "the same list again");
    for n_seq in [1, 5, 32] {
        let found = engine_with(|options| options.n_seq = n_seq).generate(&requests).unwrap();
        assert_eq!(found, expected, "width {n_seq}");
    }
    let mut shuffled = requests.clone();
    shuffled.sort_by_key(|request| request.id * 7 % 18);
    assert_eq!(by_id(wide.generate(&shuffled).unwrap()), expected, "another order");
    for request in &requests[10..12] {
        let alone = wide.generate(std::slice::from_ref(request)).unwrap();
        assert_eq!(alone, expected[request.id as usize..][..1], "alone");
    }
    let mut unshared = requests.clone();
    for request in &mut unshared {
        request.prompt.shared = 0;
    }
    assert_eq!(wide.generate(&unshared).unwrap(), expected, "nothing shared");
}

#[test]
fn shared_prefixes_are_computed_once() {
    let mut engine = engine();
    let prefix = "One two three four five six seven eight nine ten eleven twelve.";
    let prefix_tokens =
        engine.count_tokens(&[Part { text: prefix.to_owned(), special: false }]).unwrap() as u64;
    // The own parts differ from their first token on, so nothing else is shared.
    let requests: Vec<Request> = (0..)
        .zip([" Apples grow", " Rivers run", " Music plays", " Copper bends"])
        .map(|(id, own)| request(id, completion_prompt(prefix, own), GREEDY, 1))
        .collect();
    let done = engine.generate(&requests).unwrap();
    let all: u64 = done.iter().map(|completion| completion.prompt_tokens as u64).sum();
    let stats = engine.stats();
    assert_eq!(stats.reused_prompt_tokens, 3 * prefix_tokens);
    assert_eq!(stats.prompt_tokens, all - 3 * prefix_tokens);
    assert_eq!((stats.generated_tokens, stats.finished), (4, 4));
}

#[test]
fn workers_and_later_calls_of_any_length_find_what_was_computed() {
    let mut engine = engine_with(|options| options.threads = 2);
    let prefix =
        "A list of questions that nobody has asked before, one on each line, in plain words. ".repeat(3);
    let part = Part { text: prefix.clone(), special: false };
    let prefix_tokens = engine.count_tokens(&[part]).unwrap() as u64;
    assert!(prefix_tokens > 32, "shorter ones are not kept");
    let topics = ["Apples", "Rivers", "Music", "Copper", "Glass", "Winter", "Bread", "Ships"];
    // Two workers, then one.
    for (call, count) in [8, 3].into_iter().enumerate() {
        let before = engine.stats();
        let requests: Vec<Request> = (0..count)
            .map(|id| {
                request(id as u64, completion_prompt(&prefix, &format!("{} {call}", topics[id])), GREEDY, 1)
            })
            .collect();
        let done = engine.generate(&requests).unwrap();
        let all: u64 = done.iter().map(|completion| completion.prompt_tokens as u64).sum();
        let computed = engine.stats().prompt_tokens - before.prompt_tokens;
        let own = all - count as u64 * prefix_tokens;
        assert_eq!(computed, own + if call == 0 { prefix_tokens } else { 0 }, "call {call}");
    }
}

#[test]
fn generation_stops_before_a_stop_string_that_tokens_cut() {
    let mut engine = engine();
    let free = request(1, completion_prompt("The capital of France is", " the city of"), GREEDY, 40);
    let text = engine.generate(std::slice::from_ref(&free)).unwrap()[0].text.clone();
    assert!(text.len() > 40, "{text:?}");
    // Every piece of four bytes: some start and end inside tokens.
    let pieces: Vec<&str> = (0..30).filter_map(|at| text.get(at..at + 4)).collect();
    let requests: Vec<Request> =
        pieces.iter().map(|piece| Request { stop: vec![(*piece).to_owned()], ..free.clone() }).collect();
    for (piece, done) in pieces.iter().zip(engine.generate(&requests).unwrap()) {
        assert_eq!(done.finish_reason, FinishReason::Stop, "{piece:?}");
        assert_eq!(done.text, text[..text.find(piece).unwrap()], "{piece:?}");
    }
}

const LENGTH: FinishReason = FinishReason::Length;
const TOO_LONG: FinishReason = FinishReason::PromptTooLong;

#[test]
fn answers_end_with_the_end_token_and_limits_are_kept() {
    let mut engine = engine_with(|options| options.n_ctx_seq = Some(120));
    let question = chat(&engine, "What is the capital of France?");
    let limited = request(2, question.clone(), GREEDY, 3);
    let ended = request(3, chat(&engine, "Hi"), GREEDY, 60);
    let nothing = request(4, question.clone(), GREEDY, 0);
    let long = request(5, chat(&engine, &"word ".repeat(200)), GREEDY, 5);
    let just_too_long = request(6, question, GREEDY, 120);
    let done = engine.generate(&[limited, ended, nothing, long, just_too_long]).unwrap();
    let reasons: Vec<FinishReason> = done.iter().map(|c| c.finish_reason).collect();
    assert_eq!(reasons, [LENGTH, FinishReason::EndOfText, LENGTH, TOO_LONG, TOO_LONG]);
    assert_eq!(done[0].completion_tokens, 3);
    assert!(done[1].text.contains("Hello") && !done[1].text.contains("<|im_end|>"), "{:?}", done[1].text);
    assert!(done[3].prompt_tokens > 200 && done[3].text.is_empty());
}

#[test]
fn bad_requests_and_options_are_errors() {
    let mut engine = engine();
    let empty = request(7, Prompt { parts: Vec::new(), shared: 0 }, GREEDY, 5);
    assert!(matches!(engine.generate(&[empty]), Err(Error::EmptyPrompt { id: 7 })));
    let cold = Sampling { temperature: f32::NAN, ..GREEDY };
    let bad = request(8, chat(&engine, "x"), cold, 5);
    assert!(matches!(engine.generate(&[bad]), Err(Error::Sampling { field: "temperature", .. })));
    assert_eq!(engine.generate(&[]).unwrap(), []);
    let path = model_path();
    let load = |change: fn(&mut EngineOptions<'_>)| {
        let mut options = EngineOptions::new(&path, 1);
        change(&mut options);
        Engine::load(options)
    };
    assert!(matches!(load(|o| o.n_seq = 0), Err(Error::BatchWidth { .. })));
    assert!(matches!(load(|o| o.n_seq = 256), Err(Error::BatchWidth { .. })));
    assert!(matches!(load(|o| o.threads = 0), Err(Error::Threads { .. })));
    assert!(matches!(load(|o| o.gpu_layers = 1), Err(Error::ExactOnGpu { gpu_layers: 1 })));
}

#[test]
fn an_interrupt_ends_the_call_and_the_engine_can_go_on() {
    let mut engine = engine();
    let interrupt = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let mut stopped = engine_with(|options| options.interrupt = interrupt.clone());
    let requests = [request(1, chat(&engine, "Write a long story."), GREEDY, 8)];
    assert!(matches!(stopped.generate(&requests), Err(Error::Interrupted)));
    interrupt.store(false, Ordering::Relaxed);
    assert_eq!(stopped.generate(&requests).unwrap(), engine.generate(&requests).unwrap());
    // While it runs: the flag is set when the first token has been generated.
    let progress = std::sync::Arc::<evol::llm::Progress>::default();
    let mut running = engine_with(|options| {
        (options.interrupt, options.progress) = (interrupt.clone(), progress.clone());
    });
    let endless = [request(1, chat(&engine, "Count from 1 to 1000."), WARM, 4000)];
    let result = std::thread::scope(|scope| {
        let call = scope.spawn(|| running.generate(&endless));
        while progress.stats().generated_tokens == 0 {
            std::thread::yield_now();
        }
        interrupt.store(true, Ordering::Relaxed);
        call.join().unwrap()
    });
    assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
}

#[test]
fn a_conversation_streams_what_a_list_would_give_and_keeps_its_cache() {
    let mut engine = engine();
    let mut messages = vec![message("user", "Name three fruits.")];
    let first = request(1, engine.chat_prompt(&messages, 0).unwrap().unwrap(), WARM, 30);
    let expected = engine.generate(std::slice::from_ref(&first)).unwrap().remove(0);
    messages.push(message("assistant", expected.text.trim()));
    messages.push(message("user", "Which of them is red?"));
    let second = request(2, engine.chat_prompt(&messages, 0).unwrap().unwrap(), GREEDY, 20);
    let expected_second = engine.generate(std::slice::from_ref(&second)).unwrap().remove(0);

    let before = engine.stats();
    let mut conversation = engine.conversation(512).unwrap();
    let mut streamed = String::new();
    let done = conversation.complete(&first, &mut |text| streamed.push_str(text)).unwrap();
    assert_eq!(done, expected);
    assert_eq!(streamed, expected.text);
    let prompt = conversation.chat_prompt(&messages).unwrap().unwrap();
    let done = conversation.complete(&Request { prompt, ..second }, &mut |_| ()).unwrap();
    assert_eq!(done, expected_second);
    drop(conversation);
    let after = engine.stats();
    let computed = (after.prompt_tokens - before.prompt_tokens) as usize;
    assert!(computed < done.prompt_tokens, "{computed} of {} tokens in two turns", done.prompt_tokens);
}

#[test]
fn embeddings_are_unit_vectors_that_depend_on_their_text_alone_and_know_subjects() {
    let mut engine = engine();
    let texts =
        ["A recipe for bread with rye flour.", "How to bake a loaf from rye dough.", "The orbit of Mars."];
    let prompt =
        |text: &&str| Prompt { parts: vec![Part { text: (*text).to_owned(), special: false }], shared: 0 };
    let prompts: Vec<Prompt> = texts.iter().map(prompt).collect();
    let vectors: Vec<Vec<f32>> = engine.embed(&prompts).unwrap().into_iter().map(Option::unwrap).collect();
    let dot = |a: usize, b: usize| -> f64 {
        vectors[a].iter().zip(&vectors[b]).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    };
    // Single precision, 576 numbers.
    assert!((dot(0, 0) - 1.0).abs() <= 1e-5, "{}", dot(0, 0));
    assert!(dot(0, 1) > dot(0, 2), "bread and bread {}, bread and Mars {}", dot(0, 1), dot(0, 2));
    let alone = engine.embed(&prompts[2..]).unwrap().remove(0).unwrap();
    assert_eq!(alone, vectors[2]);
    let mut short = engine_with(|options| options.n_ctx_seq = Some(4));
    assert_eq!(short.embed(&prompts[..1]).unwrap(), [None]);
}

#[test]
fn banned_tokens_and_samples_change_a_completion_and_nothing_else_does() {
    let mut engine = engine();
    let first = request(1, chat(&engine, "Name a colour."), WARM, 12);
    let other = Request { sample: 1, ..first.clone() };
    let greedy = request(1, chat(&engine, "Hi"), GREEDY, 40);
    let end = engine.generate(std::slice::from_ref(&greedy)).unwrap().remove(0);
    assert_eq!(end.finish_reason, FinishReason::EndOfText);
    // <|im_end|> and <|endoftext|>.
    let endless = Request { restriction: Restriction::Ban(vec![0, 2]), ..greedy };
    let done = engine.generate(&[first.clone(), other, first, endless]).unwrap();
    assert_ne!(done[0].text, done[1].text, "another sample");
    assert_eq!(done[0], done[2]);
    assert_eq!((done[3].finish_reason, done[3].completion_tokens), (LENGTH, 40));
    assert!(done[3].text.starts_with(&end.text), "{:?} {:?}", done[3].text, end.text);
}

/// Prefixes within prefixes that are one token longer: pieces of a single row, in the last sequence that
/// holds any. Float weights, because those never have a row alone in a batch.
#[test]
fn prefixes_that_grow_by_a_token_are_held() {
    let folder = tempfile::tempdir().unwrap();
    let sha256 = Gguf::open(quick_model()).unwrap().sha256().unwrap();
    let cache = ConversionCache { folder: folder.path().to_owned(), threads: 1 };
    let never = AtomicBool::new(false);
    let model = cache.get(quick_model(), &sha256, ComputeFormat::F16, &never, &mut |_| ()).unwrap().path;
    // With the widest batch the sequences that hold prefixes, and those behind them, are the last ones there
    // are.
    for (n_seq, ends) in
        [(4, ["here"].as_slice()), (251, &["here", "there", "now", "then", "again", "still"])]
    {
        let mut engine = Engine::load(EngineOptions { n_seq, ..EngineOptions::new(&model, 1) }).unwrap();
        let requests = growing_prefixes(ends);
        assert!(requests.len() > n_seq);
        let together = engine.generate(&requests).unwrap();
        let stats = engine.stats();
        assert!(stats.reused_prompt_tokens >= 41 * (requests.len() as u64 - 5), "{n_seq}: {stats:?}");
        for at in [0, 1, 2, requests.len() - 1] {
            assert_eq!(engine.generate(&requests[at..=at]).unwrap()[0], together[at], "{n_seq}, {at}");
        }
    }
}

/// Enough prompts behind each word of ` people day` for it to be worth holding, and a different word behind
/// it, with each of these ends.
fn growing_prefixes(ends: &[&str]) -> Vec<Request> {
    let shared = " time".repeat(40);
    let words = "part place case week company system program question work government number night point \
                 home water room mother area money story fact month lot right study book eye job word \
                 business issue side kind head house service friend father power hour game line";
    let own = [" year here", " people way here"].map(str::to_owned).into_iter();
    let behind = |word| ends.iter().map(move |end| format!(" people day {word} {end}"));
    let own = own.chain(words.split_whitespace().flat_map(behind));
    (0..).zip(own).map(|(id, own)| request(id, completion_prompt(&shared, &own), WARM, 3)).collect()
}
