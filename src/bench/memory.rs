//! The largest memory that this process has had so far.
//!
//! **Invariant:** where the system does not tell, the answer is absent, not guessed.

use std::fs;

/// Peak resident memory in bytes (`VmHWM`, Linux only). The model's file is mapped, so its pages count.
pub(super) fn peak_bytes() -> Option<u64> {
    parse(&fs::read_to_string("/proc/self/status").ok()?)
}

fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_in_bytes_or_absent() {
        assert_eq!(parse("VmPeak:\t  9 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 7 kB\n"), Some(1234 * 1024));
        assert_eq!(parse("VmPeak: 9 kB\n"), None);
        assert_eq!(parse("VmHWM: many kB\n"), None);
    }
}
