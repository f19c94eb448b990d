//! `export::run` on a journal.

use super::{KEPT_CHILDREN, SEEDS, contents, journal};
use crate::dataset::{self, ExportOptions, Format, Mix, Record, TestSet};
use crate::eval::Suite;
use crate::run::error::Error;
use crate::run::export::{RunExport, TestTexts, run, run_seed};
use crate::store::{Store, node_id};
use std::collections::BTreeSet;
use std::path::Path;

const NO_TESTS: TestTexts<'_> = TestTexts { files: &[], suite: None };

fn options(validation_fraction: f64) -> ExportOptions {
    ExportOptions { format: Format::Messages, validation_fraction, seed: 5, mix: Mix::default() }
}

/// Ids of the rows of a file, in their order.
fn ids(path: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap();
    let row = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_u64().unwrap();
    text.lines().map(row).collect()
}

fn roots<'a>(records: impl IntoIterator<Item = &'a Record>) -> BTreeSet<u64> {
    records.into_iter().map(|record| record.root_id).collect()
}

#[test]
fn the_later_stages_get_held_out_rows_and_seeds_that_are_not_held_out() {
    let folder = tempfile::tempdir().unwrap();
    let store = journal(&folder.path().join("run"));
    let out = folder.path().join("data");
    let RunExport { exported, held_out, seeds } =
        run(&store, folder.path(), NO_TESTS, &options(0.4), &out).unwrap();
    let validation = ids(&exported.validation.unwrap());
    assert_eq!(exported.train_records + exported.validation_records, SEEDS.len() + KEPT_CHILDREN);
    assert_eq!(exported.validation_records, validation.len());
    assert!(exported.train_records > 0 && validation.len() >= 2, "both sides have rows: {validation:?}");
    assert_eq!(held_out.iter().map(|record| record.id).collect::<Vec<_>>(), validation[..2]);

    let is_held_out = |record: &&Record| validation.contains(&record.id);
    let records = dataset::records(&store).unwrap();
    let held_out_roots = roots(records.iter().filter(is_held_out));
    assert!(seeds.records.iter().all(|seed| seed.round == 0), "a baseline is trained on seeds alone");
    assert_eq!(seeds.records.len(), SEEDS.len() - held_out_roots.len());
    assert!(roots(&seeds.records).is_disjoint(&held_out_roots), "it is measured on what is held out");
}

#[test]
fn where_nothing_is_held_out_rows_of_the_training_file_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let store = journal(&folder.path().join("run"));
    let export = run(&store, folder.path(), NO_TESTS, &options(0.0), &folder.path().join("data")).unwrap();
    assert_eq!(export.exported.validation, None);
    let shown: Vec<u64> = export.held_out.iter().map(|record| record.id).collect();
    assert_eq!(shown, ids(&export.exported.train)[..2]);
    assert_eq!(export.seeds.records.len(), SEEDS.len());
}

#[test]
fn what_repeats_a_test_set_or_the_suite_is_left_out_and_kept_from_the_baseline_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let store = journal(&folder.path().join("run"));
    let [file, suite] = ["tests.txt", "suite.jsonl"].map(|name| folder.path().join(name));
    std::fs::write(&file, format!("{}\n", SEEDS[1])).unwrap();
    let item = serde_json::json!({ "instruction": SEEDS[4], "skill": "Writing", "difficulty": 2 });
    std::fs::write(&suite, format!("{item}\n")).unwrap();
    let suite = Suite::read(&suite).unwrap();
    let tests = TestTexts { files: std::slice::from_ref(&file), suite: Some(&suite) };
    let export = run(&store, folder.path(), tests, &options(0.0), &folder.path().join("data")).unwrap();
    let found: BTreeSet<(u64, &str)> =
        export.exported.contaminated.iter().map(|found| (found.id, found.source.as_str())).collect();
    let (file, suite) = (file.display().to_string(), format!("the suite {}", suite.name));
    let expected = [0, 1].map(|round| [(node_id(1, round, 0), &*file), (node_id(4, round, 0), &*suite)]);
    assert_eq!(found, expected.concat().into_iter().collect());
    let trained = ids(&export.exported.train);
    assert_eq!(trained.len(), SEEDS.len() + KEPT_CHILDREN - found.len());
    assert!(found.iter().all(|(id, _)| !trained.contains(id)));
    let finds = |tests: &TestSet, text: &str| tests.find(&Record::from_instruction(text)).is_some();
    assert!(finds(&export.seeds.tests, SEEDS[1]) && !finds(&export.seeds.tests, SEEDS[2]));
}

#[test]
fn the_same_journal_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let store = journal(&folder.path().join("run"));
    let export = |name: &str, options: &ExportOptions| {
        let out = folder.path().join(name);
        run(&store, folder.path(), NO_TESTS, options, &out).unwrap();
        contents(&out)
    };
    let first = export("a", &options(0.4));
    assert!(first.contains_key("train.jsonl") && first.contains_key("rejected.jsonl"), "{:?}", first.keys());
    assert!(first == export("b", &options(0.4)), "into another folder");
    assert!(first == export("a", &options(0.4)), "over an earlier export");
    assert!(first != export("b", &ExportOptions { seed: 6, ..options(0.4) }), "the seed orders the rows");
}

#[test]
fn a_run_that_kept_nothing_and_a_file_of_somebody_else_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let empty = Store::create(&folder.path().join("empty")).unwrap();
    let found = run(&empty, folder.path(), NO_TESTS, &options(0.0), &folder.path().join("data"));
    let error = found.unwrap_err();
    assert!(matches!(error.without_context(), Error::Dataset(dataset::Error::NoRecords)), "{error:?}");

    let store = journal(&folder.path().join("run"));
    let out = folder.path().join("theirs");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("train.jsonl"), "x").unwrap();
    let error = run(&store, folder.path(), NO_TESTS, &options(0.0), &out).unwrap_err();
    assert!(matches!(error.without_context(), Error::Dataset(dataset::Error::NotOurs { .. })), "{error:?}");
    assert_eq!(contents(&out), [("train.jsonl".to_owned(), b"x".to_vec())].into(), "nothing was written");
}

#[test]
fn the_seed_of_a_run_comes_from_its_journal() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = journal(&folder.path().join("run"));
    assert_eq!(run_seed(&store).unwrap(), 0);
    store.bind(&[("config.seed", "5")].into_iter().collect()).unwrap();
    assert_eq!(run_seed(&store).unwrap(), 5);
}
