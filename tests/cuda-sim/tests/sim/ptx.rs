//! Catches a panic, or an error without its line, when the front end reads damaged PTX. `scripts/fuzz ptx`
//! looks for more.

use std::path::Path;

use cudasim::lower::{Symbol, Symbols, kernels};
use cudasim::ptx::parse;

fn corpus() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ptx");
    let files =
        std::fs::read_dir(folder).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let corpus: Vec<String> = files.collect();
    assert!(corpus.len() >= 5);
    corpus
}

/// Whether it is a module; all of whose kernels are lowered.
fn load(text: &str) -> bool {
    let Ok(module) = parse(text) else { return false };
    let symbols: Symbols =
        module.variables.iter().map(|variable| (variable.name.clone(), Symbol::Global(0x1000))).collect();
    kernels(&module, &symbols);
    true
}

#[test]
fn what_nvrtc_wrote_is_taken_whole() {
    for text in corpus() {
        let module = parse(&text).unwrap();
        let symbols: Symbols =
            module.variables.iter().map(|variable| (variable.name.clone(), Symbol::Global(0x1000))).collect();
        for kernel in kernels(&module, &symbols) {
            assert_eq!(kernel.unsupported, None, "{}", kernel.name);
        }
    }
}

#[test]
fn text_that_ends_early_or_lacks_a_line_is_an_error_or_a_module() {
    let (mut modules, mut errors) = (0, 0);
    for text in corpus() {
        let lines: Vec<&str> = text.lines().collect();
        for at in (0..lines.len()).step_by(9) {
            let without = [&lines[..at], &lines[at + 1..]].concat().join("\n");
            let (cut, _) = text.split_at(text.len() * at / lines.len());
            for text in [without.as_str(), cut] {
                if load(text) { modules += 1 } else { errors += 1 }
            }
        }
    }
    assert!(modules > 100 && errors > 100, "{modules} {errors}");
}

#[test]
fn errors_name_their_line() {
    for (text, line) in [
        (".version 8.0\n.target sm_80\n.visible .entry k(.param .u64\n", 3),
        (".version 8.0\n.visible .entry k()\n{\n add.s32 %r1, %r2\n}\n", 5),
        (".version 8.0\n.visible .entry k()\n{\n mov.u32 %r1, 0x;\n ret;\n}\n", 4),
        (".global .align 3 .b8 x[4];", 1),
    ] {
        let error = parse(text).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(&format!("line {line}:")), "{text}: {error}");
    }
}
