//! Runs that are divided, with a scripted generator, on real journals.

use super::scripted::Scripted;
use super::tests::{config, families, seeds};
use super::*;
use crate::identity::Identity;
use crate::llm;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const SEEDS: usize = 90;

/// All guards, all operators and every fault, whatever the yield.
fn guarded() -> EvolveConfig {
    EvolveConfig { profile: Profile::Verified, rounds: Some(2), attempts: Some(2), ..config(7) }
}

/// Starts or resumes a shard in `dir`; `interrupt_at` as in [`Scripted`].
fn evolve(
    dir: &Path,
    shard: Shard,
    config: &EvolveConfig,
    interrupt_at: Option<usize>,
) -> Result<Summary, Error> {
    let mut scripted =
        Scripted { has_all_faults: true, is_exact: true, interrupt_at, ..Scripted::new(3, 0.4) };
    let model = Model {
        generate: &mut scripted,
        sha256: "aa".to_owned(),
        recipe: Identity::default(),
        n_params: Some(135_000_000),
        judge: None,
    };
    let mut store = Store::open_or_create(dir).unwrap();
    let seeds = seeds(SEEDS);
    run(model, &mut store, Roots { seeds: &seeds, shard }, config, &mut |_| ())
}

/// Finished shards, in a folder.
fn shards(count: u32) -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let make = |index| {
        let dir = folder.path().join(format!("part {index}?#%41"));
        evolve(&dir, Shard::new(index, count).unwrap(), &guarded(), None).unwrap();
        dir
    };
    let dirs = (1..=count).map(make).collect();
    (folder, dirs)
}

/// What a merge objects to.
fn problems(folder: &TempDir, parts: &[PathBuf]) -> Vec<String> {
    let out = folder.path().join("refused");
    let Err(Error::Shards { problems }) = merge(&out, parts, &mut |_| ()) else { panic!("merged") };
    assert!(!out.exists(), "nothing is written");
    problems
}

#[test]
fn merged_shards_are_the_run_that_was_never_divided() {
    let whole = tempfile::tempdir().unwrap();
    let expected = evolve(whole.path(), Shard::WHOLE, &guarded(), None).unwrap();
    let (folder, mut parts) = shards(4);
    parts.reverse();
    let out = folder.path().join("merged");
    let mut rows = 0;
    let merged = merge(&out, &parts, &mut |done| rows = done).unwrap().unwrap();
    assert_eq!(rows, merged.nodes + merged.answers + merged.verdicts);
    let (whole, store) = (Store::open(whole.path()).unwrap(), Store::open(&out).unwrap());
    assert_eq!(families(&store, SEEDS), families(&whole, SEEDS));
    assert_eq!(store.identity().unwrap(), whole.identity().unwrap());
    assert_eq!(policy(&store).unwrap(), policy(&whole).unwrap());
    assert_eq!(calibration(&store).unwrap(), calibration(&whole).unwrap());
    assert!(is_finished(&store).unwrap());
    assert_eq!(Summary::of(&store).unwrap(), expected);
    assert!(expected.kept > 50 && !expected.eliminated.is_empty(), "{expected:?}");
    drop(store);
    // A second merge finds the result.
    assert_eq!(merge(&out, &parts, &mut |_| ()).unwrap(), None);
    // The merged run can be resumed like any other: nothing is left to do.
    let again = evolve(&out, Shard::WHOLE, &guarded(), Some(1)).unwrap();
    assert_eq!(again, expected);
}

#[test]
fn a_shard_that_was_killed_is_resumed_and_one_that_is_not_finished_is_refused() {
    let (folder, mut parts) = shards(3);
    let dir = folder.path().join("late");
    let shard = Shard::new(2, 3).unwrap();
    let expected = families(&Store::open(&parts[1]).unwrap(), SEEDS);
    parts[1] = dir.clone();
    // The first call calibrates the judge, the others generate.
    for call in 1..=5 {
        let stopped = evolve(&dir, shard, &guarded(), Some(call));
        assert!(matches!(stopped, Err(Error::Llm(llm::Error::Interrupted))), "call {call}");
        let [problem] = &problems(&folder, &parts)[..] else { panic!("one problem") };
        assert!(problem.contains("2/3") && problem.contains("not finished"), "{problem}");
    }
    evolve(&dir, shard, &guarded(), None).unwrap();
    assert_eq!(families(&Store::open(&dir).unwrap(), SEEDS), expected);
    merge(&folder.path().join("merged"), &parts, &mut |_| ()).unwrap().unwrap();
}

#[test]
fn everything_that_is_wrong_with_a_set_of_shards_is_listed() {
    let (folder, parts) = shards(4);
    let (_other_folder, others) = shards(3);
    let found = problems(&folder, &[parts[0].clone(), parts[3].clone(), parts[3].clone()]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("both shard 4/4"), "{found:?}");
    assert_eq!(found[1], "missing of 4 shards: 2-3");
    let found = problems(&folder, &[&parts[..3], &others[2..]].concat());
    assert!(found.iter().any(|problem| problem.contains("is shard 3/3")), "{found:?}");
    let hotter = EvolveConfig { chunk_size: 17, ..guarded() };
    let dir = folder.path().join("hotter");
    evolve(&dir, Shard::new(4, 4).unwrap(), &hotter, None).unwrap();
    let found = problems(&folder, &[&parts[..3], &[dir]].concat());
    assert!(matches!(&found[..], [only] if only.contains("`config.chunk_size` is `17`")), "{found:?}");
    assert_eq!(problems(&folder, &[]), ["none were given"]);
}

#[test]
fn more_shards_than_seeds_make_a_run_too() {
    let folder = tempfile::tempdir().unwrap();
    let parts: Vec<PathBuf> = (1..=8).map(|index| folder.path().join(index.to_string())).collect();
    let few = |dir: &Path, shard| {
        let mut scripted = Scripted { is_exact: true, ..Scripted::new(3, 0.0) };
        let model = Model {
            generate: &mut scripted,
            sha256: "aa".to_owned(),
            recipe: Identity::default(),
            n_params: None,
            judge: None,
        };
        let mut store = Store::open_or_create(dir).unwrap();
        let seeds = seeds(3);
        run(model, &mut store, Roots { seeds: &seeds, shard }, &guarded(), &mut |_| ()).unwrap();
    };
    for (index, dir) in parts.iter().enumerate() {
        few(dir, Shard::new(index as u32 + 1, 8).unwrap());
    }
    let whole = folder.path().join("whole");
    few(&whole, Shard::WHOLE);
    let out = folder.path().join("merged");
    merge(&out, &parts, &mut |_| ()).unwrap().unwrap();
    let [whole, merged] = [&whole, &out].map(|dir| families(&Store::open(dir).unwrap(), 3));
    assert_eq!(merged, whole);
}
