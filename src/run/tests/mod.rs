//! Stages and parts of them that need no model, called as functions on a journal that was written by hand.
//!
//! Stages that need one are called in `tests/it/stages.rs`.

mod export;
pub(super) mod manifest;
mod report;

use super::host::tests::Recorder;
use super::{RunConfig, RunDir, files};
use crate::llm::{FinishReason, Sampling};
use crate::store::{Answer, Generation, Node, Status, Store, node_id};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// Instructions of the seeds, so different that none repeats another.
const SEEDS: [&str; 8] = [
    "Name three rivers that cross the border of Poland.",
    "Explain why bread dough rises overnight in a cold kitchen.",
    "Write a short poem about an old lighthouse keeper.",
    "List the steps to change a bicycle tyre on the road.",
    "Translate the word for winter into five European languages.",
    "Describe how a violin maker chooses wood for the top plate.",
    "Give advice to somebody who moves abroad with two cats.",
    "Sum up the rules of chess for a child of seven years.",
];

/// Every third child is eliminated: those of seeds 0, 3 and 6.
const KEPT_CHILDREN: usize = 5;

/// A configuration with defaults.
pub(super) fn config(out: &Path) -> RunConfig {
    toml::from_str(&format!("model = '/m.gguf'\nout = '{}'\n", out.display())).unwrap()
}

pub(super) fn generation() -> Generation {
    Generation {
        prompt_hash: "ab".repeat(16),
        sampling: Sampling::default(),
        key: 7,
        prompt_tokens: 100,
        completion_tokens: 10,
        finish_reason: FinishReason::EndOfText,
    }
}

/// A journal of seeds that were answered, with a child each.
fn journal(dir: &Path) -> Store {
    let mut store = Store::create(dir).unwrap();
    let unit = store.begin().unwrap();
    for (root, text) in SEEDS.into_iter().enumerate() {
        let root_id = node_id(root, 0, 0);
        for round in [0, 1] {
            let (id, is_child) = (node_id(root, round, 0), round == 1);
            let is_eliminated = is_child && root.is_multiple_of(3);
            let node = Node {
                id,
                parent_id: is_child.then_some(root_id),
                root_id,
                round,
                attempt: 0,
                operator: is_child.then(|| "deepening".to_owned()),
                instruction: if is_child { format!("{text} Give a reason, too.") } else { text.to_owned() },
                input: String::new(),
                skill: None,
                difficulty: Some(4),
                generation: is_child.then(generation),
                status: if is_eliminated { Status::Eliminated } else { Status::Kept },
                reason: is_eliminated.then(|| "equal".to_owned()),
                constraints: if is_child { vec![json!({ "kind": "no_digits" })] } else { Vec::new() },
            };
            unit.insert_node(&node).unwrap();
            if !is_eliminated {
                let text = format!("Answer {root} of round {round}.");
                unit.insert_answer(id, &Answer { text, generation: generation(), sample: 0 }).unwrap();
            }
        }
    }
    unit.commit().unwrap();
    store
}

/// Every file in `folder` by name.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.file_name().unwrap().display().to_string(), std::fs::read(&path).unwrap()))
        .collect()
}
