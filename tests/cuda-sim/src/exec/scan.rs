//! Whether the addresses of a warp are where they may be, and how they lie.
//!
//! Half of a kernel's instructions touch memory, and most of those have addresses side by side: finding that
//! out in one pass over a register is what makes checking every access affordable.

#![expect(unsafe_code, reason = "functions for AVX2 are called on processors that have it")]

use super::warp::{FULL, lanes};
use crate::isa::lanes::has_wide;

/// How the addresses of an access lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Those of a full warp: each lane's bytes are behind those of the lane before.
    Line,
    /// Those of a full warp: all are the same.
    Same,
    /// Anything else.
    Other,
    /// One at least is outside, or no multiple of the bytes of an access.
    Refused,
}

/// The range that accesses must stay in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) start: u64,
    pub(super) len: u64,
    /// Bytes of each access, a power of two.
    pub(super) bytes: u64,
}

impl Bounds {
    /// The highest distance from the start.
    fn limit(self) -> Option<u64> {
        self.len.checked_sub(self.bytes)
    }

    /// Whether an access may be there.
    fn allows(self, address: u64) -> bool {
        let distance = address.wrapping_sub(self.start);
        self.limit().is_some_and(|limit| distance <= limit) && address & (self.bytes - 1) == 0
    }
}

/// Scans the addresses of the lanes of a mask.
pub(super) fn check(addresses: &[u64; 32], mask: u32, bounds: Bounds) -> Shape {
    if mask == FULL {
        return offset_wide(addresses, 0, bounds, &mut [0; 32]);
    }
    let fits = lanes(mask).all(|lane| bounds.allows(addresses[lane]));
    if fits { Shape::Other } else { Shape::Refused }
}

/// The addresses of a row of 64 bits with an offset.
#[inline]
pub(super) fn offset_wide(row: &[u64; 32], imm: i64, bounds: Bounds, addresses: &mut [u64; 32]) -> Shape {
    #[cfg(target_arch = "x86_64")]
    if has_wide() {
        // SAFETY: the processor has AVX2.
        return unsafe { wide::offset(row, imm, bounds, addresses) };
    }
    for (to, from) in addresses.iter_mut().zip(row) {
        *to = from.wrapping_add(imm as u64);
    }
    plain(addresses, bounds)
}

/// As [`offset_wide`] for a row of 32 bits; sums wrap around.
#[inline]
pub(super) fn offset_narrow(row: &[u32; 32], imm: i64, bounds: Bounds, addresses: &mut [u64; 32]) -> Shape {
    #[cfg(target_arch = "x86_64")]
    if has_wide() && bounds.start == 0 && bounds.len < 1 << 31 {
        // SAFETY: the processor has AVX2.
        return unsafe { wide::offset_narrow(row, imm as u32, bounds, addresses) };
    }
    for (to, from) in addresses.iter_mut().zip(row) {
        *to = u64::from(from.wrapping_add(imm as u32));
    }
    plain(addresses, bounds)
}

fn plain(addresses: &[u64; 32], bounds: Bounds) -> Shape {
    if addresses.iter().all(|&address| bounds.allows(address)) {
        shape(addresses, bounds.bytes)
    } else {
        Shape::Refused
    }
}

/// The shape of addresses that are in bounds, so that none wraps around.
#[inline(always)]
fn shape(addresses: &[u64; 32], bytes: u64) -> Shape {
    let [first, second, .., last] = *addresses;
    // Three of them tell nearly always.
    if second == first && last == first {
        if addresses.iter().all(|&address| address == first) { Shape::Same } else { Shape::Other }
    } else if second.wrapping_sub(first) == bytes && last.wrapping_sub(first) == 31 * bytes {
        let mut lined = addresses.iter().zip(0_u64..);
        let is_line = lined.all(|(&address, lane)| address == first + lane * bytes);
        if is_line { Shape::Line } else { Shape::Other }
    } else {
        Shape::Other
    }
}

/// AVX2 versions of the functions above.
#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_loadu_si128, _mm256_add_epi32, _mm256_add_epi64, _mm256_castsi256_pd,
        _mm256_cmpeq_epi32, _mm256_cmpgt_epi64, _mm256_cvtepu32_epi64, _mm256_loadu_si256, _mm256_max_epu32,
        _mm256_movemask_epi8, _mm256_movemask_pd, _mm256_or_si256, _mm256_set1_epi32, _mm256_set1_epi64x,
        _mm256_setzero_si256, _mm256_storeu_si256, _mm256_sub_epi64, _mm256_testz_si256,
    };

    use super::{Bounds, Shape, shape};

    #[target_feature(enable = "avx2")]
    pub(super) fn offset(row: &[u64; 32], imm: i64, bounds: Bounds, addresses: &mut [u64; 32]) -> Shape {
        // Without a limit nothing fits: with -1 every distance is beyond it.
        let limit = _mm256_set1_epi64x(bounds.limit().map_or(-1, |limit| limit as i64));
        let (imm, start) = (_mm256_set1_epi64x(imm), _mm256_set1_epi64x(bounds.start as i64));
        let (mut beyond, mut any) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        for i in 0..8 {
            // SAFETY: 32 numbers are 8 times 4.
            unsafe {
                let x = _mm256_add_epi64(_mm256_loadu_si256(row.as_ptr().cast::<__m256i>().add(i)), imm);
                _mm256_storeu_si256(addresses.as_mut_ptr().cast::<__m256i>().add(i), x);
                // What is before the start, or far behind, is a negative distance.
                let distance = _mm256_sub_epi64(x, start);
                beyond =
                    _mm256_or_si256(beyond, _mm256_or_si256(distance, _mm256_cmpgt_epi64(distance, limit)));
                any = _mm256_or_si256(any, x);
            }
        }
        let odd = _mm256_testz_si256(any, _mm256_set1_epi64x(bounds.bytes as i64 - 1)) == 0;
        if _mm256_movemask_pd(_mm256_castsi256_pd(beyond)) != 0 || odd {
            return Shape::Refused;
        }
        shape(addresses, bounds.bytes)
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn offset_narrow(
        row: &[u32; 32],
        imm: u32,
        bounds: Bounds,
        addresses: &mut [u64; 32],
    ) -> Shape {
        // The first number that is refused; without a limit that is 0.
        let refused = _mm256_set1_epi32(bounds.limit().map_or(0, |limit| limit as i32 + 1));
        let (mut beyond, mut any) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        let imm_wide = _mm256_set1_epi64x(i64::from(imm));
        let low = _mm256_set1_epi64x(i64::from(u32::MAX));
        for i in 0..4 {
            // SAFETY: 32 numbers are 4 times 8, and 8 times 4.
            unsafe {
                let x = _mm256_loadu_si256(row.as_ptr().cast::<__m256i>().add(i));
                let x = _mm256_add_epi32(x, _mm256_set1_epi32(imm as i32));
                beyond = _mm256_or_si256(beyond, _mm256_cmpeq_epi32(_mm256_max_epu32(x, refused), x));
                any = _mm256_or_si256(any, x);
                for half in 0..2 {
                    let at = 2 * i + half;
                    let four: __m128i = _mm_loadu_si128(row.as_ptr().cast::<__m128i>().add(at));
                    let wide = _mm256_add_epi64(_mm256_cvtepu32_epi64(four), imm_wide);
                    let wide = std::arch::x86_64::_mm256_and_si256(wide, low);
                    _mm256_storeu_si256(addresses.as_mut_ptr().cast::<__m256i>().add(at), wide);
                }
            }
        }
        let odd = _mm256_testz_si256(any, _mm256_set1_epi32(bounds.bytes as i32 - 1)) == 0;
        if _mm256_movemask_epi8(beyond) != 0 || odd {
            return Shape::Refused;
        }
        shape(addresses, bounds.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { start: 0, len: 4096, bytes: 4 };

    fn addresses(f: impl Fn(u64) -> u64) -> [u64; 32] {
        std::array::from_fn(|lane| f(lane as u64))
    }

    #[test]
    fn shapes() {
        assert_eq!(check(&addresses(|lane| 64 + 4 * lane), FULL, BOUNDS), Shape::Line);
        assert_eq!(check(&addresses(|_| 12), FULL, BOUNDS), Shape::Same);
        assert_eq!(check(&addresses(|lane| lane % 31 * 4), FULL, BOUNDS), Shape::Other);
        assert_eq!(
            check(&addresses(|lane| 4 * lane + if lane == 7 { 4 } else { 0 }), FULL, BOUNDS),
            Shape::Other
        );
        assert_eq!(check(&addresses(|lane| 64 + 4 * lane), 0b110, BOUNDS), Shape::Other);
    }

    /// The last that fits, and the first that does not, before and behind, in each lane.
    #[test]
    fn ends_are_exact() {
        for start in [0, 512, 7 << 48 | 0x1000] {
            let bounds = Bounds { start, len: 1 << 12, bytes: 8 };
            for lane in 0..32 {
                let with = |odd: u64| addresses(|other| if other == lane { odd } else { start + 64 });
                let of = |odd: u64| check(&with(odd), FULL, bounds);
                assert_eq!((of(start + 4088), of(start)), (Shape::Other, Shape::Other));
                for refused in [start + 4096, start + 4092, start + 1, start.wrapping_sub(8), u64::MAX - 7] {
                    assert_eq!(of(refused), Shape::Refused, "{refused:#x}");
                    assert_eq!(check(&with(refused), 1 << lane, bounds), Shape::Refused);
                    assert_eq!(check(&with(refused), !(1 << lane), bounds), Shape::Other);
                }
            }
        }
        let nothing = Bounds { start: 0, len: 4, bytes: 8 };
        assert_eq!(check(&[0; 32], FULL, nothing), Shape::Refused);
    }

    #[test]
    fn both_widths_and_both_ways_find_the_same() {
        let words: [fn(u32) -> u32; 6] = [
            |lane| 4 * lane + 64,
            |_| 8,
            |lane| lane * lane % 17 * 4,
            |lane| 4 * lane,
            |lane| lane << 27,
            |lane| lane + 8,
        ];
        for (f, imm) in words.into_iter().flat_map(|f| [(f, 0), (f, -4), (f, 4000)]) {
            let row: [u32; 32] = std::array::from_fn(|lane| f(lane as u32));
            let (mut narrow, mut wide) = ([0; 32], [0; 32]);
            let shape = offset_narrow(&row, imm, BOUNDS, &mut narrow);
            let wrapped = addresses(|lane| u64::from(row[lane as usize].wrapping_add(imm as u32)));
            assert_eq!(offset_wide(&wrapped, 0, BOUNDS, &mut wide), shape);
            assert_eq!((narrow, wide), (wrapped, wrapped));
            assert_eq!(plain(&wrapped, BOUNDS), shape);
        }
    }
}
