//! Gives the library the names under which programs look for the driver, for cuBLAS and for NCCL.
//!
//! A library that was opened by its path answers to its SONAME. One file has one SONAME, so cuBLAS and NCCL
//! are empty libraries that need the first: a symbol that is looked up in them is found in the simulator.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libcuda.so");
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    let nothing = out.join("nothing.c");
    std::fs::write(&nothing, "").expect("the output folder can be written");
    // Stands in for the simulator, which is not built yet, to be named as needed.
    link(&nothing, &out.join("libcuda.so"), "libcuda.so", &[]);
    let needed = out.join("libcuda.so");
    for name in ["libcublas.so", "libnccl.so"] {
        link(&nothing, &out.join(name), name, &["-Wl,--no-as-needed".as_ref(), &needed]);
    }
}

fn link(source: &Path, to: &Path, name: &str, arguments: &[&Path]) {
    let mut command = Command::new("cc");
    command
        .args(["-shared", "-nostdlib", &format!("-Wl,-soname,{name}"), "-o"])
        .arg(to)
        .arg(source)
        .args(arguments);
    let status = command.status().expect("a C compiler links every Rust program");
    assert!(status.success(), "{command:?}: {status}");
}
