//! A warp: 32 lanes, their registers, and the loop that runs them.

#![expect(unsafe_code, reason = "handlers read and write rows, which are raw memory")]

use std::collections::VecDeque;

use super::block::{POISON, Worker};
use super::copies::Copy;
use super::scan::{Bounds, Shape, offset_narrow, offset_wide};
use super::{Fault, Launch};
use crate::finding::FindingKind;
use crate::isa::lanes::row;
use crate::lower::{Barrier, Inst, Kind, Special, UNGUARDED};
use crate::ptx::Class;

/// All lanes.
pub(super) const FULL: u32 = u32::MAX;

/// Lanes at the same instruction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    pub(super) pc: u32,
    pub(super) mask: u32,
    pub(super) state: State,
    /// Threads that a barrier waits for, or lanes that a held group waits for.
    pub(super) threads: u32,
}

/// State of a group of lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    /// Waits at a barrier of the block.
    Barrier(u8),
    /// Waits for other lanes of the warp.
    Held,
}

/// Why a warp stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// All lanes wait or have ended.
    Waits,
    /// Its time slice is over; it may continue.
    Slice,
}

/// Where to continue after an instruction.
pub(super) enum Next {
    /// The next one.
    Step,
    /// Another one, for all lanes.
    Jump(u32),
    /// The group is not what it was.
    Regroup,
}

#[derive(Debug)]
pub(super) struct Warp {
    pub(super) id: u32,
    pub(super) groups: Vec<Group>,
    /// Lanes that have not ended.
    pub(super) live: u32,
    /// 64 bytes a piece, for alignment.
    rows: Vec<[u64; 8]>,
    /// Local memory of each lane, one after another.
    local: Vec<u64>,
    pub(super) local_bytes: u64,
    pub(super) open_copies: Vec<Copy>,
    pub(super) copies: VecDeque<Vec<Copy>>,
}

impl Warp {
    pub(super) fn new(launch: &Launch<'_>, id: u32) -> Self {
        let kernel = launch.kernel;
        let mut warp = Self {
            id,
            groups: Vec::new(),
            live: 0,
            rows: vec![[0; 8]; kernel.row_bytes as usize / 64 + 4],
            local: vec![0; (kernel.local_bytes * 32 / 8) as usize],
            local_bytes: kernel.local_bytes,
            open_copies: Vec::new(),
            copies: VecDeque::new(),
        };
        for &(offset, class, value) in &kernel.constants {
            match class {
                Class::Predicate => warp.write_predicate(offset, FULL, value as u32),
                Class::Word => warp.write_word(offset, FULL, value as u32),
                Class::Double => {
                    // SAFETY: the offset is that of a row of 64 bits.
                    unsafe { *row::<[u64; 32]>(warp.rows(), offset) = [value; 32] };
                }
            }
        }
        warp.set_specials(launch, [0; 3], false);
        warp
    }

    pub(super) fn rows(&mut self) -> *mut u8 {
        self.rows.as_mut_ptr().cast()
    }

    pub(super) fn local_base(&mut self) -> *mut u8 {
        self.local.as_mut_ptr().cast()
    }

    /// Ready for another block.
    pub(super) fn start(&mut self, launch: &Launch<'_>, block: [u32; 3]) {
        let rest = launch.threads_of_block() - self.id * 32;
        self.live = if rest >= 32 { FULL } else { (1 << rest) - 1 };
        self.groups.clear();
        self.groups.push(Group { pc: 0, mask: self.live, state: State::Ready, threads: 0 });
        self.open_copies.clear();
        self.copies.clear();
        bytemuck::cast_slice_mut::<u64, u8>(&mut self.local).fill(POISON);
        self.set_specials(launch, block, true);
    }

    /// Fills the rows of `%tid` and the like: those that change from block to block, or the others.
    fn set_specials(&mut self, launch: &Launch<'_>, block: [u32; 3], changing: bool) {
        for &(offset, special) in &launch.kernel.specials {
            if matches!(special, Special::Ctaid(_) | Special::SmId) == changing {
                let values = special_values(launch, block, self.id, special);
                // SAFETY: the offset is that of a row of 32 bits.
                unsafe { *row::<[u32; 32]>(self.rows(), offset) = values };
            }
        }
    }

    pub(super) fn predicate(&mut self, offset: u32) -> u32 {
        // SAFETY: the offset is that of a predicate.
        unsafe { *row::<u32>(self.rows(), offset) }
    }

    pub(super) fn write_predicate(&mut self, offset: u32, mask: u32, bits: u32) {
        // SAFETY: the offset is that of a predicate.
        unsafe {
            let to = row::<u32>(self.rows(), offset);
            *to = *to & !mask | bits & mask;
        }
    }

    pub(super) fn word(&mut self, offset: u32) -> [u32; 32] {
        // SAFETY: the offset is that of a row of 32 bits.
        unsafe { *row::<[u32; 32]>(self.rows(), offset) }
    }

    pub(super) fn double(&mut self, offset: u32) -> [u64; 32] {
        // SAFETY: the offset is that of a row of 64 bits.
        unsafe { *row::<[u64; 32]>(self.rows(), offset) }
    }

    pub(super) fn write_word(&mut self, offset: u32, mask: u32, value: u32) {
        self.write_words(offset, mask, &[value; 32]);
    }

    pub(super) fn write_words(&mut self, offset: u32, mask: u32, values: &[u32; 32]) {
        // SAFETY: the offset is that of a row of 32 bits.
        let to = unsafe { &mut *row::<[u32; 32]>(self.rows(), offset) };
        if mask == FULL {
            *to = *values;
            return;
        }
        for lane in lanes(mask) {
            to[lane] = values[lane];
        }
    }

    /// Addresses of a row, with an offset.
    pub(super) fn addresses(&mut self, offset: u32, wide: bool, imm: i64) -> [u64; 32] {
        let mut addresses = [0; 32];
        self.offset(offset, wide, imm, Bounds { start: 0, len: 0, bytes: 1 }, &mut addresses);
        addresses
    }

    /// The lanes' addresses, and how they lie to each other.
    #[inline]
    pub(super) fn offset(
        &mut self,
        offset: u32,
        wide: bool,
        imm: i64,
        bounds: Bounds,
        addresses: &mut [u64; 32],
    ) -> Shape {
        // SAFETY: the offset is that of a row of this width.
        unsafe {
            if wide {
                offset_wide(&*row::<[u64; 32]>(self.rows(), offset), imm, bounds, addresses)
            } else {
                offset_narrow(&*row::<[u32; 32]>(self.rows(), offset), imm, bounds, addresses)
            }
        }
    }
}

/// The lanes of a mask.
pub(super) fn lanes(mask: u32) -> impl Iterator<Item = usize> {
    let mut rest = mask;
    std::iter::from_fn(move || {
        let lane = rest.trailing_zeros();
        rest &= rest.wrapping_sub(1);
        (lane < 32).then_some(lane as usize)
    })
}

fn special_values(launch: &Launch<'_>, block: [u32; 3], warp: u32, special: Special) -> [u32; 32] {
    let [x, y, _] = launch.block;
    std::array::from_fn(|lane| {
        let (thread, lane) = (warp * 32 + lane as u32, lane as u32);
        match special {
            Special::Tid(0) => thread % x,
            Special::Tid(1) => thread / x % y,
            Special::Tid(_) => thread / x / y,
            Special::Ntid(axis) => launch.block[axis as usize],
            Special::Ctaid(axis) => block[axis as usize],
            Special::Nctaid(axis) => launch.grid[axis as usize],
            Special::LaneId => lane,
            Special::WarpId => warp,
            Special::NwarpId => launch.threads_of_block().div_ceil(32),
            Special::SmId => block[0] % launch.multiprocessors,
            Special::NsmId => launch.multiprocessors,
            Special::GridId => 0,
            Special::LaneMaskEq => 1 << lane,
            Special::LaneMaskLt => (1 << lane) - 1,
            Special::LaneMaskLe => u32::MAX >> (31 - lane),
            Special::LaneMaskGt => !(u32::MAX >> (31 - lane)),
            Special::LaneMaskGe => u32::MAX << lane,
            Special::DynamicSharedSize => launch.dynamic_shared,
            Special::TotalSharedSize => launch.shared_bytes() as u32,
        }
    })
}

impl Worker<'_, '_> {
    /// Runs a warp for at most `slice` instructions; returns how many are left.
    pub(super) fn run_warp(&mut self, warp: &mut Warp, slice: u64) -> Result<(Stop, u64), Fault> {
        let mut left = slice;
        loop {
            merge(&mut warp.groups);
            let ready = warp.groups.iter().enumerate().filter(|(_, group)| group.state == State::Ready);
            let Some((at, _)) = ready.min_by_key(|(_, group)| group.pc) else {
                return Ok((Stop::Waits, left));
            };
            if left == 0 {
                return Ok((Stop::Slice, 0));
            }
            let group = warp.groups.swap_remove(at);
            if warp.groups.is_empty() {
                self.run_alone(warp, group, &mut left)?;
            } else {
                self.run_beside(warp, group, &mut left)?;
            }
        }
    }

    /// All live lanes are together: nothing to look out for.
    fn run_alone(&mut self, warp: &mut Warp, group: Group, left: &mut u64) -> Result<(), Fault> {
        let code = self.launch.kernel.code.as_slice();
        let (mut pc, mask) = (group.pc as usize, group.mask);
        let rows = warp.rows();
        while *left > 0 {
            *left -= 1;
            let inst = &code[pc];
            let mut active = mask;
            if inst.guard != UNGUARDED {
                // SAFETY: the guard is a predicate of these rows.
                let bits = unsafe { *row::<u32>(rows, inst.guard) };
                active &= if inst.guard_not { !bits } else { bits };
            }
            self.outcome.lanes[pc] += u64::from(active.count_ones());
            self.outcome.warps[pc] += 1;
            if let Kind::Lanes(handler) = inst.kind {
                if active != 0 {
                    // SAFETY: lowering made the operands for this handler, and chose it for this processor.
                    unsafe { handler(rows, &inst.r, active) };
                }
                pc += 1;
                continue;
            }
            match self.step(warp, inst, pc, mask, active)? {
                Next::Step => pc += 1,
                Next::Jump(target) => pc = target as usize,
                Next::Regroup => return Ok(()),
            }
        }
        warp.groups.push(Group { pc: pc as u32, ..group });
        Ok(())
    }

    /// Other lanes are elsewhere: after every instruction it is looked whether they are met, or are now
    /// further back.
    fn run_beside(&mut self, warp: &mut Warp, group: Group, left: &mut u64) -> Result<(), Fault> {
        let code = self.launch.kernel.code.as_slice();
        let (mut pc, mask) = (group.pc as usize, group.mask);
        let others = |warp: &Warp, pc: usize| {
            warp.groups.iter().any(|other| match other.state {
                State::Ready => other.pc as usize <= pc,
                State::Held => other.pc as usize == pc,
                State::Barrier(_) => false,
            })
        };
        loop {
            *left = left.saturating_sub(1);
            let inst = &code[pc];
            let mut active = mask;
            if inst.guard != UNGUARDED {
                let bits = warp.predicate(inst.guard);
                active &= if inst.guard_not { !bits } else { bits };
            }
            self.outcome.lanes[pc] += u64::from(active.count_ones());
            self.outcome.warps[pc] += 1;
            match self.step(warp, inst, pc, mask, active)? {
                Next::Step => pc += 1,
                Next::Jump(target) => pc = target as usize,
                Next::Regroup => return Ok(()),
            }
            if *left == 0 || others(warp, pc) {
                warp.groups.push(Group { pc: pc as u32, ..group });
                return Ok(());
            }
        }
    }

    /// One instruction of a group whose lanes are `mask`, of which `active` run it.
    fn step(
        &mut self,
        warp: &mut Warp,
        inst: &Inst,
        pc: usize,
        mask: u32,
        active: u32,
    ) -> Result<Next, Fault> {
        match inst.kind {
            Kind::Branch(target) => return Ok(branch(warp, pc, mask, active, target)),
            Kind::Exit => return Ok(exit(warp, pc, mask, active)),
            _ if active == 0 => return Ok(Next::Step),
            Kind::Lanes(handler) => {
                // SAFETY: lowering made the operands for this handler, and chose it for this processor.
                unsafe { handler(warp.rows(), &inst.r, active) };
            }
            Kind::Load(access) => self.load(warp, inst, access, pc, active)?,
            Kind::Store(access) => self.store(warp, inst, access, pc, active)?,
            Kind::Atomic(atomic) => self.atomic(warp, inst, atomic, pc, active)?,
            Kind::Barrier(kind) => return self.barrier(warp, inst, kind, pc, mask, active),
            Kind::WarpBarrier | Kind::Collective(_) => return self.collective(warp, inst, pc, mask, active),
            Kind::ActiveMask => warp.write_word(inst.r[0], active, active),
            Kind::Clock(wide) => self.clock(warp, inst.r[0], active, wide),
            Kind::LoadMatrix { .. } | Kind::Multiply(_) | Kind::Fragment(_) => {
                if let Some(next) = self.hold(warp, pc, mask, active, FULL)? {
                    return Ok(next);
                }
                if active != FULL {
                    let message = "an instruction of the whole warp where some lanes have ended".into();
                    return Err(self.fault(warp, pc, active, FindingKind::InactiveLane, message));
                }
                self.matrix(warp, inst, pc)?;
            }
            Kind::CopyAsync { .. } => self.copy_async(warp, inst, active),
            Kind::CopyCommit => {
                let group = std::mem::take(&mut warp.open_copies);
                warp.copies.push_back(group);
            }
            Kind::CopyWait => self.wait_for_copies(warp, inst.imm, pc)?,
            Kind::Fence(is_wide) => {
                if let Some(checks) = self.checks.as_deref_mut().filter(|_| is_wide) {
                    checks.fence();
                }
            }
            Kind::Print => self.print(warp, inst, pc, active)?,
            Kind::Assert => return Err(self.assertion(warp, inst, pc, active)),
            Kind::Trap => {
                return Err(self.fault(warp, pc, active, FindingKind::Trap, "the kernel trapped".into()));
            }
        }
        Ok(Next::Step)
    }

    fn barrier(
        &mut self,
        warp: &mut Warp,
        inst: &Inst,
        kind: Barrier,
        pc: usize,
        mask: u32,
        active: u32,
    ) -> Result<Next, Fault> {
        let lane = active.trailing_zeros() as usize;
        let (number, threads) = (warp.word(inst.r[1])[lane], warp.word(inst.r[2])[lane]);
        if number >= 16 {
            let message = format!("barrier {number}: there are 16");
            return Err(self.fault(warp, pc, active, FindingKind::DivergentBarrier, message));
        }
        if kind == Barrier::Arrive {
            self.arrive(warp.id, number as usize, pc);
            return Ok(Next::Step);
        }
        warp.groups.push(Group { pc: pc as u32, mask: active, state: State::Barrier(number as u8), threads });
        if active != mask {
            let rest = mask & !active;
            warp.groups.push(Group { pc: pc as u32 + 1, mask: rest, state: State::Ready, threads: 0 });
        }
        Ok(Next::Regroup)
    }

    /// Keeps lanes at an instruction until all wanted lanes have arrived; `None` if they have.
    fn hold(
        &mut self,
        warp: &mut Warp,
        pc: usize,
        mask: u32,
        active: u32,
        wanted: u32,
    ) -> Result<Option<Next>, Fault> {
        if active & !wanted != 0 {
            let message = format!("lanes {active:08x} are not all in the mask {wanted:08x}");
            return Err(self.fault(warp, pc, active & !wanted, FindingKind::InactiveLane, message));
        }
        let wanted = wanted & warp.live;
        if active == wanted {
            return Ok(None);
        }
        warp.groups.push(Group { pc: pc as u32, mask: active, state: State::Held, threads: wanted });
        if active != mask {
            let rest = mask & !active;
            warp.groups.push(Group { pc: pc as u32 + 1, mask: rest, state: State::Ready, threads: 0 });
        }
        Ok(Some(Next::Regroup))
    }

    /// Instructions so far, in place of a clock: the same from run to run.
    fn clock(&mut self, warp: &mut Warp, offset: u32, active: u32, wide: bool) {
        let now: u64 = self.outcome.warps.iter().sum();
        if wide {
            // SAFETY: the offset is that of a row of 64 bits.
            let to = unsafe { &mut *row::<[u64; 32]>(warp.rows(), offset) };
            for lane in lanes(active) {
                to[lane] = now;
            }
        } else {
            warp.write_word(offset, active, now as u32);
        }
    }
}

/// Groups at the same instruction become one. A held group that has grown tries again.
fn merge(groups: &mut Vec<Group>) {
    let mut at = 0;
    while at < groups.len() {
        if matches!(groups[at].state, State::Barrier(_)) {
            at += 1;
            continue;
        }
        let mut other = at + 1;
        while other < groups.len() {
            let both_held = groups[at].state == State::Held && groups[other].state == State::Held;
            let waits = both_held || matches!(groups[other].state, State::Barrier(_));
            if groups[other].pc == groups[at].pc && !waits {
                let taken = groups.swap_remove(other);
                groups[at].mask |= taken.mask;
                groups[at].state = State::Ready;
            } else {
                other += 1;
            }
        }
        at += 1;
    }
}

fn branch(warp: &mut Warp, pc: usize, mask: u32, taken: u32, target: u32) -> Next {
    if taken == mask {
        return Next::Jump(target);
    }
    if taken == 0 {
        return Next::Step;
    }
    for (pc, mask) in [(target, taken), (pc as u32 + 1, mask & !taken)] {
        warp.groups.push(Group { pc, mask, state: State::Ready, threads: 0 });
    }
    Next::Regroup
}

fn exit(warp: &mut Warp, pc: usize, mask: u32, active: u32) -> Next {
    if active == 0 {
        return Next::Step;
    }
    warp.live &= !active;
    // Who waited for these lanes waits no longer.
    for group in &mut warp.groups {
        if group.state == State::Held {
            group.state = State::Ready;
        }
    }
    let rest = mask & !active;
    if rest != 0 {
        warp.groups.push(Group { pc: pc as u32 + 1, mask: rest, state: State::Ready, threads: 0 });
    }
    Next::Regroup
}
