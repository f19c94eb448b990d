//! The machine: processor, instruction sets, threads, memory. For `evol doctor` and run manifests.
//!
//! **Invariant:** nothing here affects a result. A value that the system does not report is absent, not
//! guessed.

use super::error::{Error, Result};
use std::fs;

/// ggml's own limit on threads (`GGML_MAX_N_THREADS`).
const THREADS_MAX: usize = 512;

/// The properties of the machine that speed and results may depend on.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Machine {
    /// Architecture and operating system, such as `x86_64 linux`.
    pub platform: String,
    /// Name of the processor, if the system gives one.
    pub cpu: Option<String>,
    /// Threads that this process may use.
    pub threads: usize,
    /// Physical memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Memory that is available without swapping, in bytes.
    pub memory_available_bytes: Option<u64>,
    /// Instruction sets of the processor that llama.cpp and the trainer can use.
    pub instruction_sets: Vec<String>,
    /// Instruction sets that this binary was compiled for.
    pub compiled_for: Vec<String>,
}

impl Machine {
    /// Reads the properties from the system.
    pub fn detect() -> Self {
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            platform: format!("{} {}", std::env::consts::ARCH, std::env::consts::OS),
            cpu: cpu
                .lines()
                .find_map(|l| l.strip_prefix("model name")?.split_once(": ").map(|(_, n)| n.to_owned())),
            threads: available_threads(),
            memory_bytes: meminfo_bytes(&memory, "MemTotal:"),
            memory_available_bytes: meminfo_bytes(&memory, "MemAvailable:"),
            instruction_sets: instruction_sets(),
            compiled_for: compiled_for(),
        }
    }
}

/// Threads that this process may use, by affinity and control group.
pub fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The number of threads: the value of `--threads`, or one per available core.
///
/// # Errors
/// [`Error::Threads`] for 0 and for more than ggml can take.
pub fn threads(typed: Option<usize>) -> Result<usize> {
    match typed {
        None => Ok(available_threads().min(THREADS_MAX)),
        Some(n) if (1..=THREADS_MAX).contains(&n) => Ok(n),
        Some(found) => Err(Error::Threads { found, limit: THREADS_MAX }),
    }
}

fn meminfo_bytes(text: &str, key: &str) -> Option<u64> {
    let kib: u64 =
        text.lines().find_map(|l| l.strip_prefix(key))?.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// Defines `instruction_sets` (what the processor has) and `compiled_for` (what the compiler was allowed to
/// use) over one list of names, so that they can be compared.
macro_rules! x86_sets {
    ($($name:tt),*) => {
        #[cfg(target_arch = "x86_64")]
        fn instruction_sets() -> Vec<String> {
            let mut found = Vec::new();
            $(if std::is_x86_feature_detected!($name) { found.push($name.to_owned()); })*
            found
        }

        fn compiled_for() -> Vec<String> {
            let mut found = Vec::new();
            $(if cfg!(target_feature = $name) { found.push($name.to_owned()); })*
            found
        }
    };
}
x86_sets!(
    "sse3",
    "ssse3",
    "sse4.2",
    "avx",
    "f16c",
    "fma",
    "avx2",
    "bmi2",
    "avx512f",
    "avx512bw",
    "avx512vnni",
    "avx512bf16"
);

#[cfg(not(target_arch = "x86_64"))]
fn instruction_sets() -> Vec<String> {
    Vec::new()
}

/// Host name of this machine; empty if the system does not report one.
pub(super) fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes_and_absent_when_unknown() {
        let text = "MemTotal:       24689764 kB\nMemFree:  1 kB\n";
        assert_eq!(meminfo_bytes(text, "MemTotal:"), Some(24_689_764 * 1024));
        assert_eq!(meminfo_bytes(text, "MemAvailable:"), None);
    }

    #[test]
    fn threads_have_both_limits() {
        assert!(threads(None).is_ok_and(|n| n >= 1));
        assert!(matches!(threads(Some(3)), Ok(3)));
        for n in [0, THREADS_MAX + 1] {
            assert!(matches!(threads(Some(n)), Err(Error::Threads { found, .. }) if found == n));
        }
    }
}
