//! Allocates a row to each register.
//!
//! NVRTC writes a new register for nearly every value; a warp's rows would not fit a cache. Registers whose
//! lives do not overlap share a row: lives by data flow over basic blocks, rows by linear scan (Poletto and
//! Sarkar 1999).
//!
//! Lanes of a warp may be at different places, yet sharing is right: each lane reads and writes its own part
//! of a row along its own path, for which lives are computed. A guarded write does not end an older life.
//!
//! **Invariant:** constants and special registers have rows of their own, which nothing else writes.

use super::build::Draft;
use super::{Kind, UNGUARDED};
use crate::ptx::Class;

/// The result.
pub(super) struct Rows {
    /// Byte offset of each register's row.
    pub(super) offsets: Vec<u32>,
    /// Bytes of all rows.
    pub(super) bytes: u32,
    /// Words a lane that are alive at once, at most.
    pub(super) live: u32,
}

/// A set of registers.
#[derive(Clone, PartialEq)]
struct Set(Vec<u64>);

impl Set {
    fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)])
    }
    fn insert(&mut self, index: u32) {
        self.0[index as usize / 64] |= 1 << (index % 64);
    }
    fn has(&self, index: u32) -> bool {
        self.0[index as usize / 64] >> (index % 64) & 1 != 0
    }
    fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().enumerate().flat_map(|(i, &word)| {
            (0..64).filter(move |bit| word >> bit & 1 != 0).map(move |bit| i as u32 * 64 + bit)
        })
    }
}

struct Block {
    first: usize,
    end: usize,
    next: Vec<usize>,
    reads: Set,
    writes: Set,
    live_in: Set,
    live_out: Set,
}

fn row_bytes(class: Class) -> u32 {
    match class {
        Class::Predicate => 4,
        Class::Word => 128,
        Class::Double => 256,
    }
}

/// Registers that an instruction reads, its guard included.
fn reads(draft: &Draft) -> impl Iterator<Item = u32> + '_ {
    let guard = Some(draft.inst.guard).filter(|&guard| guard != UNGUARDED);
    draft.operands[draft.writes..].iter().copied().chain(guard)
}

pub(super) fn allocate(code: &[Draft], classes: &[Class], fixed: &[u32]) -> Rows {
    let mut blocks = blocks(code, classes.len());
    flow(&mut blocks);
    let lives = lives(code, &blocks, classes.len());
    let mut offsets = vec![u32::MAX; classes.len()];
    let mut bytes = 0;
    let place = |class: Class, bytes: &mut u32| {
        let at = *bytes;
        *bytes += row_bytes(class);
        at
    };
    let mut order: Vec<u32> = (0..classes.len() as u32).collect();
    // Wide rows first, so that all are aligned to their width.
    order.sort_by_key(|&register| {
        (classes[register as usize] == Class::Predicate, lives[register as usize].0)
    });
    for &register in fixed {
        if classes[register as usize] != Class::Predicate {
            offsets[register as usize] = place(classes[register as usize], &mut bytes);
        }
    }
    let mut free: [Vec<u32>; 3] = Default::default();
    let mut active: Vec<(usize, u32)> = Vec::new();
    let (mut words, mut most) = (0, 0);
    for register in order {
        let (class, (start, end)) = (classes[register as usize], lives[register as usize]);
        if offsets[register as usize] != u32::MAX {
            continue;
        }
        if class == Class::Predicate {
            // Few and small: each has its own.
            offsets[register as usize] = place(class, &mut bytes);
            continue;
        }
        active.retain(|&(end, other)| {
            let is_alive = end >= start;
            if !is_alive {
                let class = classes[other as usize];
                free[class as usize].push(offsets[other as usize]);
                words -= row_bytes(class) / 128;
            }
            is_alive
        });
        offsets[register as usize] = free[class as usize].pop().unwrap_or_else(|| place(class, &mut bytes));
        words += row_bytes(class) / 128;
        most = most.max(words);
        active.push((end, register));
    }
    Rows { offsets, bytes: bytes.next_multiple_of(64), live: most }
}

/// Basic blocks with what they read before they write it.
fn blocks(code: &[Draft], registers: usize) -> Vec<Block> {
    let mut starts = vec![false; code.len() + 1];
    starts[0] = true;
    for (at, draft) in code.iter().enumerate() {
        match draft.inst.kind {
            Kind::Branch(target) => {
                starts[target as usize] = true;
                starts[at + 1] = true;
            }
            Kind::Exit | Kind::Trap => starts[at + 1] = true,
            _ => {}
        }
    }
    let firsts: Vec<usize> = (0..code.len()).filter(|&at| starts[at]).collect();
    let block_of = |at: usize| firsts.partition_point(|&first| first <= at) - 1;
    let ends = firsts[1..].iter().copied().chain([code.len()]);
    let make = |(&first, end): (&usize, usize)| {
        let (mut read, mut written) = (Set::new(registers), Set::new(registers));
        for draft in &code[first..end] {
            for register in reads(draft) {
                if !written.has(register) {
                    read.insert(register);
                }
            }
            for &register in &draft.operands[..draft.writes] {
                if draft.inst.guard == UNGUARDED {
                    written.insert(register);
                } else if !written.has(register) {
                    read.insert(register);
                }
            }
        }
        let last = &code[end - 1].inst;
        let is_guarded = last.guard != UNGUARDED;
        let mut next = Vec::new();
        if let Kind::Branch(target) = last.kind {
            next.push(block_of(target as usize));
        }
        let falls = is_guarded || !matches!(last.kind, Kind::Branch(_) | Kind::Exit | Kind::Trap);
        if falls && end < code.len() {
            next.push(block_of(end));
        }
        let empty = Set::new(registers);
        Block { first, end, next, reads: read, writes: written, live_in: empty.clone(), live_out: empty }
    };
    firsts.iter().zip(ends).map(make).collect()
}

/// Registers that are alive where blocks start and end: computed backwards until nothing changes.
fn flow(blocks: &mut [Block]) {
    let mut changed = true;
    while changed {
        changed = false;
        for at in (0..blocks.len()).rev() {
            let mut out = Set::new(blocks[at].live_out.0.len() * 64);
            for &next in &blocks[at].next {
                for (word, &more) in out.0.iter_mut().zip(&blocks[next].live_in.0) {
                    *word |= more;
                }
            }
            let block = &mut blocks[at];
            let mut live_in = block.reads.clone();
            for (i, word) in live_in.0.iter_mut().enumerate() {
                *word |= out.0[i] & !block.writes.0[i];
            }
            changed |= live_in != block.live_in;
            (block.live_in, block.live_out) = (live_in, out);
        }
    }
}

/// First and last instruction at which each register must keep its row.
fn lives(code: &[Draft], blocks: &[Block], registers: usize) -> Vec<(usize, usize)> {
    let mut lives = vec![(usize::MAX, 0); registers];
    let mut touch = |register: u32, at: usize| {
        let life = &mut lives[register as usize];
        *life = (life.0.min(at), life.1.max(at));
    };
    for block in blocks {
        for register in block.live_in.indices() {
            touch(register, block.first);
        }
        for register in block.live_out.indices() {
            touch(register, block.end - 1);
        }
        for (at, draft) in code.iter().enumerate().take(block.end).skip(block.first) {
            for &register in &draft.operands[..draft.writes] {
                touch(register, at);
            }
            for register in reads(draft) {
                touch(register, at);
            }
        }
    }
    lives
}
