//! Helper: small runs of `evol evolve`, disturbed and undisturbed.
//!
//! `kills`, `faults` and `verify` disturb a [`QuickRun`] and compare what is left, and what comes out in the
//! end, with [`QuickRun::undisturbed`].
//!
//! **Invariant:** every run of one set of arguments has the same journal and the same export.

use super::models::quick_model;
use crate::evol;
use evol::store::{History, Status, Store};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// The longest that a busy machine may take for one small run.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);
/// Pause between two looks at a run in progress.
pub(crate) const GLANCE: Duration = Duration::from_millis(5);
/// Generations in a chunk of a [`QuickRun`].
const CHUNK: usize = 3;
/// Seeds of a [`QuickRun`].
const SEEDS: usize = 12;

/// A run directory in a folder of its own, with the quick model.
pub(crate) struct QuickRun {
    folder: tempfile::TempDir,
}

/// The result of an undisturbed run.
pub(crate) struct Undisturbed {
    pub(crate) run: QuickRun,
    /// Time from its start to its end.
    pub(crate) lasted: Duration,
    pub(crate) histories: Vec<History>,
    pub(crate) export: BTreeMap<String, String>,
}

impl QuickRun {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Made once for all tests.
    pub(crate) fn undisturbed() -> &'static Undisturbed {
        static UNDISTURBED: LazyLock<Undisturbed> = LazyLock::new(|| {
            let run = QuickRun::new();
            quick_model();
            let started = Instant::now();
            run.finish();
            let lasted = started.elapsed();
            let (histories, export) = (run.committed(), run.export());
            assert!(export.len() >= 2, "both files and their list: {export:?}");
            Undisturbed { run, lasted, histories, export }
        });
        &UNDISTURBED
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// Arguments of `evol`.
    pub(crate) fn arguments() -> Vec<String> {
        let model = quick_model().display();
        let line = format!(
            "evolve --model {model} --out run --limit {SEEDS} --seed 1 --profile wizardlm --judge-pairs 24 \
             --rounds 2 --chunk-size {CHUNK} --max-instruction-tokens 24 --max-data-tokens 32 \
             --max-answer-tokens 32 --threads 1"
        );
        line.split(' ').map(str::to_owned).collect()
    }

    /// Starts or resumes the run. Stderr is kept.
    pub(crate) fn start(&self) -> Child {
        // The undisturbed run must be finished before this one starts.
        Self::undisturbed();
        Command::new(env!("CARGO_BIN_EXE_evol"))
            .current_dir(self.folder())
            .args(Self::arguments())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs to the end.
    pub(crate) fn finish(&self) {
        let output =
            evol().current_dir(self.folder()).args(Self::arguments()).timeout(PATIENCE).output().unwrap();
        succeeded(&output);
    }

    /// SHA-256 of every file that an export makes, by name.
    pub(crate) fn export(&self) -> BTreeMap<String, String> {
        let arguments = ["export", "run", "--out", "data", "--validation-fraction", "0.3"];
        succeeded(&evol().current_dir(self.folder()).args(arguments).output().unwrap());
        let hash = |path: PathBuf| {
            let digest = Sha256::digest(fs::read(&path).unwrap());
            let hex = digest.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
            (path.file_name().unwrap().display().to_string(), hex)
        };
        fs::read_dir(self.folder().join("data")).unwrap().map(|entry| hash(entry.unwrap().path())).collect()
    }

    /// Everything in the journal as a crash at this moment would leave it, by node. Works beside the process
    /// that writes it; a copy taken in the middle of a checkpoint may be torn, and has nothing then.
    pub(crate) fn committed(&self) -> Vec<History> {
        let copy = tempfile::tempdir().unwrap();
        for name in ["run.db", "run.db-wal"] {
            let _ = fs::copy(self.dir().join(name), copy.path().join(name));
        }
        let read = || {
            let store = Store::open(copy.path()).ok()?;
            let seeds = store.attempts(0, 0).ok()?;
            seeds.iter().map(|seed| store.family(seed.id).ok()).collect::<Option<Vec<_>>>()
        };
        read().unwrap_or_default().concat()
    }

    /// Waits until the journal of a run in progress has `units` chunks.
    pub(crate) fn wait_for(&self, child: &mut Child, units: usize) {
        let started = Instant::now();
        while units_done(&self.committed()) < units {
            assert!(child.try_wait().unwrap().is_none(), "the run ended before it had {units} chunks");
            assert!(started.elapsed() < PATIENCE, "no {units} chunks after {PATIENCE:?}");
            std::thread::sleep(GLANCE);
        }
    }

    /// Goes on to the end: it must be as if nothing had happened.
    pub(crate) fn assert_ends_undisturbed(&self) {
        let expected = QuickRun::undisturbed();
        self.finish();
        assert_eq!(self.committed(), expected.histories);
        assert_eq!(self.export(), expected.export);
    }
}

pub(crate) fn succeeded(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A run over `seeds` (JSONL), one round of short texts, in `folder`; its journal.
pub(crate) fn run_over(folder: &Path, seeds: &str) -> Vec<History> {
    fs::write(folder.join("seeds.jsonl"), seeds).unwrap();
    let output = evol()
        .current_dir(folder)
        .args([
            "evolve",
            "--seeds",
            "seeds.jsonl",
            "--out",
            "run",
            "--profile",
            "wizardlm",
            "--judge-pairs",
            "10",
            "--rounds",
            "1",
            "--threads",
            "1",
        ])
        .args(["--max-instruction-tokens", "24", "--max-data-tokens", "24", "--max-answer-tokens", "24"])
        .arg("--model")
        .arg(quick_model())
        .timeout(PATIENCE)
        .output()
        .unwrap();
    succeeded(&output);
    let store = Store::open(&folder.join("run")).unwrap();
    let seeds = store.attempts(0, 0).unwrap();
    seeds.iter().flat_map(|seed| store.family(seed.id).unwrap()).collect()
}

/// Chunks that are in a journal of a [`QuickRun`]: each there whole or not at all, and none before an earlier
/// one.
///
/// # Panics
/// They are not.
pub(crate) fn units_done(found: &[History]) -> usize {
    let is_done: Vec<bool> = units(&QuickRun::undisturbed().histories)
        .iter()
        .map(|unit| {
            let done = unit.iter().filter(|(id, stage)| {
                found.iter().any(|history| history.node.id == *id && stages(history).contains(stage))
            });
            let done = done.count();
            assert!(done == 0 || done == unit.len(), "{done} of {} of a chunk: {unit:?}", unit.len());
            done > 0
        })
        .collect();
    assert!(is_done.is_sorted_by(|a, b| a >= b), "a chunk came before an earlier one: {is_done:?}");
    is_done.into_iter().filter(|done| *done).count()
}

/// Stages of a node in their order: 0 rewritten, 1 judged, 2 answered.
fn stages(history: &History) -> Vec<u32> {
    let judged = history.verdicts.iter().any(|verdict| ["no_gain", "not_judged"].contains(&&*verdict.rule));
    let passed = [history.node.generation.is_some(), judged, history.answer.is_some()];
    (0..3).filter(|stage| passed[*stage as usize]).collect()
}

/// The chunks of a finished journal in the order in which they are made, as (node, stage).
fn units(histories: &[History]) -> Vec<Vec<(u64, u32)>> {
    let mut lists: BTreeMap<(u32, u32), Vec<(u64, u32)>> = BTreeMap::new();
    for history in histories {
        for stage in stages(history) {
            lists.entry((history.node.round, stage)).or_default().push((history.node.id, stage));
        }
    }
    lists.values().flat_map(|list| list.chunks(CHUNK)).map(<[_]>::to_vec).collect()
}

/// Everything in `before` is in `after` as it was, apart from what came to it.
pub(crate) fn assert_kept(before: &[History], after: &[History]) {
    for old in before {
        let id = old.node.id;
        let new = after.iter().find(|new| new.node.id == id);
        let new = new.unwrap_or_else(|| panic!("node {id} is lost"));
        if [Status::Kept, Status::Eliminated].contains(&old.node.status) {
            assert_eq!(new, old, "what is finished stays as it is");
        }
        let (status, reason) = (new.node.status, new.node.reason.clone());
        let mut node = old.node.clone();
        (node.status, node.reason) = (status, reason);
        assert_eq!(new.node, node);
        assert!(
            old.answer.is_none() || new.answer == old.answer,
            "the answer of node {id} was written again"
        );
        assert!(
            old.verdicts.iter().all(|verdict| new.verdicts.contains(verdict)),
            "node {id} lost a verdict"
        );
    }
}
