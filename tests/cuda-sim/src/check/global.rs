//! Races between blocks, and bytes that nothing has written, in device memory.
//!
//! Two accesses of different blocks race if one of them writes and not both are atomic. A block that has done
//! an atomic has seen what another wrote before its last `fence`: so counters that tell the last block to go
//! on are no race, and neither are flags. (Which counter it was is not checked: a race behind an unrelated
//! atomic is missed.)

use std::collections::HashMap;

use super::Touch;
use crate::finding::FindingKind;

const NOBODY: u32 = u32::MAX;
/// More than one block.
const SEVERAL: u32 = u32::MAX - 1;

#[derive(Debug, Clone, Copy)]
struct Cell {
    writer: u32,
    /// Fences that the writer had done.
    writer_fences: u32,
    writer_is_atomic: bool,
    reader: u32,
    reader_is_atomic: bool,
}

const UNTOUCHED: Cell = Cell {
    writer: NOBODY,
    writer_fences: 0,
    writer_is_atomic: false,
    reader: NOBODY,
    reader_is_atomic: false,
};

/// State of a launch with checks, and which bytes are written, which stays.
#[derive(Debug, Default)]
pub struct Checks {
    /// Bit a byte, by the start of its allocation.
    written: HashMap<u64, Vec<u64>>,
    cells: HashMap<u64, Vec<Cell>>,
    block: u32,
    /// Fences of each block.
    fences: HashMap<u32, u32>,
    has_done_atomic: bool,
}

/// Words of a bit set, with the bits of them that a range covers.
fn words(offset: u64, bytes: u64) -> impl Iterator<Item = (usize, u64)> {
    let end = offset + bytes;
    let covering = if bytes == 0 { 0..0 } else { offset / 64..end.div_ceil(64) };
    covering.map(move |word| {
        let (first, last) = (word * 64, word * 64 + 64);
        let low = u64::MAX << offset.saturating_sub(first);
        let high = u64::MAX >> last.saturating_sub(end);
        (word as usize, low & high)
    })
}

impl Checks {
    /// An allocation that nothing has written.
    pub fn allocate(&mut self, start: u64, bytes: u64) {
        self.written.insert(start, vec![0; bytes.div_ceil(64) as usize]);
    }

    /// It is gone.
    pub fn free(&mut self, start: u64) {
        self.written.remove(&start);
        self.cells.remove(&start);
    }

    /// Bytes of an allocation were written from outside of a kernel.
    pub fn write(&mut self, start: u64, offset: u64, bytes: u64) {
        let Some(written) = self.written.get_mut(&start) else { return };
        for (word, bits) in words(offset, bytes) {
            if let Some(word) = written.get_mut(word) {
                *word |= bits;
            }
        }
    }

    /// Whether all are; unknown allocations are.
    pub fn is_written(&self, start: u64, offset: u64, bytes: u64) -> bool {
        let Some(written) = self.written.get(&start) else { return true };
        words(offset, bytes).all(|(at, bits)| written.get(at).is_none_or(|word| word & bits == bits))
    }

    /// Starts a kernel.
    pub fn start_launch(&mut self) {
        self.cells.clear();
        self.fences.clear();
    }

    /// Starts a block.
    pub fn start_block(&mut self, block: u64) {
        self.block = block as u32;
        self.has_done_atomic = false;
    }

    /// The block orders its memory.
    pub fn fence(&mut self) {
        *self.fences.entry(self.block).or_default() += 1;
    }

    /// The block does an atomic.
    pub fn atomic(&mut self) {
        self.has_done_atomic = true;
    }

    /// Records an access to the allocation at `start`; what is wrong with it, if anything.
    pub fn touch(&mut self, start: u64, touch: Touch) -> Option<(FindingKind, String)> {
        let offset = touch.address - start;
        let mut complaint = None;
        if touch.reads && !self.is_written(start, offset, touch.bytes) {
            let message = format!(
                "{} bytes at {:#x} are read, but nothing has written all of them",
                touch.bytes, touch.address
            );
            complaint = Some((FindingKind::Uninitialised, message));
        }
        if touch.writes {
            self.write(start, offset, touch.bytes);
        }
        let Self { cells, block, fences, has_done_atomic, .. } = self;
        let block = *block;
        let own_fences = fences.get(&block).copied().unwrap_or(0);
        let cells = cells.entry(start).or_default();
        let end = (offset + touch.bytes) as usize;
        if cells.len() < end {
            cells.resize(end, UNTOUCHED);
        }
        for (at, cell) in cells[offset as usize..end].iter_mut().enumerate() {
            let is_ordered = *has_done_atomic
                && fences.get(&cell.writer).is_some_and(|&fences| fences > cell.writer_fences);
            let after_write = cell.writer != NOBODY
                && cell.writer != block
                && !(cell.writer_is_atomic && touch.is_atomic)
                && !is_ordered;
            let after_read = touch.writes
                && cell.reader != NOBODY
                && cell.reader != block
                && !(cell.reader_is_atomic && touch.is_atomic)
                && !*has_done_atomic;
            if after_write || after_read {
                let (what, other) = match (after_write, touch.writes) {
                    (true, true) => ("write after write", cell.writer),
                    (true, false) => ("read after write", cell.writer),
                    _ => ("write after read", cell.reader),
                };
                let other = if other == SEVERAL { "several".to_owned() } else { other.to_string() };
                let message = format!(
                    "{what} of device memory at {:#x}: blocks {other} and {block}, in any order",
                    touch.address + at as u64
                );
                complaint.get_or_insert((FindingKind::GlobalRace, message));
            }
            if touch.writes {
                (cell.writer, cell.writer_fences) = (block, own_fences);
                cell.writer_is_atomic = touch.is_atomic;
            }
            if touch.reads {
                cell.reader =
                    if matches!(cell.reader, NOBODY) || cell.reader == block { block } else { SEVERAL };
                cell.reader_is_atomic = touch.is_atomic;
            }
        }
        complaint
    }
}
