//! Catches a simulated cuBLAS product that differs from sums written as loops.

use cudarc::cublas::{CudaBlas, Gemm, GemmConfig, StridedBatchedConfig, result, sys};
use cudarc::driver::{DevicePtr, DevicePtrMut};
use cudasim::driver::Config;
use cudasim::finding::FindingKind;
use half::{bf16, f16};

use crate::support::{Bench, numbers};

use sys::cublasOperation_t::{CUBLAS_OP_N, CUBLAS_OP_T};

#[test]
fn products_in_all_transpositions() {
    let (m, n, k) = (37_usize, 21, 50);
    for threads in [1, 2] {
        let bench = Bench::new(&Config { checks: true, threads, ..Config::default() });
        let blas = CudaBlas::new(bench.stream.clone()).unwrap();
        let (a, b, c) = (numbers(m * k), numbers(k * n), numbers(m * n));
        let (da, db) = (bench.stream.clone_htod(&a).unwrap(), bench.stream.clone_htod(&b).unwrap());
        for (left, right) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut dc = bench.stream.clone_htod(&c).unwrap();
            let operation = |turned| if turned { CUBLAS_OP_T } else { CUBLAS_OP_N };
            let config = GemmConfig {
                transa: operation(left),
                transb: operation(right),
                m: m as i32,
                n: n as i32,
                k: k as i32,
                alpha: 0.5_f32,
                lda: if left { k } else { m } as i32,
                ldb: if right { n } else { k } as i32,
                beta: 2.0,
                ldc: m as i32,
            };
            // SAFETY: sizes are those of the matrices.
            unsafe { blas.gemm(config, &da, &db, &mut dc) }.unwrap();
            for (at, got) in bench.stream.clone_dtoh(&dc).unwrap().into_iter().enumerate() {
                let (row, column) = (at % m, at / m);
                let left = |i: usize| f64::from(a[if left { row * k + i } else { i * m + row }]);
                let right = |i: usize| f64::from(b[if right { i * n + column } else { column * k + i }]);
                let sum: f64 = (0..k).map(|i| left(i) * right(i)).sum();
                let wanted = 0.5 * sum + 2.0 * f64::from(c[at]);
                // 50 products below 1, each rounded to 2^-24 of a sum below 50.
                assert!((f64::from(got) - wanted).abs() <= 1e-5, "{row} {column}");
            }
        }
        drop(blas);
        assert_eq!(bench.report().findings, []);
    }
}

#[test]
fn sixteen_bits_are_added_up_in_f32_and_rounded_once() {
    let bench = Bench::new(&Config { checks: true, ..Config::default() });
    let blas = CudaBlas::new(bench.stream.clone()).unwrap();
    // 4096 times 1 + 1/128 with itself: in 16 bits the sum would stop growing long before.
    let one = bf16::from_f32(1.0 + 1.0 / 128.0);
    let x = bench.stream.clone_htod(&vec![one; 4096]).unwrap();
    // SAFETY: with beta 0 it is not read: that is tested too, by the checks.
    let mut c = unsafe { bench.stream.alloc::<bf16>(1) }.unwrap();
    let config = |alpha, beta| GemmConfig {
        transa: CUBLAS_OP_T,
        transb: CUBLAS_OP_N,
        m: 1,
        n: 1,
        k: 4096,
        alpha,
        lda: 4096,
        ldb: 4096,
        beta,
        ldc: 1,
    };
    // SAFETY: sizes are those of the matrices.
    unsafe { blas.gemm(config(bf16::ONE, bf16::ZERO), &x, &x, &mut c) }.unwrap();
    let wanted = bf16::from_f32(4096.0 * one.to_f32() * one.to_f32());
    assert_eq!(bench.stream.clone_dtoh(&c).unwrap(), [wanted]);

    let batch = 3;
    let y = bench
        .stream
        .clone_htod(&(0..batch * 4).map(|i| f16::from_f32(i as f32)).collect::<Vec<_>>())
        .unwrap();
    let mut z = bench.stream.alloc_zeros::<f16>(batch * 4).unwrap();
    let gemm = GemmConfig {
        transa: CUBLAS_OP_N,
        transb: CUBLAS_OP_N,
        m: 2,
        n: 2,
        k: 2,
        alpha: f16::ONE,
        lda: 2,
        ldb: 2,
        beta: f16::ZERO,
        ldc: 2,
    };
    let config =
        StridedBatchedConfig { gemm, batch_size: batch as i32, stride_a: 4, stride_b: 4, stride_c: 4 };
    // SAFETY: as above.
    unsafe { blas.gemm_strided_batched(config, &y, &y, &mut z) }.unwrap();
    let square = |b: usize| {
        let [p, q, r, s] = [0, 1, 2, 3].map(|i| (4 * b + i) as f32);
        [p * p + r * q, q * p + s * q, p * r + r * s, q * r + s * s]
    };
    let wanted: Vec<f16> = (0..batch).flat_map(square).map(f16::from_f32).collect();
    assert_eq!(bench.stream.clone_dtoh(&z).unwrap(), wanted);
    drop(blas);
    assert_eq!(bench.report().findings, []);
}

/// Products of tf32 have factors of 11 bits: 1 + 2^-12 is 1.
#[test]
fn tf32_rounds_the_factors() {
    let bench = Bench::new(&Config::default());
    let blas = CudaBlas::new(bench.stream.clone()).unwrap();
    let x = bench.stream.clone_htod(&[1.0_f32 + 1.0 / 4096.0]).unwrap();
    let mut c = bench.stream.alloc_zeros::<f32>(1).unwrap();
    let mut multiply = |compute: sys::cublasComputeType_t| {
        let (alpha, beta) = (1.0_f32, 0.0_f32);
        let (left, right, to) = (
            x.device_ptr(&bench.stream).0 as *const _,
            x.device_ptr(&bench.stream).0 as *const _,
            c.device_ptr_mut(&bench.stream).0 as *mut _,
        );
        let single = sys::cudaDataType_t::CUDA_R_32F;
        // SAFETY: matrices of one element.
        unsafe {
            result::gemm_ex(
                *blas.handle(),
                CUBLAS_OP_N,
                CUBLAS_OP_N,
                1,
                1,
                1,
                (&raw const alpha).cast(),
                left,
                single,
                1,
                right,
                single,
                1,
                (&raw const beta).cast(),
                to,
                single,
                1,
                compute,
                sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .unwrap();
        bench.stream.clone_dtoh(&c).unwrap()[0]
    };
    assert!(multiply(sys::cublasComputeType_t::CUBLAS_COMPUTE_32F) > 1.0);
    assert_eq!(multiply(sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32), 1.0);
}

#[test]
fn mistakes_are_found() {
    let bench = Bench::new(&Config { checks: true, ..Config::default() });
    let blas = CudaBlas::new(bench.stream.clone()).unwrap();
    let config = |k: i32, ldc: i32| GemmConfig {
        transa: CUBLAS_OP_N,
        transb: CUBLAS_OP_N,
        m: 4,
        n: 4,
        k,
        alpha: 1.0_f32,
        lda: 4,
        ldb: k,
        beta: 0.0,
        ldc,
    };
    let x = bench.stream.alloc_zeros::<f32>(16).unwrap();
    // SAFETY: that nothing has written it is what is tested.
    let unwritten = unsafe { bench.stream.alloc::<f32>(16) }.unwrap();
    let mut c = bench.stream.alloc_zeros::<f32>(16).unwrap();
    // SAFETY: the device is simulated, and lets no product leave its matrices.
    unsafe {
        assert!(blas.gemm(config(4, 3), &x, &x, &mut c).is_err(), "columns of 4 do not fit 3");
        assert!(blas.gemm(config(5, 4), &x, &x, &mut c).is_err(), "20 elements of 16");
        assert!(blas.gemm(config(4, 4), &x, &unwritten, &mut c).is_ok());
    }
    let kinds: Vec<FindingKind> = bench.report().findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::InvalidCall, FindingKind::Uninitialised]);
}
