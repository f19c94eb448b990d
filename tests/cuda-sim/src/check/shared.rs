//! Races in shared memory, by vector clocks (Flanagan and Freund 2009, "FastTrack").
//!
//! Each warp has a clock for every warp: how far it has seen the other. A barrier makes its members see all
//! that any of them has seen. An access races with an earlier one of another thread if that is not seen yet.
//! Inside a warp the same is done with a count of `bar.warp.sync`; shuffles order nothing.

use super::Touch;
use crate::finding::FindingKind;

const WARPS: usize = 32;
const NOBODY: u32 = u32::MAX;

/// When something was done: by which thread, at its warp's own clock and count of warp barriers.
#[derive(Debug, Clone, Copy)]
struct When {
    thread: u32,
    clock: u32,
    syncs: u32,
    is_atomic: bool,
}

const NEVER: When = When { thread: NOBODY, clock: 0, syncs: 0, is_atomic: false };

#[derive(Debug, Clone)]
struct Cell {
    write: When,
    /// The last read of each warp: its clock, and the lane that read, or several.
    reads: [(u32, u32); WARPS],
    read: When,
    is_written: bool,
}

/// The last accesses to each byte of a block's shared memory.
#[derive(Debug)]
pub struct SharedShadow {
    cells: Vec<Cell>,
    clocks: Box<[[u32; WARPS]; WARPS]>,
    syncs: [u32; WARPS],
}

impl SharedShadow {
    /// A shadow of `bytes` bytes.
    pub fn new(bytes: usize) -> Self {
        let cell = Cell { write: NEVER, reads: [(0, 0); WARPS], read: NEVER, is_written: false };
        let mut shadow =
            Self { cells: vec![cell; bytes], clocks: Box::new([[0; WARPS]; WARPS]), syncs: [0; WARPS] };
        shadow.clear();
        shadow
    }

    /// Forgets the accesses of the previous block.
    pub fn clear(&mut self) {
        self.cells.fill(Cell { write: NEVER, reads: [(0, 0); WARPS], read: NEVER, is_written: false });
        for (warp, clocks) in self.clocks.iter_mut().enumerate() {
            *clocks = [0; WARPS];
            clocks[warp] = 1;
        }
        self.syncs = [0; WARPS];
    }

    /// A barrier between warps is complete.
    pub fn barrier(&mut self, warps: &[u32]) {
        let mut seen = [0; WARPS];
        for &warp in warps {
            for (seen, &clock) in seen.iter_mut().zip(&self.clocks[warp as usize]) {
                *seen = clock.max(*seen);
            }
        }
        for &warp in warps {
            self.clocks[warp as usize] = seen;
            self.clocks[warp as usize][warp as usize] += 1;
            self.syncs[warp as usize] += 1;
        }
    }

    /// A barrier between lanes is complete.
    pub fn warp_barrier(&mut self, warp: u32) {
        self.syncs[warp as usize] += 1;
    }

    /// Records an access; what is wrong with it, if anything.
    pub fn touch(&mut self, thread: u32, touch: Touch) -> Option<(FindingKind, String)> {
        let mut complaint = None;
        for at in touch.address..touch.address + touch.bytes {
            complaint = complaint.or(self.touch_byte(thread, at, touch));
        }
        complaint
    }

    fn touch_byte(&mut self, thread: u32, at: u64, touch: Touch) -> Option<(FindingKind, String)> {
        let warp = (thread / 32) as usize;
        let (clocks, syncs) = (&self.clocks[warp], self.syncs[warp]);
        let now = When { thread, clock: clocks[warp], syncs, is_atomic: touch.is_atomic };
        let is_seen = |then: &When| {
            let other = then.thread / 32;
            then.thread == NOBODY
                || then.thread == thread
                || then.is_atomic && touch.is_atomic
                || if other as usize == warp {
                    then.syncs < syncs
                } else {
                    clocks[other as usize] >= then.clock
                }
        };
        let cell = &mut self.cells[at as usize];
        let mut complaint = None;
        if touch.reads && !cell.is_written {
            complaint = Some((
                FindingKind::Uninitialised,
                format!("shared memory at {at:#x} is read, but nothing has written it"),
            ));
        }
        if !is_seen(&cell.write) {
            let what = if touch.writes { "write after write" } else { "read after write" };
            complaint = Some(race(what, at, cell.write.thread, thread));
        } else if touch.writes {
            let other = (0..WARPS).find(|&other| other != warp && cell.reads[other].0 > clocks[other]);
            if let (Some(other), false) = (other, touch.is_atomic && cell.read.is_atomic) {
                complaint = Some(race("write after read", at, cell.reads[other].1, thread));
            } else if !is_seen(&cell.read) && cell.read.thread as usize / 32 == warp {
                complaint = Some(race("write after read", at, cell.read.thread, thread));
            }
        }
        if touch.reads {
            cell.reads[warp] = (now.clock, thread);
            cell.read = now;
        }
        if touch.writes {
            cell.write = now;
            cell.is_written = true;
        }
        complaint
    }
}

fn race(what: &str, at: u64, first: u32, second: u32) -> (FindingKind, String) {
    let message =
        format!("{what} of shared memory at {at:#x}: threads {first} and {second}, no barrier between them");
    (FindingKind::SharedRace, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: Touch = Touch { address: 4, bytes: 4, reads: false, writes: true, is_atomic: false };
    const READ: Touch = Touch { address: 4, bytes: 4, reads: true, writes: false, is_atomic: false };
    const ADD: Touch = Touch { address: 4, bytes: 4, reads: true, writes: true, is_atomic: true };

    fn kind(complaint: Option<(FindingKind, String)>) -> Option<FindingKind> {
        complaint.map(|(kind, _)| kind)
    }

    #[test]
    fn a_barrier_orders_its_members_only() {
        let mut shadow = SharedShadow::new(16);
        assert_eq!(kind(shadow.touch(0, WRITE)), None);
        shadow.barrier(&[0, 1]);
        assert_eq!(kind(shadow.touch(40, READ)), None);
        assert_eq!(kind(shadow.touch(70, READ)), Some(FindingKind::SharedRace));
        shadow.barrier(&[0, 1, 2]);
        assert_eq!(kind(shadow.touch(70, WRITE)), None);
        shadow.clear();
        assert_eq!(kind(shadow.touch(70, READ)), Some(FindingKind::Uninitialised));
    }

    #[test]
    fn lanes_of_a_warp_need_a_barrier_too() {
        let mut shadow = SharedShadow::new(16);
        assert_eq!(kind(shadow.touch(0, WRITE)), None);
        assert_eq!(kind(shadow.touch(0, READ)), None);
        assert_eq!(kind(shadow.touch(1, READ)), Some(FindingKind::SharedRace));
        shadow.warp_barrier(0);
        assert_eq!(kind(shadow.touch(1, READ)), None);
        assert_eq!(kind(shadow.touch(2, WRITE)), Some(FindingKind::SharedRace));
    }

    #[test]
    fn atomics_do_not_race_with_each_other() {
        let mut shadow = SharedShadow::new(16);
        shadow.touch(0, WRITE);
        shadow.barrier(&[0, 1]);
        assert_eq!(kind(shadow.touch(0, ADD)), None);
        assert_eq!(kind(shadow.touch(33, ADD)), None);
        assert_eq!(kind(shadow.touch(0, READ)), Some(FindingKind::SharedRace));
    }

    #[test]
    fn a_reader_is_remembered_when_others_read_later() {
        let mut shadow = SharedShadow::new(16);
        shadow.touch(0, WRITE);
        shadow.barrier(&[0, 1, 2]);
        shadow.touch(33, READ);
        shadow.touch(0, READ);
        shadow.barrier(&[0, 2]);
        assert_eq!(kind(shadow.touch(0, WRITE)), Some(FindingKind::SharedRace));
    }
}
