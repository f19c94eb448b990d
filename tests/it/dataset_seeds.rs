//! Catches built-in seeds that are too few, repeated, or bunched in few skills and difficulties.

use evol::dataset::{Seed, builtin_seeds};
use std::collections::{BTreeMap, HashSet};

/// The skills of the `WizardLM` test set.
const SKILLS: [&str; 29] = [
    "Academic Writing",
    "Art",
    "Biology",
    "Chemistry",
    "Code Debug",
    "Code Generation",
    "Common-Sense",
    "Complex Format",
    "Computer Science",
    "Counterfactual",
    "Economy",
    "Entertainment",
    "Ethics",
    "History",
    "Law",
    "Literature",
    "Math",
    "Medicine",
    "Multilingual",
    "Music",
    "Philosophy",
    "Physics",
    "Reasoning",
    "Roleplay",
    "Sport",
    "Technology",
    "Toxicity",
    "TruthfulQA",
    "Writing",
];

fn count_by<'a, K: Ord>(seeds: &'a [Seed], key: impl Fn(&'a Seed) -> K) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    for seed in seeds {
        *counts.entry(key(seed)).or_default() += 1;
    }
    counts
}

fn difficulty(seed: &Seed) -> u8 {
    seed.difficulty.expect("every built-in seed is graded")
}

#[test]
fn every_skill_has_nine_seeds_at_nine_difficulties() {
    let seeds = builtin_seeds();
    let skills = count_by(&seeds, |seed| seed.skill.as_deref().expect("every built-in seed has a skill"));
    assert_eq!(skills, SKILLS.map(|skill| (skill, 9)).into());
    let cells = count_by(&seeds, |seed| (seed.skill.as_deref(), difficulty(seed)));
    let doubled: Vec<_> = cells.iter().filter(|&(_, &count)| count > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
}

/// 261 seeds over ten levels: 26 each, and one left over.
#[test]
fn difficulties_are_spread_evenly() {
    let levels = count_by(&builtin_seeds(), difficulty);
    assert!(levels.keys().copied().eq(1..=10), "{levels:?}");
    assert!(levels.values().all(|count| (26..=27).contains(count)), "{levels:?}");
}

/// Prompts for small models have little room: an instruction is a sentence or three, and an input a
/// paragraph. One in eight or more has an input, so that operators meet them.
#[test]
fn instructions_and_inputs_are_short() {
    let seeds = builtin_seeds();
    for seed in &seeds {
        let words = seed.instruction.split_whitespace().count();
        assert!((6..=40).contains(&words), "{words} words: {}", seed.instruction);
        assert!(seed.input.chars().count() <= 500, "{}", seed.input);
        assert_eq!(seed.instruction.trim(), seed.instruction);
        let end = seed.instruction.chars().next_back();
        assert!(matches!(end, Some('.' | '?' | '"')), "ends in {end:?}: {}", seed.instruction);
    }
    let with_input = seeds.iter().filter(|seed| !seed.input.is_empty()).count();
    assert!(with_input * 8 >= seeds.len(), "{with_input} of {}", seeds.len());
}

/// Word 5-grams of different instructions overlap by less than a half (Jaccard), and no four opening words
/// start more than 3 % of them, as they would if a template had been filled.
#[test]
fn no_two_are_alike() {
    let seeds = builtin_seeds();
    let words = |seed: &Seed| -> Vec<String> {
        seed.instruction
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect()
    };
    let words: Vec<Vec<String>> = seeds.iter().map(words).collect();
    let grams: Vec<HashSet<&[String]>> = words.iter().map(|words| words.windows(5).collect()).collect();
    for (i, a) in grams.iter().enumerate() {
        assert!(!a.is_empty(), "fewer than five words: {}", seeds[i].instruction);
        for (j, b) in grams.iter().enumerate().skip(i + 1) {
            let shared = a.intersection(b).count();
            let jaccard = shared as f64 / (a.len() + b.len() - shared) as f64;
            assert!(jaccard < 0.5, "{jaccard}: {} / {}", seeds[i].instruction, seeds[j].instruction);
        }
    }
    let mut openings: BTreeMap<&[String], usize> = BTreeMap::new();
    for words in &words {
        *openings.entry(&words[..4]).or_default() += 1;
    }
    let commonest = openings.iter().max_by_key(|&(_, &count)| count).expect("there are seeds");
    assert!(commonest.1 * 100 <= seeds.len() * 3, "{commonest:?}");
}
