//! Tensor cores: `ldmatrix`, `mma`, `wmma`.
//!
//! Source of the layouts: "PTX ISA" 8.8, sections 9.7.14.4 and 9.7.14.5. Sums run over the inner index in
//! order, each step fused in f32 (f64, s32); real tensor cores add in groups, in an order that is not
//! documented.

#![expect(unsafe_code, reason = "rows and device memory are raw memory")]

use super::Fault;
use super::access::{How, window};
use super::block::Worker;
use super::warp::{FULL, Warp};
use crate::isa::lanes::row;
use crate::isa::rounding::{F16, Mode, narrow};
use crate::lower::{Element, Fragment, Inst, Kind, Multiply};
use crate::ptx::Space;

impl Worker<'_, '_> {
    pub(super) fn matrix(&mut self, warp: &mut Warp, inst: &Inst, pc: usize) -> Result<(), Fault> {
        match inst.kind {
            Kind::LoadMatrix { count, transposed, wide_address } => {
                self.load_matrix(warp, inst, usize::from(count), transposed, wide_address, pc)
            }
            Kind::Multiply(multiply) => {
                let list = &self.launch.kernel.lists[inst.list as usize..];
                let rows = warp.rows();
                if !multiply.is_wmma && multiply.elements[2] == Element::F32 {
                    fast_multiply(rows, list, multiply);
                } else {
                    general_multiply(rows, list, multiply, inst.imm);
                }
                Ok(())
            }
            Kind::Fragment(fragment) => self.fragment(warp, inst, fragment, pc),
            _ => Ok(()),
        }
    }

    /// Lanes 8i to 8i + 7 have the addresses of the rows of matrix i.
    fn load_matrix(
        &mut self,
        warp: &mut Warp,
        inst: &Inst,
        count: usize,
        transposed: bool,
        wide_address: bool,
        pc: usize,
    ) -> Result<(), Fault> {
        let list = &self.launch.kernel.lists[inst.list as usize..][..=count];
        let addresses =
            warp.addresses(list[count], wide_address, inst.imm).map(|address| address & 0xffff_ffff);
        let mask = if count == 4 { FULL } else { (1 << (8 * count)) - 1 };
        let region = self.region(warp, Space::Shared, &addresses, mask, 16, pc, How::Read)?;
        for (i, &to) in list[..count].iter().enumerate() {
            // SAFETY: the region was checked for 16 bytes a lane; rows of shared memory are aligned to 16
            // bytes.
            let matrix: [[u16; 8]; 8] = std::array::from_fn(|r| unsafe {
                region.at(addresses[8 * i + r], 0).cast::<[u16; 8]>().read()
            });
            // A lane has two neighbours of a row: rows one after another are lanes one after another.
            let matrix = if transposed { transpose(&matrix) } else { matrix };
            warp.write_words(to, FULL, &bytemuck::cast(matrix));
        }
        Ok(())
    }

    fn fragment(&mut self, warp: &mut Warp, inst: &Inst, fragment: Fragment, pc: usize) -> Result<(), Fault> {
        let count = usize::from(fragment.registers);
        let list =
            &self.launch.kernel.lists[inst.list as usize..][..count + 1 + usize::from(fragment.has_stride)];
        let base = warp.addresses(list[count], fragment.wide_address, inst.imm)[0];
        let [rows, columns] = fragment.shape.map(usize::from);
        let leading = if fragment.column_major { rows } else { columns };
        let stride = if fragment.has_stride { warp.word(list[count + 1])[0] as usize } else { leading };
        let bytes = fragment.element.bytes();
        let elements = rows * columns;
        // Slot s of lane l is element 32s + l, row after row.
        for slot in 0..elements.div_ceil(32) {
            let mut addresses: [u64; 32] = std::array::from_fn(|lane| {
                let (r, c) = ((slot * 32 + lane) / columns, (slot * 32 + lane) % columns);
                let at = if fragment.column_major { c * stride + r } else { r * stride + c };
                base.wrapping_add((at * bytes) as u64)
            });
            let (space, start) = match fragment.space {
                Space::Generic => {
                    let (space, _, start) = window(&addresses, FULL);
                    (space, start)
                }
                space => (space, 0),
            };
            addresses = addresses.map(|address| address.wrapping_sub(start));
            let how = if fragment.stores { How::Write } else { How::Read };
            let region = self.region(warp, space, &addresses, FULL, bytes as u64, pc, how)?;
            for (lane, &address) in addresses.iter().enumerate() {
                let memory = region.at(address, lane);
                let register = fragment_byte(warp.rows(), &list[..count], lane, slot, bytes);
                // SAFETY: the region was checked; the register's bytes are those of its lane.
                unsafe {
                    if fragment.stores {
                        std::ptr::copy_nonoverlapping(register, memory, bytes);
                    } else {
                        std::ptr::copy_nonoverlapping(memory, register, bytes);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Where an element of a `wmma` fragment is: elements fill a lane's registers one after another.
fn fragment_byte(rows: *mut u8, registers: &[u32], lane: usize, slot: usize, bytes: usize) -> *mut u8 {
    let width = if bytes == 8 { 8 } else { 4 };
    let (register, inside) = (slot * bytes / width, slot * bytes % width);
    // Fragments that the hardware keeps twice have more registers than are used here, never fewer.
    // SAFETY: the offset is that of a row, the lane below 32.
    unsafe { row::<u8>(rows, registers[register.min(registers.len() - 1)]).add(lane * width + inside) }
}

fn transpose<T: Copy + Default>(matrix: &[[T; 8]; 8]) -> [[T; 8]; 8] {
    let mut turned = [[T::default(); 8]; 8];
    for (r, row) in matrix.iter().enumerate() {
        for (c, &x) in row.iter().enumerate() {
            turned[c][r] = x;
        }
    }
    turned
}

/// Element `i` of a word.
#[inline(always)]
fn one(word: u32, element: Element, i: usize) -> f32 {
    match element {
        Element::F16 => half::f16::from_bits((word >> (16 * i)) as u16).to_f32(),
        Element::Bf16 => f32::from_bits(word >> (16 * i) << 16),
        // Tensor cores read 10 bits of the fraction.
        Element::Tf32 => f32::from_bits(word & 0xffff_e000),
        _ => f32::from_bits(word),
    }
}

/// A register as 8 rows of elements in f32; `k` elements a row: a lane's elements are neighbours, and so are
/// lanes.
#[inline(always)]
fn widen<const K: usize>(words: &[u32; 32], element: Element) -> [[f32; K]; 8] {
    let mut wide = [[0.0; K]; 8];
    for (r, row) in wide.iter_mut().enumerate() {
        for (c, x) in row.iter_mut().enumerate() {
            let per_word = K / 4;
            *x = one(words[4 * r + c / per_word], element, c % per_word);
        }
    }
    wide
}

/// The `mma` shapes with sums in f32: m16, n8, k up to 16.
fn fast_multiply(rows: *mut u8, list: &[u32], multiply: Multiply) {
    #[cfg(target_arch = "x86_64")]
    if crate::isa::lanes::has_wide() {
        // SAFETY: the processor has what the function needs.
        return unsafe { fast_multiply_wide(rows, list, multiply) };
    }
    multiply_f32(rows, list, multiply);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn fast_multiply_wide(rows: *mut u8, list: &[u32], multiply: Multiply) {
    multiply_f32(rows, list, multiply);
}

#[inline(always)]
fn multiply_f32(rows: *mut u8, list: &[u32], multiply: Multiply) {
    match multiply.elements[0] {
        // One arm each, so that what is constant in a conversion is outside of its loops.
        Element::F16 => multiply_by::<8>(rows, list, multiply, Element::F16),
        Element::Bf16 => multiply_by::<8>(rows, list, multiply, Element::Bf16),
        _ => multiply_by::<4>(rows, list, multiply, Element::Tf32),
    }
}

/// [`multiply_f32`] for a register that holds `K` elements of a row.
#[inline(always)]
fn multiply_by<const K: usize>(rows: *mut u8, list: &[u32], multiply: Multiply, element: Element) {
    let steps = usize::from(multiply.shape[2]) / K;
    let (d, rest) = list.split_at(4);
    let (a, rest) = rest.split_at(2 * steps);
    let (b, c) = rest.split_at(steps);
    // SAFETY: the list holds offsets of rows of 32 bits.
    let word = |offset: u32| unsafe { &*row::<[u32; 32]>(rows, offset) };
    // Written last: a row of the result may be one of the operands'.
    let mut results = [[0.0_f32; 32]; 4];
    for half in 0..2 {
        // Rows 8 half to 8 half + 7: a lane has two neighbouring columns, in two registers.
        let (even, odd) = (word(c[2 * half]), word(c[2 * half + 1]));
        let mut sums = [[0.0_f32; 8]; 8];
        for (r, sums) in sums.iter_mut().enumerate() {
            for q in 0..4 {
                sums[2 * q] = f32::from_bits(even[4 * r + q]);
                sums[2 * q + 1] = f32::from_bits(odd[4 * r + q]);
            }
        }
        for step in 0..steps {
            let left = widen::<K>(word(a[2 * step + half]), element);
            // A row of the register is a column of b.
            let columns = widen::<K>(word(b[step]), element);
            let mut right = [[0.0; 8]; K];
            for (n, column) in columns.iter().enumerate() {
                for (k, &x) in column.iter().enumerate() {
                    right[k][n] = x;
                }
            }
            for (k, right) in right.iter().enumerate() {
                for (sums, left) in sums.iter_mut().zip(&left) {
                    for (sum, y) in sums.iter_mut().zip(right) {
                        *sum = left[k].mul_add(*y, *sum);
                    }
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (column, &sum) in sums.iter().enumerate() {
                results[2 * half + column % 2][4 * r + column / 2] = sum;
            }
        }
    }
    for (&register, values) in d.iter().zip(results) {
        // SAFETY: as above.
        unsafe { row::<[f32; 32]>(rows, register).write(values) };
    }
}

/// Any shape and type: elements as f64 (exact for all), sums in the type of the result.
fn general_multiply(rows: *mut u8, list: &[u32], multiply: Multiply, counts: i64) {
    let [m, n, k] = multiply.shape.map(usize::from);
    let [a, b, c] = multiply.elements;
    let words = |count: usize, element: Element| {
        count * element.bytes() / 32 / if element == Element::F64 { 8 } else { 4 }
    };
    let lens = if multiply.is_wmma {
        [counts >> 24, counts, counts >> 8, counts >> 16].map(|len| (len & 0xff) as usize)
    } else {
        [words(m * n, multiply.result), words(m * k, a), words(k * n, b), words(m * n, c)]
    };
    let (d_rows, rest) = list.split_at(lens[0]);
    let (a_rows, rest) = rest.split_at(lens[1]);
    let (b_rows, rest) = rest.split_at(lens[2]);
    let c_rows = &rest[..lens[3]];
    let wmma = multiply.is_wmma;
    let left = gather(rows, a_rows, a, [m, k], |i, lane, e, per| place_a(m, i, lane, e, per), wmma);
    let right = gather(rows, b_rows, b, [k, n], place_b, wmma);
    let start = gather(rows, c_rows, c, [m, n], place_c, wmma);
    let mut result = vec![0.0; m * n];
    for (at, result) in result.iter_mut().enumerate() {
        let (r, column) = (at / n, at % n);
        let pairs = (0..k).map(|i| (left[r * k + i], right[i * n + column]));
        *result = match multiply.result {
            Element::F64 => pairs.fold(start[at], |sum, (x, y)| x.mul_add(y, sum)),
            Element::S32 => {
                let sum = pairs.fold(start[at] as i64, |sum, (x, y)| sum + (x * y) as i64);
                let sum = if multiply.saturates {
                    sum.clamp(i64::from(i32::MIN), i64::from(i32::MAX))
                } else {
                    i64::from(sum as i32)
                };
                sum as f64
            }
            _ => f64::from(pairs.fold(start[at] as f32, |sum, (x, y)| (x as f32).mul_add(y as f32, sum))),
        };
    }
    scatter(rows, d_rows, multiply.result, &result, [m, n], wmma);
}

/// (row, column) of element `e` of register `i` of a lane, with `per` elements a register: matrix a.
fn place_a(m: usize, i: usize, lane: usize, e: usize, per: usize) -> (usize, usize) {
    let blocks = m / 8;
    (8 * (i % blocks) + lane / 4, 4 * per * (i / blocks) + lane % 4 * per + e)
}

/// Row and column of an element of matrix b.
fn place_b(i: usize, lane: usize, e: usize, per: usize) -> (usize, usize) {
    (4 * per * i + lane % 4 * per + e, lane / 4)
}

/// Row and column of an element of matrices c and d: a lane has two columns, in one register or two.
fn place_c(i: usize, lane: usize, e: usize, per: usize) -> (usize, usize) {
    let at = i * per + e;
    (8 * (at / 2) + lane / 4, lane % 4 * 2 + at % 2)
}

fn elements_of_register(element: Element) -> usize {
    if element == Element::F64 { 1 } else { 4 / element.bytes() }
}

/// Where element `e` of register `i` of a lane stands in a matrix of so many columns. What `wmma` loads stays
/// as it is stored: only `wmma` reads it.
fn index(
    [i, lane, e]: [usize; 3],
    per: usize,
    width: usize,
    place: impl Fn(usize, usize, usize, usize) -> (usize, usize),
    wmma: bool,
) -> usize {
    if wmma {
        return (i * per + e) * 32 + lane;
    }
    let (row, column) = place(i, lane, e, per);
    row * width + column
}

fn gather(
    rows: *mut u8,
    registers: &[u32],
    element: Element,
    [height, width]: [usize; 2],
    place: impl Fn(usize, usize, usize, usize) -> (usize, usize),
    wmma: bool,
) -> Vec<f64> {
    let per = elements_of_register(element);
    let mut values = vec![0.0; height * width];
    for (i, &register) in registers.iter().enumerate() {
        for lane in 0..32 {
            for e in 0..per {
                if let Some(value) = values.get_mut(index([i, lane, e], per, width, &place, wmma)) {
                    *value = read_element(rows, register, lane, e, element);
                }
            }
        }
    }
    values
}

fn read_element(rows: *mut u8, register: u32, lane: usize, e: usize, element: Element) -> f64 {
    // SAFETY: the offset is that of a row as wide as the element needs.
    unsafe {
        let bytes = row::<u8>(rows, register);
        match element {
            Element::F64 => bytes.cast::<f64>().add(lane).read(),
            Element::S32 => f64::from(bytes.cast::<i32>().add(lane).read()),
            Element::S8 => f64::from(bytes.add(4 * lane + e).cast::<i8>().read()),
            Element::U8 => f64::from(bytes.add(4 * lane + e).read()),
            _ => f64::from(one(bytes.cast::<u32>().add(lane).read(), element, e)),
        }
    }
}

fn scatter(
    rows: *mut u8,
    registers: &[u32],
    element: Element,
    values: &[f64],
    [_, width]: [usize; 2],
    wmma: bool,
) {
    let per = elements_of_register(element);
    for (i, &register) in registers.iter().enumerate() {
        for lane in 0..32 {
            for e in 0..per {
                let Some(&value) = values.get(index([i, lane, e], per, width, place_c, wmma)) else {
                    continue;
                };
                // SAFETY: the offset is that of a row as wide as the element needs.
                unsafe {
                    let bytes = row::<u8>(rows, register);
                    match element {
                        Element::F64 => bytes.cast::<f64>().add(lane).write(value),
                        Element::S32 => bytes.cast::<i32>().add(lane).write(value as i32),
                        Element::F16 => {
                            let bits = narrow(value, F16, Mode::Nearest) as u16;
                            bytes.cast::<u16>().add(2 * lane + e).write(bits);
                        }
                        _ => bytes.cast::<f32>().add(lane).write(value as f32),
                    }
                }
            }
        }
    }
}
