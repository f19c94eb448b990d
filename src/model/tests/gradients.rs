//! The whole model in f64 against central differences, tensor by tensor.

use super::tiny::{TinyFile, adapter, packed};
use crate::lora::{LoraWeights, TargetModule};
use crate::model::adapter::Adapter;
use crate::model::backward::forward_backward;
use crate::model::{GradientCheckpointing, Llama, Noise, PackedRow, Purpose, Workspace};
use crate::ops::check::{cpu, dot, random};

const DROPOUT_KEY: u64 = 5;
/// What the gradient is multiplied by.
const LOSS_SCALE: f64 = 0.37;

/// Loss and gradient, all in f64.
fn run(model: &Llama, layout: &LoraWeights, data: &[f64], row: &PackedRow) -> (f64, Vec<f64>) {
    let mut ws = Workspace::<f64>::new(
        model.config(),
        row.tokens.len(),
        Some(layout),
        Purpose::Training(GradientCheckpointing::None),
    );
    let adapter = Adapter { layout, data, dropout_key: Some(DROPOUT_KEY) };
    let mut gradients = vec![0.0; data.len()];
    // Noise on embeddings is constant: the gradient is that at the place it moves to.
    let noise = Noise { key: DROPOUT_KEY, neftune_noise_alpha: 3.0 };
    let loss = forward_backward(&cpu(1), model, &mut ws, adapter, row, LOSS_SCALE, noise, &mut gradients);
    (loss.nll, gradients)
}

/// Moves one adapter tensor at a time in a random direction d, so that a wrong tensor is named:
/// (loss(p + hd) - loss(p - hd)) / 2h = gradient · d. With h = 1e-5 and a loss of order 50 both truncation
/// and rounding are about 1e-9; the bound is 1e-6 relative to the larger of 1 and the value.
fn check(model: &Llama, modules: &[TargetModule], lora_dropout: f32) {
    let mut layout = adapter(model, modules, lora_dropout);
    if modules.len() > 1 {
        // Another rank and alpha beside the same input.
        layout.config.rank_pattern.insert(modules[1], 5);
        layout.config.alpha_pattern.insert(modules[1], 7.5);
        layout = LoraWeights::zeros(&layout.config, &model.config().base_shape());
        layout.data = random::<f32>(layout.data.len(), 78).iter().map(|x| 0.4 * x).collect();
    }
    let row = packed(&[6, 1, 9], 3);
    let data: Vec<f64> = layout.data.iter().map(|&x| f64::from(x)).collect();
    let (_, gradients) = run(model, &layout, &data, &row);
    for pair in &layout.pairs {
        for (what, range) in [("lora_a", pair.a.clone()), ("lora_b", pair.b.clone())] {
            let direction: Vec<f64> = random(range.len(), range.start as u64);
            let loss = |h: f64| {
                let mut moved = data.clone();
                moved[range.clone()].iter_mut().zip(&direction).for_each(|(x, d)| *x += h * d);
                run(model, &layout, &moved, &row).0
            };
            let h = 1e-5;
            let numeric = LOSS_SCALE * (loss(h) - loss(-h)) / (2.0 * h);
            let analytic = dot(&gradients[range.clone()], &direction);
            let error = (numeric - analytic).abs() / analytic.abs().max(1.0);
            let (layer, module) = (pair.layer, pair.module);
            assert!(
                error <= 1e-6,
                "{what} of {module} in layer {layer} (of {modules:?}, dropout {lora_dropout}): analytic \
                 {analytic}, numeric {numeric}"
            );
            // A check of zeros would pass for anything.
            assert!(analytic.abs() >= 1e-6, "{what} of {module} in layer {layer} has no gradient");
        }
    }
}

#[test]
fn all_projections_with_and_without_dropout() {
    for model in
        [TinyFile::new(), TinyFile::untied(), TinyFile::with_biases_and_yarn()].map(|file| file.load())
    {
        for lora_dropout in [0.0, 0.3] {
            check(&model, &TargetModule::ALL, lora_dropout);
        }
    }
}

/// In the lowest layer backward stops early, at a place that depends on what is adapted.
#[test]
fn every_kind_of_subset() {
    use TargetModule::{DownProj, GateProj, KProj, OProj, QProj, UpProj, VProj};
    let model = TinyFile::untied().load();
    let subsets: [&[TargetModule]; 10] = [
        &[QProj, VProj],
        &[QProj],
        &[KProj],
        &[VProj],
        &[OProj],
        &[GateProj],
        &[UpProj],
        &[DownProj],
        &[OProj, DownProj],
        &[GateProj, UpProj, DownProj],
    ];
    for modules in subsets {
        check(&model, modules, 0.2);
    }
}
