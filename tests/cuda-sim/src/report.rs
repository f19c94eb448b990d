//! What can be said of a kernel's speed without a device: what it moves and computes, counted here, and what
//! `ptxas` gives it.
//!
//! Where in the flow: a bench runs kernels with `profiles` on, and prints [`table`] of the counters and of
//! [`assemble`].
//!
//! **Invariant:** times are lower bounds of a device's published limits: memory at its full rate, or
//! arithmetic at its peak.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

use crate::driver::{Counters, Model};
use crate::loader::tools;

/// Devices that are reported on.
pub const MODELS: [Model; 4] = [Model::Sm80, Model::Sm86, Model::Sm89, Model::Sm90];

/// Resources that `ptxas` allocates to a kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes that are stored and loaded because registers did not suffice.
    pub spills: u32,
    /// Bytes of static shared memory.
    pub shared: u32,
    /// Bytes of a thread's stack.
    pub stack: u32,
}

/// Assembles PTX for a device; what each kernel is given, by name.
///
/// # Errors
/// The output of `ptxas`, or that it is missing.
pub fn assemble(ptx: &Path, model: Model) -> Result<BTreeMap<String, Resources>, String> {
    let ptxas = tools().join("nvidia/cuda_nvcc/bin/ptxas");
    let (major, minor) = model.capability();
    let mut command = Command::new(&ptxas);
    command.args(["-v", &format!("-arch=sm_{major}{minor}"), "-o", "/dev/null"]).arg(ptx);
    let output = command
        .output()
        .map_err(|error| format!("{}: {error}\nhint: run `scripts/fetch-cuda-tools`", ptxas.display()))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(parse(&text)) } else { Err(text.into_owned()) }
}

/// The number before a word.
fn before(line: &str, word: &str) -> Option<u32> {
    let (start, _) = line.split_once(word)?;
    start.rsplit(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty())?.parse().ok()
}

fn parse(text: &str) -> BTreeMap<String, Resources> {
    let mut all = BTreeMap::new();
    let mut kernel = String::new();
    for line in text.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            kernel = rest.split('\'').next().unwrap_or("").to_owned();
            all.insert(kernel.clone(), Resources::default());
        }
        let Some(resources) = all.get_mut(&kernel) else { continue };
        if line.contains("spill stores") {
            resources.stack = before(line, " bytes stack frame").unwrap_or(0);
            resources.spills = before(line, " bytes spill stores").unwrap_or(0)
                + before(line, " bytes spill loads").unwrap_or(0);
        }
        if line.contains(": Used ") {
            resources.registers = before(line, " registers").unwrap_or(0);
            resources.shared = before(line, " bytes smem").unwrap_or(0);
        }
    }
    all
}

/// A kernel on a device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// The device.
    pub model: Model,
    /// Resources of the kernel on it.
    pub resources: Resources,
    /// Warps of a multiprocessor over how many it may have.
    pub occupancy: f64,
    /// Microseconds that memory needs at least, for all launches.
    pub memory_us: f64,
    /// Microseconds that arithmetic needs at least.
    pub arithmetic_us: f64,
}

/// What limits a kernel on a device.
pub fn estimate(counters: &Counters, resources: Resources, model: Model) -> Estimate {
    let bytes = 32 * counters.traffic.least_sectors;
    let shared = u64::from(resources.shared) + u64::from(counters.dynamic_shared);
    let blocks = model.occupancy(counters.threads_of_block, resources.registers, shared);
    let warps = blocks as u32 * counters.threads_of_block.div_ceil(32);
    let plain = (counters.flops - counters.mma_flops) as f64;
    Estimate {
        model,
        resources,
        occupancy: f64::from(warps * 32) / f64::from(model.threads_of_multiprocessor()),
        memory_us: bytes as f64 / model.memory_bandwidth() * 1e6,
        arithmetic_us: (counters.mma_flops as f64 / model.tensor_flops() + plain / model.f32_flops()) * 1e6,
    }
}

fn ratio(part: u64, whole: u64) -> String {
    if whole == 0 { "–".into() } else { format!("{:.2}", part as f64 / whole as f64) }
}

/// Two tables in Markdown: what was counted, and what each device makes of it. Bytes are the least that
/// memory has to move; what blocks fetch (from the second-level cache, if another has fetched it) and what
/// warps ask for are given as multiples of that.
pub fn table(
    counters: &BTreeMap<String, Counters>,
    resources: &[(Model, BTreeMap<String, Resources>)],
) -> String {
    let mut text = String::from(
        "| kernel | launches | warp instructions | bytes | by blocks | by warps | sectors per ideal | bank \
         waves per ideal | mma | FLOP per byte |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for (name, c) in counters {
        let t = &c.traffic;
        let bytes = 32 * t.least_sectors;
        writeln!(
            text,
            "| `{name}` | {} | {} | {bytes} | {} | {} | {} | {} | {} | {} |",
            c.launches,
            c.warp_instructions,
            ratio(t.block_sectors, t.least_sectors),
            ratio(t.sectors(), t.least_sectors),
            ratio(t.sectors(), t.load_ideal_sectors + t.store_ideal_sectors),
            ratio(t.shared_waves, t.shared_ideal_waves),
            c.mma,
            ratio(c.flops, bytes),
        )
        .expect("a string takes all");
    }
    text.push_str(
        "\n| kernel | device | registers | spilled bytes | shared bytes | occupancy | µs of memory | µs of \
         arithmetic |\n\
         |---|---|--:|--:|--:|--:|--:|--:|\n",
    );
    for (name, c) in counters {
        for (model, kernels) in resources {
            let Some(&resources) = kernels.get(name) else { continue };
            let e = estimate(c, resources, *model);
            writeln!(
                text,
                "| `{name}` | sm_{}{} | {} | {} | {} | {:.2} | {:.2} | {:.2} |",
                model.capability().0,
                model.capability().1,
                resources.registers,
                resources.spills,
                u64::from(resources.shared) + u64::from(c.dynamic_shared),
                e.occupancy,
                e.memory_us,
                e.arithmetic_us,
            )
            .expect("a string takes all");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ptxas_says_is_read() {
        let text = "ptxas info    : 0 bytes gmem\n\
                    ptxas info    : Compiling entry function 'first' for 'sm_80'\n\
                    ptxas info    : Function properties for first\n\
                    \x20   16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads\n\
                    ptxas info    : Used 40 registers, used 1 barriers, 16 bytes cumulative stack size, 2048 \
                    bytes smem, 380 bytes cmem[0]\n\
                    ptxas info    : Compiling entry function 'second' for 'sm_80'\n\
                    ptxas info    : Used 12 registers, 376 bytes cmem[0]\n";
        let all = parse(text);
        assert_eq!(all["first"], Resources { registers: 40, spills: 20, shared: 2048, stack: 16 });
        assert_eq!(all["second"], Resources { registers: 12, ..Resources::default() });
    }
}
