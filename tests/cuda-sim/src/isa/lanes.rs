//! Functions of a lane, applied to the 32 lanes of a warp.
//!
//! A register is a row of 32 lanes, 4 or 8 bytes each; a predicate is one bit a lane in 4 bytes. Operands are
//! byte offsets into the rows of a warp. Every handler exists twice: for any processor, and for AVX2 with
//! FMA, where the compiler makes eight lanes one instruction.
//!
//! **Invariant:** only the lanes of the mask are written.

#![expect(unsafe_code, reason = "rows are raw memory: an instruction may read the row that it writes")]

use crate::ptx::Class;

/// Reads and writes rows at `rows` plus the offsets in `r` (destination first) for the lanes of the mask.
///
/// # Safety
/// The offsets are those of rows of the right width, and the processor has the features that the handler was
/// made for.
pub type Handler = unsafe fn(rows: *mut u8, r: &[u32; 5], mask: u32);

/// A handler and what its operands are.
#[derive(Debug, Clone, Copy)]
pub struct Lanes {
    /// The function for any processor, and the one for processors with [`has_wide`].
    pub run: [Handler; 2],
    /// Class of the register that it writes.
    pub destination: Class,
    /// Classes of the registers that it reads.
    pub sources: &'static [Class],
}

/// Whether this processor has what the second handlers need.
pub fn has_wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma")
        && std::arch::is_x86_feature_detected!("f16c")
        && std::arch::is_x86_feature_detected!("lzcnt")
        && std::arch::is_x86_feature_detected!("popcnt");
    #[cfg(not(target_arch = "x86_64"))]
    let has = false;
    has
}

/// Makes the two handlers of a mapping: `lanes!(map2<u32, u32, u32>, |x, y| x & y)`.
macro_rules! lanes {
    ($map:ident<$($source:ty),* => $destination:ty>, $f:expr) => {{
        unsafe fn plain(rows: *mut u8, r: &[u32; 5], mask: u32) {
            // SAFETY: as promised by the caller.
            unsafe { crate::isa::lanes::$map::<$($source,)* $destination>(rows, r, mask, $f) }
        }
        #[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,lzcnt,popcnt"))]
        unsafe fn avx2(rows: *mut u8, r: &[u32; 5], mask: u32) {
            // SAFETY: as promised by the caller.
            unsafe { crate::isa::lanes::$map::<$($source,)* $destination>(rows, r, mask, $f) }
        }
        crate::isa::Lanes {
            run: [plain, avx2],
            destination: <$destination as crate::isa::Lane>::CLASS,
            sources: &[$(<$source as crate::isa::Lane>::CLASS),*],
        }
    }};
}

/// As `lanes!`, for a function that gives a predicate.
macro_rules! test {
    ($map:ident<$($source:ty),*>, $f:expr) => {{
        unsafe fn plain(rows: *mut u8, r: &[u32; 5], mask: u32) {
            // SAFETY: as promised by the caller.
            unsafe { crate::isa::lanes::$map::<$($source),*>(rows, r, mask, $f) }
        }
        #[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx2,fma,f16c,lzcnt,popcnt"))]
        unsafe fn avx2(rows: *mut u8, r: &[u32; 5], mask: u32) {
            // SAFETY: as promised by the caller.
            unsafe { crate::isa::lanes::$map::<$($source),*>(rows, r, mask, $f) }
        }
        crate::isa::Lanes {
            run: [plain, avx2],
            destination: crate::ptx::Class::Predicate,
            sources: &[$(<$source as crate::isa::Lane>::CLASS),*],
        }
    }};
}

pub(crate) use {lanes, test};

/// Lanes that are computed together.
const CHUNK: usize = 8;

/// The row of an operand.
///
/// # Safety
/// `offset` is that of a row of `T`.
#[inline(always)]
pub unsafe fn row<T>(rows: *mut u8, offset: u32) -> *mut T {
    // SAFETY: offsets are inside the rows.
    unsafe { rows.add(offset as usize).cast() }
}

/// Reads eight lanes.
#[inline(always)]
unsafe fn read<T: Copy>(rows: *mut u8, offset: u32, chunk: usize) -> [T; CHUNK] {
    // SAFETY: a row has 32 lanes.
    unsafe { row::<T>(rows, offset).cast::<[T; CHUNK]>().add(chunk).read() }
}

/// Writes eight lanes, those of the mask.
#[inline(always)]
unsafe fn write<T: Copy>(rows: *mut u8, offset: u32, chunk: usize, mask: u32, values: [T; CHUNK]) {
    // SAFETY: a row has 32 lanes.
    unsafe {
        let to = row::<T>(rows, offset).cast::<[T; CHUNK]>().add(chunk);
        if mask == u32::MAX {
            to.write(values);
            return;
        }
        let mut old = to.read();
        for lane in 0..CHUNK {
            old[lane] = if mask >> (chunk * CHUNK + lane) & 1 != 0 { values[lane] } else { old[lane] };
        }
        to.write(old);
    }
}

/// d = f().
///
/// # Safety
/// As [`Handler`] says.
#[inline(always)]
pub unsafe fn map0<D: Copy>(rows: *mut u8, r: &[u32; 5], mask: u32, f: impl Fn() -> D) {
    let value = f();
    for chunk in 0..32 / CHUNK {
        // SAFETY: as promised by the caller.
        unsafe { write(rows, r[0], chunk, mask, [value; CHUNK]) }
    }
}

/// d = f(a).
///
/// # Safety
/// As [`Handler`] says.
#[inline(always)]
pub unsafe fn map1<A: Copy, D: Copy>(rows: *mut u8, r: &[u32; 5], mask: u32, f: impl Fn(A) -> D) {
    for chunk in 0..32 / CHUNK {
        // SAFETY: as promised by the caller.
        unsafe {
            let a = read::<A>(rows, r[1], chunk);
            write(rows, r[0], chunk, mask, std::array::from_fn(|lane| f(a[lane])));
        }
    }
}

/// d = f(a, b).
///
/// # Safety
/// As [`Handler`] says.
#[inline(always)]
pub unsafe fn map2<A: Copy, B: Copy, D: Copy>(rows: *mut u8, r: &[u32; 5], mask: u32, f: impl Fn(A, B) -> D) {
    for chunk in 0..32 / CHUNK {
        // SAFETY: as promised by the caller.
        unsafe {
            let (a, b) = (read::<A>(rows, r[1], chunk), read::<B>(rows, r[2], chunk));
            write(rows, r[0], chunk, mask, std::array::from_fn(|lane| f(a[lane], b[lane])));
        }
    }
}

/// d = f(a, b, c).
///
/// # Safety
/// As [`Handler`] says.
#[inline(always)]
pub unsafe fn map3<A: Copy, B: Copy, C: Copy, D: Copy>(
    rows: *mut u8,
    r: &[u32; 5],
    mask: u32,
    f: impl Fn(A, B, C) -> D,
) {
    for chunk in 0..32 / CHUNK {
        // SAFETY: as promised by the caller.
        unsafe {
            let (a, b) = (read::<A>(rows, r[1], chunk), read::<B>(rows, r[2], chunk));
            let c = read::<C>(rows, r[3], chunk);
            write(rows, r[0], chunk, mask, std::array::from_fn(|lane| f(a[lane], b[lane], c[lane])));
        }
    }
}

/// e = f(a, b, c, d).
///
/// # Safety
/// As [`Handler`] says.
#[inline(always)]
pub unsafe fn map4<A: Copy, B: Copy, C: Copy, D: Copy, E: Copy>(
    rows: *mut u8,
    r: &[u32; 5],
    mask: u32,
    f: impl Fn(A, B, C, D) -> E,
) {
    for chunk in 0..32 / CHUNK {
        // SAFETY: as promised by the caller.
        unsafe {
            let (a, b) = (read::<A>(rows, r[1], chunk), read::<B>(rows, r[2], chunk));
            let (c, d) = (read::<C>(rows, r[3], chunk), read::<D>(rows, r[4], chunk));
            let values = std::array::from_fn(|lane| f(a[lane], b[lane], c[lane], d[lane]));
            write(rows, r[0], chunk, mask, values);
        }
    }
}

/// Writes the bits of a predicate that the mask names.
#[inline(always)]
unsafe fn write_bits(rows: *mut u8, offset: u32, mask: u32, bits: u32) {
    // SAFETY: a predicate is 4 bytes.
    unsafe {
        let to = row::<u32>(rows, offset);
        *to = *to & !mask | bits & mask;
    }
}

/// p = f(a).
///
/// # Safety
/// As [`Handler`] says.
#[inline(always)]
pub unsafe fn test1<A: Copy>(rows: *mut u8, r: &[u32; 5], mask: u32, f: impl Fn(A) -> bool) {
    let mut bits = 0;
    // SAFETY: as promised by the caller.
    unsafe {
        for chunk in 0..32 / CHUNK {
            let a = read::<A>(rows, r[1], chunk);
            for (lane, &a) in a.iter().enumerate() {
                bits |= u32::from(f(a)) << (chunk * CHUNK + lane);
            }
        }
        write_bits(rows, r[0], mask, bits);
    }
}

/// p = f(a, b).
///
/// # Safety
/// As [`Handler`] says.
#[inline(always)]
pub unsafe fn test2<A: Copy, B: Copy>(rows: *mut u8, r: &[u32; 5], mask: u32, f: impl Fn(A, B) -> bool) {
    let mut bits = 0;
    // SAFETY: as promised by the caller.
    unsafe {
        for chunk in 0..32 / CHUNK {
            let (a, b) = (read::<A>(rows, r[1], chunk), read::<B>(rows, r[2], chunk));
            for lane in 0..CHUNK {
                bits |= u32::from(f(a[lane], b[lane])) << (chunk * CHUNK + lane);
            }
        }
        write_bits(rows, r[0], mask, bits);
    }
}

/// d = p ? a : b, with p the third source.
///
/// # Safety
/// As [`Handler`] says.
#[inline(always)]
pub unsafe fn choose<T: Copy>(rows: *mut u8, r: &[u32; 5], mask: u32) {
    // SAFETY: as promised by the caller.
    unsafe {
        let p = *row::<u32>(rows, r[3]);
        for chunk in 0..32 / CHUNK {
            let (a, b) = (read::<T>(rows, r[1], chunk), read::<T>(rows, r[2], chunk));
            let values =
                std::array::from_fn(
                    |lane| {
                        if p >> (chunk * CHUNK + lane) & 1 != 0 { a[lane] } else { b[lane] }
                    },
                );
            write(rows, r[0], chunk, mask, values);
        }
    }
}

/// A predicate of two predicates.
///
/// # Safety
/// As [`Handler`] says.
#[inline(always)]
pub unsafe fn combine(rows: *mut u8, r: &[u32; 5], mask: u32, f: impl Fn(u32, u32) -> u32) {
    // SAFETY: as promised by the caller.
    unsafe { write_bits(rows, r[0], mask, f(*row::<u32>(rows, r[1]), *row::<u32>(rows, r[2]))) }
}
