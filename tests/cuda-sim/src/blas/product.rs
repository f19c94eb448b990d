//! `C = alpha op(A) op(B) + beta C`, all in column order.

#![expect(unsafe_code, reason = "matrices are ranges of device memory")]

use half::{bf16, f16};

use super::{Scalar, Type};
use crate::driver::State;

/// A matrix, or a batch of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix {
    pub(super) address: u64,
    pub(super) ty: Type,
    /// Elements from one column to the next.
    pub(super) ld: i64,
    /// Elements from one matrix of a batch to the next.
    pub(super) stride: i64,
}

/// The type that factors are rounded to before they are multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operands {
    AsTheyAre,
    Tf32,
    F16,
    Bf16,
}

/// A call.
#[derive(Debug)]
pub(crate) struct Product {
    /// Whether A and B are transposed.
    pub(super) transposed: [bool; 2],
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) alpha: Scalar,
    pub(super) beta: Scalar,
    pub(super) a: Matrix,
    pub(super) b: Matrix,
    pub(super) c: Matrix,
    pub(super) batch: usize,
    pub(super) operands: Operands,
}

/// Where a matrix is in this process.
struct Place {
    pointer: *mut u8,
    rows: usize,
    columns: usize,
    ld: usize,
}

impl Product {
    /// False for products that cuBLAS refuses.
    pub(super) fn is_valid(&self) -> bool {
        let [a, b, c] = self.extents();
        let fits = |matrix: &Matrix, rows: usize| {
            matrix.ld >= rows.max(1) as i64 && matrix.address.is_multiple_of(matrix.ty.bytes())
        };
        let is_wide = [self.a.ty, self.b.ty, self.c.ty].map(|ty| ty == Type::F64);
        fits(&self.a, a.0)
            && fits(&self.b, b.0)
            && fits(&self.c, c.0)
            && self.a.ty == self.b.ty
            && (is_wide == [true; 3] || is_wide == [false; 3])
    }

    /// Rows and columns of the matrices as they are in memory.
    fn extents(&self) -> [(usize, usize); 3] {
        let turned = |is: bool, rows, columns| if is { (columns, rows) } else { (rows, columns) };
        [
            turned(self.transposed[0], self.m, self.k),
            turned(self.transposed[1], self.k, self.n),
            (self.m, self.n),
        ]
    }

    pub(super) fn perform(&self, state: &mut State) -> Result<(), i32> {
        let is_wide = self.c.ty == Type::F64;
        let alpha = state.scalar(self.alpha, is_wide)?;
        let beta = state.scalar(self.beta, is_wide)?;
        if self.m == 0 || self.n == 0 {
            return Ok(());
        }
        let [a, b, c] = self.extents();
        for at in 0..self.batch {
            let (a, b) = (state.place(&self.a, a, at, true)?, state.place(&self.b, b, at, true)?);
            let c = state.place(&self.c, c, at, beta != 0.0)?;
            if is_wide {
                self.multiply::<f64>(&a, &b, &c, alpha, beta, state.threads());
            } else {
                self.narrow(&a, &b, &c, alpha as f32, beta as f32, state.threads());
            }
            state.written(&self.c, &c, at);
        }
        state.blas_products += 1;
        state.blas_flops += 2.0 * (self.batch * self.m * self.n * self.k) as f64;
        Ok(())
    }

    /// A product that is added up in f32.
    fn narrow(&self, a: &Place, b: &Place, c: &Place, alpha: f32, beta: f32, threads: usize) {
        let (mut wide_a, mut wide_b) = (self.widened(a, self.a.ty), self.widened(b, self.b.ty));
        let a = wide_a.as_mut().map_or(a.again(), |values| a.of(values));
        let b = wide_b.as_mut().map_or(b.again(), |values| b.of(values));
        if self.c.ty == Type::F32 {
            return self.multiply::<f32>(&a, &b, c, alpha, beta, threads);
        }
        let mut sums = vec![0_f32; c.rows * c.columns];
        self.multiply::<f32>(&a, &b, &c.of(&mut sums), 1.0, 0.0, threads);
        for (i, sum) in sums.into_iter().enumerate() {
            let (row, column) = (i % c.rows, i / c.rows);
            // SAFETY: the element is one of the matrix, whose range was looked up, and its type has two
            // bytes.
            unsafe {
                let to = c.pointer.cast::<u16>().add(column * c.ld + row);
                // With beta 0 the old value is not read: it may be NaN.
                let before = if beta == 0.0 { 0.0 } else { beta * widen(to.read(), self.c.ty) };
                to.write(round(alpha * sum + before, self.c.ty));
            }
        }
    }

    /// A copy in f32, if the matrix is not taken as it is.
    fn widened(&self, place: &Place, ty: Type) -> Option<Vec<f32>> {
        if ty == Type::F32 && self.operands == Operands::AsTheyAre {
            return None;
        }
        let mut values = Vec::with_capacity(place.rows * place.columns);
        for column in 0..place.columns {
            for row in 0..place.rows {
                let at = column * place.ld + row;
                // SAFETY: the element is one of the matrix, whose range was looked up.
                values.push(unsafe {
                    match ty {
                        Type::F32 => self.operands.round(place.pointer.cast::<f32>().add(at).read()),
                        _ => widen(place.pointer.cast::<u16>().add(at).read(), ty),
                    }
                });
            }
        }
        Some(values)
    }

    fn multiply<T: gemm_element::Element>(
        &self,
        a: &Place,
        b: &Place,
        c: &Place,
        alpha: T,
        beta: T,
        threads: usize,
    ) {
        let steps = |place: &Place, is_transposed: bool| {
            if is_transposed { (1, place.ld as isize) } else { (place.ld as isize, 1) }
        };
        let (a_steps, b_steps) = (steps(a, self.transposed[0]), steps(b, self.transposed[1]));
        let parallelism =
            if threads == 1 { gemm::Parallelism::None } else { gemm::Parallelism::Rayon(threads) };
        // SAFETY: the ranges of all three were looked up in live allocations, and elements are aligned.
        unsafe {
            gemm::gemm(
                self.m,
                self.n,
                self.k,
                c.pointer.cast::<T>(),
                c.ld as isize,
                1,
                beta != T::default(),
                a.pointer.cast::<T>(),
                a_steps.0,
                a_steps.1,
                b.pointer.cast::<T>(),
                b_steps.0,
                b_steps.1,
                beta,
                alpha,
                false,
                false,
                false,
                parallelism,
            );
        }
    }
}

/// Types that the `gemm` crate multiplies here.
mod gemm_element {
    pub(super) trait Element: Copy + Default + PartialEq + 'static {}
    impl Element for f32 {}
    impl Element for f64 {}
}

impl Place {
    fn again(&self) -> Self {
        Self { ..*self }
    }

    /// A view of a copy of this matrix in `values`, without gaps.
    fn of(&self, values: &mut [f32]) -> Self {
        Self { pointer: values.as_mut_ptr().cast(), ld: self.rows.max(1), ..*self }
    }
}

impl Operands {
    fn round(self, x: f32) -> f32 {
        match self {
            Self::AsTheyAre => x,
            Self::F16 => f16::from_f32(x).to_f32(),
            Self::Bf16 => bf16::from_f32(x).to_f32(),
            // Ten bits behind the point, to nearest, ties away from zero (PTX ISA, `cvt.rna.tf32`).
            Self::Tf32 if x.is_finite() => f32::from_bits((x.to_bits() + 0x1000) & !0x1fff),
            Self::Tf32 => x,
        }
    }
}

fn widen(bits: u16, ty: Type) -> f32 {
    if ty == Type::F16 { f16::from_bits(bits).to_f32() } else { bf16::from_bits(bits).to_f32() }
}

fn round(x: f32, ty: Type) -> u16 {
    if ty == Type::F16 { f16::from_f32(x).to_bits() } else { bf16::from_f32(x).to_bits() }
}

impl State {
    /// Reads a factor, f64 or f32.
    pub(super) fn scalar(&mut self, scalar: Scalar, is_wide: bool) -> Result<f64, i32> {
        match scalar {
            Scalar::Host(value) => Ok(value),
            Scalar::Device(address) => {
                let bytes = if is_wide { 8 } else { 4 };
                let pointer = self.host(address, bytes, "read as a factor by cuBLAS")?;
                // SAFETY: so many bytes are there.
                Ok(unsafe {
                    if is_wide {
                        pointer.cast::<f64>().read_unaligned()
                    } else {
                        f64::from(pointer.cast::<f32>().read_unaligned())
                    }
                })
            }
        }
    }

    /// Looks up a matrix of a batch, and checks that it was written if it is read.
    fn place(
        &mut self,
        matrix: &Matrix,
        (rows, columns): (usize, usize),
        at: usize,
        is_read: bool,
    ) -> Result<Place, i32> {
        let (ld, size) = (matrix.ld as usize, matrix.ty.bytes());
        let address = matrix.address.wrapping_add_signed(at as i64 * matrix.stride * size as i64);
        let elements = if rows == 0 || columns == 0 { 0 } else { ld * (columns - 1) + rows };
        let pointer = self.host(address, elements as u64 * size, "used by cuBLAS as a matrix")?;
        if is_read {
            // Of a matrix that was not written, the first column is enough.
            (0..if elements == 0 { 0 } else { columns }).all(|column| {
                let start = address + (column * ld) as u64 * size;
                self.expect_written(start, rows as u64 * size, "read by cuBLAS as a matrix")
            });
        }
        Ok(Place { pointer, rows, columns, ld })
    }

    fn written(&mut self, matrix: &Matrix, place: &Place, at: usize) {
        let size = matrix.ty.bytes();
        let address = matrix.address.wrapping_add_signed(at as i64 * matrix.stride * size as i64);
        for column in 0..place.columns {
            self.mark_written(address + (column * place.ld) as u64 * size, place.rows as u64 * size);
        }
    }
}
