//! A coverage-guided fuzz target for the PTX front end: parser, lowering, register allocation.
//!
//! `scripts/fuzz ptx` runs it on `tests/data/ptx`. Any text must give a module or an error; a crash or a hang
//! ends it.

#![no_main]

use cudasim::lower::{Symbol, Symbols, kernels};
use cudasim::ptx::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(module) = parse(&String::from_utf8_lossy(bytes)) else { return };
    let symbols: Symbols =
        module.variables.iter().map(|variable| (variable.name.clone(), Symbol::Global(0x1000))).collect();
    kernels(&module, &symbols);
});
