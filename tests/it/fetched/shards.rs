//! Catches shards whose merged journal differs from a run in one piece, a wrong `evol status` of the parts,
//! and broken `evol slurm` scripts. `scripts/test-slurm` runs those scripts on a real Slurm.

use super::refused;
use super::runs::QuickRun;
use crate::evol;
use std::fs;
use std::path::Path;

const SHARDS: u32 = 3;

/// The quick run's arguments for one part of it.
fn arguments(index: u32) -> Vec<String> {
    let own = |argument: String| if argument == "run" { format!("shards/{index}") } else { argument };
    let mut arguments: Vec<String> = QuickRun::arguments().into_iter().map(own).collect();
    arguments.extend(["--shard".to_owned(), format!("{index}/{SHARDS}")]);
    arguments
}

fn said(folder: &Path, arguments: &[&str]) -> String {
    let output = evol().current_dir(folder).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn merged_shards_export_the_bytes_of_a_run_that_was_never_divided() {
    let expected = QuickRun::undisturbed();
    let run = QuickRun::new();
    let folder = run.folder();
    for index in 1..=SHARDS {
        said(folder, &arguments(index).iter().map(String::as_str).collect::<Vec<_>>());
        if index < SHARDS {
            let missing = ["missing of 3 shards: 2-3", "missing of 3 shards: 3"][index as usize - 1];
            let stderr = refused(folder, &["merge-runs", "run", "shards"]);
            assert!(stderr.contains(missing), "{stderr}");
        }
    }
    let status = said(folder, &["status", "."]);
    assert!(status.contains("3 of 3 shards started: 3 finished, 0 running"), "{status}");
    let merged = said(folder, &["merge-runs", "run", "shards"]);
    assert!(merged.contains("3 shards"), "{merged}");
    assert_eq!(run.committed(), expected.histories);
    assert_eq!(run.export(), expected.export);
    let again = said(folder, &["merge-runs", "run", "shards/2", "shards/1", "shards/3"]);
    assert!(again.contains("merged before"), "{again}");
    // The merged run is the whole one, which is finished: nothing is generated, and nothing is said to have
    // changed.
    run.finish();
    assert_eq!(run.committed(), expected.histories);
    // A shard is no other part, and not the whole.
    let mut other = arguments(1);
    *other.last_mut().unwrap() = format!("2/{SHARDS}");
    let stderr = refused(folder, &other.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(stderr.contains("`shard` was `1/3`, is now `2/3`"), "{stderr}");
}

#[test]
fn what_cannot_be_divided_or_joined_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for shard in ["0/3", "4/3", "3", "a/b"] {
        let stderr = refused(folder, &["evolve", "--config", "x.toml", "--shard", shard]);
        assert!(stderr.contains("I/N"), "{stderr}");
    }
    let stderr = refused(folder, &["evolve", "--config", "x.toml", "--rounds", "3"]);
    assert!(stderr.contains("cannot be used with"), "{stderr}");
    let stderr = refused(folder, &["evolve", "--limit", "3"]);
    assert!(stderr.contains("--model") && stderr.contains("--out"), "{stderr}");
    let stderr = refused(folder, &["merge-runs", "out", "nothing"]);
    assert!(stderr.contains("no run in `nothing`") && !folder.join("out").exists(), "{stderr}");
}

#[test]
fn scripts_are_written_for_slurm_and_nothing_is_submitted_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let model = super::model_path();
    let config = |more: &str| format!("model = '{}'\nout = 'run'\n{more}", model.display());
    fs::write(folder.join("my.toml"), config("")).unwrap();
    let printed = said(folder, &["slurm", "my.toml", "--shards", "4", "--time", "1:00:00"]);
    assert_eq!(printed.matches("sbatch --parsable").count(), 5, "{printed}");
    let evolve = fs::read_to_string(folder.join("run/slurm/evolve.sh")).unwrap();
    assert!(evolve.contains("#SBATCH --array=1-4") && evolve.contains("#SBATCH --time=1:00:00"), "{evolve}");
    assert!(!folder.join("run/shards").exists());
    // The jobs use the configuration as it was.
    fs::write(folder.join("my.toml"), config("seed = 9\n")).unwrap();
    let stderr = refused(folder, &["slurm", "my.toml", "--shards", "4"]);
    assert!(stderr.contains("`seed` was `0`, is now `9`"), "{stderr}");
    fs::write(folder.join("auto.toml"), config("compute_format = 'auto'\n")).unwrap();
    let stderr = refused(folder, &["slurm", "auto.toml", "--shards", "4", "--out", "other"]);
    assert!(stderr.contains("compute_format") && stderr.contains("each node"), "{stderr}");
}
