//! A block: its warps by turns, its barriers, its shared memory.

use super::warp::{Group, State, Stop, Warp};
use super::{Fault, Launch, Outcome, finding_at};
use crate::check::{Checks, SharedShadow};
use crate::finding::{Finding, FindingKind};
use crate::lower::{Barrier, Kind};

/// Instructions of a warp before another has its turn: enough that turns cost nothing, and a warp that waits
/// in a loop for another does not wait for ever.
const SLICE: u64 = 1 << 18;
/// Barriers of a block.
const BARRIERS: usize = 16;
/// Content of memory that was never written: NaN as a number, far out of bounds as an index.
pub(super) const POISON: u8 = 0xff;

/// Runs blocks, one after another, with the same memory.
pub(super) struct Worker<'l, 'c> {
    pub(super) launch: &'l Launch<'l>,
    pub(super) outcome: Outcome,
    pub(super) checks: Option<&'c mut Checks>,
    pub(super) shadow: Option<SharedShadow>,
    warps: Vec<Warp>,
    warp_order: Vec<u32>,
    /// 16 bytes of alignment.
    shared: Vec<u128>,
    /// The allocation that each instruction found last.
    pub(super) found: Vec<(u64, u64)>,
    pub(super) block: [u32; 3],
    pub(super) block_number: u64,
    /// Warps that arrived at each barrier without waiting, and where.
    arrived: [Vec<(u32, usize)>; BARRIERS],
    budget: u64,
}

impl<'l, 'c> Worker<'l, 'c> {
    pub(super) fn new(launch: &'l Launch<'l>, checks: Option<&'c mut Checks>) -> Self {
        let code = launch.kernel.code.len();
        let warps = launch.threads_of_block().div_ceil(32);
        let shared = launch.shared_bytes();
        Self {
            launch,
            outcome: Outcome { lanes: vec![0; code], warps: vec![0; code], ..Outcome::default() },
            shadow: checks.as_ref().map(|_| SharedShadow::new(shared as usize)),
            checks,
            warps: (0..warps).map(|id| Warp::new(launch, id)).collect(),
            warp_order: launch.order.of(warps as usize),
            shared: vec![0; shared.div_ceil(16) as usize],
            // No address is inside.
            found: vec![(u64::MAX, 0); code],
            block: [0; 3],
            block_number: 0,
            arrived: Default::default(),
            budget: launch.budget,
        }
    }

    pub(super) fn finish(self) -> Outcome {
        self.outcome
    }

    pub(super) fn shared_base(&mut self) -> *mut u8 {
        self.shared.as_mut_ptr().cast()
    }

    pub(super) fn run_block(&mut self, number: u32) -> Result<(), Fault> {
        let [x, y, _] = self.launch.grid;
        self.block = [number % x, number / x % y, number / x / y];
        self.block_number = u64::from(number);
        bytemuck::cast_slice_mut::<u128, u8>(&mut self.shared).fill(POISON);
        if let Some(shadow) = &mut self.shadow {
            shadow.clear();
        }
        if let Some(checks) = &mut self.checks {
            checks.start_block(self.block_number);
        }
        for warp in &mut self.warps {
            warp.start(self.launch, self.block);
        }
        for arrived in &mut self.arrived {
            arrived.clear();
        }
        let mut warps = std::mem::take(&mut self.warps);
        let result = self.run_warps(&mut warps);
        self.warps = warps;
        result
    }

    fn run_warps(&mut self, warps: &mut [Warp]) -> Result<(), Fault> {
        loop {
            let mut yielded = false;
            for i in 0..warps.len() {
                let warp = &mut warps[self.warp_order[i] as usize];
                if warp.live == 0 {
                    continue;
                }
                let before = SLICE.min(self.budget);
                let (stop, left) = self.run_warp(warp, before)?;
                self.budget -= before - left;
                yielded |= stop == Stop::Slice;
                if self.budget == 0 {
                    let pc = warp.groups.first().map_or(0, |group| group.pc as usize);
                    return Err(self.fault(
                        warp,
                        pc,
                        warp.live,
                        FindingKind::Timeout,
                        "more instructions than allowed".into(),
                    ));
                }
            }
            if yielded {
                continue;
            }
            if warps.iter().all(|warp| warp.live == 0) {
                return Ok(());
            }
            if !self.release(warps)? {
                return Err(self.deadlock(warps));
            }
        }
    }

    /// Releases the threads whose barriers are complete; false if there are none.
    fn release(&mut self, warps: &mut [Warp]) -> Result<bool, Fault> {
        for warp in warps.iter() {
            self.check_divergence(warp)?;
        }
        let mut released = false;
        for number in 0..BARRIERS {
            let waiting: Vec<(usize, Group)> = warps
                .iter()
                .enumerate()
                .flat_map(|(i, warp)| warp.groups.iter().map(move |group| (i, *group)))
                .filter(|(_, group)| group.state == State::Barrier(number as u8))
                .collect();
            let Some(&(_, first)) = waiting.first() else { continue };
            let wanted = first.threads;
            let arrived = self.arrived[number].len();
            let is_complete = if wanted == u32::MAX {
                // All that have not ended; lanes that ended count as there.
                let there =
                    waiting.iter().map(|(i, _)| *i as u32).chain(self.arrived[number].iter().map(|a| a.0));
                let there: std::collections::HashSet<u32> = there.collect();
                warps.iter().all(|warp| warp.live == 0 || there.contains(&warp.id))
            } else {
                (waiting.len() + arrived) as u32 * 32 >= wanted
            };
            if is_complete {
                self.complete(warps, number, &waiting);
                released = true;
            }
        }
        Ok(released)
    }

    fn complete(&mut self, warps: &mut [Warp], number: usize, waiting: &[(usize, Group)]) {
        let kind = match self.launch.kernel.code[waiting[0].1.pc as usize].kind {
            Kind::Barrier(kind) => kind,
            _ => Barrier::Sync,
        };
        let mut holds = 0;
        let mut lanes = 0;
        for (i, group) in waiting {
            let inst = &self.launch.kernel.code[group.pc as usize];
            holds += (warps[*i].predicate(inst.r[3]) & group.mask).count_ones();
            lanes += group.mask.count_ones();
        }
        let result = match kind {
            Barrier::Popc => holds,
            Barrier::Or => u32::from(holds > 0),
            Barrier::And => u32::from(holds == lanes),
            Barrier::Sync | Barrier::Arrive => 0,
        };
        let members: Vec<u32> = waiting
            .iter()
            .map(|(i, _)| *i as u32)
            .chain(self.arrived[number].drain(..).map(|a| a.0))
            .collect();
        if let Some(shadow) = &mut self.shadow {
            shadow.barrier(&members);
        }
        for (i, group) in waiting {
            let inst = self.launch.kernel.code[group.pc as usize];
            let warp = &mut warps[*i];
            match kind {
                Barrier::Popc => warp.write_word(inst.r[0], group.mask, result),
                Barrier::Or | Barrier::And => {
                    warp.write_predicate(inst.r[0], group.mask, if result != 0 { u32::MAX } else { 0 });
                }
                Barrier::Sync | Barrier::Arrive => {}
            }
            let same = warp.groups.iter_mut().find(|other| other.pc == group.pc && other.mask == group.mask);
            let same = same.expect("it was just there");
            (same.pc, same.state) = (group.pc + 1, State::Ready);
        }
    }

    pub(super) fn arrive(&mut self, warp: u32, number: usize, pc: usize) {
        self.arrived[number].push((warp, pc));
    }

    /// Lanes of a warp that wait at different barriers will do so for ever on older devices, and are a
    /// mistake on all.
    fn check_divergence(&self, warp: &Warp) -> Result<(), Fault> {
        let mut waiting = warp.groups.iter().filter(|group| matches!(group.state, State::Barrier(_)));
        let (Some(first), Some(second)) = (waiting.next(), waiting.next()) else { return Ok(()) };
        let message = format!(
            "lanes of a warp wait at different barriers: {:08x} here, {:08x} at PTX line {}",
            second.mask, first.mask, self.launch.kernel.places[first.pc as usize].0.line
        );
        Err(self.fault(warp, second.pc as usize, second.mask, FindingKind::DivergentBarrier, message))
    }

    fn deadlock(&self, warps: &[Warp]) -> Fault {
        let stuck = warps.iter().find(|warp| warp.live != 0).expect("one has not ended");
        let held = stuck.groups.iter().find(|group| group.state == State::Held);
        let group = held.or(stuck.groups.first()).expect("it has lanes");
        let message = match group.state {
            State::Held => format!(
                "lanes {:08x} wait for lanes {:08x}, which never come here",
                group.mask,
                group.threads & !group.mask
            ),
            _ => format!("{} threads wait at a barrier that is never complete", group.mask.count_ones()),
        };
        // Some lanes at a barrier, others at their end or elsewhere: that is divergence too.
        let kind = if held.is_none() && warps.iter().any(|warp| warp.live != 0 && warp.groups.len() > 1) {
            FindingKind::DivergentBarrier
        } else {
            FindingKind::Deadlock
        };
        self.fault(stuck, group.pc as usize, group.mask, kind, message)
    }

    #[cold]
    pub(super) fn fault(
        &self,
        warp: &Warp,
        pc: usize,
        lanes: u32,
        kind: FindingKind,
        message: String,
    ) -> Fault {
        Box::new(self.finding(warp, pc, lanes, kind, message))
    }

    fn finding(&self, warp: &Warp, pc: usize, lanes: u32, kind: FindingKind, message: String) -> Finding {
        let thread = warp.id * 32 + lanes.trailing_zeros().min(31);
        finding_at(self.launch, kind, message, pc, self.block, thread)
    }

    /// Keeps a mistake that does not stop the kernel, once for each instruction.
    #[cold]
    pub(super) fn note(&mut self, warp: &Warp, pc: usize, lane: u32, kind: FindingKind, message: String) {
        let (place, _) = self.launch.kernel.places[pc];
        let known = self.outcome.findings.iter_mut();
        let mut known = known.filter(|finding| finding.kind == kind && finding.ptx_line == place.line);
        if let Some(finding) = known.next() {
            finding.count += 1;
            return;
        }
        let finding = self.finding(warp, pc, 1 << lane, kind, message);
        self.outcome.findings.push(finding);
    }
}
