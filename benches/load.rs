//! The engine under the loads that `docs/performance.md` compares with llama.cpp's own programs, and the
//! journal under a long run.
//!
//! Run with `cargo bench --bench load -- LOAD [KEY=VALUE ...]`, where LOAD is
//! - `decode`: `width` sequences behind one prefix of `prefix` tokens, `out` tokens each (T1);
//! - `queue`: `requests` prompts in `groups` groups, a prefix of `prefix` tokens for each group, `suffix`
//!   tokens of their own, `out` tokens out; `order` is `grouped` or `shuffled` (T2, T3); with `wait=1` a
//!   group comes when the one before it has ended; with `stop=S` the work is broken off after S seconds,
//!   which shows the memory that a long queue takes;
//! - `loop`: the same, one at a time, every prompt from its beginning;
//! - `judge`: `requests` yes/no questions behind one prefix (T5);
//! - `round`: a real round of evolution over `seeds` built-in seeds, then every `every`th of its requests
//!   again, one at a time, every prompt from its beginning, with the weights in `naive` (T4);
//! - `journal`: an evolution of `seeds` seeds over `rounds` rounds of `attempts` attempts, in chunks of
//!   `chunk`, with a scripted generator and no model: the cost of the journal, in `folder` or the build
//!   folder.
//!
//! Common keys: `model` (a GGUF file), `threads`, `width`, `determinism` (`exact`, `scheduled`), `drafts`
//! (`measured`, `off`). Prints one JSON
//! object. `benches/peers/server_load.py` sends the same prompts to a server.
//!
//! **Invariant:** the prompts are a function of the keys; both sides see the same text.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring program: it prints, and stops on bad input"
)]

mod journal;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use evol::dataset::builtin_seeds;
use evol::evolve::{self, EvolveConfig, JudgeConfig, Profile, Roots};
use evol::identity::Identity;
use evol::llm::{
    Answer, Completion, Determinism, DraftPolicy, Engine, EngineOptions, Error, Generate, Message, Part,
    Prompt, Question, Request, Restriction, Sampling, Tokenizer,
};
use evol::store::Store;

/// Each is one token of the default model's vocabulary.
const WORDS: [&str; 16] = [
    " time", " year", " people", " way", " day", " man", " thing", " life", " child", " world", " school",
    " state", " family", " group", " country", " hand",
];

/// `count` words, a function of `stream` and the place; the same as `words` in `server_load.py`.
fn words(stream: u64, count: usize) -> String {
    let mut state = stream.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        WORDS[(state >> 60) as usize]
    };
    (0..count).map(|_| next()).collect()
}

struct Keys(HashMap<String, String>);

impl Keys {
    fn number(&self, key: &str, default: usize) -> usize {
        self.0.get(key).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{key}={value}")))
    }

    fn text<'a>(&'a self, key: &str, default: &'a str) -> &'a str {
        self.0.get(key).map_or(default, String::as_str)
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let load = arguments.first().cloned().unwrap_or_else(|| "queue".to_owned());
    let pairs = arguments.iter().skip(1).filter_map(|argument| argument.split_once('='));
    let keys = Keys(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect());
    if load == "journal" {
        return journal::run(&keys);
    }
    let home = std::env::var("HOME").unwrap();
    let default = format!("{home}/.cache/evol/models/SmolLM2-135M-Instruct.Q4_1.gguf");
    let model = Path::new(keys.text("model", &default));
    let mut options = EngineOptions::new(model, keys.number("threads", 2));
    options.n_seq = keys.number("width", 32);
    if keys.text("determinism", "exact") == "scheduled" {
        options.determinism = Determinism::Scheduled;
    }
    if keys.text("drafts", "measured") == "off" {
        options.drafts = DraftPolicy::Off;
    }
    if load == "round" {
        return round(options, &keys);
    }
    let interrupt = Arc::clone(&options.interrupt);
    let mut engine = Engine::load(options).unwrap();
    let requests = requests(&keys, &ends(model), &load);
    let asked_bytes = resident_bytes("VmRSS:");
    if let Some(seconds) = keys.0.get("stop") {
        let patience = Duration::from_secs_f64(seconds.parse().unwrap());
        std::thread::spawn(move || {
            std::thread::sleep(patience);
            interrupt.store(true, Ordering::Relaxed);
        });
    }
    let started = Instant::now();
    let done = match load.as_str() {
        "decode" | "queue" if keys.number("wait", 0) == 1 => {
            assert_eq!(keys.text("order", "grouped"), "grouped", "shuffled groups do not come one by one");
            in_calls(&mut engine, &requests, keys.number("groups", 1))
        }
        "decode" | "queue" => in_calls(&mut engine, &requests, 1),
        "loop" => in_calls(&mut engine, &requests, requests.len()),
        "judge" => engine.score(&questions(&requests)).map(drop),
        other => panic!("no load `{other}`"),
    };
    assert!(matches!(done, Ok(()) | Err(Error::Interrupted)), "{done:?}");
    let seconds = started.elapsed().as_secs_f64();
    let stats = engine.stats();
    let decode = stats.decode_ns as f64 / 1e9;
    println!(
        "{}",
        serde_json::json!({
            "load": load, "keys": keys.0, "requests": requests.len(), "seconds": seconds,
            "requests_per_second": stats.finished as f64 / seconds, "stats": stats,
            "decode_rows_per_worker_second": stats.generated_tokens as f64 / decode,
            "prefill_tokens_per_worker_second": stats.prompt_tokens as f64 / (stats.prefill_ns as f64 / 1e9),
            "resident_bytes_before": asked_bytes, "peak_resident_bytes": resident_bytes("VmHWM:"),
        })
    );
}

/// Completes the list in so many calls of the same length.
fn in_calls(engine: &mut Engine, requests: &[Request], calls: usize) -> Result<(), Error> {
    requests.chunks(requests.len().div_ceil(calls)).try_for_each(|list| engine.generate(list).map(drop))
}

/// Memory of this process, by its name in `/proc/self/status`; `None` where there is no such file.
fn resident_bytes(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// An engine that remembers what it was asked.
struct Remembering {
    engine: Engine,
    asked: Vec<Request>,
}

impl Generate for Remembering {
    fn chat_prompt(&self, messages: &[Message], shared_messages: usize) -> Option<Result<Prompt, Error>> {
        self.engine.chat_prompt(messages, shared_messages)
    }

    fn text_tokens(&self, text: &str) -> Result<usize, Error> {
        self.engine.text_tokens(text)
    }

    fn prompt_tokens(&self, prompt: &Prompt) -> Result<usize, Error> {
        self.engine.prompt_tokens(prompt)
    }

    fn context_tokens(&self) -> usize {
        self.engine.context_tokens()
    }

    fn generate(&mut self, requests: &[Request]) -> Result<Vec<Completion>, Error> {
        self.asked.extend_from_slice(requests);
        self.engine.generate(requests)
    }

    fn score(&mut self, questions: &[Question]) -> Result<Vec<Answer>, Error> {
        self.engine.score(questions)
    }
}

/// The round with all that a user waits for, judging included; the loop has its completions only.
fn round(options: EngineOptions<'_>, keys: &Keys) {
    let (model, threads) = (options.model, options.threads);
    let engine = Engine::load(options).unwrap();
    let n_params = Some(engine.info().n_params);
    let mut remembering = Remembering { engine, asked: Vec::new() };
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::create(folder.path()).unwrap();
    let seeds = builtin_seeds().into_iter().take(keys.number("seeds", 175)).collect::<Vec<_>>();
    let config = EvolveConfig {
        profile: Profile::Wizardlm,
        rounds: Some(1),
        min_yield: 0.0,
        max_errors: 1.0,
        judge: JudgeConfig { pairs: 48, ..JudgeConfig::default() },
        ..EvolveConfig::default()
    };
    let (sha256, recipe) = (String::new(), Identity::default());
    let evolving = evolve::Model { generate: &mut remembering, sha256, recipe, n_params, judge: None };
    let started = Instant::now();
    evolve::run(evolving, &mut store, Roots::all(&seeds), &config, &mut |_| ()).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let stats = remembering.engine.stats();
    let asked = remembering.asked;

    let mut naive = EngineOptions::new(Path::new(keys.text("naive", model.to_str().unwrap())), threads);
    (naive.n_seq, naive.drafts, naive.determinism) = (1, DraftPolicy::Off, Determinism::Scheduled);
    let mut naive = Engine::load(naive).unwrap();
    let every = keys.number("every", 20);
    let sample: Vec<&Request> = asked.iter().step_by(every).collect();
    let started = Instant::now();
    for request in &sample {
        let mut alone = (*request).clone();
        alone.prompt.shared = 0;
        naive.generate(&[alone]).unwrap();
    }
    let loop_seconds = started.elapsed().as_secs_f64() / sample.len() as f64 * asked.len() as f64;
    println!(
        "{}",
        serde_json::json!({
            "load": "round", "keys": keys.0, "requests": asked.len(), "seconds": seconds, "stats": stats,
            "loop_requests": sample.len(), "loop_seconds_for_all": loop_seconds,
            "ratio": loop_seconds / seconds,
        })
    );
}

/// Tokens that would end a completion before its last token.
fn ends(model: &Path) -> Vec<u32> {
    let tokenizer = Tokenizer::load(model).unwrap();
    ["<|im_end|>", "<|endoftext|>"]
        .into_iter()
        .flat_map(|text| tokenizer.tokenize(&[Part { text: text.to_owned(), special: true }]).unwrap())
        .collect()
}

fn requests(keys: &Keys, ends: &[u32], load: &str) -> Vec<Request> {
    let decode = load == "decode";
    let count = keys.number("requests", if decode { keys.number("width", 32) } else { 64 });
    let groups = keys.number("groups", 1);
    let (prefix, suffix) = (keys.number("prefix", if decode { 256 } else { 768 }), keys.number("suffix", 32));
    let mut order: Vec<usize> = (0..count).collect();
    if keys.text("order", "grouped") == "shuffled" {
        order.sort_by_key(|&index| (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    }
    let part = |text: String| Part { text, special: false };
    order
        .into_iter()
        .map(|index| {
            let group = index / count.div_ceil(groups);
            let parts =
                vec![part(words(group as u64, prefix)), part(words(1_000_000 + index as u64, suffix))];
            Request {
                id: index as u64,
                prompt: Prompt { parts, shared: usize::from(load != "loop") },
                sampling: Sampling { temperature: 0.8, top_k: 40, ..Sampling::default() },
                stop: Vec::new(),
                max_tokens: keys.number("out", 64),
                key: index as u64,
                sample: 0,
                restriction: Restriction::Ban(ends.to_vec()),
            }
        })
        .collect()
}

fn questions(requests: &[Request]) -> Vec<Question> {
    let labels = vec![vec![" yes".to_owned(), " Yes".to_owned()], vec![" no".to_owned(), " No".to_owned()]];
    requests
        .iter()
        .map(|request| Question { id: request.id, prompt: request.prompt.clone(), labels: labels.clone() })
        .collect()
}
