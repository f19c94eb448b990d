//! Speed of the trainer's dense products on the CPU, at the shapes of SmolLM2-135M, beside the ceiling:
//! the `gemm` crate on the same shape with its weights already in f32.
//!
//! `cargo bench --profile release --bench trainer`; throughput is in elements, one element being one
//! floating-point operation (so `Gelem/s` reads as GFLOP/s), and for decoding one weight.

#![expect(unsafe_code, reason = "ggml's decoders are called through the raw bindings")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use evol::device::CpuPool;
use evol::gguf::GgmlType;
use evol::ops::{QuantMatrix, cross_entropy, linear, lora};
use evol::tensor::{Matrix, MatrixMut, gemm};
use std::hint::black_box;
use std::time::Duration;

/// Rows: tokens of a packed row.
const M: usize = 512;
/// (in, out): the projections of a layer, and the output head.
const SHAPES: [(usize, usize); 4] = [(576, 576), (576, 1536), (1536, 576), (576, 49_152)];
const THREADS: [usize; 2] = [1, 2];

fn pool(threads: usize) -> CpuPool {
    CpuPool::new(threads).expect("the machine starts two threads")
}

/// Numbers in (-1, 1) without a pattern that a cache would like.
fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919) % 2003) as f32 / 1001.5 - 1.0).collect()
}

/// Blocks of `Q4_1`, the format of the default model: scale 1/8, minimum -1, any quants.
fn q4_1(weights: usize) -> Vec<u8> {
    let header = [0x00, 0x30, 0x00, 0xBC];
    (0..weights / 32)
        .flat_map(|i| header.into_iter().chain((0..16).map(move |j| ((i * 31 + j * 57) % 256) as u8)))
        .collect()
}

fn raw_gemm(c: &mut Criterion) {
    for (inputs, outputs) in SHAPES {
        let mut group = c.benchmark_group(format!("raw_gemm/{inputs}x{outputs}"));
        group.throughput(Throughput::Elements((2 * M * inputs * outputs) as u64));
        let (x, w, mut y) = (numbers(M * inputs), numbers(inputs * outputs), vec![0.0; M * outputs]);
        group.bench_function("1 thread", |b| {
            b.iter(|| {
                let w = Matrix::new(&w, outputs, inputs).t();
                gemm(1.0, Matrix::new(&x, M, inputs), w, 0.0, MatrixMut::new(&mut y, M, outputs));
            });
        });
    }
}

fn linear_layers(c: &mut Criterion) {
    for (inputs, outputs) in SHAPES {
        let blocks = q4_1(inputs * outputs);
        let w = QuantMatrix::new(GgmlType::Q4_1, &blocks, outputs, inputs);
        let (mut x, mut y) = (numbers(M * inputs), numbers(M * outputs));
        let mut scratch = vec![0.0; linear::scratch_len(inputs, outputs)];
        let mut group = c.benchmark_group(format!("linear/{inputs}x{outputs}"));
        group.throughput(Throughput::Elements((2 * M * inputs * outputs) as u64));
        for threads in THREADS {
            let pool = pool(threads);
            group.bench_function(format!("forward, {threads} threads"), |b| {
                b.iter(|| linear::forward(&pool, &w, M, black_box(&x), None, &mut y, &mut scratch));
            });
            group.bench_function(format!("backward, {threads} threads"), |b| {
                b.iter(|| linear::backward(&pool, &w, M, black_box(&y), None, 0.0, &mut x, &mut scratch));
            });
        }
    }
}

/// Every format, beside ggml's own decoder on one thread.
fn dequantisation(c: &mut Criterion) {
    let (rows, cols) = (1536, 768);
    let mut out = vec![0.0_f32; rows * cols];
    for ggml_type in GgmlType::TRAINABLE {
        let blocks = blocks(ggml_type, rows * cols);
        let w = QuantMatrix::new(ggml_type, &blocks, rows, cols);
        let mut group = c.benchmark_group(format!("dequantize/{ggml_type} {rows}x{cols}"));
        group.throughput(Throughput::Elements((rows * cols) as u64));
        for threads in THREADS {
            let pool = pool(threads);
            group.bench_function(format!("{threads} threads"), |b| {
                b.iter(|| w.dequantize_rows(&pool, 0..rows, black_box(&mut out)));
            });
        }
        // SAFETY: the table has an entry for every format and lives as long as the program.
        let Some(to_float) = (unsafe { *llama_cpp_sys_2::ggml_get_type_traits(ggml_type as u32) }).to_float
        else {
            continue;
        };
        group.bench_function("ggml, 1 thread", |b| {
            // SAFETY: `blocks` holds the blocks of `out.len()` weights.
            b.iter(|| unsafe {
                to_float(blocks.as_ptr().cast(), black_box(&mut out).as_mut_ptr(), (rows * cols) as i64);
            });
        });
    }
}

/// Bytes without a pattern, in which no scale is infinite or NaN.
fn blocks(ggml_type: GgmlType, weights: usize) -> Vec<u8> {
    let len = ggml_type.bytes_of(weights).expect("whole blocks");
    (0..len).map(|i| ((i * 7919) % 2003 % 59) as u8).collect()
}

/// q, k and v of a layer: one product for their three branches without dropout, three with it.
fn adapter(c: &mut Criterion) {
    let (inputs, outputs, rank) = (576, [576, 192, 192], 16);
    let (a, x) = (numbers(rank * inputs), numbers(M * inputs));
    let b = outputs.map(|outputs| numbers(outputs * rank));
    let (mut t, mut scratch) = (vec![0.0; M * 3 * rank], vec![0.0; M * inputs]);
    let mut group = c.benchmark_group("lora/down 576 to 3 r16");
    group.throughput(Throughput::Elements((2 * M * 3 * rank * inputs) as u64));
    for dropout in [0.0, 0.05] {
        let branches = [0, 1, 2].map(|i| {
            Some(lora::Branch {
                a: &a[..],
                b: &b[i][..],
                rank,
                in_features: inputs,
                out_features: outputs[i],
                scaling: 2.0,
                dropout,
                dropout_key: i as u64,
            })
        });
        for threads in THREADS {
            let pool = pool(threads);
            group.bench_function(format!("dropout {dropout}, {threads} threads"), |bencher| {
                bencher.iter(|| lora::down(&pool, &branches, M, black_box(&x), &mut t, &mut scratch));
            });
        }
    }
}

fn loss(c: &mut Criterion) {
    let (width, vocab) = (576, 49_152);
    let blocks = q4_1(width * vocab);
    let w = QuantMatrix::new(GgmlType::Q4_1, &blocks, vocab, width);
    let (h, mut dh) = (numbers(M * width), vec![0.0; M * width]);
    let targets: Vec<u32> = (0..M).map(|i| (i * 7919 % vocab) as u32).collect();
    let mut scratch = vec![0.0; cross_entropy::scratch_len(M, width, vocab)];
    let mut group = c.benchmark_group("cross_entropy/512x576x49152 forward_backward");
    group.throughput(Throughput::Elements((4 * M * width * vocab) as u64));
    for threads in THREADS {
        let pool = pool(threads);
        group.bench_function(format!("{threads} threads"), |b| {
            b.iter(|| {
                cross_entropy::forward_backward(
                    &pool,
                    &w,
                    black_box(&h),
                    &targets,
                    1.0,
                    &mut dh,
                    &mut scratch,
                )
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = raw_gemm, linear_layers, dequantisation, adapter, loss
}
criterion_main!(benches);
