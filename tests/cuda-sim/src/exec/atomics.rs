//! `atom` and `red`: lane by lane, with atomics of this processor, because other blocks run at the same time.

#![expect(unsafe_code, reason = "device memory is raw memory")]

use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering::SeqCst};

use super::Fault;
use super::access::{How, window};
use super::block::Worker;
use super::warp::{Warp, lanes};
use crate::isa::lanes::row;
use crate::isa::rounding::{self, BF16, F16, Mode, narrow};
use crate::lower::{Atomic, AtomicOp, Float, Inst};
use crate::ptx::Space;

impl Worker<'_, '_> {
    pub(super) fn atomic(
        &mut self,
        warp: &mut Warp,
        inst: &Inst,
        atomic: Atomic,
        pc: usize,
        active: u32,
    ) -> Result<(), Fault> {
        let mut addresses = warp.addresses(inst.r[1], atomic.wide_address, inst.imm);
        let wide = atomic.size == 8;
        let values = if wide { warp.double(inst.r[2]) } else { warp.word(inst.r[2]).map(u64::from) };
        let others = match atomic.op {
            AtomicOp::Cas if wide => warp.double(inst.r[3]),
            AtomicOp::Cas => warp.word(inst.r[3]).map(u64::from),
            _ => [0; 32],
        };
        if let Some(checks) = self.checks.as_deref_mut() {
            checks.atomic();
        }
        let mut rest = active;
        while rest != 0 {
            let (space, mask, start) = match atomic.space {
                Space::Generic => window(&addresses, rest),
                space => (space, rest, 0),
            };
            for lane in lanes(mask) {
                addresses[lane] -= start;
            }
            let region =
                self.region(warp, space, &addresses, mask, u64::from(atomic.size), pc, How::Atomic)?;
            for lane in lanes(mask) {
                // SAFETY: the region was checked, alignment too; all of device memory may be changed by
                // others.
                let old =
                    unsafe { update(region.at(addresses[lane], lane), atomic, values[lane], others[lane]) };
                if atomic.returns {
                    // SAFETY: the row is as wide as the atomic's type says.
                    unsafe {
                        if wide {
                            row::<u64>(warp.rows(), inst.r[0]).add(lane).write(old);
                        } else {
                            row::<u32>(warp.rows(), inst.r[0]).add(lane).write(old as u32);
                        }
                    }
                }
            }
            rest &= !mask;
        }
        Ok(())
    }
}

/// The old value.
///
/// # Safety
/// `at` is aligned, and valid for the atomic's size.
unsafe fn update(at: *mut u8, atomic: Atomic, value: u64, other: u64) -> u64 {
    // SAFETY: as promised by the caller; so below.
    unsafe {
        match atomic.size {
            8 => {
                let cell = AtomicU64::from_ptr(at.cast());
                let new = |old| Some(new_u64(atomic.op, old, value, other));
                cell.fetch_update(SeqCst, SeqCst, new).unwrap_or(0)
            }
            2 => {
                let cell = AtomicU16::from_ptr(at.cast());
                let new = |old| Some(new_u32(atomic.op, u32::from(old), value as u32, other as u32) as u16);
                u64::from(cell.fetch_update(SeqCst, SeqCst, new).unwrap_or(0))
            }
            _ => {
                let cell = AtomicU32::from_ptr(at.cast());
                let new = |old| Some(new_u32(atomic.op, old, value as u32, other as u32));
                u64::from(cell.fetch_update(SeqCst, SeqCst, new).unwrap_or(0))
            }
        }
    }
}

fn new_u64(op: AtomicOp, old: u64, value: u64, other: u64) -> u64 {
    match op {
        AtomicOp::Integer(reduce) => reduce.of_u64(old, value),
        AtomicOp::Cas => {
            if old == value {
                other
            } else {
                old
            }
        }
        AtomicOp::AddFloat(_) => (f64::from_bits(old) + f64::from_bits(value)).to_bits(),
        AtomicOp::Exch | AtomicOp::Inc | AtomicOp::Dec => value,
    }
}

fn new_u32(op: AtomicOp, old: u32, value: u32, other: u32) -> u32 {
    match op {
        AtomicOp::Integer(reduce) => reduce.of_u32(old, value),
        AtomicOp::Inc => {
            if old >= value {
                0
            } else {
                old + 1
            }
        }
        AtomicOp::Dec => {
            if old == 0 || old > value {
                value
            } else {
                old - 1
            }
        }
        AtomicOp::Exch => value,
        AtomicOp::Cas => {
            if old == value {
                other
            } else {
                old
            }
        }
        AtomicOp::AddFloat(float) => add(float, old, value),
    }
}

fn add(float: Float, x: u32, y: u32) -> u32 {
    let f16 = |x: u32| f64::from(half::f16::from_bits(x as u16).to_f32());
    let bf16 = |x: u32| f64::from(f32::from_bits(x << 16));
    let sum16 = |x, y| narrow(rounding::sum(f16(x), f16(y)), F16, Mode::Nearest);
    let sum_bf16 = |x, y| narrow(rounding::sum(bf16(x), bf16(y)), BF16, Mode::Nearest);
    match float {
        Float::F32 | Float::F64 => (f32::from_bits(x) + f32::from_bits(y)).to_bits(),
        Float::F16 => sum16(x, y),
        Float::Bf16 => sum_bf16(x, y),
        Float::F16x2 => sum16(x >> 16, y >> 16) << 16 | sum16(x, y),
        Float::Bf16x2 => sum_bf16(x >> 16, y >> 16) << 16 | sum_bf16(x & 0xffff, y & 0xffff),
    }
}
