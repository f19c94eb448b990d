//! What a step computes: the loss of its window, the same gradient however the window is cut into rows, and
//! an adapter that learns.

use std::fs;

use super::fixture::{Fixture, encoded, sample};
use crate::model::{LossSum, PackedRow, Purpose};
use crate::train::pack::fill_row;
use crate::train::{
    Encoded, Error, Event, Metrics, Outcome, Schedule, StepMetrics, TrainConfig, TrainSummary, learning_rate,
};
use safetensors::SafeTensors;

/// The base's loss over samples, one row each.
fn base_loss(fixture: &Fixture, data: &Encoded) -> f64 {
    let mut workspace = fixture.model.workspace(64, None, Purpose::Inference);
    let mut row = PackedRow { tokens: vec![], targets: vec![], segments: vec![] };
    let mut sum = LossSum::default();
    for index in 0..data.samples.len() {
        fill_row(&mut row, &data.samples, &[index]);
        let loss = fixture.model.loss(&fixture.pool, &mut workspace, None, &row);
        sum.nll += loss.nll;
        sum.n_targets += loss.n_targets;
    }
    sum.nll / sum.n_targets as f64
}

fn finished(fixture: &Fixture, name: &str) -> (TrainSummary, Vec<StepMetrics>) {
    let mut steps = Vec::new();
    let outcome = fixture.run_with(&fixture.out(name), |event, _| {
        if let Event::Step { metrics, .. } = event {
            steps.push((*metrics).clone());
        }
    });
    let Ok(Outcome::Finished(summary)) = outcome else { panic!("{outcome:?}") };
    (summary, steps)
}

fn tensor(fixture: &Fixture, name: &str, tensor: &str) -> Vec<f32> {
    let bytes = fs::read(fixture.out(name).join("checkpoint.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let data = file.tensor(tensor).unwrap().data().to_vec();
    data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// One step over the whole data, no dropout, no clipping: `exp_avg` is then the gradient times 0.1.
fn one_step(max_seq_len: usize, gradient_accumulation_steps: usize) -> Fixture {
    let mut fixture = Fixture::new();
    fixture.train = encoded((0..4).map(|i| sample(i, 2 + i as usize, 6 - i as usize)).collect());
    fixture.validation = encoded((0..3).map(|i| sample(100 + i, 3, 5)).collect());
    fixture.config = TrainConfig {
        lora_dropout: 0.0,
        max_steps: Some(1),
        max_seq_len,
        gradient_accumulation_steps,
        warmup_ratio: 0.0,
        max_grad_norm: 0.0,
        ..fixture.config
    };
    fixture
}

#[test]
fn a_window_weighs_every_target_the_same() {
    // Samples of 6, 5, 4 and 3 targets in rows of their own: the mean of the rows' means would differ.
    let fixture = one_step(7, 4);
    let (summary, steps) = finished(&fixture, "out");
    let expected = base_loss(&fixture, &fixture.train);
    // B = 0: the first forward pass is the base's; f32 sums of 18 terms in another order.
    assert!((steps[0].loss - expected).abs() <= 1e-6, "{} {expected}", steps[0].loss);
    assert_eq!((steps[0].tokens, steps[0].targets), (28, 18));
    assert_eq!((summary.tokens, summary.target_tokens), (28, 18));
    let before = summary.validation_loss_before.unwrap();
    let expected = base_loss(&fixture, &fixture.validation);
    assert!((before - expected).abs() <= 1e-6, "{before} {expected}");
}

#[test]
fn rows_cut_differently_give_the_same_gradient() {
    let separate = one_step(7, 4);
    let (_, expected) = finished(&separate, "out");
    let expected_gradient = tensor(&separate, "out", "exp_avg");
    let norm = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    assert!(norm(&expected_gradient) > 1e-3, "the gradient is not nothing");
    for (max_seq_len, rows) in [(14, 2), (28, 1)] {
        let packed = one_step(max_seq_len, rows);
        let (_, steps) = finished(&packed, "out");
        assert_eq!((steps[0].tokens, steps[0].targets), (expected[0].tokens, expected[0].targets));
        let gradient = tensor(&packed, "out", "exp_avg");
        let difference: Vec<f32> = gradient.iter().zip(&expected_gradient).map(|(a, b)| a - b).collect();
        // f32 sums of 28 terms in another order: a few ulp (6e-8), with room for cancellation.
        let relative = norm(&difference) / norm(&expected_gradient);
        assert!(relative <= 1e-5, "{relative}");
        let relative = (steps[0].grad_norm / expected[0].grad_norm - 1.0).abs();
        assert!(relative <= 1e-5, "{relative}");
    }
}

#[test]
fn only_the_rows_of_a_window_matter() {
    let run = |micro_batch_size, gradient_accumulation_steps| {
        let mut fixture = Fixture::new();
        fixture.config =
            TrainConfig { micro_batch_size, gradient_accumulation_steps, ..fixture.config.clone() };
        finished(&fixture, "out");
        (tensor(&fixture, "out", "adapter"), fs::read(fixture.out("out").join("metrics.jsonl")).unwrap())
    };
    let expected = run(1, 4);
    for (micro_batch_size, accumulation) in [(4, 1), (2, 2)] {
        assert!(run(micro_batch_size, accumulation) == expected, "{micro_batch_size} x {accumulation}");
    }
}

#[test]
fn one_sample_is_learnt_by_heart() {
    let mut fixture = Fixture::new();
    fixture.train = encoded(vec![sample(5, 4, 8)]);
    fixture.validation = fixture.train.clone();
    fixture.config = TrainConfig {
        lora_dropout: 0.0,
        learning_rate: 3e-2,
        max_steps: Some(120),
        lr_scheduler_type: Schedule::ConstantWithWarmup,
        eval_steps: None,
        ..fixture.config
    };
    let (summary, steps) = finished(&fixture, "out");
    let (before, after) = (summary.validation_loss_before.unwrap(), summary.validation_loss_after.unwrap());
    assert!(after <= 0.1 * before, "{before} {after}");
    assert!(steps.iter().map(|step| step.step).eq(1..=120));
    for step in &steps {
        assert_eq!(step.learning_rate, learning_rate(&fixture.config, step.step - 1, 120));
    }
}

#[test]
fn the_metrics_file_holds_each_step_once() {
    let fixture = Fixture::new();
    let (_, steps) = finished(&fixture, "out");
    let text = fs::read_to_string(fixture.out("out").join("metrics.jsonl")).unwrap();
    let lines: Vec<Metrics> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (mut from_file, mut evals) = (Vec::new(), Vec::new());
    for line in lines {
        match line {
            Metrics::Step(step) => from_file.push((step.step, step.tokens, step.targets)),
            Metrics::Eval(eval) => evals.push(eval.step),
        }
    }
    assert!(from_file.iter().copied().eq(steps.iter().map(|step| (step.step, step.tokens, step.targets))));
    assert_eq!(evals, [0, 3, 6]);
}

#[test]
fn clipping_bounds_the_step_and_zero_turns_it_off() {
    let gradient = |max_grad_norm| {
        let mut fixture = one_step(28, 1);
        fixture.config.max_grad_norm = max_grad_norm;
        let (_, steps) = finished(&fixture, "out");
        let sum: f64 = tensor(&fixture, "out", "exp_avg").iter().map(|x| f64::from(*x).powi(2)).sum();
        (steps[0].grad_norm, sum.sqrt() / 0.1)
    };
    let (reported, free) = gradient(0.0);
    assert!((free / reported - 1.0).abs() <= 1e-5, "{free} {reported}");
    let (reported_clipped, clipped) = gradient(0.5 * reported);
    assert_eq!(reported_clipped, reported, "the norm is reported before clipping");
    // torch's factor has 1e-6 added to the norm; f32 rounds the rest.
    assert!((clipped / (0.5 * reported) - 1.0).abs() <= 1e-5, "{clipped} {reported}");
}

#[test]
fn a_loss_that_explodes_stops_the_run_and_keeps_the_checkpoint() {
    let mut fixture = Fixture::new();
    fixture.config = TrainConfig { learning_rate: 1e30, warmup_ratio: 0.0, save_steps: 1, ..fixture.config };
    let out = fixture.out("out");
    let mut kept = Vec::new();
    let mut stopped = |fixture: &Fixture| {
        let error = fixture
            .run_with(&out, |event, _| {
                if let Event::Checkpoint { .. } = event {
                    kept = fs::read(out.join("checkpoint.safetensors")).unwrap();
                }
            })
            .unwrap_err();
        assert!(matches!(error, Error::NotFinite { step: 2, checkpoint_step: 1, .. }), "{error}");
        assert!(fs::read(out.join("checkpoint.safetensors")).unwrap() == kept);
        let metrics = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
        assert_eq!(metrics.lines().filter(|line| line.contains(r#""event":"step""#)).count(), 1);
    };
    stopped(&fixture);
    // Again from the checkpoint: the same end, and no step is counted twice.
    stopped(&fixture);
}

#[test]
fn inputs_that_cannot_be_trained_on_are_refused() {
    let mut fixture = Fixture::new();
    fixture.config.max_seq_len = 65;
    let error = fixture.run(&fixture.out("out")).unwrap_err();
    assert_eq!(error.to_string(), "`max_seq_len` is 65, but the model's context is 64 tokens");
    let mut fixture = Fixture::new();
    fixture.train.samples.clear();
    fixture.train.dropped.insert(crate::train::DropReason::TooLong, 3);
    let error = fixture.run(&fixture.out("out")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "nothing to train on: of 3 examples, 0 have no answer and 3 are longer than `max_seq_len`"
    );
    assert!(!fixture.out("out").exists(), "nothing is written before the inputs are checked");
    // Without validation samples the run has no validation losses.
    let mut fixture = Fixture::new();
    fixture.validation = encoded(vec![]);
    let (summary, _) = finished(&fixture, "out");
    assert_eq!((summary.validation_loss_before, summary.validation_loss_after), (None, None));
}
