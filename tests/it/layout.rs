//! Catches code in the wrong place: a module that names a higher one, a crate or `unsafe` outside its owner,
//! a clock that could decide something, a file without a header, a line that is too long.
//!
//! The rules work on text, not on syntax trees: comments and strings are blanked out first, and what is left
//! is searched for paths. Each rule is one function from a [`Source`] to complaints that say what to do. The
//! second half of the file runs the rules over made-up trees that break each of them, because a rule that
//! never fires looks like a clean tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

mod source;

use source::{Source, files, folders, identifiers, named_modules, sources};

/// Low to high: a module names only those before it (and itself).
const MODULES: [&str; 22] = [
    "explain",
    "process",
    "identity",
    "rng",
    "constraint",
    "tensor",
    "gguf",
    "device",
    "llm",
    "ops",
    "store",
    "lora",
    "merge",
    "model",
    "dataset",
    "evolve",
    "train",
    "eval",
    "report",
    "bench",
    "run",
    "cli",
];

/// Outside crates that one module owns, and the paths that may name them.
const OWNERS: [(&str, &[&str]); 13] = [
    ("langdetect", &["src/eval/ifeval/"]),
    ("plotters", &["src/report/chart/"]),
    ("plotters_backend", &["src/report/chart/"]),
    ("cudarc", &["src/device/cuda/"]),
    ("whichlang", &["src/constraint/"]),
    ("llama_cpp_2", &["src/llm/"]),
    ("llama_cpp_sys_2", &["src/llm/"]),
    ("minijinja", &["src/llm/"]),
    ("rusqlite", &["src/store/"]),
    ("gemm", &["src/ops/", "src/tensor/"]),
    ("clap", &["src/cli/"]),
    ("indicatif", &["src/cli/"]),
    ("ctrlc", &["src/cli/"]),
];

/// The only files with `unsafe`, each for the reason that its `expect(unsafe_code)` gives.
const UNSAFE_FILES: [&str; 15] = [
    "benches/fuzz.rs",
    "benches/trainer.rs",
    "src/device/cuda/blas.rs",
    "src/device/cuda/kernels.rs",
    "src/device/cuda/memory.rs",
    "src/device/cuda/mod.rs",
    "src/device/cuda/nccl.rs",
    "src/device/cuda/staging.rs",
    "src/gguf/map.rs",
    "src/llm/quantize.rs",
    "src/llm/system_info.rs",
    "src/tensor/matrix.rs",
    "tests/it/gguf_engine.rs",
    "tests/it/fetched/llama_cpp.rs",
    "tests/it/fetched/lora_engine.rs",
];

/// The only files of the program that may read a clock, and what for. None decides a row, an output or a
/// weight: a clock that jumps changes what is reported, and nothing else.
const CLOCK_FILES: [(&str, &str); 17] = [
    ("src/bench/evolution.rs", "reports how long an evolution took"),
    ("src/bench/exact.rs", "reports what `exact` costs"),
    ("src/bench/gemm_peak.rs", "reports the speed of bare products"),
    ("src/bench/rates.rs", "reports speeds"),
    ("src/bench/timed_engine.rs", "reports shares of time"),
    ("src/bench/training.rs", "reports the speed of training"),
    ("src/cli/bench.rs", "dates a record of the history"),
    ("src/cli/doctor.rs", "reports the speed of this machine"),
    ("src/cli/output.rs", "shows progress every few seconds, with an estimate of the time left"),
    ("src/cli/train.rs", "reports how long training took"),
    ("src/evolve/times.rs", "reports the time spent outside the model"),
    (
        "src/llm/measure.rs",
        "measures the fastest compute format and batch width; where rows depend on the answer, it is \
         bound to the journal before the first row, and a resumed run keeps it",
    ),
    (
        "src/llm/progress.rs",
        "times each part of the engine: how far ahead tokens are guessed depends on it, which tokens are \
         drawn does not",
    ),
    ("src/run/evolve/progress.rs", "reports tokens per second"),
    ("src/run/host.rs", "estimates the time left of a stage"),
    ("src/run/monitor.rs", "dates the progress of a run for others, and sums the time of each stage"),
    ("src/run/train.rs", "reports how long training took"),
];

/// Lines of a Rust file, at most: beyond that it is two files.
const MAX_LINES: usize = 500;
/// Columns of a line in Rust and CUDA sources, at most; comments and strings count.
const MAX_COLUMNS: usize = 110;

fn check_direction(source: &Source) -> Vec<String> {
    let Some(own) = source.module() else { return Vec::new() };
    let rank = |name: &str| MODULES.iter().position(|m| *m == name);
    named_modules(&source.code)
        .into_iter()
        .filter(|named| rank(named) > rank(own))
        .map(|named| format!("`{own}` comes before `{named}` and must not name it: reverse the dependency"))
        .collect()
}

fn check_owners(source: &Source) -> Vec<String> {
    if !source.path.starts_with("src/") {
        return Vec::new();
    }
    let mut complaints = BTreeSet::new();
    for (before, word, after) in identifiers(&source.code) {
        // A path that starts with the crate, or `use` of it; `ops::gemm::…` is somebody's module.
        let names_crate = !before.ends_with("::")
            && (after.starts_with("::") || before.ends_with("use"))
            && !before.ends_with('.');
        for (name, owners) in OWNERS {
            if names_crate && word == name && !owners.iter().any(|o| source.path.starts_with(o)) {
                complaints
                    .insert(format!("only {owners:?} may name the crate `{name}`: call its owner instead"));
            }
        }
    }
    complaints.into_iter().collect()
}

fn check_unsafe(source: &Source) -> Vec<String> {
    let has_unsafe = identifiers(&source.code).any(|(_, word, _)| word == "unsafe");
    // The simulated device is memory and registers of its own; its files say by `expect` where they are
    // unsafe.
    let is_simulator = source.path.starts_with("tests/cuda-sim/");
    if has_unsafe && !is_simulator && !UNSAFE_FILES.contains(&source.path.as_str()) {
        vec!["`unsafe` is allowed only in the files that tests/it/layout.rs lists".to_owned()]
    } else {
        Vec::new()
    }
}

fn check_clocks(source: &Source) -> Vec<String> {
    let named = identifiers(&source.code).any(|(_, word, _)| ["SystemTime", "Instant"].contains(&word));
    let is_listed = CLOCK_FILES.iter().any(|(path, _)| *path == source.path);
    if named && !is_listed && source.path.starts_with("src/") {
        vec![
            "a clock decides nothing: only files listed in tests/it/layout.rs read one, for reports"
                .to_owned(),
        ]
    } else {
        Vec::new()
    }
}

fn check_header(source: &Source) -> Vec<String> {
    if source.text.starts_with("//!") {
        Vec::new()
    } else {
        vec![
            "the file must open with a `//!` header: what it is, where it stands in the flow, its invariants"
                .to_owned(),
        ]
    }
}

fn check_length(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if lines > MAX_LINES {
        vec![format!("{lines} lines, expected at most {MAX_LINES}: split it")]
    } else {
        Vec::new()
    }
}

/// The columns of every line. This is the only rule that also reads CUDA sources.
fn check_columns(root: &Path) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in files(root, &["src", "tests", "benches", "kernels"], &["rs", "cu", "cuh", "h"]) {
        for (index, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > MAX_COLUMNS {
                let number = index + 1;
                complaints.push(format!(
                    "{path}: line {number}: {columns} columns, expected {MAX_COLUMNS} or less"
                ));
            }
        }
    }
    complaints
}

/// Only `cli` prints: every other module returns what there is to say, or calls its caller's callback.
fn check_silence(source: &Source) -> Vec<String> {
    let is_test = source.path.contains("/tests/") || source.path.ends_with("tests.rs");
    if is_test || source.module().is_none_or(|module| module == "cli") {
        return Vec::new();
    }
    let prints = |(before, word, after): (&str, &str, &str)| match word {
        "print" | "println" | "eprint" | "eprintln" => after.starts_with('!'),
        // `io::stdout()`, and not `command.stdout(…)` or `output.stderr`, which belong to another process.
        "stdout" | "stderr" => after.starts_with('(') && !before.ends_with('.'),
        _ => false,
    };
    if identifiers(&source.code).any(prints) {
        vec!["only `cli` writes to stdout and stderr: return the text, or pass it to a callback".to_owned()]
    } else {
        Vec::new()
    }
}

/// The first line of an integration test's module says what a failure means.
fn check_test_header(source: &Source) -> Vec<String> {
    let is_integration = ["tests/it/", "tests/cuda-sim/tests/"].iter().any(|p| source.path.starts_with(p));
    let has_tests = source.code.contains("#[test]");
    if is_integration && has_tests && !source.text.starts_with("//! Catches ") {
        vec!["the header must start with `Catches` and say what these tests would catch".to_owned()]
    } else {
        Vec::new()
    }
}

/// A module is named after its subject.
fn check_names(source: &Source) -> Vec<String> {
    source
        .path
        .split('/')
        .map(|part| part.trim_end_matches(".rs"))
        .filter(|part| ["utils", "util", "common", "helpers", "types", "prelude"].contains(part))
        .map(|part| format!("`{part}` names no subject: call the module after what it is about"))
        .collect()
}

/// Each folder of `src/ops` holds the contract, the CPU backend and the cases.
fn check_op_folders(root: &Path) -> Vec<String> {
    let mut complaints = Vec::new();
    for folder in folders(&root.join("src/ops")) {
        for file in ["mod.rs", "cpu.rs", "tests.rs"] {
            if !folder.join(file).is_file() {
                let name = folder.file_name().expect("a listed folder has a name").display().to_string();
                complaints.push(format!("src/ops/{name}: the op has no `{file}`"));
            }
        }
    }
    complaints
}

/// Every complaint about the package at `root`, as `path: complaint`, sorted.
fn complaints(root: &Path) -> Vec<String> {
    let rules = [
        check_direction,
        check_owners,
        check_unsafe,
        check_clocks,
        check_silence,
        check_header,
        check_test_header,
        check_length,
        check_names,
    ];
    let mut found = check_op_folders(root);
    found.extend(check_columns(root));
    for source in sources(root) {
        for rule in rules {
            found.extend(rule(&source).into_iter().map(|complaint| format!("{}: {complaint}", source.path)));
        }
    }
    found.sort();
    found
}

fn package_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_package_keeps_its_own_rules() {
    assert!(sources(package_root()).len() > 40, "the walk found too few files: is the root wrong?");
    let found = complaints(package_root());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_file_that_may_read_a_clock_does() {
    for (path, _) in CLOCK_FILES {
        let text = fs::read_to_string(package_root().join(path)).unwrap_or_else(|e| panic!("`{path}`: {e}"));
        // Under a name that is in no list, so that the rule fires if the file reads a clock.
        let source = Source::new("src/unlisted.rs".to_owned(), text);
        assert!(!check_clocks(&source).is_empty(), "`{path}` reads no clock: take it off the list");
    }
}

#[test]
fn the_module_list_is_the_one_in_lib_rs() {
    let lib = Source::new(
        "src/lib.rs".to_owned(),
        fs::read_to_string(package_root().join("src/lib.rs")).expect("lib.rs is there"),
    );
    let declared: BTreeSet<&str> =
        lib.code.lines().filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert_eq!(declared, BTreeSet::from(MODULES));
    // `mod@bench`: there is an attribute of that name, too.
    let order: Vec<&str> = lib
        .text
        .lines()
        .filter_map(|l| l.strip_prefix("//! - [`")?.trim_start_matches("mod@").split('`').next())
        .collect();
    assert_eq!(order, MODULES, "lib.rs lists the modules low to high");
}

/// The complaints about a made-up package that has only this file.
fn complaints_about(path: &str, text: &str) -> Vec<String> {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, text).unwrap();
    complaints(root.path())
}

#[test]
fn each_rule_fires_on_a_tree_that_breaks_it() {
    let bad = [
        ("src/gguf/mod.rs", "//! x\nuse crate::train::Trainer;\n", "must not name it"),
        ("src/gguf/mod.rs", "//! x\nuse crate::{rng, llm::Engine};\n", "`gguf` comes before `llm`"),
        ("src/evolve/a.rs", "//! x\nfn f() { crate::cli::main(); }\n", "`evolve` comes before `cli`"),
        ("src/rng.rs", "//! x\nuse crate :: tensor;\n", "`rng` comes before `tensor`"),
        ("src/train/mod.rs", "//! x\nuse rusqlite::Connection;\n", "may name the crate `rusqlite`"),
        ("src/evolve/mod.rs", "//! x\nfn f() -> clap::Command { g() }\n", "the crate `clap`"),
        ("src/model/mod.rs", "//! x\nfn f() { gemm::gemm(); }\n", "the crate `gemm`"),
        ("src/dataset/mod.rs", "//! x\nfn f() { unsafe { g() } }\n", "`unsafe` is allowed only in"),
        ("src/evolve/rounds.rs", "//! x\nuse std::time::{Duration, Instant};\n", "a clock decides nothing"),
        ("src/rng.rs", "//! x\nfn f() { std::time::SystemTime::now(); }\n", "a clock decides nothing"),
        ("src/dataset/mod.rs", "// x\nfn f() {}\n", "must open with a `//!` header"),
        ("benches/b.rs", "fn main() {}\n", "must open with a `//!` header"),
        ("src/bench/mod.rs", "//! x\nfn f() { println!(\"x\"); }\n", "only `cli` writes to stdout"),
        ("src/eval/mod.rs", "//! x\nfn f() { eprint ! (\"x\"); }\n", "only `cli` writes to stdout"),
        ("src/train/mod.rs", "//! x\nfn f() { std::io::stdout().flush(); }\n", "only `cli` writes to stdout"),
        (
            "src/llm/a.rs",
            "//! x\nuse std::io::stderr;\nfn f() { stderr(); }\n",
            "only `cli` writes to stdout",
        ),
        ("tests/it/a.rs", "//! Tests.\n#[test]\nfn f() {}\n", "must start with `Catches`"),
        ("src/evolve/helpers.rs", "//! x\n", "`helpers` names no subject"),
        ("src/ops/rope/mod.rs", "//! x\n", "the op has no `cpu.rs`"),
    ];
    for (path, text, expected) in bad {
        let found = complaints_about(path, text);
        assert!(found.iter().any(|c| c.contains(expected)), "{path}: {text:?} gave {found:?}");
    }
    let long = "//! x\n".repeat(MAX_LINES + 1);
    assert!(complaints_about("src/rng.rs", &long)[0].contains("split it"));
    let wide = format!("//! x\n// {}\n", "é".repeat(MAX_COLUMNS - 2));
    for path in ["src/rng.rs", "tests/it/a.rs", "benches/b.rs", "kernels/k.cu", "kernels/k.cuh"] {
        assert_eq!(
            complaints_about(path, &wide),
            [format!("{path}: line 2: 111 columns, expected 110 or less")]
        );
    }
}

#[test]
fn no_rule_fires_on_what_only_looks_bad() {
    let good = [
        ("src/evolve/mod.rs", "//! x\nuse crate::{dataset, llm::{Request, train}};\n"),
        (
            "src/gguf/mod.rs",
            "//! x\n// crate::train and unsafe\nfn f() -> &'static str { \"crate::cli unsafe\" }\n",
        ),
        (
            "src/gguf/a.rs",
            "//! x\nfn f() -> char { '\"' }\n/* unsafe */\nfn g() -> &str { r#\"unsafe \" clap::x\"# }\n",
        ),
        ("src/gguf/b.rs", "//! x\nfn f<'a>(x: &'a str) -> &'a str { x }\nconst UNSAFE_FILES: u8 = b'\\'';\n"),
        (
            "src/model/mod.rs",
            "//! x\nuse crate::ops::gemm::forward;\nuse super::gemm;\nfn f(x: M) { x.gemm() }\n",
        ),
        ("src/train/mod.rs", "//! x\n// Instant, SystemTime\nuse std::time::Duration;\nstruct Instants;\n"),
        ("src/cli/output.rs", "//! x\nuse std::time::Instant;\nfn f() { println!(); }\n"),
        ("src/bench/a.rs", "//! x\nfn f(c: C) { c.stdout(x).stderr(y); c.stdout; }\n// println!()\n"),
        ("src/eval/tests.rs", "//! x\nfn f() { println!(); }\n"),
        ("tests/it/a.rs", "//! Catches x.\n#[test]\nfn f() {}\n"),
        ("kernels/k.cu", "// No header is needed.\n"),
        ("benches/load.rs", "//! x\nuse std::time::Instant;\n"),
        ("tests/it/main.rs", "//! x\nuse clap::CommandFactory;\n"),
    ];
    for (path, text) in good {
        assert_eq!(complaints_about(path, text), Vec::<String>::new(), "{path}: {text:?}");
    }
}
