//! What the addresses of a warp have in common: their range, their alignment, and whether they are in line.
//!
//! Half of a kernel's instructions touch memory, and most of those have addresses side by side: finding that out in one pass
//! is what makes checking every access affordable.

#![expect(unsafe_code, reason = "functions for AVX2 are called on processors that have it")]

use super::warp::{FULL, lanes};
use crate::isa::lanes::has_wide;

/// How the addresses of a full warp lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Each lane's bytes are behind those of the lane before.
    Line,
    /// All are the same.
    Same,
    /// Anything else.
    Other,
}

/// What is common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan {
    pub(super) low: u64,
    pub(super) high: u64,
    /// Bits that are set in any address.
    pub(super) any: u64,
    pub(super) shape: Shape,
}

/// Looks at the addresses of the lanes of a mask, each of so many bytes.
#[inline]
pub(super) fn scan(addresses: &[u64; 32], mask: u32, bytes: u64) -> Scan {
    if mask != FULL {
        let start = Scan { low: u64::MAX, high: 0, any: 0, shape: Shape::Other };
        return lanes(mask).fold(start, |scan, lane| {
            let address = addresses[lane];
            Scan { low: scan.low.min(address), high: scan.high.max(address), any: scan.any | address, ..scan }
        });
    }
    #[cfg(target_arch = "x86_64")]
    if has_wide() {
        // SAFETY: the processor has AVX2.
        return unsafe { full_wide(addresses, bytes) };
    }
    full(addresses, bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn full_wide(addresses: &[u64; 32], bytes: u64) -> Scan {
    full(addresses, bytes)
}

#[inline(always)]
fn full(addresses: &[u64; 32], bytes: u64) -> Scan {
    let first = addresses[0];
    let (mut beside_line, mut beside_same) = (0, 0);
    for (lane, &address) in addresses.iter().enumerate() {
        beside_line |= address ^ first.wrapping_add(lane as u64 * bytes);
        beside_same |= address ^ first;
    }
    let last = first.wrapping_add(31 * bytes);
    if beside_line == 0 && last >= first {
        return Scan { low: first, high: last, any: first | bytes, shape: Shape::Line };
    }
    if beside_same == 0 {
        return Scan { low: first, high: first, any: first, shape: Shape::Same };
    }
    // Compared as signed numbers, for which there are instructions; with the upper bit turned the order is the same.
    let turned = |x: u64| (x ^ 1 << 63) as i64;
    let (mut low, mut high, mut any) = (i64::MAX, i64::MIN, 0);
    for &address in addresses {
        let number = turned(address);
        low = if number < low { number } else { low };
        high = if number > high { number } else { high };
        any |= address;
    }
    Scan { low: low as u64 ^ 1 << 63, high: high as u64 ^ 1 << 63, any, shape: Shape::Other }
}

/// A row of 64-bit addresses with an offset.
#[inline]
pub(super) fn offset_wide(row: &[u64; 32], imm: i64) -> [u64; 32] {
    let mut addresses = [0; 32];
    for (to, from) in addresses.iter_mut().zip(row) {
        *to = from.wrapping_add(imm as u64);
    }
    addresses
}

/// A row of 32-bit addresses, which wrap around, with an offset.
#[inline]
pub(super) fn offset_narrow(row: &[u32; 32], imm: i64) -> [u64; 32] {
    let mut addresses = [0; 32];
    for (to, from) in addresses.iter_mut().zip(row) {
        *to = u64::from(from.wrapping_add(imm as u32));
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(f: impl Fn(u64) -> u64) -> [u64; 32] {
        std::array::from_fn(|lane| f(lane as u64))
    }

    #[test]
    fn shapes_and_ranges() {
        let line = scan(&addresses(|lane| 0x7_0000 + 8 * lane), FULL, 8);
        assert_eq!((line.low, line.high, line.shape), (0x7_0000, 0x7_0000 + 31 * 8, Shape::Line));
        let same = scan(&addresses(|_| 12), FULL, 4);
        assert_eq!((same.low, same.high, same.any, same.shape), (12, 12, 12, Shape::Same));
        let other = scan(&addresses(|lane| (lane * 37 % 32) << 58 | 1), FULL, 4);
        assert_eq!((other.low, other.high, other.shape), (1, 31 << 58 | 1, Shape::Other));
        let some = scan(&addresses(|lane| 100 - lane), 0b110, 4);
        assert_eq!((some.low, some.high, some.shape), (98, 99, Shape::Other));
    }

    #[test]
    fn a_line_over_the_end_of_addresses_is_none() {
        let wrapped = scan(&addresses(|lane| (u64::MAX - 15).wrapping_add(lane)), FULL, 1);
        assert_eq!((wrapped.low, wrapped.high, wrapped.shape), (0, u64::MAX, Shape::Other));
    }

    #[test]
    fn alignment_of_a_line_is_that_of_its_first() {
        assert_ne!(scan(&addresses(|lane| 2 + 4 * lane), FULL, 4).any & 3, 0);
        assert_eq!(scan(&addresses(|lane| 8 + 4 * lane), FULL, 4).any & 3, 0);
    }
}
