//! Memory and processor time that this process has used, and the memory that is left for it.
//!
//! Where in the flow: `bench` and `cli` read and report these numbers; no result depends on them.
//!
//! **Invariant:** a number that the system does not provide is `None`, never a guess.

use std::fs;

/// Peak resident memory in bytes (`VmHWM`, Linux only). It includes the pages of mapped files, such as a
/// model.
pub fn peak_bytes() -> Option<u64> {
    parse(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// Current resident memory in bytes, without pages of mapped files (`RssAnon`, Linux only).
pub fn anonymous_bytes() -> Option<u64> {
    parse(&fs::read_to_string("/proc/self/status").ok()?, "RssAnon:")
}

/// Memory in bytes that this process can still allocate without taking any from others: the least of
/// `MemAvailable`, what is left under the limit of its control group, and what is left of its address
/// space (`ulimit -v`). Linux only.
pub fn available_bytes() -> Option<u64> {
    let system = parse(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    let number = |name: &str| fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?.trim().parse().ok();
    let group = number("memory.max").zip(number("memory.current"));
    let limit = fs::read_to_string("/proc/self/limits").ok().and_then(|limits| address_space(&limits));
    let used = fs::read_to_string("/proc/self/status").ok().and_then(|status| parse(&status, "VmSize:"));
    let left = [group, limit.zip(used)].into_iter().flatten().map(|(limit, used)| limit.saturating_sub(used));
    Some(left.fold(system, u64::min))
}

/// The soft limit of the address space in bytes, from the text of `/proc/self/limits`; `None` if unlimited.
fn address_space(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn parse(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Processor time of all threads in seconds, with a resolution of 10 ms (Linux only).
pub fn cpu_seconds() -> Option<f64> {
    parse_stat(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// Adds `utime` and `stime`, fields 14 and 15 of `/proc/self/stat` (proc(5)), in seconds.
///
/// Fields are counted from the last parenthesis, because the process name before it may contain spaces and
/// parentheses. Linux reports both times in hundredths of a second, whatever the kernel's tick is.
fn parse_stat(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(ticks as f64 / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peak_memory_is_parsed_in_bytes_or_absent() {
        assert_eq!(
            parse("VmPeak:\t  9 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 7 kB\n", "VmHWM:"),
            Some(1234 * 1024)
        );
        assert_eq!(parse("VmPeak: 9 kB\n", "VmHWM:"), None);
        assert_eq!(parse("VmHWM: many kB\n", "VmHWM:"), None);
    }

    #[test]
    fn the_address_space_limit_is_parsed_or_absent() {
        let table =
            |soft: &str| format!("Limit  Soft  Hard  Units\nMax address space   {soft}  unlimited  bytes\n");
        assert_eq!(address_space(&table("921600000")), Some(921_600_000));
        assert_eq!(address_space(&table("unlimited")), None);
    }

    #[test]
    fn processor_time_is_parsed_whatever_the_process_name_is() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 1234 66 13 14 15";
        assert_eq!(parse_stat(stat), Some(13.0));
        assert_eq!(parse_stat("7 (evol) S 1 2"), None);
    }
}
