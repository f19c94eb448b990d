//! Tests of the built-in suite and of the readers of other formats.

use crate::dataset::{self, Record, TestItem, TestSet};
use crate::eval::{BUILTIN, Error, Suite, Task, checks};
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn the_built_in_suite_has_every_skill_at_every_difficulty() {
    let suite = Suite::builtin();
    let mut cells: BTreeMap<(&str, u8), usize> = BTreeMap::new();
    for item in &suite.items {
        *cells.entry((item.skill.as_deref().unwrap(), item.difficulty.unwrap())).or_default() += 1;
    }
    let skills: BTreeSet<&str> = cells.keys().map(|(skill, _)| *skill).collect();
    assert_eq!((suite.items.len(), skills.len(), cells.len()), (290, 29, 290));
    let of_seeds: BTreeSet<String> =
        dataset::builtin_seeds().into_iter().filter_map(|seed| seed.skill).collect();
    assert_eq!(skills, of_seeds.iter().map(String::as_str).collect::<BTreeSet<_>>());
    let count = |wanted: fn(&Task) -> bool| suite.items.iter().filter(|item| wanted(&item.task)).count();
    assert_eq!(count(|task| matches!(task, Task::Constraints(_))), 174);
    assert!(count(|task| matches!(task, Task::Exact(_))) >= 30);
    // Each band of difficulty has the same number of items with constraints, except one.
    let band = |difficulty: u8| {
        let of_band = suite.items.iter().filter(|item| item.difficulty == Some(difficulty));
        of_band.filter(|item| matches!(item.task, Task::Constraints(_))).count()
    };
    assert!((1..=10).all(|difficulty| (17..=18).contains(&band(difficulty))));
}

/// Training and test data must not overlap.
#[test]
fn the_suite_and_the_seeds_do_not_overlap() {
    let suite = Suite::builtin();
    let record = |text: &str| Record { instruction: text.to_owned(), ..Record::empty(1) };
    let set = |texts: Vec<String>| {
        let item = |(line, text)| TestItem { source: "x".to_owned(), line, text };
        TestSet::new(texts.into_iter().enumerate().map(item).collect())
    };
    let asked: Vec<String> = suite.items.iter().map(|item| item.instruction.clone()).collect();
    let seeds: Vec<String> = dataset::builtin_seeds()
        .iter()
        .map(|seed| dataset::user_turn(&seed.instruction, &seed.input))
        .collect();
    let (of_asked, of_seeds) = (set(asked.clone()), set(seeds.clone()));
    for seed in &seeds {
        assert_eq!(of_asked.find(&record(seed)), None, "{seed}");
    }
    for item in &asked {
        assert_eq!(of_seeds.find(&record(item)), None, "{item}");
    }
    let mut near = dataset::MinHashIndex::default();
    for seed in &seeds {
        near.add(seed, 1);
    }
    for item in &asked {
        assert_eq!(near.find(item, 2), None, "{item}");
    }
}

/// Constraints that no response can meet would lower every score by the same amount.
#[test]
fn a_reference_response_meets_the_constraints_of_nearly_every_item() {
    let suite = Suite::builtin();
    let mut met = 0;
    for line in include_str!("../responses.jsonl").lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let (number, response) = (row["line"].as_u64().unwrap() as usize, row["response"].as_str().unwrap());
        let item = &suite.items[number - 1];
        let failed: Vec<_> = checks(&item.task, response).into_iter().filter(|check| !check.strict).collect();
        assert!(failed.is_empty(), "line {number}: {failed:?}\n{}\n{response}", item.instruction);
        met += 1;
    }
    assert!(met >= 170, "{met} of 174 items with constraints");
}

fn read(line: &str) -> Result<Suite, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("suite.jsonl");
    std::fs::write(&path, line).unwrap();
    Suite::read(&path)
}

#[test]
fn other_suites_are_read_in_their_own_formats() {
    let one = |line: &str| read(line).unwrap().items.remove(0);
    let wizardlm = one(r#"{"idx": 1, "Skill": "Math", "Difficulty": 3, "Instruction": "Add 2 and 2."}"#);
    assert_eq!((wizardlm.skill.as_deref(), wizardlm.difficulty), (Some("Math"), Some(3)));
    assert!(matches!(wizardlm.task, Task::Open));
    let ifeval = one(concat!(
        r#"{"key": 1, "prompt": "Say it without commas.", "#,
        r#""instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}"#,
    ));
    assert!(matches!(&ifeval.task, Task::Ifeval(list) if list.len() == 1));
    assert!(
        checks(&ifeval.task, "No, never")[0].strict.eq(&false) && checks(&ifeval.task, "Never")[0].strict
    );
    let gsm8k = one(r#"{"question": "How many?", "answer": "Two and two.\n#### 1,004"}"#);
    assert!(matches!(&gsm8k.task, Task::Exact(answer) if answer == "1,004"));
    let mmlu = one(r#"{"question": "Which?", "choices": ["a", "b"], "answer": 1, "subject": "law"}"#);
    assert!(matches!(&mmlu.task, Task::Choice { right: 1, .. }) && mmlu.skill.as_deref() == Some("law"));
    let arc = one(
        r#"{"question": "Which?", "choices": {"text": ["a", "b"], "label": ["1", "2"]}, "answerKey": "2"}"#,
    );
    assert!(matches!(&arc.task, Task::Choice { right: 1, choices } if choices.len() == 2));
    let letter = one(r#"{"question": "Which?", "choices": ["a", "b"], "answer": "A"}"#);
    assert!(matches!(&letter.task, Task::Choice { right: 0, .. }));
}

#[test]
fn a_line_that_cannot_be_used_is_named_with_its_field() {
    let good = r#"{"instruction": "Good."}"#;
    for (line, expected) in [
        ("{", "is not a JSON object"),
        ("[]", "is not a JSON object"),
        ("{}", "has nothing as `instruction`"),
        (r#"{"instruction": " "}"#, "has a blank text as `instruction`"),
        (
            r#"{"instruction": "x", "difficulty": 11}"#,
            "has 11 as `difficulty`, expected a whole number from 1 to 10",
        ),
        (r#"{"instruction": "x", "skill": 1}"#, "has a number as `skill`"),
        (
            r#"{"instruction": "x", "constraints": [{"kind": "word_count"}]}"#,
            "has an invalid entry 1 in `constraints`",
        ),
        (r#"{"instruction": "x", "constraints": [{"kind": "json"}], "answer": "1"}"#, "has both"),
        (r#"{"prompt": "x", "instruction_id_list": ["no:such"], "kwargs": [{}]}"#, "no:such"),
        (
            r#"{"prompt": "x", "instruction_id_list": ["punctuation:no_comma"], "kwargs": []}"#,
            "has 1 instructions and 0",
        ),
        (r#"{"question": "x"}"#, "has nothing as `answer`"),
        (r#"{"question": "x", "answer": "Two. #### "}"#, "nothing after"),
        (r#"{"question": "x", "choices": ["a"], "answer": 1}"#, "the right one of 1 choices"),
        (r#"{"question": "x", "choices": [], "answer": 0}"#, "the right one of 0 choices"),
        (r#"{"question": "x", "choices": [1], "answer": 0}"#, "has a number among `choices`"),
    ] {
        let message = read(&format!("{good}\n\n{line}\n")).unwrap_err().to_string();
        assert!(message.starts_with("line 3 of the suite") && message.contains(expected), "{message}");
    }
    assert!(matches!(read("\n"), Err(Error::NoItems { .. })));
    assert!(BUILTIN.ends_with('\n'));
}
