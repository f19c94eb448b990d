//! How well accesses use the memory: sectors of device memory and banks of shared memory.
//!
//! Source: NVIDIA, "CUDA C++ Best Practices Guide", sections 9.2.1 and 9.2.3: device memory moves in sectors
//! of 32 bytes; shared memory has 32 banks of 4 bytes, and wider accesses are made by half and quarter warps.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::ptx::Space;

/// Sums over a launch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Reads of device memory by warps.
    pub load_requests: u64,
    /// 32-byte sectors that they touch.
    pub load_sectors: u64,
    /// Sectors that the same bytes would need if they lay together.
    pub load_ideal_sectors: u64,
    /// Bytes that lanes ask for.
    pub load_bytes: u64,
    /// Requests of writes and atomics.
    pub store_requests: u64,
    /// See `load_sectors`.
    pub store_sectors: u64,
    /// See `load_ideal_sectors`.
    pub store_ideal_sectors: u64,
    /// See `load_bytes`.
    pub store_bytes: u64,
    /// Accesses to shared memory by warps.
    pub shared_requests: u64,
    /// Turns that the banks need for them.
    pub shared_waves: u64,
    /// Turns without conflicts.
    pub shared_ideal_waves: u64,
    /// Sectors that blocks touch, each counted once a block and once more if it is written: what a cache that
    /// keeps all of a block's leaves.
    pub block_sectors: u64,
    /// Sectors counted once a launch: the least that memory has to move.
    pub least_sectors: u64,
    #[serde(skip)]
    in_block: HashSet<u64>,
    #[serde(skip)]
    in_launch: HashSet<u64>,
}

impl Traffic {
    /// Another launch, or part of one.
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.load_requests, other.load_requests),
            (&mut self.load_sectors, other.load_sectors),
            (&mut self.load_ideal_sectors, other.load_ideal_sectors),
            (&mut self.load_bytes, other.load_bytes),
            (&mut self.store_requests, other.store_requests),
            (&mut self.store_sectors, other.store_sectors),
            (&mut self.store_ideal_sectors, other.store_ideal_sectors),
            (&mut self.store_bytes, other.store_bytes),
            (&mut self.shared_requests, other.shared_requests),
            (&mut self.shared_waves, other.shared_waves),
            (&mut self.shared_ideal_waves, other.shared_ideal_waves),
            (&mut self.block_sectors, other.block_sectors),
            (&mut self.least_sectors, other.least_sectors),
        ];
        for (to, from) in pairs {
            *to += from;
        }
        self.in_launch.extend(&other.in_launch);
    }

    /// A block has ended.
    pub fn end_block(&mut self) {
        self.block_sectors += self.in_block.len() as u64;
        self.in_launch.extend(self.in_block.drain());
    }

    /// All parts of a launch have been added.
    pub fn end_launch(&mut self) {
        self.least_sectors += self.in_launch.len() as u64;
        self.in_launch.clear();
    }

    /// Sectors that warps ask for.
    pub fn sectors(&self) -> u64 {
        self.load_sectors + self.store_sectors
    }

    /// One access of a warp.
    pub fn access(&mut self, space: Space, addresses: &[u64; 32], mask: u32, bytes: u64, writes: bool) {
        match space {
            Space::Global | Space::Generic => {
                let (touched, ideal) = sectors(addresses, mask, bytes);
                let sectors = touched.len() as u64;
                self.in_block.extend(touched.into_iter().map(|sector| sector << 1 | u64::from(writes)));
                let moved = bytes * u64::from(mask.count_ones());
                if writes {
                    self.store_requests += 1;
                    self.store_sectors += sectors;
                    self.store_ideal_sectors += ideal;
                    self.store_bytes += moved;
                } else {
                    self.load_requests += 1;
                    self.load_sectors += sectors;
                    self.load_ideal_sectors += ideal;
                    self.load_bytes += moved;
                }
            }
            Space::Shared => {
                self.shared_requests += 1;
                let (waves, ideal) = waves(addresses, mask, bytes);
                self.shared_waves += waves;
                self.shared_ideal_waves += ideal;
            }
            Space::Local | Space::Param => {}
        }
    }
}

fn lanes(mask: u32) -> impl Iterator<Item = usize> {
    (0..32).filter(move |lane| mask >> lane & 1 != 0)
}

/// Distinct sectors, and how many distinct bytes would need at least.
fn sectors(addresses: &[u64; 32], mask: u32, bytes: u64) -> (Vec<u64>, u64) {
    let mut touched: Vec<u64> =
        lanes(mask).flat_map(|lane| addresses[lane] / 32..=(addresses[lane] + bytes - 1) / 32).collect();
    touched.sort_unstable();
    touched.dedup();
    let mut starts: Vec<u64> = lanes(mask).map(|lane| addresses[lane]).collect();
    starts.sort_unstable();
    starts.dedup();
    let ideal = (starts.len() as u64 * bytes).div_ceil(32);
    (touched, ideal)
}

fn waves(addresses: &[u64; 32], mask: u32, bytes: u64) -> (u64, u64) {
    let lanes_a_turn = match bytes {
        0..=4 => 32,
        5..=8 => 16,
        _ => 8,
    };
    let (mut waves, mut ideal) = (0, 0);
    for first in (0..32).step_by(lanes_a_turn) {
        let mut banks: [Vec<u64>; 32] = Default::default();
        for lane in lanes(mask).filter(|lane| (first..first + lanes_a_turn).contains(lane)) {
            for word in addresses[lane] / 4..=(addresses[lane] + bytes - 1) / 4 {
                let bank = &mut banks[word as usize % 32];
                if !bank.contains(&word) {
                    bank.push(word);
                }
            }
        }
        let most = banks.iter().map(Vec::len).max().unwrap_or(0) as u64;
        waves += most;
        ideal += u64::from(most > 0);
    }
    (waves, ideal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(stride: u64) -> [u64; 32] {
        std::array::from_fn(|lane| lane as u64 * stride)
    }

    #[test]
    fn sectors_of_patterns() {
        let sectors = |addresses: &[u64; 32], mask, bytes| {
            let (touched, ideal) = super::sectors(addresses, mask, bytes);
            (touched.len(), ideal)
        };
        assert_eq!(sectors(&by(4), u32::MAX, 4), (4, 4));
        assert_eq!(sectors(&by(128), u32::MAX, 4), (32, 4));
        assert_eq!(sectors(&by(16), u32::MAX, 16), (16, 16));
        assert_eq!(sectors(&by(0), u32::MAX, 4), (1, 1));
        assert_eq!(sectors(&by(4).map(|a| a + 4), u32::MAX, 4), (5, 4));
    }

    #[test]
    fn what_is_touched_again_counts_once_a_block_and_once_a_launch() {
        let mut launch = Traffic::default();
        for block in 0..2 {
            let mut part = Traffic::default();
            for _ in 0..3 {
                // The same line of 128 bytes in both blocks, and one that is each block's own.
                part.access(Space::Global, &by(4), u32::MAX, 4, false);
                part.access(Space::Global, &by(4).map(|a| a + 128 * (block + 1)), u32::MAX, 4, true);
            }
            part.end_block();
            launch.add(&part);
        }
        launch.end_launch();
        assert_eq!((launch.sectors(), launch.block_sectors, launch.least_sectors), (48, 16, 12));
    }

    #[test]
    fn waves_of_patterns() {
        assert_eq!(waves(&by(4), u32::MAX, 4), (1, 1));
        assert_eq!(waves(&by(8), u32::MAX, 4), (2, 1));
        assert_eq!(waves(&by(128), u32::MAX, 4), (32, 1));
        assert_eq!(waves(&by(0), u32::MAX, 4), (1, 1));
        assert_eq!(waves(&by(16), u32::MAX, 16), (4, 4));
    }
}
