//! Catches a command that accepts an unusable file or somebody else's directory, writes before it refuses,
//! or refuses without naming the file and what is wrong.

use crate::tiny_model::tiny;
use crate::{evol, refused};
use evol::store::{Node, Status, Store, node_id};
use insta::assert_snapshot;
use std::fs;
use std::path::Path;
use std::process::Stdio;

#[test]
fn a_missing_model() {
    let folder = tempfile::tempdir().unwrap();
    assert_snapshot!(
        refused(folder.path(), &["chat", "--model", "none.gguf"]),
        @"error: model file `none.gguf` does not exist\n\n\
          hint: give a GGUF file, or the name of a known model (gemma-3-270m, \
          qwen2.5-coder-0.5b-instruct, qwen2.5-coder-1.5b-instruct, smollm2-135m-instruct) after \
          `models/fetch NAME` in evol's source folder"
    );
}

#[test]
fn paths_that_are_not_text() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir().unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"od\xffd");
    let refused = |command: &mut assert_cmd::Command| {
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && stderr.contains("not valid UTF-8"), "{stderr}");
        // `hint: …`, or the field of that name.
        assert!(stderr.contains("hint") && stderr.contains("rename it"), "{stderr}");
    };
    let model = tiny(folder.path());
    fs::write(folder.path().join("x.toml"), format!("model = '{}'\nout = 'run'\n", model.display())).unwrap();
    refused(evol().current_dir(folder.path()).args(["run", "x.toml", "--out"]).arg(odd));
    refused(evol().current_dir(folder.path()).args(["export", "run", "--json", "--out"]).arg(odd));
    assert!(!folder.path().join(odd).exists());
    // In a folder with such a name, where no argument shows it.
    fs::create_dir(folder.path().join(odd)).unwrap();
    fs::copy(folder.path().join("x.toml"), folder.path().join(odd).join("x.toml")).unwrap();
    refused(evol().current_dir(folder.path().join(odd)).args(["run", "x.toml"]));
    assert!(!folder.path().join(odd).join("run").exists());
}

#[test]
fn model_files_that_are_broken() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(tiny(folder.path())).unwrap();
    let write = |bytes: &[u8]| fs::write(folder.path().join("m.gguf"), bytes).unwrap();
    for command in [
        &["chat", "--model", "m.gguf"][..],
        &["evolve", "--model", "m.gguf", "--out", "run"],
        &["train", "--model", "m.gguf", "--data", "d.jsonl", "--out", "adapter"],
    ] {
        write(&whole[..whole.len() - 1000]);
        assert!(refused(folder.path(), command).contains("1000 bytes are missing"), "{command:?}");
        assert!(!folder.path().join("run").exists() && !folder.path().join("adapter").exists());
    }
    let chat = ["chat", "--model", "m.gguf"];
    assert_snapshot!(
        refused(folder.path(), &chat),
        @"error: `m.gguf` is not a usable GGUF file: it ends after 318264 of 319264 bytes: 1000 bytes are \
          missing, tensor `blk.1.ffn_down.weight` is the first that is incomplete\n\n\
          hint: the download was probably cut short: fetch the file again and compare its SHA-256"
    );
    write(b"\x89PNG\r\n\x1a\n0000");
    assert_snapshot!(refused(folder.path(), &chat), @r#"
    error: `m.gguf` is not a usable GGUF file: it starts with bytes [89, 50, 4e, 47], expected `GGUF`

    hint: give a `.gguf` file (not safetensors, a folder or an archive)
    "#);
    write(b"");
    assert_snapshot!(refused(folder.path(), &chat), @r#"
    error: `m.gguf` is not a usable GGUF file: it is empty

    hint: the download was probably cut short: fetch the file again and compare its SHA-256
    "#);
    let mut corrupt = whole;
    corrupt[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    write(&corrupt);
    assert_snapshot!(
        refused(folder.path(), &chat),
        @"error: `m.gguf` is not a usable GGUF file: it declares 18446744073709551615 tensors, expected at \
          most 65536\n\nhint: the file is damaged or written by an unknown converter: fetch it again or \
          convert the model again"
    );
}

#[test]
fn seeds_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let seeds =
        "{\"prompt\": \"Name a river.\"}\n{\"prompt\": 7}\n{\"instruction\": \"Name a lake.\"}\nnot json\n";
    fs::write(folder.path().join("seeds.jsonl"), seeds).unwrap();
    let model = tiny(folder.path());
    let evolve = ["evolve", "--model", model.to_str().unwrap(), "--seeds", "seeds.jsonl", "--out", "run"];
    assert_snapshot!(refused(folder.path(), &evolve), @r#"
    warning: line 2 of `seeds.jsonl` cannot be used: `prompt` is the number 7, expected a string
    warning: line 4 of `seeds.jsonl` cannot be used: it is not valid JSON: expected ident at column 2
    error: 2 lines of `seeds.jsonl` cannot be used as seeds

    hint: fix them, or skip them with `--on-bad-input skip`
    "#);
    assert!(!folder.path().join("run").exists(), "nothing is made before the seeds are read");
}

#[test]
fn training_data_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("d.jsonl"), "{\"instruction\": \"Hi\", \"output\": \"Ho\"}\n{}\n").unwrap();
    let model = tiny(folder.path());
    let train = ["train", "--model", model.to_str().unwrap(), "--data", "d.jsonl", "--out", "adapter"];
    fs::write(folder.path().join("one.jsonl"), "{\"instruction\": \"Hi\", \"output\": \"Ho\"}\n").unwrap();
    let wide =
        [&train[..3], &["--data", "one.jsonl", "--out", "adapter", "--r", "2000000", "--max-seq-len", "64"]]
            .concat();
    assert_snapshot!(
        refused(folder.path(), &wide),
        @"error: `r` is 2000000, expected no more than the model's hidden size"
    );
    assert_snapshot!(
        refused(folder.path(), &train),
        @"error: line 2 of `d.jsonl` cannot be used: it has no keys, expected `instruction` and `output`, \
          `messages`, `conversations`, or `prompt` and `completion`"
    );
}

#[test]
fn foreign_directories_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let foreign = folder.path().join("photos");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("cat.jpg"), b"meow").unwrap();
    fs::write(folder.path().join("d.jsonl"), "{\"instruction\": \"Hi\", \"output\": \"Ho\"}\n").unwrap();
    let model = tiny(folder.path());
    let model = model.to_str().unwrap();
    let config = format!("model = '{model}'\nout = 'photos'\n");
    fs::write(folder.path().join("x.toml"), config).unwrap();
    assert_snapshot!(refused(folder.path(), &["run", "x.toml"]), @r#"
    error: directory `[FOLDER]/photos` is not empty and is not a run: it has no `run.db`

    hint: choose a new or empty directory with `--out`
    "#);
    assert_snapshot!(refused(folder.path(), &["evolve", "--model", model, "--out", "photos"]), @r#"
    error: directory `photos` is not empty and is not a run: it has no `run.db`

    hint: choose a new or empty directory with `--out`
    "#);
    let train = ["train", "--model", model, "--data", "d.jsonl", "--out", "photos"];
    assert_snapshot!(refused(folder.path(), &train), @r#"
    error: directory `photos` is not empty and was not created by this command

    hint: choose a new or empty directory with `--out`
    "#);
    assert_snapshot!(refused(folder.path(), &["tree", "photos"]), @r#"
    error: directory `photos` is not empty and is not a run: it has no `run.db`

    hint: choose a new or empty directory with `--out`
    "#);
    let names: Vec<_> = fs::read_dir(&foreign).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["cat.jpg"]);
}

#[test]
fn a_file_or_a_damaged_journal_in_the_way_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "text").unwrap();
    let model = tiny(folder.path());
    for out in ["file", "file/run"] {
        let message = refused(folder.path(), &["evolve", "--model", model.to_str().unwrap(), "--out", out]);
        assert!(
            message.contains(&format!("`{out}` is a file or inside one, expected a directory")),
            "{message}"
        );
    }
    journal(&folder.path().join("cut"), 300);
    let db = folder.path().join("cut/run.db");
    let bytes = fs::read(&db).unwrap();
    fs::write(&db, &bytes[..bytes.len() / 3]).unwrap();
    let message = refused(folder.path(), &["tree", "cut"]);
    assert!(message.contains("is not an evol journal: it is a damaged SQLite file"), "{message}");
    fs::create_dir_all(folder.path().join("nest/run.db")).unwrap();
    let message = refused(folder.path(), &["export", "nest", "--out", "data"]);
    assert!(message.contains("`nest/run.db` is not an evol journal: it is a directory"), "{message}");
}

/// A run with `seeds` seeds that nothing happened to.
fn journal(dir: &Path, seeds: usize) {
    let mut store = Store::create(dir).unwrap();
    let unit = store.begin().unwrap();
    for index in 0..seeds {
        let id = node_id(index, 0, 0);
        let node = Node {
            id,
            parent_id: None,
            root_id: id,
            round: 0,
            attempt: 0,
            operator: None,
            instruction: format!("Seed number {index}, {}", "which is long ".repeat(10)),
            input: String::new(),
            skill: Some("Math".to_owned()),
            difficulty: Some(3),
            generation: None,
            status: Status::Evolved,
            reason: None,
            constraints: Vec::new(),
        };
        unit.insert_node(&node).unwrap();
    }
    unit.commit().unwrap();
}

#[test]
fn a_tree_shows_one_family_or_all() {
    let folder = tempfile::tempdir().unwrap();
    journal(&folder.path().join("run"), 3);
    let output = evol().current_dir(folder.path()).args(["tree", "run", "20000"]).output().unwrap();
    assert_snapshot!(String::from_utf8(output.stdout).unwrap(), @r#"
    20000 seed: evolved
      Seed number 1, which is long which is long which is long which is long which is long which is long …
    "#);
    let output = evol().current_dir(folder.path()).args(["tree", "run", "--json"]).output().unwrap();
    let lines: Vec<serde_json::Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.iter().map(|l| l["id"].as_u64().unwrap()).collect::<Vec<_>>(), [10_000, 20_000, 30_000]);
    assert_snapshot!(refused(folder.path(), &["tree", "run", "7"]), @r#"
    error: node 7 does not exist in `run`

    hint: `[EVOL] tree run --json` lists every node
    "#);
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    // A thousand families are some 400 KB: far more than a pipe holds, so the writer meets the closed end.
    journal(&folder.path().join("run"), 1000);
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_evol"))
        .current_dir(folder.path())
        .args(["tree", "run", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
