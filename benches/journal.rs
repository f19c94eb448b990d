//! The load `journal` of `load`: a whole evolution of many seeds with a scripted generator, which takes no
//! time, so that what is left is the cost of the journal and of the rules.
//!
//! **Invariant:** the rows are a function of the keys.

use crate::{Keys, resident_bytes, words};
use evol::dataset::Seed;
use evol::evolve::{self, Chunk, Event, EvolveConfig, JudgeConfig, Profile, Roots};
use evol::identity::Identity;
use evol::llm::{
    Answer, Completion, Error, FinishReason, Generate, Message, Part, Prompt, Question, Request,
};
use evol::store::{self, Store};
use std::time::Instant;

/// Words of a seed, and of a generated text.
const SEED_WORDS: usize = 20;
const TEXT_WORDS: usize = 100;
/// Of so many generations one is empty, so that attempts fail.
const ONE_FAILS_OF: u64 = 4;

/// A generator whose completions and scores depend on the request alone.
struct Scripted;

/// A number without pattern for each `key`.
fn mixed(key: u64) -> u64 {
    let mixed = (key ^ (key >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 11
}

impl Generate for Scripted {
    fn chat_prompt(&self, messages: &[Message], shared_messages: usize) -> Option<Result<Prompt, Error>> {
        let part = |message: &Message| Part { text: message.content.clone(), special: false };
        Some(Ok(Prompt { parts: messages.iter().map(part).collect(), shared: shared_messages }))
    }

    fn text_tokens(&self, text: &str) -> Result<usize, Error> {
        Ok(text.len() / 4)
    }

    fn context_tokens(&self) -> usize {
        2048
    }

    fn generate(&mut self, requests: &[Request]) -> Result<Vec<Completion>, Error> {
        let complete = |request: &Request| {
            let drawn = mixed(request.key.wrapping_add(u64::from(request.sample)));
            let fails = drawn.is_multiple_of(ONE_FAILS_OF);
            let text = if fails { String::new() } else { words(drawn, TEXT_WORDS) };
            let (prompt_tokens, completion_tokens) = (500, TEXT_WORDS);
            let finish_reason = FinishReason::Stop;
            Completion { id: request.id, text, prompt_tokens, completion_tokens, finish_reason }
        };
        Ok(requests.iter().map(complete).collect())
    }

    fn score(&mut self, questions: &[Question]) -> Result<Vec<Answer>, Error> {
        let answer = |question: &Question| {
            let text: usize = question.prompt.parts.iter().map(|part| part.text.len()).sum();
            let weight = |at: usize| 1.0 + (mixed(text as u64 + 97 * at as u64) % 1000) as f64;
            let weights: Vec<f64> = (0..question.labels.len()).map(weight).collect();
            let total: f64 = weights.iter().sum();
            let log_probs = Some(weights.iter().map(|weight| (weight / total).ln()).collect());
            Answer { id: question.id, log_probs }
        };
        Ok(questions.iter().map(answer).collect())
    }
}

/// What a round took.
#[derive(Default, serde::Serialize)]
struct RoundCost {
    seconds: f64,
    /// Largest resident memory of the process during the round, where it can be measured by round.
    peak_resident_bytes: Option<u64>,
}

/// Starts a new measurement of the peak that `resident_bytes("VmHWM:")` reads.
fn reset_peak() {
    // Where there is no such file, every round has the peak of the process so far.
    drop(std::fs::write("/proc/self/clear_refs", "5"));
}

pub(crate) fn run(keys: &Keys) {
    let count = keys.number("seeds", 1000);
    let seed = |index: usize| Seed {
        instruction: format!("Say {index}{}", words(index as u64, SEED_WORDS)),
        input: String::new(),
        skill: None,
        difficulty: None,
    };
    let seeds: Vec<Seed> = (0..count).map(seed).collect();
    let config = EvolveConfig {
        profile: Profile::Wizardlm,
        rounds: Some(keys.number("rounds", 4) as u32),
        attempts: Some(keys.number("attempts", 2) as u32),
        chunk_size: keys.number("chunk", 64),
        min_yield: 0.0,
        max_errors: 1.0,
        // A judge that is always trusted, so that children are judged and rated.
        judge: JudgeConfig { min_auc: 0.0, ..JudgeConfig::default() },
        ..EvolveConfig::default()
    };
    let folder = tempfile::tempdir_in(keys.text("folder", env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let mut store = Store::create(folder.path()).unwrap();
    let model = evolve::Model {
        generate: &mut Scripted,
        sha256: String::new(),
        recipe: Identity::default(),
        n_params: None,
        judge: None,
    };
    let mut rounds: Vec<RoundCost> = vec![RoundCost::default()];
    reset_peak();
    let started = Instant::now();
    let mut round_started = started;
    let mut note = |event: &Event| {
        let Event::Chunk(Chunk { round, .. }) = event else { return };
        if rounds.len() <= *round as usize {
            rounds.push(RoundCost::default());
            round_started = Instant::now();
            reset_peak();
        }
        let peak_resident_bytes = resident_bytes("VmHWM:");
        let seconds = round_started.elapsed().as_secs_f64();
        rounds[*round as usize] = RoundCost { seconds, peak_resident_bytes };
    };
    let (summary, times) =
        evolve::run_timed(model, &mut store, Roots::all(&seeds), &config, &mut note).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let attempts = summary.attempts;
    println!(
        "{}",
        serde_json::json!({
            "load": "journal", "keys": keys.0,
            "seeds": summary.seeds, "attempts": attempts, "kept": summary.kept,
            "seconds": seconds, "store_seconds_per_attempt": times.store.as_secs_f64() / attempts as f64,
            "filter_seconds_per_attempt": times.filters.as_secs_f64() / attempts as f64,
            "journal_bytes": std::fs::metadata(folder.path().join(store::FILE_NAME)).unwrap().len(),
            "rounds": rounds,
        })
    );
}
