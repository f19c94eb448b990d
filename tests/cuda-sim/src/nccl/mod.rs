//! NCCL: sums over the devices of a process, behind the functions of `libnccl`.
//!
//! Where in the flow: a program makes communicators, one for each device, and gives all of them an all-reduce
//! in one group ([`api`]). It is performed once the streams of all ranks have come to it; what they do after
//! it comes after it.
//!
//! **Invariant:** numbers are added in the order of ranks, in their own type, so that all ranks have the same
//! bits. In which order a real NCCL adds follows from its rings.

#![expect(unsafe_code, reason = "sums go to and from memory of devices")]

mod api;

use crate::driver::{Fault, State};
use crate::finding::{Finding, FindingKind};

/// A rank of a clique.
#[derive(Debug, Clone)]
pub(crate) struct Communicator {
    /// Ranks that were made together have the same.
    clique: usize,
    rank: usize,
    /// How many there are.
    ranks: usize,
    device: usize,
    /// A collective has failed, here or elsewhere.
    has_failed: bool,
}

/// A rank's part of an all-reduce.
#[derive(Debug, Clone, Copy)]
struct Part {
    communicator: usize,
    send: u64,
    receive: u64,
    count: usize,
    is_wide: bool,
    stream: usize,
}

impl Part {
    fn bytes(&self) -> u64 {
        self.count as u64 * if self.is_wide { 8 } else { 4 }
    }
}

/// A sum over all ranks of a clique.
#[derive(Debug)]
pub(crate) struct AllReduce {
    clique: usize,
    /// The parts in the order of ranks, all of the same length and type.
    parts: Vec<Part>,
}

impl AllReduce {
    /// Does it. Errors are those of the driver: the next call gives them.
    pub(crate) fn perform(&self, state: &mut State) -> Result<(), i32> {
        if state.is_to_fail(Fault::AllReduce, 0) {
            for communicator in state.communicators.values_mut().filter(|c| c.clique == self.clique) {
                communicator.has_failed = true;
            }
            return Ok(());
        }
        let mut pointers = Vec::new();
        for part in &self.parts {
            state.expect_written(part.send, part.bytes(), "summed by NCCL");
            let from = state.host(part.send, part.bytes(), "summed by NCCL")?;
            pointers.push((from, state.host(part.receive, part.bytes(), "written by NCCL")?));
        }
        let (count, is_wide) = self.parts.first().map_or((0, false), |part| (part.count, part.is_wide));
        for at in 0..count {
            // SAFETY: every range was looked up in a live allocation, and has so many numbers.
            unsafe { if is_wide { add::<f64>(&pointers, at, 0.0) } else { add::<f32>(&pointers, at, 0.0) } }
        }
        for part in &self.parts {
            state.mark_written(part.receive, part.bytes());
        }
        Ok(())
    }
}

/// Adds the numbers at a place in the order of ranks; the first one is taken as it is.
///
/// # Safety
/// Every pointer has a number there.
unsafe fn add<T: Copy + std::ops::Add<Output = T>>(pointers: &[(*mut u8, *mut u8)], at: usize, none: T) {
    // SAFETY: as promised by the caller.
    unsafe {
        let numbers = pointers.iter().map(|(from, _)| from.cast::<T>().add(at).read_unaligned());
        let sum = numbers.reduce(|sum, number| sum + number).unwrap_or(none);
        for (_, to) in pointers {
            to.cast::<T>().add(at).write_unaligned(sum);
        }
    }
}

impl State {
    /// The end of a device's context: communicators that are left are a mistake, unless the device has
    /// failed.
    pub(crate) fn end_communicators(&mut self, device: usize, has_failed: bool) {
        let left = self.communicators.extract_if(|_, communicator| communicator.device == device);
        let findings = left.filter(|_| !has_failed).map(|(_, communicator)| {
            let rank = communicator.rank;
            let message = format!("the communicator of rank {rank} is still there when its context ends");
            Finding::of_call(FindingKind::Leak, message)
        });
        let findings: Vec<Finding> = findings.collect();
        self.find(findings);
    }
}
