//! Joining shards: rows per second and memory, on synthetic journals.
//!
//! Run with `cargo bench --profile release --bench merge -- [rows=10000000] [shards=64] [folder=DIR]`. Writes
//! that many instructions (a seed and four rounds to a lineage, three of five answered, one of five with a
//! verdict) to as many journals, then merges them. Prints one JSON object. Needs about 1.7 GB of disk for a
//! million rows, in `folder` or the build folder.
//!
//! **Invariant:** the journals are a function of the keys.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring program: it prints, and stops on bad input"
)]

use evol::evolve::Shard;
use evol::llm::{FinishReason, Sampling};
use evol::store::{self, Answer, Generation, Heading, Node, Status, Store, Unit, Verdict, node_id};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Rounds after the seeds, an attempt each.
const ROUNDS: u32 = 4;
/// Lineages that are written together.
const UNIT: usize = 5_000;

fn main() {
    let pairs: Vec<(String, String)> = std::env::args()
        .filter_map(|argument| {
            argument.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()))
        })
        .collect();
    let text = |key: &str| pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let number = |key: &str, default: usize| text(key).map_or(default, |value| value.parse().unwrap());
    let (rows, shards) = (number("rows", 10_000_000), number("shards", 64));
    let folder = tempfile::tempdir_in(text("folder").unwrap_or(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let roots = rows.div_ceil(ROUNDS as usize + 1);
    let parts: Vec<PathBuf> = (1..=shards).map(|index| folder.path().join(index.to_string())).collect();
    let started = Instant::now();
    for (at, dir) in parts.iter().enumerate() {
        write_shard(dir, Shard::new(at as u32 + 1, shards as u32).unwrap(), roots);
    }
    let written = started.elapsed().as_secs_f64();
    let peak_before = peak_resident_bytes();
    let started = Instant::now();
    let out = folder.path().join("merged");
    let merged = store::merge(&out, &parts, &Heading::default(), &mut |_| ()).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let all = merged.nodes + merged.answers + merged.verdicts;
    println!(
        "{}",
        serde_json::json!({
            "shards": shards, "merged": merged, "rows": all, "seconds": seconds,
            "rows_per_second": all as f64 / seconds,
            "instructions_per_second": merged.nodes as f64 / seconds,
            "bytes": std::fs::metadata(out.join(store::FILE_NAME)).unwrap().len(),
            "seconds_to_write_the_shards": written,
            "peak_resident_bytes_before": peak_before, "peak_resident_bytes": peak_resident_bytes(),
        })
    );
}

fn write_shard(dir: &Path, shard: Shard, roots: usize) {
    let mut store = Store::create(dir).unwrap();
    let own: Vec<usize> = (0..roots).filter(|&root| shard.has(root)).collect();
    for roots in own.chunks(UNIT) {
        let unit = store.begin().unwrap();
        for &root in roots {
            write_lineage(&unit, root);
        }
        unit.commit().unwrap();
    }
}

fn write_lineage(unit: &Unit<'_>, root: usize) {
    for round in 0..=ROUNDS {
        let id = node_id(root, round, 0);
        let status = if round < 3 { Status::Kept } else { Status::Eliminated };
        unit.insert_node(&Node {
            id,
            parent_id: (round > 0).then(|| node_id(root, round - 1, 0)),
            root_id: node_id(root, 0, 0),
            round,
            attempt: 0,
            operator: (round > 0).then(|| "deepening".to_owned()),
            instruction: format!("Describe how lighthouse number {root} works, in {round} sentences. ")
                .repeat(3),
            input: String::new(),
            skill: Some("Science".to_owned()),
            difficulty: None,
            generation: (round > 0).then(|| generation(id)),
            status,
            reason: (status == Status::Eliminated).then(|| "not_new".to_owned()),
            constraints: Vec::new(),
        })
        .unwrap();
        if status == Status::Kept {
            let text = "A lighthouse shows ships where the coast is. ".repeat(12);
            unit.insert_answer(id, &Answer { text, generation: generation(id), sample: 0 }).unwrap();
        } else if round == 3 {
            let detail = serde_json::json!({ "words": 9 });
            unit.insert_verdict(id, &Verdict { rule: "not_new".to_owned(), passed: false, detail }).unwrap();
        }
    }
}

fn generation(key: u64) -> Generation {
    Generation {
        prompt_hash: "0123456789abcdef".repeat(2),
        sampling: Sampling::default(),
        key,
        prompt_tokens: 200,
        completion_tokens: 60,
        finish_reason: FinishReason::EndOfText,
    }
}

/// The most memory that this process had; 0 where the system does not say.
fn peak_resident_bytes() -> u64 {
    evol::process::peak_bytes().unwrap_or(0)
}
