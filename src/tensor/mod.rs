//! The number types and matrix views that ops are written over.
//!
//! An op is generic over [`Real`]: the same code is gradient-checked in f64 and runs in f32. Buffers are
//! flat row-major slices; a [`Matrix`] or [`MatrixMut`] lays rows, columns and strides over one, and
//! [`gemm()`] multiplies them on the calling thread (`ops::matmul` spreads a product over threads).
//!
//! **Invariant:** no loops over data: dense products go to the `gemm` crate, everything else is an op.
//! **Invariant:** all `unsafe` of the CPU backend stands in this module, behind views that check their
//! bounds when they are made.

mod exp;
mod matrix;
mod real;
#[cfg(test)]
mod tests;

pub use matrix::{Matrix, MatrixMut, gemm};
pub use real::Real;
