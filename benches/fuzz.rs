//! A coverage-guided fuzz target for what reads files from the internet: the GGUF reader, and what is built
//! on it before a weight is used (the model's configuration and tensors, adapters, block formats).
//!
//! `make fuzz` runs it on the committed corpus (`tests/data/fuzz/gguf`); the same files run in every
//! `make test` (`tests/it/fuzz_corpus.rs`). Input goes through a file in memory, so that what is fuzzed is
//! the code that users run, mapping included.
//!
//! A crash, a hang, or an allocation that the file does not warrant ends it: the allocator below refuses one
//! of more than [`WARRANTED`] times the file's size and a fixed part, and counts what is alive at once.

#![no_main]
#![expect(unsafe_code, reason = "a global allocator that counts")]

#[path = "../tests/it/fuzz_input.rs"]
mod fuzz_input;

use libfuzzer_sys::fuzz_target;
use std::alloc::{GlobalAlloc, Layout, System};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that may be alive per byte of the file: a string of a list takes 24 and its value's tag 8, and a
/// list grows by doubling.
const WARRANTED: usize = 128;
/// Bytes beside that: errors, threads, buffers.
const FIXED: usize = 1 << 22;

/// Counts while a limit is set.
struct Counting;

static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);
static ALIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged; what is counted decides only whether
// the process continues.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let alive = ALIVE.fetch_add(layout.size(), Ordering::Relaxed).wrapping_add(layout.size());
        if alive > LIMIT.load(Ordering::Relaxed) && alive < usize::MAX / 2 {
            LIMIT.store(usize::MAX, Ordering::Relaxed);
            panic!("{} bytes are allocated, {alive} in all", layout.size());
        }
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| PathBuf::from(format!("/dev/shm/evol-fuzz-{}.gguf", std::process::id())));

fuzz_target!(|data: &[u8]| {
    std::fs::write(&*FILE, data).expect("a file in memory");
    ALIVE.store(0, Ordering::Relaxed);
    LIMIT.store(WARRANTED * data.len() + FIXED, Ordering::Relaxed);
    fuzz_input::read(&FILE);
    LIMIT.store(usize::MAX, Ordering::Relaxed);
});
