//! Speed of the generation engine outside llama.cpp: drawing a token, planning a list of prompts by their
//! prefixes, finding near duplicates, committing a chunk to the journal. Each is to be small beside the
//! milliseconds that a decoded row takes.
//!
//! `cargo bench --profile release --bench engine`

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use evol::dataset::MinHashIndex;
use evol::llm::{FinishReason, Prompt, Request, Restriction, Sampler, Sampling, work_order};
use evol::store::{Answer, Generation, Node, Status, Store, Verdict, node_id};
use std::hint::black_box;
use std::time::Duration;

/// The vocabulary of the default model.
const VOCABULARY: usize = 49_152;
/// Generations of a chunk, evolve's default.
const CHUNK: usize = 64;

/// Logits with a few likely tokens and a long tail, as a model's are.
fn logits() -> Vec<f32> {
    (0..VOCABULARY)
        .map(|i| {
            let noise = ((i * 7919) % 2003) as f32 / 200.0;
            if i % 997 == 0 { noise + 8.0 } else { noise }
        })
        .collect()
}

fn request(sampling: Sampling) -> Request {
    Request {
        id: 1,
        prompt: Prompt { parts: Vec::new(), shared: 0 },
        sampling,
        stop: Vec::new(),
        max_tokens: 256,
        key: 1,
        sample: 0,
        restriction: Restriction::None,
    }
}

fn sampling(c: &mut Criterion) {
    let logits = logits();
    let generated: Vec<u32> = (0..128).map(|i| i * 311 % VOCABULARY as u32).collect();
    let plain = Sampling::default();
    let evolve = Sampling { temperature: 0.7, top_p: 0.95, min_p: 0.05, ..Sampling::default() };
    let answer = Sampling { temperature: 0.3, repetition_penalty: 1.1, ..evolve.clone() };
    let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
    let top_k = Sampling { top_k: 40, ..evolve.clone() };
    let mut group = c.benchmark_group(format!("sampling/{VOCABULARY} tokens"));
    group.throughput(Throughput::Elements(1));
    for (name, sampling) in
        [("greedy", greedy), ("plain", plain), ("evolve", evolve), ("answer", answer), ("top_k 40", top_k)]
    {
        let (request, mut sampler, mut position) = (request(sampling), Sampler::default(), 0);
        group.bench_function(name, |b| {
            b.iter(|| {
                position += 1;
                sampler.draw(black_box(&logits), &request, &generated, 7, position)
            });
        });
    }
}

/// Prompts of 200 tokens: `groups` shared prefixes of 160, then each its own, shuffled over the groups.
fn prompts(count: usize, groups: usize) -> Vec<Vec<u32>> {
    let prompt = |index: usize| {
        let group = (index % groups) as u32;
        let prefix = (0..160).map(move |i| group * 1000 + i);
        let rest = (0..40).map(move |i| (index as u32).wrapping_mul(2_654_435_761).rotate_left(i) % 49_152);
        prefix.chain(rest).collect()
    };
    (0..count).map(prompt).collect()
}

fn planning(c: &mut Criterion) {
    let mut group = c.benchmark_group("prefix planning/prompts of 200 tokens");
    for (count, groups) in [(512, 1), (512, 32), (10_000, 7)] {
        let prompts = prompts(count, groups);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("{count} prompts, {groups} prefixes"), |b| {
            b.iter_batched(
                || prompts.clone(),
                |prompts| black_box(work_order(prompts)),
                BatchSize::LargeInput,
            );
        });
    }
}

/// Finding near duplicates: every text is looked for and then added, as an export does; a tenth of them are
/// near copies.
fn near_duplicates(c: &mut Criterion) {
    let mut group = c.benchmark_group("near duplicates/texts of 30 words");
    group.sample_size(10);
    let text = |index: usize| {
        let original = if index % 10 == 9 { index - 1 } else { index };
        let words =
            (0..30).map(|at| format!("w{:x}", (original * 31 + at).wrapping_mul(2_654_435_761) % 50_000));
        let mut words: Vec<String> = words.collect();
        words[7] = format!("x{index}");
        words.join(" ")
    };
    for count in [10_000, 100_000] {
        let texts: Vec<String> = (0..count).map(text).collect();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("{count} texts"), |b| {
            b.iter(|| {
                let mut index = MinHashIndex::default();
                for (owner, text) in texts.iter().enumerate() {
                    black_box(index.find(text, owner as u64));
                    index.add(text, owner as u64);
                }
            });
        });
    }
}

fn generation() -> Generation {
    Generation {
        prompt_hash: "0123456789abcdef".repeat(2),
        sampling: Sampling::default(),
        key: 1,
        prompt_tokens: 200,
        completion_tokens: 60,
        finish_reason: FinishReason::EndOfText,
    }
}

/// Writes the answers of a chunk of seeds, as a stage of evolve does: node, verdicts, answer, status.
fn commit_chunk(store: &mut Store, first: usize) {
    let written = store.begin().and_then(|unit| {
        for index in first..first + CHUNK {
            let id = node_id(index, 0, 0);
            unit.insert_node(&Node {
                id,
                parent_id: None,
                root_id: id,
                round: 0,
                attempt: 0,
                operator: None,
                instruction: "Describe how a lighthouse works, in three sentences. ".repeat(3),
                input: String::new(),
                skill: None,
                difficulty: None,
                generation: Some(generation()),
                status: Status::Evolved,
                reason: None,
                constraints: Vec::new(),
            })?;
            for rule in ["answer_prompt_too_long", "answer_truncated", "answer_garbled", "refused"] {
                let detail = serde_json::Value::Null;
                unit.insert_verdict(id, &Verdict { rule: rule.to_owned(), passed: true, detail })?;
            }
            let text = "A lighthouse shows ships where the coast is. ".repeat(6);
            unit.insert_answer(id, &Answer { text, generation: generation(), sample: 0 })?;
            unit.set_status(id, Status::Kept, None)?;
        }
        unit.commit()
    });
    written.expect("a journal in a temporary directory takes rows");
}

fn store(c: &mut Criterion) {
    // In the build folder, which is on a disk where the folder for temporary files may not be.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build folder is writable");
    let mut store = Store::create(folder.path()).expect("the folder is empty");
    let mut next = 0;
    let mut group = c.benchmark_group("store");
    group.throughput(Throughput::Elements(CHUNK as u64));
    group.bench_function(format!("commit a chunk of {CHUNK} answered instructions"), |b| {
        b.iter(|| {
            commit_chunk(&mut store, next);
            next += CHUNK;
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = sampling, planning, near_duplicates, store
}
criterion_main!(benches);
