//! The work that is queued in streams, and how it is done.

#![expect(unsafe_code, reason = "copies go to and from memory that the program names")]

use std::ffi::c_void;
use std::sync::Arc;
use std::time::Instant;

use super::stream::Mark;
use super::{Fault, State};
use crate::blas::Blas;
use crate::exec::{self, Launch, Outcome};
use crate::finding::{Finding, FindingKind};
use crate::isa::Opcode;
use crate::lower::{Kernel, Kind};
use crate::nccl::AllReduce;

/// `CUDA_ERROR_LAUNCH_FAILED`.
const LAUNCH_FAILED: i32 = 719;

/// A piece of work.
#[derive(Clone)]
pub(crate) enum Work {
    /// A kernel.
    Launch(Box<KernelLaunch>),
    /// A copy from host memory that was saved when the call was made.
    Upload { to: u64, bytes: Vec<u8> },
    /// A copy from pinned host memory, which is read when the copy is made.
    UploadPinned { to: u64, from: usize, bytes: u64 },
    /// A copy to host memory.
    Download { to: usize, from: u64, bytes: u64 },
    /// On the device.
    Copy { to: u64, from: u64, bytes: u64 },
    /// A pattern of 1, 2 or 4 bytes.
    Fill { to: u64, value: u32, width: u8, count: u64 },
    /// An event is recorded.
    Record(Arc<Mark>),
    /// An event is waited for.
    Wait(Arc<Mark>),
    /// A function of the program.
    Call(extern "C" fn(*mut c_void), usize),
    /// Memory is given back.
    Free(u64),
    /// A call of cuBLAS.
    Blas(Arc<Blas>),
    /// A sum over devices.
    AllReduce(Arc<AllReduce>),
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Work")
    }
}

/// A kernel with its parameters.
#[derive(Clone)]
pub(crate) struct KernelLaunch {
    pub(super) kernel: Arc<Kernel>,
    pub(super) params: Vec<u8>,
    pub(super) grid: [u32; 3],
    pub(super) block: [u32; 3],
    pub(super) dynamic_shared: u32,
    pub(super) device: usize,
}

impl State {
    pub(super) fn perform(&mut self, work: Work) -> Result<(), i32> {
        match work {
            Work::Upload { to, bytes } => self.write(to, bytes.as_ptr(), bytes.len() as u64),
            Work::UploadPinned { to, from, bytes } => self.write(to, from as *const u8, bytes),
            Work::Download { to, from, bytes } => {
                let source = self.host(from, bytes, "copied to the host")?;
                // SAFETY: the program says that its memory is there until the copy is made.
                unsafe { std::ptr::copy_nonoverlapping(source, to as *mut u8, bytes as usize) };
                Ok(())
            }
            Work::Copy { to, from, bytes } => {
                let source = self.host(from, bytes, "copied from")?;
                let target = self.host(to, bytes, "copied to")?;
                // SAFETY: both are ranges of live allocations.
                unsafe { std::ptr::copy(source, target, bytes as usize) };
                self.copy_written(to, from, bytes);
                Ok(())
            }
            Work::Fill { to, value, width, count } => {
                let bytes = count * u64::from(width);
                let target = self.host(to, bytes, "filled")?;
                let pattern = value.to_le_bytes();
                // SAFETY: the range is inside a live allocation.
                let target = unsafe { std::slice::from_raw_parts_mut(target, bytes as usize) };
                for (i, byte) in target.iter_mut().enumerate() {
                    *byte = pattern[i % usize::from(width)];
                }
                self.mark_written(to, bytes);
                Ok(())
            }
            Work::Record(mark) => {
                mark.reach();
                Ok(())
            }
            // The stream sees to them itself.
            Work::Launch(_) | Work::Wait(_) | Work::Call(..) => Ok(()),
            Work::Free(address) => self.free(address),
            Work::Blas(call) => call.perform(self),
            Work::AllReduce(sum) => sum.perform(self),
        }
    }

    /// The memory of a range, which must be in one allocation.
    pub(crate) fn host(&mut self, address: u64, bytes: u64, what: &str) -> Result<*mut u8, i32> {
        if bytes == 0 {
            return Ok(std::ptr::dangling_mut());
        }
        self.memory.host(address, bytes).ok_or_else(|| {
            self.invalid(format!("{bytes} bytes at {address:#x} are {what}, not all in one allocation"))
        })
    }

    fn write(&mut self, to: u64, from: *const u8, bytes: u64) -> Result<(), i32> {
        let target = self.host(to, bytes, "written")?;
        // SAFETY: the target is inside a live allocation; the program says that the source is there.
        unsafe { std::ptr::copy_nonoverlapping(from, target, bytes as usize) };
        self.mark_written(to, bytes);
        Ok(())
    }

    pub(crate) fn mark_written(&mut self, address: u64, bytes: u64) {
        if let (true, Some((start, _))) = (self.config.checks, self.memory.around(address)) {
            self.checks.write(start, address - start, bytes);
        }
    }

    fn copy_written(&mut self, to: u64, from: u64, bytes: u64) {
        let (true, Some((start, _))) = (self.config.checks, self.memory.around(from)) else { return };
        if self.checks.is_written(start, from - start, bytes) {
            return self.mark_written(to, bytes);
        }
        for i in (0..bytes).filter(|i| self.checks.is_written(start, from - start + i, 1)).collect::<Vec<_>>()
        {
            self.mark_written(to + i, 1);
        }
    }

    /// Reports a range that something reads before anything has written it: false.
    pub(crate) fn expect_written(&mut self, address: u64, bytes: u64, what: &str) -> bool {
        let (true, Some((start, _))) = (self.config.checks, self.memory.around(address)) else { return true };
        let is_written = self.checks.is_written(start, address - start, bytes);
        if !is_written {
            let message =
                format!("{bytes} bytes at {address:#x} are {what}, but nothing has written all of them");
            self.findings.push(Finding::of_call(FindingKind::Uninitialised, message));
        }
        is_written
    }

    /// An instruction that is not supported is reported at once, since no call could report it later.
    pub(super) fn expect_supported(&mut self, kernel: &Kernel) -> Result<(), i32> {
        if let Some((message, place)) = &kernel.unsupported {
            let mut finding = Finding::of_call(FindingKind::Unsupported, message.clone());
            finding.kernel.clone_from(&kernel.name);
            (finding.ptx_line, finding.source_line) = (place.line, place.source.1);
            self.findings.push(finding);
            return Err(FindingKind::Unsupported.code());
        }
        Ok(())
    }

    pub(super) fn launch(&mut self, launch: &KernelLaunch) -> Result<(), i32> {
        if self.is_to_fail(Fault::Launch, launch.device) {
            return Err(LAUNCH_FAILED);
        }
        let ranges = self.memory.ranges(launch.device);
        let run = Launch {
            kernel: &launch.kernel,
            params: &launch.params,
            grid: launch.grid,
            block: launch.block,
            dynamic_shared: launch.dynamic_shared,
            allocations: &ranges.live,
            freed: &ranges.freed,
            order: self.config.order,
            profiles: self.config.profiles,
            budget: self.config.budget,
            threads: self.threads(),
            multiprocessors: self.config.model.multiprocessors() as u32,
        };
        let start = Instant::now();
        self.checks.start_launch();
        let checks = self.config.checks.then_some(&mut self.checks);
        let outcome = exec::run(&run, checks);
        self.count(launch, &outcome, start.elapsed().as_secs_f64());
        self.printed.push_str(&outcome.printed);
        let code = outcome.code();
        self.findings.extend(outcome.findings);
        if code == 0 { Ok(()) } else { Err(code) }
    }

    fn count(&mut self, launch: &KernelLaunch, outcome: &Outcome, seconds: f64) {
        let kernel = &launch.kernel;
        let counters = self.counters.entry(kernel.name.clone()).or_default();
        counters.launches += 1;
        counters.seconds += seconds;
        counters.threads_of_block = launch.block.iter().product();
        counters.dynamic_shared = launch.dynamic_shared;
        counters.traffic.add(&outcome.traffic);
        counters.traffic.end_launch();
        for (pc, (&lanes, &warps)) in outcome.lanes.iter().zip(&outcome.warps).enumerate() {
            counters.lane_instructions += lanes;
            counters.warp_instructions += warps;
            match kernel.code[pc].kind {
                Kind::Multiply(multiply) => {
                    let flops = warps * multiply.shape.iter().map(|&n| u64::from(n)).product::<u64>() * 2;
                    counters.mma += warps;
                    counters.mma_flops += flops;
                    counters.flops += flops;
                }
                Kind::Lanes(_) => {
                    counters.flops += lanes * flops(&kernel.opcodes[kernel.places[pc].1 as usize]);
                }
                _ => {}
            }
        }
    }
}

/// Floating-point operations of a lane.
fn flops(opcode: &str) -> u64 {
    let op = Opcode::new(opcode);
    let pairs = match op.ty() {
        "f32" | "f64" | "f16" | "bf16" => 1,
        "f16x2" | "bf16x2" => 2,
        _ => return 0,
    };
    match op.name {
        "fma" | "mad" => 2 * pairs,
        "add" | "sub" | "mul" | "div" | "rcp" | "sqrt" | "rsqrt" | "ex2" | "lg2" | "sin" | "cos" | "tanh" => {
            pairs
        }
        _ => 0,
    }
}
