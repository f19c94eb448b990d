//! The architecture as a test: who may name whom, who owns which outside crate, where `unsafe` may stand,
//! who may look at a clock, what every file begins with.
//!
//! The rules work on text, not on syntax trees: comments and strings are blanked out first, and what is
//! left is searched for paths. Each rule is one function from a [`Source`] to complaints that say what to
//! do. The second half of the file runs the rules over a made-up tree that breaks each of them: a rule that
//! never fires would otherwise look like a clean tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Low to high: a module names only those before it (and itself).
const MODULES: [&str; 20] = [
    "explain",
    "process",
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
    "cli",
];

/// Outside crates that one place owns, and the paths that may name them.
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

/// The only files with `unsafe`, each for the reason its `expect(unsafe_code)` gives.
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
    "tests/it/llama_cpp.rs",
    "tests/it/lora_engine.rs",
];

/// The only files of the program that may look at a clock, and what they do with it. None decides a row, a
/// text or a weight: a clock that jumps changes what is reported, and nothing else.
const CLOCK_FILES: [(&str, &str); 16] = [
    ("src/bench/evolution.rs", "reports how long an evolution took"),
    ("src/bench/exact.rs", "reports what `exact` costs"),
    ("src/bench/gemm_peak.rs", "reports the speed of bare products"),
    ("src/bench/rates.rs", "reports speeds"),
    ("src/bench/spent.rs", "reports shares of time"),
    ("src/bench/training.rs", "reports the speed of training"),
    ("src/cli/bench.rs", "dates a record of the history"),
    ("src/cli/doctor.rs", "reports the speed of this machine"),
    ("src/cli/evolve/reporter.rs", "shows tokens per second while a run goes on"),
    ("src/cli/live.rs", "dates what others see of a run while it goes on"),
    ("src/cli/output.rs", "shows progress every few seconds, with an estimate of what is left"),
    ("src/cli/run/stopwatch.rs", "sums the time of each stage for the summary"),
    ("src/cli/train.rs", "reports how long training took"),
    ("src/evolve/times.rs", "reports the time that the model did not take"),
    (
        "src/llm/measure.rs",
        "measures which compute format and batch width are fastest; the answer is bound to the journal \
         before the first row where rows depend on it, and a run goes on with it",
    ),
    (
        "src/llm/progress.rs",
        "counts the time of each part of the engine; how far ahead tokens are guessed follows it, which \
         tokens are drawn does not",
    ),
];

/// Lines of a file beyond which it is two files.
const MAX_LINES: usize = 500;

/// One Rust file: its path from the package's root, its text, and its text without comments and strings.
struct Source {
    path: String,
    text: String,
    code: String,
}

impl Source {
    fn new(path: String, text: String) -> Self {
        let code = blank_comments_and_strings(&text);
        Self { path, text, code }
    }

    /// `src/ops/linear/cpu.rs` → `ops`, `src/rng.rs` → `rng`; `None` outside `src` and for `lib`, `main`.
    fn module(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/")?;
        let name = rest.split('/').next()?.trim_end_matches(".rs");
        MODULES.contains(&name).then_some(name)
    }
}

/// Replaces what is inside comments, strings and character literals by spaces; line breaks stay.
fn blank_comments_and_strings(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out: Vec<char> = chars.iter().map(|&c| if c == '\n' { '\n' } else { ' ' }).collect();
    let mut i = 0;
    while i < chars.len() {
        let end = skipped_end(&chars, i);
        if end > i {
            i = end;
        } else {
            out[i] = chars[i];
            i += 1;
        }
    }
    out.into_iter().collect()
}

/// Where the comment or literal that starts at `i` ends; `i` when none starts there.
fn skipped_end(chars: &[char], i: usize) -> usize {
    let at = |k: usize| chars.get(k).copied().unwrap_or('\0');
    let word_before = i > 0 && (chars[i - 1].is_alphanumeric() || chars[i - 1] == '_');
    match at(i) {
        '/' if at(i + 1) == '/' => (i..chars.len()).find(|&k| at(k) == '\n').unwrap_or(chars.len()),
        '/' if at(i + 1) == '*' => {
            (i + 2..chars.len()).find(|&k| at(k) == '*' && at(k + 1) == '/').map_or(chars.len(), |k| k + 2)
        }
        'r' if !word_before && (at(i + 1) == '"' || at(i + 1) == '#') => raw_string_end(chars, i),
        '"' => quoted_end(chars, i, '"'),
        // A lifetime has no closing quote two characters on (or after a backslash).
        '\'' if at(i + 1) == '\\' || at(i + 2) == '\'' => quoted_end(chars, i, '\''),
        _ => i,
    }
}

fn raw_string_end(chars: &[char], i: usize) -> usize {
    let hashes = chars[i + 1..].iter().take_while(|&&c| c == '#').count();
    if chars.get(i + 1 + hashes) != Some(&'"') {
        return i; // A raw identifier such as `r#type`.
    }
    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    (i + 2 + hashes..chars.len())
        .find(|&k| chars[k..].starts_with(&close))
        .map_or(chars.len(), |k| k + close.len())
}

fn quoted_end(chars: &[char], i: usize, quote: char) -> usize {
    let mut k = i + 1;
    while k < chars.len() && chars[k] != quote {
        k += if chars[k] == '\\' { 2 } else { 1 };
    }
    (k + 1).min(chars.len())
}

/// Identifiers of `code` with what stands directly before and after them.
fn identifiers(code: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + code[from..].find(is_word)?;
        let len = code[start..].find(|c| !is_word(c)).unwrap_or(code.len() - start);
        from = start + len;
        Some((code[..start].trim_end(), &code[start..from], code[from..].trim_start()))
    })
}

/// Modules that `code` names: `crate::x` and each `x` of `crate::{x, y::z}`.
fn named_modules(code: &str) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    let compact: String =
        code.split_whitespace().collect::<Vec<_>>().join(" ").replace(" ::", "::").replace(":: ", "::");
    for root in ["crate::", "evol::"] {
        for (at, _) in compact.match_indices(root) {
            if compact[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let rest = &compact[at + root.len()..];
            let heads = rest.strip_prefix('{').map_or_else(|| vec![rest], top_level_items);
            for head in heads {
                let name: String =
                    head.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                found.extend(MODULES.into_iter().find(|m| *m == name));
            }
        }
    }
    found
}

/// The items of a `{a, b::{c, d}}` list whose opening brace was taken off.
fn top_level_items(list: &str) -> Vec<&str> {
    let (mut items, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (i, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&list[start..i]);
                return items;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&list[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    items
}

fn check_direction(source: &Source) -> Vec<String> {
    let Some(own) = source.module() else { return Vec::new() };
    let rank = |name: &str| MODULES.iter().position(|m| *m == name);
    named_modules(&source.code)
        .into_iter()
        .filter(|named| rank(named) > rank(own))
        .map(|named| {
            format!("`{own}` comes before `{named}` and must not name it: turn the dependency round")
        })
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
                    .insert(format!("only {owners:?} may name the crate `{name}`: go through its owner"));
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
        vec!["`unsafe` stands only in the files that tests/it/layout.rs lists".to_owned()]
    } else {
        Vec::new()
    }
}

fn check_clocks(source: &Source) -> Vec<String> {
    let named = identifiers(&source.code).any(|(_, word, _)| ["SystemTime", "Instant"].contains(&word));
    let may = CLOCK_FILES.iter().any(|(path, _)| *path == source.path);
    if named && !may && source.path.starts_with("src/") {
        vec![
            "a clock decides nothing: only the files that tests/it/layout.rs lists measure and report with \
             one"
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
            "the file must open with a `//!` header: what it is, where in the flow, its invariants"
                .to_owned(),
        ]
    }
}

fn check_length(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if lines > MAX_LINES {
        vec![format!("{lines} lines, at most {MAX_LINES}: it is two files")]
    } else {
        Vec::new()
    }
}

/// No module without a subject.
fn check_names(source: &Source) -> Vec<String> {
    source
        .path
        .split('/')
        .map(|part| part.trim_end_matches(".rs"))
        .filter(|part| ["utils", "util", "common", "helpers", "types", "prelude"].contains(part))
        .map(|part| format!("`{part}` says nothing: name the module by its subject"))
        .collect()
}

/// Each folder of `src/ops` holds the contract, the CPU backend and the cases.
fn check_op_folders(root: &Path) -> Vec<String> {
    let mut complaints = Vec::new();
    for folder in folders(&root.join("src/ops")) {
        for file in ["mod.rs", "cpu.rs", "tests.rs"] {
            if !folder.join(file).is_file() {
                let name = folder.file_name().expect("a listed folder has a name").display().to_string();
                complaints.push(format!("src/ops/{name}: an op has a `{file}`"));
            }
        }
    }
    complaints
}

/// Every complaint about the package at `root`, as `path: complaint`, sorted.
fn complaints(root: &Path) -> Vec<String> {
    let rules =
        [check_direction, check_owners, check_unsafe, check_clocks, check_header, check_length, check_names];
    let mut found = check_op_folders(root);
    for source in sources(root) {
        for rule in rules {
            found.extend(rule(&source).into_iter().map(|complaint| format!("{}: {complaint}", source.path)));
        }
    }
    found.sort();
    found
}

/// All Rust files under `src`, `tests` and `benches`.
fn sources(root: &Path) -> Vec<Source> {
    let mut pending: Vec<PathBuf> = ["src", "tests", "benches"].map(|d| root.join(d)).to_vec();
    let mut sources = Vec::new();
    while let Some(folder) = pending.pop() {
        pending.extend(folders(&folder));
        for file in entries(&folder).into_iter().filter(|p| p.extension().is_some_and(|e| e == "rs")) {
            let path = file.strip_prefix(root).expect("found under the root").to_string_lossy().into_owned();
            let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("`{path}`: {e}"));
            sources.push(Source::new(path, text));
        }
    }
    sources
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).map_or_else(|_| Vec::new(), |dir| dir.map(|e| e.unwrap().path()).collect())
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    entries(folder).into_iter().filter(|p| p.is_dir()).collect()
}

fn package_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_package_keeps_its_own_rules() {
    assert!(sources(package_root()).len() > 40, "the walk found too few files to mean anything");
    let found = complaints(package_root());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_file_that_may_look_at_a_clock_does() {
    for (path, _) in CLOCK_FILES {
        let text = fs::read_to_string(package_root().join(path)).unwrap_or_else(|e| panic!("`{path}`: {e}"));
        // Under a name that is in no list, so that the rule speaks if there is a clock.
        let source = Source::new("src/unlisted.rs".to_owned(), text);
        assert!(!check_clocks(&source).is_empty(), "`{path}` has no clock: take it off the list");
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

/// A made-up package with one file; the complaints about that file.
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
        ("src/dataset/mod.rs", "//! x\nfn f() { unsafe { g() } }\n", "`unsafe` stands only in"),
        ("src/evolve/rounds.rs", "//! x\nuse std::time::{Duration, Instant};\n", "a clock decides nothing"),
        ("src/rng.rs", "//! x\nfn f() { std::time::SystemTime::now(); }\n", "a clock decides nothing"),
        ("src/dataset/mod.rs", "// x\nfn f() {}\n", "must open with a `//!` header"),
        ("benches/b.rs", "fn main() {}\n", "must open with a `//!` header"),
        ("src/evolve/helpers.rs", "//! x\n", "`helpers` says nothing"),
        ("src/ops/rope/mod.rs", "//! x\n", "an op has a `cpu.rs`"),
    ];
    for (path, text, expected) in bad {
        let found = complaints_about(path, text);
        assert!(found.iter().any(|c| c.contains(expected)), "{path}: {text:?} gave {found:?}");
    }
    let long = "//! x\n".repeat(MAX_LINES + 1);
    assert!(complaints_about("src/rng.rs", &long)[0].contains("it is two files"));
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
        ("src/cli/output.rs", "//! x\nuse std::time::Instant;\n"),
        ("benches/load.rs", "//! x\nuse std::time::Instant;\n"),
        ("tests/it/main.rs", "//! x\nuse clap::CommandFactory;\n"),
    ];
    for (path, text) in good {
        assert_eq!(complaints_about(path, text), Vec::<String>::new(), "{path}: {text:?}");
    }
}
