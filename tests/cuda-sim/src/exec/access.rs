//! Loads and stores: addresses to memory, checked.

#![expect(unsafe_code, reason = "device memory is raw memory")]

use super::Fault;
use super::block::Worker;
use super::scan::{Bounds, Shape, check};
use super::warp::{FULL, Warp, lanes};
use crate::check::Touch;
use crate::finding::FindingKind;
use crate::isa::lanes::row;
use crate::lower::{Access, Inst, LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW, WINDOW_BITS};
use crate::memory::HOST_BITS;
use crate::ptx::Space;

/// Where lanes' addresses are in this process: `(address & bits) + delta + lane * stride`.
#[derive(Clone, Copy)]
pub(super) struct Region {
    /// How the addresses of the access lie, if lanes have no memory of their own.
    shape: Shape,
    bits: u64,
    delta: u64,
    stride: u64,
}

impl Region {
    #[inline(always)]
    pub(super) fn at(self, address: u64, lane: usize) -> *mut u8 {
        (address & self.bits).wrapping_add(self.delta).wrapping_add(lane as u64 * self.stride) as *mut u8
    }
}

/// The kind of access that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Read,
    Write,
    /// `volatile`, `relaxed` and the like, which may meet others of their kind.
    StrongRead,
    StrongWrite,
    Atomic,
}

impl How {
    fn name(self) -> &'static str {
        match self {
            Self::Read | Self::StrongRead => "read",
            Self::Write | Self::StrongWrite => "write",
            Self::Atomic => "atomic",
        }
    }

    fn reads(self) -> bool {
        matches!(self, Self::Read | Self::StrongRead | Self::Atomic)
    }

    fn writes(self) -> bool {
        !matches!(self, Self::Read | Self::StrongRead)
    }

    fn is_strong(self) -> bool {
        !matches!(self, Self::Read | Self::Write)
    }
}

/// Splits generic addresses: the space of the first lane, the lanes that are in it too, and the start of its
/// window.
pub(super) fn window(addresses: &[u64; 32], mask: u32) -> (Space, u32, u64) {
    let number = |address: u64| if address >> 48 == 0 { address >> WINDOW_BITS } else { 0 };
    let first = number(addresses[mask.trailing_zeros() as usize]);
    let (space, start) = match first {
        1 => (Space::Shared, SHARED_WINDOW),
        2 => (Space::Local, LOCAL_WINDOW),
        3 => (Space::Param, PARAM_WINDOW),
        _ => (Space::Global, 0),
    };
    let same = |&lane: &usize| match number(addresses[lane]) {
        number @ 1..=3 => number == first,
        _ => start == 0,
    };
    (space, lanes(mask).filter(same).fold(0, |bits, lane| bits | 1 << lane), start)
}

impl Worker<'_, '_> {
    /// Checks an access of `bytes` by each lane of the mask.
    #[inline]
    pub(super) fn region(
        &mut self,
        warp: &mut Warp,
        space: Space,
        addresses: &[u64; 32],
        mask: u32,
        bytes: u64,
        pc: usize,
        how: How,
    ) -> Result<Region, Fault> {
        let shape = check(addresses, mask, self.bounds(warp, space, bytes, pc));
        self.region_of(warp, space, addresses, mask, bytes, shape, pc, how)
    }

    /// Where accesses of a space may be; for device memory, where the last ones of this instruction were.
    fn bounds(&self, warp: &Warp, space: Space, bytes: u64, pc: usize) -> Bounds {
        let (start, len) = match space {
            Space::Global | Space::Generic => {
                let (start, end) = self.found[pc];
                (start, end.saturating_sub(start))
            }
            Space::Shared => (0, self.launch.shared_bytes()),
            Space::Local => (0, warp.local_bytes),
            Space::Param => (0, self.launch.params.len() as u64),
        };
        Bounds { start, len, bytes }
    }

    /// As [`Self::region`], for addresses that were scanned already.
    #[inline]
    fn region_of(
        &mut self,
        warp: &mut Warp,
        space: Space,
        addresses: &[u64; 32],
        mask: u32,
        bytes: u64,
        shape: Shape,
        pc: usize,
        how: How,
    ) -> Result<Region, Fault> {
        if shape == Shape::Refused {
            self.refused(warp, space, addresses, mask, bytes, pc, how)?;
        }
        let region = match space {
            Space::Global | Space::Generic => Region { shape, bits: HOST_BITS, delta: 0, stride: 0 },
            Space::Shared => Region { shape, bits: u64::MAX, delta: self.shared_base() as u64, stride: 0 },
            Space::Local => {
                let (delta, stride) = (warp.local_base() as u64, warp.local_bytes);
                Region { shape: Shape::Other, bits: u64::MAX, delta, stride }
            }
            Space::Param => {
                Region { shape, bits: u64::MAX, delta: self.launch.params.as_ptr() as u64, stride: 0 }
            }
        };
        if self.launch.profiles {
            self.outcome.traffic.access(space, addresses, mask, bytes, how.writes());
        }
        if self.checks.is_some() {
            self.check(warp, space, addresses, mask, bytes, pc, how);
        }
        Ok(region)
    }

    /// The error of an access; `None` if it only is to another allocation than the last one.
    #[cold]
    fn refused(
        &mut self,
        warp: &Warp,
        space: Space,
        addresses: &[u64; 32],
        mask: u32,
        bytes: u64,
        pc: usize,
        how: How,
    ) -> Result<(), Fault> {
        if lanes(mask).any(|lane| addresses[lane] & (bytes - 1) != 0) {
            return Err(self.misaligned(warp, addresses, mask, bytes, pc, how));
        }
        let what = match space {
            Space::Global | Space::Generic => return self.find(warp, addresses, mask, bytes, pc, how),
            Space::Shared => "shared memory",
            Space::Local => "local memory",
            Space::Param => "parameters",
        };
        let len = self.bounds(warp, space, bytes, pc).len;
        Err(self.outside(warp, addresses, mask, bytes, (len, what), pc, how))
    }

    #[cold]
    fn outside(
        &self,
        warp: &Warp,
        addresses: &[u64; 32],
        mask: u32,
        bytes: u64,
        (len, what): (u64, &str),
        pc: usize,
        how: How,
    ) -> Fault {
        let mut bad =
            lanes(mask).filter(|&lane| addresses[lane].checked_add(bytes).is_none_or(|end| end > len));
        let lane = bad.next().expect("the highest is one");
        let message =
            format!("{} of {bytes} bytes at {:#x}: {what} has {len} bytes", how.name(), addresses[lane]);
        self.fault(warp, pc, 1 << lane, FindingKind::OutOfBounds, message)
    }

    #[cold]
    fn misaligned(
        &self,
        warp: &Warp,
        addresses: &[u64; 32],
        mask: u32,
        bytes: u64,
        pc: usize,
        how: How,
    ) -> Fault {
        let lane = lanes(mask).find(|&lane| addresses[lane] & (bytes - 1) != 0).expect("one is");
        let message =
            format!("{} of {bytes} bytes at {:#x}, which is no multiple", how.name(), addresses[lane]);
        self.fault(warp, pc, 1 << lane, FindingKind::Misaligned, message)
    }

    /// Looks up every lane's allocation.
    fn find(
        &mut self,
        warp: &Warp,
        addresses: &[u64; 32],
        mask: u32,
        bytes: u64,
        pc: usize,
        how: How,
    ) -> Result<(), Fault> {
        let inside = |(start, end): (u64, u64), address: u64| {
            address >= start && address < end && end - address >= bytes
        };
        let mut found = self.found[pc];
        for lane in lanes(mask) {
            let address = addresses[lane];
            if inside(found, address) {
                continue;
            }
            let before = |list: &[(u64, u64)]| {
                list.partition_point(|range| range.0 <= address).checked_sub(1).map(|at| list[at])
            };
            let live = before(self.launch.allocations);
            if let Some(live) = live.filter(|&live| inside(live, address)) {
                found = live;
                continue;
            }
            let text = format!("{} of {bytes} bytes at {address:#x}", how.name());
            if let Some((start, end)) = before(self.launch.freed).filter(|range| address < range.1) {
                let message = format!("{text}, in {} bytes at {start:#x} that were freed", end - start);
                return Err(self.fault(warp, pc, 1 << lane, FindingKind::UseAfterFree, message));
            }
            let message = match live {
                Some((start, end)) if address < end => {
                    format!("{text}, over the end of {} bytes at {start:#x}", end - start)
                }
                Some((start, end)) => {
                    format!(
                        "{text}, {} bytes behind the end of {} bytes at {start:#x}",
                        address - end,
                        end - start
                    )
                }
                None => format!("{text}, before all allocations"),
            };
            return Err(self.fault(warp, pc, 1 << lane, FindingKind::OutOfBounds, message));
        }
        self.found[pc] = found;
        Ok(())
    }

    /// Races and uninitialised bytes.
    fn check(
        &mut self,
        warp: &Warp,
        space: Space,
        addresses: &[u64; 32],
        mask: u32,
        bytes: u64,
        pc: usize,
        how: How,
    ) {
        for lane in lanes(mask) {
            let (address, thread) = (addresses[lane], warp.id * 32 + lane as u32);
            let touch = Touch {
                address,
                bytes,
                writes: how.writes(),
                reads: how.reads(),
                is_atomic: how.is_strong(),
            };
            let complaint = match space {
                Space::Shared => self.shadow.as_mut().and_then(|shadow| shadow.touch(thread, touch)),
                Space::Global | Space::Generic => {
                    let range = self.found[pc];
                    let range = if address >= range.0 && address < range.1 {
                        range
                    } else {
                        let at = self.launch.allocations.partition_point(|range| range.0 <= address);
                        self.launch.allocations[at - 1]
                    };
                    self.checks.as_deref_mut().and_then(|checks| checks.touch(range.0, touch))
                }
                Space::Local | Space::Param => None,
            };
            if let Some((kind, message)) = complaint {
                self.note(warp, pc, lane as u32, kind, message);
            }
        }
    }

    pub(super) fn load(
        &mut self,
        warp: &mut Warp,
        inst: &Inst,
        access: Access,
        pc: usize,
        active: u32,
    ) -> Result<(), Fault> {
        let list = &self.launch.kernel.lists[inst.list as usize..][..usize::from(access.count) + 1];
        let (values, address) = list.split_at(usize::from(access.count));
        self.in_windows(
            warp,
            address[0],
            inst.imm,
            access,
            pc,
            active,
            if access.is_strong { How::StrongRead } else { How::Read },
            |warp, region, addresses, mask| {
                let rows = warp.rows();
                for (i, &to) in values.iter().enumerate().filter(|(i, _)| access.sinks >> i & 1 == 0) {
                    let behind = i * usize::from(access.size);
                    let from = |lane: usize| region.at(addresses[lane], lane).wrapping_add(behind);
                    // SAFETY: the region was checked for every lane of the mask, and the rows are those of
                    // this access.
                    unsafe {
                        match (access.size, access.wide_value, access.signed) {
                            (4, false, _) if region.shape == Shape::Line && values.len() == 1 => {
                                from(0).copy_to_nonoverlapping(row::<u8>(rows, to), 128);
                            }
                            (4, false, _) if region.shape == Shape::Same => {
                                row::<[u32; 32]>(rows, to).write([from(0).cast::<u32>().read(); 32]);
                            }
                            (8, true, _) if region.shape == Shape::Line && values.len() == 1 => {
                                from(0).copy_to_nonoverlapping(row::<u8>(rows, to), 256);
                            }
                            (4, false, _) if mask == FULL && region.stride == 0 => {
                                let to = &mut *row::<[u32; 32]>(rows, to);
                                let base = region.delta.wrapping_add(behind as u64);
                                for (to, address) in to.iter_mut().zip(addresses) {
                                    let from = (address & region.bits).wrapping_add(base) as *const u32;
                                    *to = from.read();
                                }
                            }
                            (4, false, _) => each(rows, to, mask, |lane| from(lane).cast::<u32>().read()),
                            (8, ..) => each(rows, to, mask, |lane| from(lane).cast::<u64>().read()),
                            (2, false, false) => {
                                each(rows, to, mask, |lane| u32::from(from(lane).cast::<u16>().read()))
                            }
                            (2, false, true) => {
                                each(rows, to, mask, |lane| i32::from(from(lane).cast::<i16>().read()))
                            }
                            (1, false, false) => each(rows, to, mask, |lane| u32::from(from(lane).read())),
                            (1, false, true) => {
                                each(rows, to, mask, |lane| i32::from(from(lane).cast::<i8>().read()))
                            }
                            (4, true, false) => {
                                each(rows, to, mask, |lane| u64::from(from(lane).cast::<u32>().read()))
                            }
                            (4, true, true) => {
                                each(rows, to, mask, |lane| i64::from(from(lane).cast::<i32>().read()))
                            }
                            (2, true, false) => {
                                each(rows, to, mask, |lane| u64::from(from(lane).cast::<u16>().read()))
                            }
                            (2, true, true) => {
                                each(rows, to, mask, |lane| i64::from(from(lane).cast::<i16>().read()))
                            }
                            (_, _, false) => each(rows, to, mask, |lane| u64::from(from(lane).read())),
                            (_, _, true) => {
                                each(rows, to, mask, |lane| i64::from(from(lane).cast::<i8>().read()))
                            }
                        }
                    }
                }
            },
        )
    }

    pub(super) fn store(
        &mut self,
        warp: &mut Warp,
        inst: &Inst,
        access: Access,
        pc: usize,
        active: u32,
    ) -> Result<(), Fault> {
        let list = &self.launch.kernel.lists[inst.list as usize..][..usize::from(access.count) + 1];
        let (address, values) = list.split_at(1);
        self.in_windows(
            warp,
            address[0],
            inst.imm,
            access,
            pc,
            active,
            if access.is_strong { How::StrongWrite } else { How::Write },
            |warp, region, addresses, mask| {
                let rows = warp.rows();
                for (i, &from) in values.iter().enumerate() {
                    let behind = i * usize::from(access.size);
                    let to = |lane: usize| region.at(addresses[lane], lane).wrapping_add(behind);
                    let width = if access.wide_value { 8 } else { 4 };
                    // SAFETY: the region was checked for every lane of the mask, and the rows are those of
                    // this access. Numbers have their low bytes first, here and on the device.
                    unsafe {
                        let from = row::<u8>(rows, from);
                        match access.size {
                            4 if region.shape == Shape::Line && values.len() == 1 && width == 4 => {
                                from.copy_to_nonoverlapping(to(0), 128);
                            }
                            8 if region.shape == Shape::Line && values.len() == 1 => {
                                from.copy_to_nonoverlapping(to(0), 256);
                            }
                            4 if mask == FULL && width == 4 => {
                                for lane in 0..32 {
                                    to(lane).cast::<u32>().write(from.cast::<u32>().add(lane).read());
                                }
                            }
                            4 => lanes(mask).for_each(|lane| {
                                to(lane).cast::<u32>().write(from.add(lane * width).cast::<u32>().read());
                            }),
                            8 => lanes(mask).for_each(|lane| {
                                to(lane).cast::<u64>().write(from.add(lane * width).cast::<u64>().read());
                            }),
                            2 => lanes(mask).for_each(|lane| {
                                to(lane).cast::<u16>().write(from.add(lane * width).cast::<u16>().read());
                            }),
                            _ => lanes(mask).for_each(|lane| to(lane).write(from.add(lane * width).read())),
                        }
                    }
                }
            },
        )
    }

    /// Does an access for the lanes of each space.
    #[inline(always)]
    fn in_windows(
        &mut self,
        warp: &mut Warp,
        address: u32,
        imm: i64,
        access: Access,
        pc: usize,
        active: u32,
        how: How,
        mut f: impl FnMut(&mut Warp, Region, &[u64; 32], u32),
    ) -> Result<(), Fault> {
        let bytes = u64::from(access.size) * u64::from(access.count);
        if access.space != Space::Generic {
            let bounds = self.bounds(warp, access.space, bytes, pc);
            let mut addresses = [0; 32];
            let mut shape = warp.offset(address, access.wide_address, imm, bounds, &mut addresses);
            if active != FULL {
                shape = check(&addresses, active, bounds);
            }
            let region = self.region_of(warp, access.space, &addresses, active, bytes, shape, pc, how)?;
            f(warp, region, &addresses, active);
            return Ok(());
        }
        let mut addresses = warp.addresses(address, access.wide_address, imm);
        let mut rest = active;
        while rest != 0 {
            let (space, mask, start) = window(&addresses, rest);
            for lane in lanes(mask) {
                addresses[lane] -= start;
            }
            let region = self.region(warp, space, &addresses, mask, bytes, pc, how)?;
            f(warp, region, &addresses, mask);
            rest &= !mask;
        }
        Ok(())
    }
}

/// Writes a row lane by lane.
///
/// # Safety
/// `to` is the offset of a row of `T`.
#[inline(always)]
unsafe fn each<T>(rows: *mut u8, to: u32, mask: u32, f: impl Fn(usize) -> T) {
    for lane in lanes(mask) {
        // SAFETY: as promised by the caller.
        unsafe { row::<T>(rows, to).add(lane).write(f(lane)) }
    }
}
