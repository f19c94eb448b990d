//! What this process has used so far, memory and processor time, and what memory the system has left for it.
//!
//! Where in the flow: `bench` and `cli` ask; nothing that is computed depends on it.
//!
//! **Invariant:** where the system does not tell, the answer is absent, not guessed.

use std::fs;

/// Peak resident memory in bytes (`VmHWM`, Linux only). The model's file is mapped, so its pages count.
pub fn peak_bytes() -> Option<u64> {
    parse(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// Resident memory in bytes now, without what is mapped from files (`RssAnon`, Linux only).
pub fn anonymous_bytes() -> Option<u64> {
    parse(&fs::read_to_string("/proc/self/status").ok()?, "RssAnon:")
}

/// Memory that the system could give to this process without taking any from others, in bytes:
/// `MemAvailable`, what is left of a limit on its control group, and what is left of its address space
/// (`ulimit -v`). Linux only.
pub fn available_bytes() -> Option<u64> {
    let system = parse(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    let number = |name: &str| fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?.trim().parse().ok();
    let group = number("memory.max").zip(number("memory.current"));
    let limit = fs::read_to_string("/proc/self/limits").ok().and_then(|limits| address_space(&limits));
    let used = fs::read_to_string("/proc/self/status").ok().and_then(|status| parse(&status, "VmSize:"));
    let left = [group, limit.zip(used)].into_iter().flatten().map(|(limit, used)| limit.saturating_sub(used));
    Some(left.fold(system, u64::min))
}

/// The soft limit in the table of limits; `None`: there is none.
fn address_space(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn parse(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Processor time of all threads in seconds, in steps of 10 ms (Linux only).
pub fn cpu_seconds() -> Option<f64> {
    parse_stat(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// `utime` and `stime`, fields 14 and 15 of proc(5), counted after the name, which may hold anything but ends
/// with the last parenthesis. Linux shows them in hundredths of a second whatever the kernel's own tick is.
fn parse_stat(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(ticks as f64 / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_in_bytes_or_absent() {
        assert_eq!(
            parse("VmPeak:\t  9 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 7 kB\n", "VmHWM:"),
            Some(1234 * 1024)
        );
        assert_eq!(parse("VmPeak: 9 kB\n", "VmHWM:"), None);
        assert_eq!(parse("VmHWM: many kB\n", "VmHWM:"), None);
    }

    #[test]
    fn a_limit_on_the_address_space_is_read_or_absent() {
        let table =
            |soft: &str| format!("Limit  Soft  Hard  Units\nMax address space   {soft}  unlimited  bytes\n");
        assert_eq!(address_space(&table("921600000")), Some(921_600_000));
        assert_eq!(address_space(&table("unlimited")), None);
    }

    #[test]
    fn processor_time_is_read_whatever_the_name_is() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 1234 66 13 14 15";
        assert_eq!(parse_stat(stat), Some(13.0));
        assert_eq!(parse_stat("7 (evol) S 1 2"), None);
    }
}
