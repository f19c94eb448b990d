//! Whole passes on the device of the tests against those on the CPU.

use cudasim::driver::Config;
use cudasim::exec::Order;

use super::tiny::{TinyFile, adapter, packed};
use crate::device::cuda::MixedPrecision;
use crate::lora::{LoraWeights, TargetModule};
use crate::model::{CudaModel, GradientCheckpointing, Llama, LossSum, Noise, PackedRow, Purpose};
use crate::ops::check::{Cuda, cpu};

const ALL: Purpose = Purpose::Training(GradientCheckpointing::None);
const NOISE: Noise = Noise { key: 9, neftune_noise_alpha: 0.0 };

fn on_cpu(
    model: &Llama,
    weights: &LoraWeights,
    rows: &[PackedRow],
    noise: Noise,
) -> (Vec<LossSum>, Vec<f32>) {
    let device = cpu(1);
    let mut ws = model.workspace(40, Some(weights), ALL);
    let mut grads = weights.clone();
    grads.data.fill(0.0);
    let mut losses = Vec::new();
    for row in rows {
        losses.push(model.forward_backward(&device, &mut ws, weights, row, 0.5, noise, &mut grads));
    }
    losses.extend(rows.iter().map(|row| model.loss(&device, &mut ws, Some(weights), row)));
    (losses, grads.data)
}

/// The same on the device. The simulated device must find nothing wrong.
fn on_cuda(
    config: &Config,
    model: &Llama,
    weights: &LoraWeights,
    rows: &[PackedRow],
    noise: Noise,
    (purpose, precision): (Purpose, MixedPrecision),
) -> (Vec<LossSum>, Vec<f32>) {
    let cuda = Cuda::new(config);
    let mut there =
        CudaModel::new(&cuda.device, model, weights, 40, purpose, precision, &mut |_, _| true).unwrap();
    let mut losses = Vec::new();
    for row in rows {
        losses.push(there.forward_backward(row, 0.5, noise).unwrap());
    }
    losses.extend(rows.iter().map(|row| there.loss(row).unwrap()));
    let mut gradients = vec![0.0; weights.data.len()];
    cuda.device.download(there.gradients(), &mut gradients).unwrap();
    drop(there);
    cuda.finish();
    (losses, gradients)
}

/// Relative distance and cosine.
fn compare(a: &[f32], b: &[f32]) -> (f64, f64) {
    let product =
        |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let distance: f64 = a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    let norm = product(b, b);
    ((distance / norm).sqrt(), product(a, b) / (norm * product(a, a)).sqrt())
}

/// In f32 only the order of sums differs: 6e-8 per term over some hundred terms and layers. In bf16
/// activations are rounded some ten times (2^-9 each) on the way through two layers and back.
#[track_caller]
fn assert_agrees(
    wanted: &(Vec<LossSum>, Vec<f32>),
    got: &(Vec<LossSum>, Vec<f32>),
    precision: MixedPrecision,
) {
    let (loss_limit, limit, least) =
        if precision == MixedPrecision::No { (1e-6, 1e-5, 0.999_999) } else { (1e-2, 5e-2, 0.998) };
    for (wanted, got) in wanted.0.iter().zip(&got.0) {
        assert_eq!(wanted.n_targets, got.n_targets);
        assert!((wanted.nll - got.nll).abs() <= loss_limit * wanted.nll, "{got:?}, wanted {wanted:?}");
    }
    let (distance, cosine) = compare(&got.1, &wanted.1);
    assert!(distance <= limit && cosine >= least, "gradients differ by {distance:e}, cosine {cosine}");
}

fn checked(order: Order) -> Config {
    Config { order, checks: true, ..Config::default() }
}

#[test]
fn passes_agree_with_those_on_the_cpu() {
    let rows = [packed(&[7, 1, 20, 12], 8), packed(&[5], 2)];
    for file in [TinyFile::new(), TinyFile::untied(), TinyFile::with_biases_and_yarn()] {
        let model = file.load();
        let weights = adapter(&model, &TargetModule::ALL, 0.0);
        let wanted = on_cpu(&model, &weights, &rows, NOISE);
        for order in [Order::Forward, Order::Reverse] {
            for precision in [MixedPrecision::No, MixedPrecision::Bf16, MixedPrecision::Fp16] {
                let got = on_cuda(&checked(order), &model, &weights, &rows, NOISE, (ALL, precision));
                assert_agrees(&wanted, &got, precision);
            }
        }
    }
}

/// Some projections alone, dropout, noise on embeddings: the same elements are dropped, and nothing is
/// computed below the lowest adapter.
#[test]
fn options_agree_with_those_on_the_cpu() {
    let model = TinyFile::untied().load();
    let rows = [packed(&[9, 14], 3)];
    let noise = Noise { key: 5, neftune_noise_alpha: 5.0 };
    for modules in [&[TargetModule::QProj, TargetModule::VProj][..], &[TargetModule::DownProj]] {
        for dropout in [0.0, 0.25] {
            let weights = adapter(&model, modules, dropout);
            let wanted = on_cpu(&model, &weights, &rows, noise);
            let how = (ALL, MixedPrecision::No);
            let got = on_cuda(&checked(Order::Shuffle(1)), &model, &weights, &rows, noise, how);
            assert_agrees(&wanted, &got, MixedPrecision::No);
        }
    }
}

/// What is computed again is the same as what was kept, and what the streams do late is what they do at once.
#[test]
fn checkpointing_and_laziness_change_no_bit() {
    let model = TinyFile::with_layers(5).load();
    let weights = adapter(&model, &TargetModule::ALL, 0.1);
    let rows = [packed(&[16, 3], 6)];
    let run = |config: &Config, purpose| {
        let how = (purpose, MixedPrecision::Bf16);
        on_cuda(config, &model, &weights, &rows, NOISE, how)
    };
    let once = run(&Config::default(), ALL);
    let modes = [
        GradientCheckpointing::Layer,
        GradientCheckpointing::Every(2.try_into().unwrap()),
        GradientCheckpointing::FeedForward,
    ];
    for mode in modes {
        assert_eq!(run(&Config::default(), Purpose::Training(mode)), once, "{mode:?}");
    }
    assert_eq!(run(&Config { lazy: true, ..Config::default() }, ALL), once);
    assert_eq!(run(&Config { threads: 1, order: Order::Reverse, ..Config::default() }, ALL), once);
}

#[test]
fn the_planned_bytes_are_what_is_taken() {
    let model = TinyFile::untied().load();
    let weights = adapter(&model, &TargetModule::ALL, 0.1);
    let cuda = Cuda::new(&Config::default());
    let before = cuda.device.free_bytes().unwrap();
    let there =
        CudaModel::new(&cuda.device, &model, &weights, 40, ALL, MixedPrecision::Bf16, &mut |_, _| true)
            .unwrap();
    let taken = before - cuda.device.free_bytes().unwrap();
    let planned = CudaModel::bytes(&model, &weights, 40, ALL, MixedPrecision::Bf16);
    assert_eq!(taken, planned.base + planned.adapter + planned.activations);
    drop(there);
    cuda.finish();
}
