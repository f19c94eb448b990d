//! The instruction sets and options that llama.cpp was compiled with.
//!
//! Where in the flow: `evol doctor` prints them, and the manifest of a run records them, because results are
//! reproducible bit for bit only with the same instruction sets.
//!
//! **Invariant:** llama.cpp is called once. Every call rebuilds its answer in one buffer of the process, so
//! two threads that call at the same time read half-written text or corrupt the heap (both were seen).

use std::ffi::CStr;
use std::sync::LazyLock;

/// Versions of `llama-cpp-2` and of `llama-cpp-sys-2`, which carries llama.cpp's source.
pub const BINDINGS: (&str, &str) = ("0.1.160", "0.1.161");

/// Instruction sets and options that are compiled in and usable here (`AVX2`, `AVX512`, `AMX_INT8`, ...).
pub fn system_info() -> Vec<String> {
    static INFO: LazyLock<Vec<String>> = LazyLock::new(|| {
        #[expect(unsafe_code, reason = "the bindings have no safe function for it")]
        let text = {
            // SAFETY: it takes no arguments, may be called before the backend is started, and returns a
            // NUL-terminated string in a buffer that only this function changes; this is its only call.
            unsafe { CStr::from_ptr(llama_cpp_sys_2::llama_print_system_info()) }
        };
        parse(&text.to_string_lossy())
    });
    INFO.clone()
}

/// The names that are on in `CPU : SSE3 = 1 | AVX2 = 1 | OPENMP = 1 |`.
fn parse(text: &str) -> Vec<String> {
    let on = |item: &str| {
        let item = item.rsplit(" : ").next().unwrap_or(item);
        let (name, value) = item.split_once('=')?;
        (value.trim() != "0").then(|| name.trim().to_owned())
    };
    text.split('|').filter_map(on).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_on_is_listed() {
        let text = "CPU : SSE3 = 1 | AVX = 0 | AVX512 = 1 | OPENMP = 1 | ";
        assert_eq!(parse(text), ["SSE3", "AVX512", "OPENMP"]);
    }

    #[test]
    fn the_versions_are_those_of_the_manifest() {
        let manifest: toml::Table = toml::from_str(include_str!("../../Cargo.toml")).unwrap();
        let version = |name: &str| manifest["dependencies"][name]["version"].as_str().unwrap().to_owned();
        let (safe, sys) = BINDINGS;
        assert_eq!(version("llama-cpp-2"), format!("={safe}"));
        assert_eq!(version("llama-cpp-sys-2"), format!("={sys}"));
    }

    #[test]
    fn llama_cpp_lists_the_same_to_all_who_ask_at_once() {
        let asked: Vec<Vec<String>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(system_info)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(!asked[0].is_empty() && asked.iter().all(|info| *info == asked[0]), "{asked:?}");
    }
}
