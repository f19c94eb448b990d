//! `manifest.json`: written, read back, refused, completed, and what it gives to a card.

use crate::llm::{ComputeFormat, Determinism};
use crate::run::compute::ComputeEntry;
use crate::run::error::Error;
use crate::run::manifest::{Manifest, ModelEntry, Origin, SeedsEntry, card};
use crate::run::{RunDir, files};
use crate::store::Store;
use std::path::{Path, PathBuf};

const SHA256: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// What a run with a model file of no known name starts from.
pub(in crate::run) fn origin() -> Origin {
    Origin {
        seed: 5,
        model: ModelEntry {
            path: PathBuf::from("/models/m.gguf"),
            known_as: None,
            name: Some("a model".to_owned()),
            architecture: Some("llama".to_owned()),
            sha256: SHA256.to_owned(),
            licence: Some("apache-2.0".to_owned()),
        },
        compute: ComputeEntry {
            format: ComputeFormat::AsIs,
            path: PathBuf::from("/models/m.gguf"),
            sha256: SHA256.to_owned(),
            measured: None,
            determinism: Determinism::Exact,
            reason: None,
            recipe: Determinism::Exact.recipe(0).to_owned(),
            llama_cpp_2: "1".to_owned(),
            llama_cpp_sys_2: "2".to_owned(),
            threads: 2,
            batch_width: 4,
            gpu_layers: 0,
        },
        seeds: SeedsEntry::new(Some(Path::new("/home/somebody/seeds.jsonl")), Some("cc0-1.0"), &[]),
        judge_model: None,
    }
}

fn run_dir() -> (tempfile::TempDir, RunDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let dir = RunDir::claim(&folder.path().join("run")).unwrap();
    let store = Store::create(dir.path()).unwrap();
    (folder, dir, store)
}

#[test]
fn a_manifest_reads_back_as_it_was_written() {
    let (_folder, dir, mut store) = run_dir();
    assert_eq!(Manifest::read(dir.path()).unwrap(), None);
    store.bind(&[("config.seed", "5")].into_iter().collect()).unwrap();
    let manifest = Manifest::new(origin(), &store).unwrap();
    assert_eq!(manifest.journal.get("config.seed"), Some("5"));
    manifest.write(&dir).unwrap();
    assert_eq!(Manifest::read(dir.path()).unwrap(), Some(manifest));
}

#[test]
fn a_manifest_of_another_version_or_a_broken_one_is_refused_and_says_why() {
    let (_folder, dir, store) = run_dir();
    let manifest = Manifest::new(origin(), &store).unwrap();
    let reason = |text: &str| {
        dir.write(files::MANIFEST, text).unwrap();
        match Manifest::read(dir.path()) {
            Err(Error::OtherVersion { path, reason }) if path.ends_with(files::MANIFEST) => reason,
            other => panic!("{text}: {other:?}"),
        }
    };
    let later = Manifest { format: manifest.format + 1, ..manifest.clone() };
    let expected = format!("its `format` is {}, expected {}", later.format, manifest.format);
    assert_eq!(reason(&serde_json::to_string(&later).unwrap()), expected);
    assert!(reason("{ \"made_by\": \"evol\" }").contains("its `format` is 0"), "the first versions had none");
    let current = format!("{{ \"format\": {} }}", manifest.format);
    assert!(reason(&current).contains("missing field"), "of this version, but not whole");
    reason("{ cut");
}

#[test]
fn completing_brings_the_journal_s_part_up_to_date_and_nothing_else() {
    let (_folder, dir, mut store) = run_dir();
    Manifest::complete(&dir, &store).unwrap();
    assert_eq!(Manifest::read(dir.path()).unwrap(), None, "there is nothing to complete");
    let before = Manifest::new(origin(), &store).unwrap();
    before.write(&dir).unwrap();
    store.bind(&[("config.seed", "5")].into_iter().collect()).unwrap();
    Manifest::complete(&dir, &store).unwrap();
    let after = Manifest::read(dir.path()).unwrap().unwrap();
    assert_eq!((before.journal.get("config.seed"), after.journal.get("config.seed")), (None, Some("5")));
    assert_eq!(Manifest { journal: after.journal.clone(), ..before }, after);
}

#[test]
fn a_card_names_the_seed_file_without_its_folder() {
    let (_folder, _dir, store) = run_dir();
    let manifest = Manifest::new(origin(), &store).unwrap();
    let found = card(Some(&manifest));
    assert_eq!(found.seeds.as_deref(), Some("seeds.jsonl"));
    assert_eq!(
        (found.model.as_deref(), found.model_licence.as_deref()),
        (Some("a model"), Some("apache-2.0"))
    );
    assert_eq!(
        (found.model_sha256.as_deref(), found.seeds_licence.as_deref()),
        (Some(SHA256), Some("cc0-1.0"))
    );
    let found = card(None);
    assert_eq!((found.evol_version.as_str(), found.model), (env!("CARGO_PKG_VERSION"), None));
}

#[test]
fn only_what_differs_on_this_machine_is_a_difference_of_the_build() {
    let (_folder, _dir, store) = run_dir();
    let manifest = Manifest::new(origin(), &store).unwrap();
    let names: Vec<String> = manifest.build_differences().into_iter().map(|found| found.name).collect();
    assert_eq!(names, ["llama-cpp-2", "llama-cpp-sys-2"], "the versions that the test made up");
}
