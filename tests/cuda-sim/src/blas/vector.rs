//! `y = alpha op(A) x + beta y`, and sums of absolute values.

#![expect(unsafe_code, reason = "vectors are ranges of device memory")]

use super::{Scalar, Type};
use crate::driver::State;

/// A vector: its address, and elements from one to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vector {
    pub(super) address: u64,
    pub(super) step: i64,
}

/// A call of `gemv`.
#[derive(Debug)]
pub(crate) struct MatrixVector {
    pub(super) ty: Type,
    pub(super) is_transposed: bool,
    /// Rows and columns of A in memory.
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) alpha: Scalar,
    pub(super) beta: Scalar,
    pub(super) a: u64,
    pub(super) lda: usize,
    pub(super) x: Vector,
    pub(super) y: Vector,
}

/// A call of `asum`.
#[derive(Debug)]
pub(crate) struct AbsoluteSum {
    pub(super) ty: Type,
    pub(super) n: usize,
    pub(super) x: Vector,
    /// An address on the device, or of the host.
    pub(super) result: u64,
    pub(super) on_device: bool,
}

impl Vector {
    /// Where element `i` of `len` is; with a negative step the first is the last in memory.
    fn address(self, i: usize, len: usize, ty: Type) -> u64 {
        let i = i as i64;
        let at = if self.step < 0 { (i + 1 - len as i64) * self.step } else { i * self.step };
        self.address.wrapping_add_signed(at * ty.bytes() as i64)
    }
}

impl MatrixVector {
    pub(super) fn perform(&self, state: &mut State) -> Result<(), i32> {
        let is_wide = self.ty == Type::F64;
        let (alpha, beta) = (state.scalar(self.alpha, is_wide)?, state.scalar(self.beta, is_wide)?);
        let (inputs, outputs) = if self.is_transposed { (self.m, self.n) } else { (self.n, self.m) };
        let x = (0..inputs)
            .map(|i| state.number(self.x.address(i, inputs, self.ty), self.ty))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..outputs {
            let mut sum = 0.0;
            for (i, &x) in x.iter().enumerate() {
                let at = if self.is_transposed { row * self.lda + i } else { i * self.lda + row };
                let a = state.number(self.a + at as u64 * self.ty.bytes(), self.ty)?;
                sum = if is_wide {
                    a.mul_add(x, sum)
                } else {
                    f64::from((a as f32).mul_add(x as f32, sum as f32))
                };
            }
            let to = self.y.address(row, outputs, self.ty);
            let before = if beta == 0.0 { 0.0 } else { beta * state.number(to, self.ty)? };
            let pointer = state.host(to, self.ty.bytes(), "written by cuBLAS")?;
            // SAFETY: so many bytes are there.
            unsafe { write(pointer, alpha * sum + before, self.ty) };
            state.mark_written(to, self.ty.bytes());
        }
        Ok(())
    }
}

impl AbsoluteSum {
    pub(super) fn perform(&self, state: &mut State) -> Result<(), i32> {
        let mut sum = 0.0;
        for i in 0..self.n {
            let x = state.number(self.x.address(i, self.n, self.ty), self.ty)?.abs();
            sum = if self.ty == Type::F64 { sum + x } else { f64::from(sum as f32 + x as f32) };
        }
        let pointer = if self.on_device {
            state.host(self.result, self.ty.bytes(), "written by cuBLAS")?
        } else {
            self.result as *mut u8
        };
        // SAFETY: so many bytes are there; those of the host are promised by the caller, who waits for this.
        unsafe { write(pointer, sum, self.ty) };
        if self.on_device {
            state.mark_written(self.result, self.ty.bytes());
        }
        Ok(())
    }
}

unsafe fn write(to: *mut u8, value: f64, ty: Type) {
    // SAFETY: the caller's promise.
    unsafe {
        match ty {
            Type::F64 => to.cast::<f64>().write_unaligned(value),
            _ => to.cast::<f32>().write_unaligned(value as f32),
        }
    }
}

impl State {
    /// An element of a vector or matrix, f64 or f32.
    fn number(&mut self, address: u64, ty: Type) -> Result<f64, i32> {
        self.expect_written(address, ty.bytes(), "read by cuBLAS");
        self.scalar(Scalar::Device(address), ty == Type::F64)
    }
}
