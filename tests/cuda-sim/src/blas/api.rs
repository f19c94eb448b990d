//! The functions of `libcublas`.
//!
//! Source: NVIDIA, "cuBLAS"; names and arguments are those of `cublas_api.h`, numbers those of its
//! enumerations.

#![expect(unsafe_code, reason = "functions of C with pointers of the caller")]
#![allow(non_snake_case, reason = "names of `cublas_api.h`")]
#![allow(clippy::missing_safety_doc, reason = "the library's own documentation says what its arguments are")]

use std::ffi::{c_char, c_int, c_longlong, c_void};
use std::sync::Arc;

use super::product::{Matrix, Operands, Product};
use super::vector::{AbsoluteSum, MatrixVector, Vector};
use super::{Blas, Handle, Scalar, Type};
use crate::driver::{State, Work, state};

const NOT_INITIALIZED: i32 = 1;
const INVALID_VALUE: i32 = 7;
const EXECUTION_FAILED: i32 = 13;
const NOT_SUPPORTED: i32 = 15;

/// `CUBLAS_TF32_TENSOR_OP_MATH`.
const TF32_MATH: i32 = 3;

exports! {
    fn cublasCreate_v2(handle: *mut usize) {
        let mut state = state();
        let number = state.handle();
        state.blas.insert(number, Handle::default());
        *handle = number;
        Ok(())
    }
    fn cublasDestroy_v2(handle: usize) { state().blas.remove(&handle).map(|_| ()).ok_or(NOT_INITIALIZED) }
    fn cublasGetVersion_v2(_handle: usize, version: *mut c_int) { *version = 120_900; Ok(()) }
    fn cublasSetStream_v2(handle: usize, stream: usize) { edit(handle, |handle| handle.stream = stream) }
    fn cublasGetStream_v2(handle: usize, stream: *mut usize) { *stream = look(handle)?.stream; Ok(()) }
    // The result depends on it nowhere here.
    fn cublasSetWorkspace_v2(handle: usize, _workspace: *mut c_void, _bytes: usize) {
        look(handle).map(|_| ())
    }
    fn cublasSetPointerMode_v2(handle: usize, mode: c_int) {
        edit(handle, |handle| handle.on_device = mode == 1)
    }
    fn cublasGetPointerMode_v2(handle: usize, mode: *mut c_int) {
        *mode = c_int::from(look(handle)?.on_device);
        Ok(())
    }
    fn cublasSetAtomicsMode(handle: usize, mode: c_int) { edit(handle, |handle| handle.atomics = mode) }
    fn cublasGetAtomicsMode(handle: usize, mode: *mut c_int) { *mode = look(handle)?.atomics; Ok(()) }
    fn cublasSetMathMode(handle: usize, mode: c_int) { edit(handle, |handle| handle.math_mode = mode) }
    fn cublasGetMathMode(handle: usize, mode: *mut c_int) { *mode = look(handle)?.math_mode; Ok(()) }

    fn cublasSgemm_v2(
        handle: usize, transa: c_int, transb: c_int, m: c_int, n: c_int, k: c_int, alpha: *const c_void,
        a: u64, lda: c_int, b: u64, ldb: c_int, beta: *const c_void, c: u64, ldc: c_int,
    ) {
        let (a, b, c) = ((a, 0, lda, 0), (b, 0, ldb, 0), (c, 0, ldc, 0));
        multiply(handle, [transa, transb], [m, n, k], [alpha, beta], [a, b, c], 1, 68)
    }
    fn cublasDgemm_v2(
        handle: usize, transa: c_int, transb: c_int, m: c_int, n: c_int, k: c_int, alpha: *const c_void,
        a: u64, lda: c_int, b: u64, ldb: c_int, beta: *const c_void, c: u64, ldc: c_int,
    ) {
        let (a, b, c) = ((a, 1, lda, 0), (b, 1, ldb, 0), (c, 1, ldc, 0));
        multiply(handle, [transa, transb], [m, n, k], [alpha, beta], [a, b, c], 1, 70)
    }
    fn cublasSgemmStridedBatched(
        handle: usize, transa: c_int, transb: c_int, m: c_int, n: c_int, k: c_int, alpha: *const c_void,
        a: u64, lda: c_int, stride_a: c_longlong, b: u64, ldb: c_int, stride_b: c_longlong,
        beta: *const c_void, c: u64, ldc: c_int, stride_c: c_longlong, batch: c_int,
    ) {
        let (a, b, c) = ((a, 0, lda, stride_a), (b, 0, ldb, stride_b), (c, 0, ldc, stride_c));
        multiply(handle, [transa, transb], [m, n, k], [alpha, beta], [a, b, c], batch, 68)
    }
    fn cublasDgemmStridedBatched(
        handle: usize, transa: c_int, transb: c_int, m: c_int, n: c_int, k: c_int, alpha: *const c_void,
        a: u64, lda: c_int, stride_a: c_longlong, b: u64, ldb: c_int, stride_b: c_longlong,
        beta: *const c_void, c: u64, ldc: c_int, stride_c: c_longlong, batch: c_int,
    ) {
        let (a, b, c) = ((a, 1, lda, stride_a), (b, 1, ldb, stride_b), (c, 1, ldc, stride_c));
        multiply(handle, [transa, transb], [m, n, k], [alpha, beta], [a, b, c], batch, 70)
    }
    fn cublasGemmEx(
        handle: usize, transa: c_int, transb: c_int, m: c_int, n: c_int, k: c_int, alpha: *const c_void,
        a: u64, a_type: c_int, lda: c_int, b: u64, b_type: c_int, ldb: c_int, beta: *const c_void,
        c: u64, c_type: c_int, ldc: c_int, compute: c_int, _algorithm: c_int,
    ) {
        let (a, b, c) = ((a, a_type, lda, 0), (b, b_type, ldb, 0), (c, c_type, ldc, 0));
        multiply(handle, [transa, transb], [m, n, k], [alpha, beta], [a, b, c], 1, compute)
    }
    fn cublasGemmStridedBatchedEx(
        handle: usize, transa: c_int, transb: c_int, m: c_int, n: c_int, k: c_int, alpha: *const c_void,
        a: u64, a_type: c_int, lda: c_int, stride_a: c_longlong,
        b: u64, b_type: c_int, ldb: c_int, stride_b: c_longlong, beta: *const c_void,
        c: u64, c_type: c_int, ldc: c_int, stride_c: c_longlong,
        batch: c_int, compute: c_int, _algorithm: c_int,
    ) {
        let (a, b, c) = ((a, a_type, lda, stride_a), (b, b_type, ldb, stride_b), (c, c_type, ldc, stride_c));
        multiply(handle, [transa, transb], [m, n, k], [alpha, beta], [a, b, c], batch, compute)
    }
    fn cublasGemmGroupedBatchedEx(
        handle: usize, transa: *const c_int, transb: *const c_int,
        m: *const c_int, n: *const c_int, k: *const c_int,
        alpha: *const f32, a: u64, a_type: c_int, lda: *const c_int, b: u64, b_type: c_int, ldb: *const c_int,
        beta: *const f32, c: u64, c_type: c_int, ldc: *const c_int,
        groups: c_int, sizes: *const c_int, compute: c_int,
    ) {
        let mut first = 0;
        for group in 0..usize::try_from(groups).map_err(|_| INVALID_VALUE)? {
            let at = |array: *const c_int| array.add(group).read();
            for problem in first..first + at(sizes) as usize {
                let (a, b, c) = (address(a, problem)?, address(b, problem)?, address(c, problem)?);
                let (a, b, c) = ((a, a_type, at(lda), 0), (b, b_type, at(ldb), 0), (c, c_type, at(ldc), 0));
                let (transposed, sizes) = ([at(transa), at(transb)], [at(m), at(n), at(k)]);
                let factors = [alpha.add(group).cast(), beta.add(group).cast()];
                multiply(handle, transposed, sizes, factors, [a, b, c], 1, compute)?;
            }
            first += at(sizes) as usize;
        }
        Ok(())
    }

    fn cublasSgemv_v2(
        handle: usize, trans: c_int, m: c_int, n: c_int, alpha: *const c_void, a: u64, lda: c_int, x: u64,
        incx: c_int, beta: *const c_void, y: u64, incy: c_int,
    ) {
        matrix_vector(handle, Type::F32, trans, [m, n, lda], [alpha, beta], a, (x, incx), (y, incy))
    }
    fn cublasDgemv_v2(
        handle: usize, trans: c_int, m: c_int, n: c_int, alpha: *const c_void, a: u64, lda: c_int, x: u64,
        incx: c_int, beta: *const c_void, y: u64, incy: c_int,
    ) {
        matrix_vector(handle, Type::F64, trans, [m, n, lda], [alpha, beta], a, (x, incx), (y, incy))
    }
    fn cublasSasum_v2(handle: usize, n: c_int, x: u64, incx: c_int, result: u64) {
        absolute_sum(handle, Type::F32, n, x, incx, result)
    }
    fn cublasDasum_v2(handle: usize, n: c_int, x: u64, incx: c_int, result: u64) {
        absolute_sum(handle, Type::F64, n, x, incx, result)
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasGetStatusName(status: c_int) -> *const c_char {
    let name = match status {
        0 => c"CUBLAS_STATUS_SUCCESS",
        NOT_INITIALIZED => c"CUBLAS_STATUS_NOT_INITIALIZED",
        INVALID_VALUE => c"CUBLAS_STATUS_INVALID_VALUE",
        EXECUTION_FAILED => c"CUBLAS_STATUS_EXECUTION_FAILED",
        NOT_SUPPORTED => c"CUBLAS_STATUS_NOT_SUPPORTED",
        _ => c"<unknown>",
    };
    name.as_ptr()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cublasGetStatusString(status: c_int) -> *const c_char {
    // SAFETY: it takes any number.
    unsafe { cublasGetStatusName(status) }
}

fn look(handle: usize) -> Result<Handle, i32> {
    state().blas.get(&handle).copied().ok_or(NOT_INITIALIZED)
}

fn edit(handle: usize, change: impl FnOnce(&mut Handle)) -> Result<(), i32> {
    state().blas.get_mut(&handle).map(change).ok_or(NOT_INITIALIZED)
}

/// Pointer `i` of an array on the device or the host.
unsafe fn address(array: u64, i: usize) -> Result<u64, i32> {
    let at = array + 8 * i as u64;
    let pointer = state().memory.host(at, 8).unwrap_or(at as *mut u8);
    // SAFETY: memory of a live allocation, or of the host as promised by the caller.
    Ok(unsafe { pointer.cast::<u64>().read_unaligned() })
}

/// Factors are f64 or f32, on the host or the device.
unsafe fn factor(handle: &Handle, pointer: *const c_void, is_wide: bool) -> Scalar {
    if handle.on_device {
        return Scalar::Device(pointer as u64);
    }
    // SAFETY: the caller gives a pointer to a number of this type.
    Scalar::Host(unsafe {
        if is_wide { pointer.cast::<f64>().read() } else { f64::from(pointer.cast::<f32>().read()) }
    })
}

/// `CUBLAS_OP_N`, `_T` or `_C`.
fn transposed(operation: c_int) -> Result<bool, i32> {
    if (0..=2).contains(&operation) { Ok(operation != 0) } else { Err(INVALID_VALUE) }
}

fn size(number: c_int) -> Result<usize, i32> {
    usize::try_from(number).map_err(|_| INVALID_VALUE)
}

/// Errors of the driver are those of the stream's work.
fn submit(state: &mut State, stream: usize, call: Blas) -> Result<(), i32> {
    state.submit(stream, Work::Blas(Arc::new(call))).map_err(|_| EXECUTION_FAILED)
}

/// Matrices are (address, type, leading dimension, stride).
unsafe fn multiply(
    handle: usize,
    operations: [c_int; 2],
    [m, n, k]: [c_int; 3],
    factors: [*const c_void; 2],
    matrices: [(u64, c_int, c_int, c_longlong); 3],
    batch: c_int,
    compute: c_int,
) -> Result<(), i32> {
    let handle = look(handle)?;
    let operands = match (compute, handle.math_mode) {
        (68, TF32_MATH) | (77, _) => Operands::Tf32,
        (68..=71, _) => Operands::AsTheyAre,
        (74, _) => Operands::F16,
        (75, _) => Operands::Bf16,
        _ => return Err(NOT_SUPPORTED),
    };
    let is_wide = matches!(compute, 70 | 71);
    let matrix = |(address, ty, ld, stride): (u64, c_int, c_int, c_longlong)| {
        let ty = Type::of(ty).ok_or(NOT_SUPPORTED)?;
        Ok::<_, i32>(Matrix { address, ty, ld: i64::from(ld), stride })
    };
    let [a, b, c] = matrices;
    let product = Product {
        transposed: [transposed(operations[0])?, transposed(operations[1])?],
        m: size(m)?,
        n: size(n)?,
        k: size(k)?,
        // SAFETY: the caller's promise.
        alpha: unsafe { factor(&handle, factors[0], is_wide) },
        // SAFETY: the caller's promise.
        beta: unsafe { factor(&handle, factors[1], is_wide) },
        a: matrix(a)?,
        b: matrix(b)?,
        c: matrix(c)?,
        batch: size(batch)?,
        operands,
    };
    if (product.c.ty == Type::F64) != is_wide {
        return Err(NOT_SUPPORTED);
    }
    if !product.is_valid() {
        return Err(INVALID_VALUE);
    }
    submit(&mut state(), handle.stream, Blas::Product(product))
}

unsafe fn matrix_vector(
    handle: usize,
    ty: Type,
    operation: c_int,
    [m, n, lda]: [c_int; 3],
    factors: [*const c_void; 2],
    a: u64,
    (x, incx): (u64, c_int),
    (y, incy): (u64, c_int),
) -> Result<(), i32> {
    let handle = look(handle)?;
    if incx == 0 || incy == 0 || lda < m.max(1) {
        return Err(INVALID_VALUE);
    }
    let is_wide = ty == Type::F64;
    let product = MatrixVector {
        ty,
        is_transposed: transposed(operation)?,
        m: size(m)?,
        n: size(n)?,
        // SAFETY: the caller's promise.
        alpha: unsafe { factor(&handle, factors[0], is_wide) },
        // SAFETY: the caller's promise.
        beta: unsafe { factor(&handle, factors[1], is_wide) },
        a,
        lda: size(lda)?,
        x: Vector { address: x, step: i64::from(incx) },
        y: Vector { address: y, step: i64::from(incy) },
    };
    submit(&mut state(), handle.stream, Blas::MatrixVector(product))
}

fn absolute_sum(handle: usize, ty: Type, n: c_int, x: u64, incx: c_int, result: u64) -> Result<(), i32> {
    let handle = look(handle)?;
    let x = Vector { address: x, step: i64::from(incx) };
    // With a step below 1 there is nothing to add, as in the reference BLAS.
    let n = if incx < 1 { 0 } else { size(n)? };
    let sum = AbsoluteSum { ty, n, x, result, on_device: handle.on_device };
    let mut state = state();
    submit(&mut state, handle.stream, Blas::AbsoluteSum(sum))?;
    // A result on the host must be complete when the call returns.
    if handle.on_device { Ok(()) } else { state.drain(handle.stream).map_err(|_| EXECUTION_FAILED) }
}
