//! Runs kernels: blocks over threads, warps of a block by turns, lanes of a warp together.
//!
//! Where in the flow: the driver makes a [`Launch`] of a kernel, its parameters and the memory, and gets an
//! [`Outcome`].
//!
//! A warp is a list of groups of lanes with a program counter each. The group that is furthest back runs, and
//! takes in others where it meets them; so lanes that diverged come together again as early as they can,
//! without any analysis of the control flow. A warp runs until its lanes wait or have ended, or its slice is
//! over; then another does.
//!
//! **Invariant:** every access is checked against live allocations before it is made; nothing a kernel does
//! reaches memory of this process that is not the device's.

mod access;
mod atomics;
mod block;
mod collective;
mod copies;
mod matrices;
mod print;
mod scan;
mod warp;

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use crate::check::{Checks, Traffic};
use crate::finding::{Finding, FindingKind};
use crate::lower::Kernel;
use block::Worker;

/// The order in which blocks and warps run. A correct kernel gives the same results in every order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// In the order of their numbers.
    #[default]
    Forward,
    /// The last first.
    Reverse,
    /// Shuffled by this seed.
    Shuffle(u64),
}

impl Order {
    /// A permutation of `0..len`.
    pub fn of(self, len: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..len as u32).collect();
        match self {
            Self::Forward => {}
            Self::Reverse => order.reverse(),
            Self::Shuffle(seed) => {
                // Fisher and Yates, with splitmix64.
                let mut state = seed;
                for i in (1..len).rev() {
                    state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                    let mut z = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
                    order.swap(i, ((z ^ z >> 31) % (i as u64 + 1)) as usize);
                }
            }
        }
        order
    }
}

/// Everything that a kernel runs with.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The kernel to run.
    pub kernel: &'a Kernel,
    /// Parameters as the kernel lays them out.
    pub params: &'a [u8],
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub dynamic_shared: u32,
    /// (start, end) of what is allocated, in order.
    pub allocations: &'a [(u64, u64)],
    /// (start, end) of what was freed, in order.
    pub freed: &'a [(u64, u64)],
    /// Order of blocks and warps.
    pub order: Order,
    /// Sectors and bank conflicts are counted.
    pub profiles: bool,
    /// Instructions of a warp at most.
    pub budget: u64,
    /// Threads of this process, 1 with checks.
    pub threads: usize,
    /// Number of multiprocessors that `%nsmid` tells.
    pub multiprocessors: u32,
}

impl Launch<'_> {
    /// Threads of a block.
    pub fn threads_of_block(&self) -> u32 {
        self.block.iter().product()
    }

    /// Blocks of the grid.
    pub fn blocks(&self) -> u64 {
        self.grid.iter().map(|&n| u64::from(n)).product()
    }

    /// Bytes of shared memory.
    pub fn shared_bytes(&self) -> u64 {
        self.kernel.shared_bytes + u64::from(self.dynamic_shared)
    }
}

/// The result of a launch.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Lanes that ran each instruction.
    pub lanes: Vec<u64>,
    /// Warps that ran each instruction.
    pub warps: Vec<u64>,
    /// Memory traffic, if it was profiled.
    pub traffic: Traffic,
    /// Mistakes, the fatal one last.
    pub findings: Vec<Finding>,
    /// Output of the kernel's `printf`.
    pub printed: String,
}

impl Outcome {
    fn merge(mut self, other: Self) -> Self {
        let add = |to: &mut Vec<u64>, from: Vec<u64>| {
            if to.is_empty() {
                *to = from;
            } else {
                to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
            }
        };
        add(&mut self.lanes, other.lanes);
        add(&mut self.warps, other.warps);
        self.traffic.add(&other.traffic);
        self.findings.extend(other.findings);
        self.printed.push_str(&other.printed);
        self
    }

    /// The error of the driver that the launch ended with; 0 for none.
    pub fn code(&self) -> i32 {
        self.findings.iter().map(|finding| finding.kind.code()).find(|&code| code != 0).unwrap_or(0)
    }
}

/// The end of a launch before its time.
pub(crate) type Fault = Box<Finding>;

/// Runs a launch. With `checks`, races and uninitialised bytes are looked for, on one thread.
pub fn run(launch: &Launch<'_>, checks: Option<&mut Checks>) -> Outcome {
    let order = launch.order.of(launch.blocks() as usize);
    let stop = AtomicBool::new(false);
    if launch.threads <= 1 || checks.is_some() {
        return run_blocks(launch, checks, &order, &stop);
    }
    // Some chunks a thread, so that the last one to end does not keep the others waiting for long.
    let chunk = order.len().div_ceil(launch.threads * 4).max(1);
    let outcomes = order.par_chunks(chunk).map(|blocks| run_blocks(launch, None, blocks, &stop));
    outcomes.reduce(Outcome::default, Outcome::merge)
}

fn run_blocks(
    launch: &Launch<'_>,
    checks: Option<&mut Checks>,
    blocks: &[u32],
    stop: &AtomicBool,
) -> Outcome {
    let mut worker = Worker::new(launch, checks);
    for &block in blocks {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if let Err(fault) = worker.run_block(block) {
            stop.store(true, Ordering::Relaxed);
            worker.outcome.findings.push(*fault);
            break;
        }
        worker.outcome.traffic.end_block();
    }
    worker.finish()
}

/// A finding at an instruction of a kernel.
pub(crate) fn finding_at(
    launch: &Launch<'_>,
    kind: FindingKind,
    message: String,
    pc: usize,
    block: [u32; 3],
    thread: u32,
) -> Finding {
    let kernel = launch.kernel;
    let (place, opcode) = kernel.places[pc];
    let [x, y, _] = launch.block;
    Finding {
        kind,
        message,
        kernel: kernel.name.clone(),
        opcode: kernel.opcodes.get(opcode as usize).cloned().unwrap_or_default(),
        ptx_line: place.line,
        source_file: kernel.files.get(&place.source.0).cloned().unwrap_or_default(),
        source_line: place.source.1,
        block,
        thread: [thread % x, thread / x % y, thread / x / y],
        count: 1,
    }
}
