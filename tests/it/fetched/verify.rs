//! Catches `evol verify` overlooking a row that was changed by hand, or rejecting an honest run.

use super::runs::QuickRun;
use crate::evol;
use serde_json::Value;
use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// A copy of the undisturbed run, so that the journal can be changed and no other test has it open.
fn copied_run() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["run.db", "manifest.json"] {
        fs::copy(QuickRun::undisturbed().run.dir().join(name), copy.path().join(name)).unwrap();
    }
    copy
}

/// Exit code, stdout and stderr.
fn verify(run: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let output = evol().arg("verify").arg(run).args(more).output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code(), stdout, stderr)
}

/// The figures of a verification that was printed with `--json`.
fn figures(run: &Path, code: i32, more: &[&str]) -> Value {
    let (found, stdout, stderr) = verify(run, &[more, &["--json"]].concat());
    assert_eq!(found, Some(code), "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// (generations, bytes of their texts) in the journal of the undisturbed run.
fn recorded() -> (usize, usize) {
    let histories = &QuickRun::undisturbed().histories;
    let evolved = histories.iter().filter(|history| history.node.generation.is_some());
    let texts = evolved.map(|history| history.node.instruction.len() + history.node.input.len());
    let answers =
        histories.iter().filter_map(|history| history.answer.as_ref()).map(|answer| answer.text.len());
    let lengths: Vec<usize> = texts.chain(answers).collect();
    (lengths.len(), lengths.iter().sum())
}

#[test]
fn a_run_that_nobody_changed_is_equal_at_any_number_of_threads() {
    let run = copied_run();
    let before = fs::read(run.path().join("manifest.json")).unwrap();
    let (generations, bytes) = recorded();
    assert!(generations > 20 && bytes > 500);
    for threads in ["1", "2"] {
        let all = figures(run.path(), 0, &["--all", "--threads", threads]);
        assert_eq!((&all["determinism"], &all["elsewhere"]), (&"exact".into(), &Value::Array(Vec::new())));
        let found = &all["verification"];
        assert_eq!((&found["generations"], &found["compared"]), (&generations.into(), &generations.into()));
        assert_eq!((&found["bytes"], &found["differing"]), (&bytes.into(), &0.into()));
    }
    assert!(fs::read(run.path().join("manifest.json")).unwrap() == before);
}

#[test]
fn a_sample_of_two_nodes_compares_only_those() {
    let run = copied_run();
    let (generations, _) = recorded();
    let found = figures(run.path(), 0, &["--sample", "2"]);
    let compared = found["verification"]["compared"].as_u64().unwrap();
    // An instruction and an answer at most of each.
    assert!((2..=4).contains(&compared), "{found}");
    assert_eq!(found["verification"]["generations"], generations);
    let (code, stdout, stderr) = verify(run.path(), &["--sample", "2"]);
    assert_eq!(code, Some(0), "{stderr}");
    let expected = format!("replayed {compared} of {generations} generations (exact, ");
    assert!(stdout.starts_with(&expected) && stdout.ends_with("all equal\n"), "{stdout}");
}

#[test]
fn one_changed_byte_of_one_answer_is_named() {
    let run = copied_run();
    let histories = &QuickRun::undisturbed().histories;
    let answered = histories.iter().filter_map(|history| Some((history.node.id, history.answer.as_ref()?)));
    let (id, answer) = answered.max_by_key(|(_, answer)| answer.text.len()).unwrap();
    let at = (0..answer.text.len() - 1).rev().find(|&at| answer.text[at..].starts_with(char::is_alphabetic));
    let at = at.unwrap();
    let width = answer.text[at..].chars().next().unwrap().len_utf8();
    let changed = format!("{}#{}", &answer.text[..at], &answer.text[at + width..]);
    let journal = rusqlite::Connection::open(run.path().join("run.db")).unwrap();
    let rows = journal.execute("UPDATE answers SET text = ?1 WHERE node_id = ?2", (&changed, id as i64));
    assert_eq!(rows.unwrap(), 1);
    journal.close().unwrap();

    let (code, stdout, stderr) = verify(run.path(), &["--all"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        stdout.contains(&format!("\nnode {id}, stage answer: answer differs from byte {at}\n")),
        "{stdout}"
    );
    assert!(stderr.contains("replayed generations differ from the journal"), "{stderr}");
    let found = figures(run.path(), 1, &["--all"]);
    let differences = found["verification"]["differences"].as_array().unwrap();
    // No other request contains this answer: children are derived from instructions.
    assert_eq!(
        differences.iter().map(|d| d["node_id"].as_u64().unwrap()).collect::<HashSet<_>>(),
        HashSet::from([id])
    );
    assert_eq!((&differences[0]["field"], &differences[0]["byte"]), (&"answer".into(), &at.into()));
    assert!(differences[0]["recorded"].as_str().unwrap().contains('#'), "{found}");
}
