//! cuBLAS: the products and sums that a trainer calls, behind the functions of `libcublas`.
//!
//! Where in the flow: a program calls [`api`]; the call goes into the stream of its handle, and is performed
//! there by [`product`] (matrices, by the `gemm` crate) or [`vector`].
//!
//! **Invariant:** 16-bit types are added up in f32 and rounded once; the same call gives the same bits, on
//! any number of threads. What a real cuBLAS makes of the order of sums is not modelled.

mod api;
mod product;
mod vector;

use crate::driver::State;
use product::Product;
use vector::{AbsoluteSum, MatrixVector};

/// `cudaDataType_t` of what is supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    F32,
    F64,
    F16,
    Bf16,
}

impl Type {
    fn of(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::F32),
            1 => Some(Self::F64),
            2 => Some(Self::F16),
            14 => Some(Self::Bf16),
            _ => None,
        }
    }

    fn bytes(self) -> u64 {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// A factor: a number of the host, read when the call was made, or an address on the device, read when it is
/// performed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scalar {
    Host(f64),
    Device(u64),
}

/// A call that a stream performs.
#[derive(Debug)]
pub(crate) enum Blas {
    Product(Product),
    MatrixVector(MatrixVector),
    AbsoluteSum(AbsoluteSum),
}

impl Blas {
    /// Does it. Errors are those of the driver: the next call gives them.
    pub(crate) fn perform(&self, state: &mut State) -> Result<(), i32> {
        match self {
            Self::Product(product) => product.perform(state),
            Self::MatrixVector(product) => product.perform(state),
            Self::AbsoluteSum(sum) => sum.perform(state),
        }
    }
}

/// Settings of a program's handle.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Handle {
    stream: usize,
    /// Factors and results are on the device.
    on_device: bool,
    math_mode: i32,
    atomics: i32,
}
