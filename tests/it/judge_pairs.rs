//! Catches calibration pairs for the judge that are duplicated, unbalanced or badly labelled.
//!
//! All wording is this project's own.

use std::collections::{BTreeMap, HashSet};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    first: String,
    second: String,
    same: bool,
    kind: String,
}

const SAME: [&str; 4] = ["paraphrase", "typo", "whitespace", "filler"];
const DIFFERENT: [&str; 9] = [
    "added_constraint",
    "changed_number",
    "changed_entity",
    "new_topic",
    "deepened",
    "concretized",
    "negated",
    "dropped",
    "changed_input",
];

fn pairs(text: &str) -> Vec<Pair> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

#[test]
fn labels_are_balanced_and_no_text_comes_twice() {
    let pairs = pairs(include_str!("../../src/evolve/prompts/judge_pairs.jsonl"));
    assert!(pairs.len() >= 200, "{}", pairs.len());
    assert_eq!(2 * pairs.iter().filter(|pair| pair.same).count(), pairs.len());
    let mut texts = HashSet::new();
    let mut kinds = BTreeMap::new();
    for Pair { first, second, same, kind } in &pairs {
        let known: &[&str] = if *same { &SAME } else { &DIFFERENT };
        assert!(known.contains(&kind.as_str()), "{kind} as {same}: {first}");
        assert!(texts.insert(first) && texts.insert(second), "twice: {first} / {second}");
        *kinds.entry(kind.as_str()).or_insert(0) += 1;
    }
    assert_eq!(kinds.len(), SAME.len() + DIFFERENT.len(), "{kinds:?}");
    assert!(kinds.values().all(|&count| count >= 9), "{kinds:?}");
}

/// Who measures with few words or short texts that differ little sees nothing here: on average *same* pairs
/// share fewer words than *different* ones.
#[test]
fn labels_cannot_be_read_off_shared_words() {
    let pairs = pairs(include_str!("../../src/evolve/prompts/judge_pairs.jsonl"));
    let words = |text: &str| -> HashSet<String> {
        text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_lowercase).collect()
    };
    let overlap = |pair: &Pair| {
        let (a, b) = (words(&pair.first), words(&pair.second));
        a.intersection(&b).count() as f64 / a.union(&b).count() as f64
    };
    let mean = |same: bool| {
        let of: Vec<f64> = pairs.iter().filter(|pair| pair.same == same).map(overlap).collect();
        of.iter().sum::<f64>() / of.len() as f64
    };
    assert!(mean(true) < mean(false), "{} {}", mean(true), mean(false));
}
