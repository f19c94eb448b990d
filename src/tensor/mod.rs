//! The number types and matrix views that ops are built on.
//!
//! Where in the flow: below `ops` and `model`. An op is generic over [`Real`], so the code that runs in f32
//! is the code whose gradients are checked in f64. Buffers are flat row-major slices. A [`Matrix`] or
//! [`MatrixMut`] is a view of one with rows, columns and strides, and [`gemm()`] multiplies two views on the
//! calling thread (`ops::matmul` splits a product over threads).
//!
//! **Invariant:** there are no loops over data here: the `gemm` crate computes dense products, and everything
//! else is an op.
//! **Invariant:** all `unsafe` code of the CPU backend is in this module, behind views that check their
//! bounds at construction.

mod exp;
mod matrix;
mod real;
#[cfg(test)]
mod tests;

pub use matrix::{Matrix, MatrixMut, gemm};
pub use real::Real;
