//! Catches an export that loses, changes or misplaces rows on the way from a journal to training files and
//! back.

use evol::dataset::{
    Collection, Error, ExportOptions, Format, Mix, Record, TestItem, TestSet, export, read_examples,
    read_export, records, rejected,
};
use evol::llm::{FinishReason, Sampling};
use evol::store::{Answer, Generation, Node, Status, Store, node_id};
use serde_json::json;
use std::fs;
use std::path::Path;

fn generation() -> Generation {
    Generation {
        prompt_hash: "0".repeat(32),
        sampling: Sampling {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            ..Sampling::default()
        },
        key: 7,
        prompt_tokens: 10,
        completion_tokens: 5,
        finish_reason: FinishReason::EndOfText,
    }
}

/// A journal of `n` seeds, each kept, with a child each, of which every third was eliminated.
fn journal(dir: &Path, n: usize) -> Store {
    let mut store = Store::create(dir).expect("an empty folder takes a journal");
    let unit = store.begin().expect("a transaction starts");
    for root in 0..n {
        let root_id = node_id(root, 0, 0);
        for round in [0, 1] {
            let eliminated = round == 1 && root % 3 == 0;
            let id = node_id(root, round, 0);
            let child = round == 1;
            unit.insert_node(&Node {
                id,
                parent_id: child.then_some(root_id),
                root_id,
                round,
                attempt: 0,
                operator: child.then(|| "deepening".to_owned()),
                instruction: format!("Request {root}, round {round}."),
                input: String::new(),
                skill: Some("Art".to_owned()),
                difficulty: Some(4),
                generation: child.then(generation),
                status: if eliminated { Status::Eliminated } else { Status::Kept },
                reason: eliminated.then(|| "equal".to_owned()),
                constraints: if child { vec![json!({ "kind": "no_digits" })] } else { Vec::new() },
            })
            .expect("a new id");
            if !eliminated {
                unit.insert_answer(
                    id,
                    &Answer { text: format!("Reply {id}."), generation: generation(), sample: 0 },
                )
                .expect("the first answer");
            }
        }
    }
    unit.commit().expect("the rows are consistent");
    store
}

fn options(format: Format) -> ExportOptions {
    ExportOptions { format, validation_fraction: 0.2, seed: 5, mix: Mix::default() }
}

fn collection(records: &[Record]) -> Collection {
    Collection { records: records.to_vec(), ..Collection::default() }
}

#[test]
fn an_export_reads_back_with_its_lineage_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let store = journal(&dir.path().join("run"), 12);
    let mut kept = records(&store).unwrap();
    // Texts that are hard to tell apart again.
    kept[0].input = "line 1\n\nline 2".to_owned();
    kept[1].instruction = "Sort:\n\n3\n1".to_owned();
    (kept[2].instruction, kept[2].input) = ("Say \"a\"\n".to_owned(), "a".to_owned());
    kept[3].harder = Some(0.25);
    let gone = rejected(&store).unwrap();
    assert_eq!(gone.len(), 4);
    for format in Format::ALL {
        let out = dir.path().join(format.name());
        let all = Collection { rejected: gone.clone(), ..collection(&kept) };
        let exported = export(all, &options(format), &out).unwrap();
        let mut read = read_export(&out).unwrap();
        read.records.sort_by_key(|record| record.id);
        assert_eq!(read.records, kept, "{format:?}");
        assert_eq!(read.rejected, gone, "{format:?}");
        // Of one file, the other rows are there as parents.
        let read = read_export(&exported.train).unwrap();
        assert_eq!(read.records.len(), exported.train_records);
        assert_eq!(read.rejected.len(), exported.validation_records + gone.len());
        let card = fs::read_to_string(out.join("README.md")).unwrap();
        assert!(card.starts_with("---\n") && card.contains("| equal | 4 |"), "{card}");
    }
    fs::write(dir.path().join("other.jsonl"), "{\"instruction\": \"x\", \"output\": \"y\"}\n").unwrap();
    assert!(matches!(read_export(&dir.path().join("other.jsonl")), Err(Error::BadLines { .. })));
    assert!(matches!(read_export(&dir.path().join("run")), Err(Error::Io { .. })));
}

#[test]
fn what_repeats_a_test_goes_to_the_rejected_rows() {
    let dir = tempfile::tempdir().unwrap();
    let kept = records(&journal(&dir.path().join("run"), 12)).unwrap();
    let text = kept[4].instruction.clone();
    let item = TestItem { source: "test.jsonl".to_owned(), line: 9, text: text.clone() };
    let all = Collection { tests: TestSet::new(vec![item]), ..collection(&kept) };
    let exported = export(all, &options(Format::Alpaca), &dir.path().join("out")).unwrap();
    assert_eq!(exported.contaminated.iter().map(|c| (c.id, c.line)).collect::<Vec<_>>(), [(kept[4].id, 9)]);
    let read = read_export(&dir.path().join("out")).unwrap();
    assert!(read.records.iter().all(|record| record.instruction != text));
    assert_eq!(read.rejected.len(), 1);
    assert_eq!(
        (read.rejected[0].reason.as_str(), read.rejected[0].record.instruction.as_str()),
        ("contaminated", &*text)
    );
}

#[test]
fn a_journal_becomes_training_files_that_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = journal(&dir.path().join("run"), 30);
    let kept = records(&store).unwrap();
    assert_eq!(kept.len(), 50, "30 seeds and 20 children");
    let mut by_format = Vec::new();
    for format in Format::ALL {
        let exported = export(collection(&kept), &options(format), &dir.path().join(format.name())).unwrap();
        let validation = exported.validation.expect("30 roots at 0.2 hold something out");
        let (train, validation) =
            (read_examples(&exported.train).unwrap(), read_examples(&validation).unwrap());
        assert_eq!(train.examples.len(), exported.train_records);
        assert_eq!(train.examples.len() + validation.examples.len(), 50);
        assert_eq!(train.lines, (1..=train.examples.len()).collect::<Vec<_>>());
        by_format.push((train.examples, validation.examples));
    }
    assert!(by_format.iter().all(|other| *other == by_format[0]), "the formats hold different conversations");
    let mut replies: Vec<&str> =
        by_format[0].0.iter().chain(&by_format[0].1).map(|e| e.messages[1].content.as_str()).collect();
    let mut expected: Vec<String> = kept.iter().map(|record| record.output.clone()).collect();
    replies.sort_unstable();
    expected.sort_unstable();
    assert_eq!(replies, expected);
}

#[test]
fn exporting_again_replaces_its_own_files_and_forgets_the_past() {
    let dir = tempfile::tempdir().unwrap();
    let kept = records(&journal(&dir.path().join("run"), 12)).unwrap();
    let out = dir.path().join("out");
    export(collection(&kept), &options(Format::Alpaca), &out).unwrap();
    export(collection(&kept), &options(Format::Messages), &out).unwrap();
    let fresh = dir.path().join("fresh");
    export(collection(&kept), &options(Format::Messages), &fresh).unwrap();
    for name in ["train.jsonl", "validation.jsonl", "export.json"] {
        assert_eq!(fs::read(out.join(name)).unwrap(), fs::read(fresh.join(name)).unwrap(), "{name}");
    }
    let none_held_out = ExportOptions { validation_fraction: 0.0, ..options(Format::Messages) };
    assert_eq!(export(collection(&kept), &none_held_out, &out).unwrap().validation, None);
    assert!(!out.join("validation.jsonl").exists(), "a stale validation file holds training rows now");
}

#[test]
fn files_of_others_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let kept = records(&journal(&dir.path().join("run"), 12)).unwrap();
    let out = dir.path().join("out");
    export(collection(&kept), &options(Format::Alpaca), &out).unwrap();
    for name in ["validation.jsonl", "train.jsonl", "export.json"] {
        let before = fs::read(out.join(name)).unwrap();
        fs::write(out.join(name), b"mine\n").unwrap();
        let error = export(collection(&kept), &options(Format::Messages), &out).unwrap_err();
        assert!(matches!(&error, Error::NotOurs { path } if path.ends_with(name)), "{name}: {error:?}");
        assert_eq!(fs::read(out.join(name)).unwrap(), b"mine\n");
        fs::write(out.join(name), before).unwrap();
    }
    export(collection(&kept), &options(Format::Messages), &out).unwrap();
}

/// The state after a kill between the list of hashes and the last file: new hashes, old and new files mixed.
#[test]
fn an_interrupted_export_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let kept = records(&journal(&dir.path().join("run"), 12)).unwrap();
    let (out, fresh) = (dir.path().join("out"), dir.path().join("fresh"));
    export(collection(&kept), &options(Format::Alpaca), &out).unwrap();
    export(collection(&kept), &options(Format::Messages), &fresh).unwrap();
    let read = |folder: &Path| -> serde_json::Value {
        serde_json::from_slice(&fs::read(folder.join("export.json")).unwrap()).unwrap()
    };
    let old: Vec<serde_json::Value> =
        read(&out)["files"].as_array().unwrap().iter().map(|file| file["blake3"].clone()).collect();
    let mut between = read(&fresh);
    between["replacing"] = old.into();
    fs::write(out.join("export.json"), between.to_string()).unwrap();
    fs::copy(fresh.join("train.jsonl"), out.join("train.jsonl")).unwrap();
    export(collection(&kept), &options(Format::Messages), &out).unwrap();
    for name in ["train.jsonl", "validation.jsonl", "export.json"] {
        assert_eq!(fs::read(out.join(name)).unwrap(), fs::read(fresh.join(name)).unwrap(), "{name}");
    }
}
