//! `cp.async`: what is copied arrives when it is waited for, not before, so that a wait that is missing
//! shows.

#![expect(unsafe_code, reason = "device memory is raw memory")]

use super::Fault;
use super::access::How;
use super::block::Worker;
use super::warp::{Warp, lanes};
use crate::lower::{Inst, Kind};
use crate::ptx::Space;

/// A copy that is on its way.
#[derive(Debug, Clone)]
pub(super) struct Copy {
    to: [u64; 32],
    from: [u64; 32],
    /// Bytes that are read; the rest is zeros.
    read: [u8; 32],
    size: u8,
    mask: u32,
}

impl Worker<'_, '_> {
    pub(super) fn copy_async(&mut self, warp: &mut Warp, inst: &Inst, active: u32) {
        let Kind::CopyAsync { size, has_source_size, wide_address } = inst.kind else { return };
        let to = warp.addresses(inst.r[0], wide_address, inst.imm >> 32);
        let from = warp.addresses(inst.r[1], true, i64::from(inst.imm as i32));
        let read = if has_source_size {
            warp.word(inst.r[2]).map(|bytes| bytes.min(u32::from(size)) as u8)
        } else {
            [size; 32]
        };
        // Offsets of shared memory have 32 bits, whatever register holds them.
        let to = to.map(|to| to & 0xffff_ffff);
        warp.open_copies.push(Copy { to, from, read, size, mask: active });
    }

    /// Waits until at most `open` groups are on their way; all copies if it is negative.
    pub(super) fn wait_for_copies(&mut self, warp: &mut Warp, open: i64, pc: usize) -> Result<(), Fault> {
        if open < 0 {
            let group = std::mem::take(&mut warp.open_copies);
            warp.copies.push_back(group);
        }
        while warp.copies.len() > open.max(0) as usize {
            for copy in warp.copies.pop_front().unwrap_or_default() {
                self.arrive_copy(warp, &copy, pc)?;
            }
        }
        Ok(())
    }

    fn arrive_copy(&mut self, warp: &mut Warp, copy: &Copy, pc: usize) -> Result<(), Fault> {
        let size = u64::from(copy.size);
        let reading =
            lanes(copy.mask).filter(|&lane| copy.read[lane] > 0).fold(0, |bits, lane| bits | 1 << lane);
        let source = if reading == 0 {
            None
        } else {
            Some(self.region(warp, Space::Global, &copy.from, reading, size, pc, How::Read)?)
        };
        let target = self.region(warp, Space::Shared, &copy.to, copy.mask, size, pc, How::Write)?;
        for lane in lanes(copy.mask) {
            let (to, read) = (target.at(copy.to[lane], lane), usize::from(copy.read[lane]));
            // SAFETY: both regions were checked for all bytes of the copy.
            unsafe {
                to.write_bytes(0, usize::from(copy.size));
                if let Some(source) = source.filter(|_| read > 0) {
                    std::ptr::copy_nonoverlapping(source.at(copy.from[lane], lane), to, read);
                }
            }
        }
        Ok(())
    }
}
