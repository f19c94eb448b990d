//! Runs that must give the same, or must not.

#![expect(clippy::float_cmp, reason = "these numbers must be equal, not close")]

use super::tiny::{HEAD_DIM, TinyFile, VOCAB, adapter, packed, separate};
use crate::device::CpuPool;
use crate::lora::{LoraWeights, TargetModule};
use crate::model::{GradientCheckpointing, Llama, LossSum, PackedRow, Purpose, Workspace};
use crate::ops::check::{assert_thread_independent, cpu};

/// Loss and gradients of rows, one after the other through one workspace.
fn train(
    pool: &CpuPool,
    model: &Llama,
    weights: &LoraWeights,
    rows: &[PackedRow],
    key: u64,
) -> (LossSum, Vec<f32>) {
    let mut ws = model.workspace(40, Some(weights), Purpose::Training(GradientCheckpointing::None));
    let mut grads = weights.clone();
    grads.data.fill(0.0);
    let mut total = LossSum::default();
    for row in rows {
        let loss = model.forward_backward(pool, &mut ws, weights, row, 0.5, key, &mut grads);
        total.nll += loss.nll;
        total.n_targets += loss.n_targets;
    }
    (total, grads.data)
}

/// Relative L2 distance.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len(), "lengths");
    let square = |x: f64| x * x;
    let sum: f64 = a.iter().zip(b).map(|(&a, &b)| square(f64::from(a) - f64::from(b))).sum();
    (sum / b.iter().map(|&b| square(f64::from(b))).sum::<f64>()).sqrt()
}

/// Packing changes where blocks of attention begin, hence the order of sums: f32 rounding, 6e-8 per term over
/// some hundred terms. A sample that saw its neighbour, or a wrong position, would show in the first digit.
#[test]
fn packed_equals_separate() {
    let model = TinyFile::untied().load();
    let weights = adapter(&model, &TargetModule::ALL, 0.0);
    let row = packed(&[7, 1, 20, 12], 8);
    let (together, gradients) = train(&cpu(1), &model, &weights, std::slice::from_ref(&row), 0);
    let (alone, gradients_alone) = train(&cpu(1), &model, &weights, &separate(&row), 0);
    assert_eq!(together.n_targets, alone.n_targets);
    assert!(together.n_targets > 20);
    assert!((together.nll - alone.nll).abs() / alone.nll <= 1e-6, "{together:?} for {alone:?}");
    let error = distance(&gradients, &gradients_alone);
    assert!(error <= 1e-5, "gradients differ by {error:e}");
}

/// Micro-batches add up to what one batch gives; the order of additions differs.
#[test]
fn gradients_accumulate_over_rows() {
    let model = TinyFile::new().load();
    let weights = adapter(&model, &TargetModule::ALL, 0.0);
    let rows = [packed(&[5, 9], 1), packed(&[13], 2), packed(&[2, 2, 8], 3)];
    let (loss, together) = train(&cpu(1), &model, &weights, &rows, 0);
    let single: Vec<_> =
        rows.iter().map(|row| train(&cpu(1), &model, &weights, std::slice::from_ref(row), 0)).collect();
    let mut sum = vec![0.0; together.len()];
    for (_, gradients) in &single {
        sum.iter_mut().zip(gradients).for_each(|(sum, g)| *sum += g);
    }
    assert_eq!(loss.nll, single.iter().map(|(loss, _)| loss.nll).sum::<f64>());
    let error = distance(&together, &sum);
    assert!(error <= 1e-6, "gradients differ by {error:e}");
}

#[test]
fn an_adapter_with_b_zero_is_the_base_bit_for_bit() {
    let model = TinyFile::untied().load();
    let mut weights = adapter(&model, &TargetModule::ALL, 0.0);
    let row = packed(&[11, 6], 4);
    let mut ws = model.workspace(17, Some(&weights), Purpose::Inference);
    let base = model.logits(&cpu(1), &mut ws, None, &row);
    assert_eq!(base.len(), 17 * VOCAB);
    let changed = model.logits(&cpu(1), &mut ws, Some(&weights), &row);
    assert!(distance(&changed, &base) >= 1e-2, "the adapter does nothing");
    for pair in weights.pairs.clone() {
        weights.data[pair.b].fill(0.0);
    }
    let zero = model.logits(&cpu(1), &mut ws, Some(&weights), &row);
    assert!(zero.iter().zip(&base).all(|(a, b)| a.to_bits() == b.to_bits()));
}

/// The silent mistake: `NeoX` rotation on GGUF rows. It is the same as our rotation on rows in Hugging Face's
/// order (halves instead of neighbours), so a file with such rows must give another loss.
#[test]
fn the_order_of_rotated_rows_matters() {
    let row = packed(&[30], 6);
    let loss = |file: &TinyFile| {
        let model = file.load();
        model.loss(&cpu(1), &mut model.workspace(30, None, Purpose::Inference), None, &row).nll
    };
    let mut file = TinyFile::new();
    let right = loss(&file);
    for name in ["blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.1.attn_q.weight", "blk.1.attn_k.weight"] {
        let data = file.tensor(name).data.to_mut();
        // One block of 34 bytes is one row of 32 columns.
        for head in data.chunks_exact_mut(HEAD_DIM * 34) {
            let rows: Vec<Vec<u8>> = head.chunks_exact(34).map(<[u8]>::to_vec).collect();
            let half = HEAD_DIM / 2;
            let order = (0..HEAD_DIM).map(|i| if i < half { 2 * i } else { 2 * (i - half) + 1 });
            let halves: Vec<u8> = order.flat_map(|i| rows[i].clone()).collect();
            head.copy_from_slice(&halves);
        }
    }
    let wrong = loss(&file);
    assert!(
        (wrong - right).abs() / right >= 1e-3,
        "{wrong} with the wrong order, {right} with the right one"
    );
}

#[test]
fn rope_freqs_and_the_head_are_used() {
    let row = packed(&[30], 6);
    let logits = |file: &TinyFile| {
        let model = file.load();
        model.logits(&cpu(1), &mut model.workspace(30, None, Purpose::Inference), None, &row)
    };
    let (mut freqs, mut head) = (TinyFile::new(), TinyFile::new());
    freqs.put_vector("rope_freqs.weight", HEAD_DIM / 2, 3.0);
    head.put_matrix("output.weight", VOCAB, super::tiny::HIDDEN);
    let base = logits(&TinyFile::new());
    // The first position is not rotated.
    assert_eq!(logits(&freqs)[..VOCAB], base[..VOCAB]);
    assert!(distance(&logits(&freqs), &base) >= 1e-3);
    assert!(distance(&logits(&head), &base) >= 1e-1);
}

#[test]
fn results_do_not_depend_on_threads_or_on_what_ran_before() {
    let model = TinyFile::untied().load();
    let weights = adapter(&model, &TargetModule::ALL, 0.25);
    let row = packed(&[14, 9], 2);
    let first = assert_thread_independent("gradients", |pool| {
        train(pool, &model, &weights, std::slice::from_ref(&row), 9).1
    });
    // A longer and a shorter row leave their numbers in the buffers.
    let mut ws = model.workspace(40, Some(&weights), Purpose::Training(GradientCheckpointing::None));
    let mut grads = weights.clone();
    for other in [packed(&[40], 1), packed(&[3], 2), row.clone()] {
        grads.data.fill(0.0);
        model.forward_backward(&cpu(2), &mut ws, &weights, &other, 0.5, 9, &mut grads);
    }
    assert!(first.iter().zip(&grads.data).all(|(a, b)| a.to_bits() == b.to_bits()));
    let (_, other_key) = train(&cpu(1), &model, &weights, &[row], 10);
    assert!(distance(&other_key, &first) >= 1e-3, "the dropout key is not used");
}

/// Evaluation and training compute the loss by different ways through memory, logits by another op: all are
/// the same number up to the order of sums over 97 logits.
#[test]
fn loss_and_logits_agree_with_training() {
    let model = TinyFile::new().load();
    let weights = adapter(&model, &TargetModule::ALL, 0.0);
    let row = packed(&[14, 9], 2);
    let (training, _) = train(&cpu(1), &model, &weights, std::slice::from_ref(&row), 0);
    let mut ws: Workspace = model.workspace(23, Some(&weights), Purpose::Inference);
    let evaluation = model.loss(&cpu(1), &mut ws, Some(&weights), &row);
    assert_eq!(evaluation.n_targets, training.n_targets);
    assert!((evaluation.nll - training.nll).abs() / training.nll <= 1e-6, "{evaluation:?} for {training:?}");
    let logits = model.logits(&cpu(1), &mut ws, Some(&weights), &row);
    let nll: f64 = logits
        .chunks_exact(VOCAB)
        .zip(&row.targets)
        .filter_map(|(z, &target)| {
            let total: f64 = z.iter().map(|&z| f64::from(z).exp()).sum();
            Some(total.ln() - f64::from(z[target? as usize]))
        })
        .sum();
    assert!((nll - training.nll).abs() / nll <= 1e-6, "{nll} from logits, {training:?}");
}

/// Computing again is the same ops on the same numbers, dropout included: also with segments that do not
/// divide the layers, and with more layers in a segment than the model has.
#[test]
fn checkpointing_changes_no_bit_and_takes_less_memory() {
    let model = TinyFile::with_layers(5).load();
    for (modules, dropout) in
        [(&TargetModule::ALL[..], 0.0), (&[TargetModule::QProj, TargetModule::DownProj], 0.25)]
    {
        let weights = adapter(&model, modules, dropout);
        let rows = [packed(&[14, 9], 2), packed(&[3], 5), packed(&[40], 4)];
        let run = |checkpointing| {
            let purpose = Purpose::Training(checkpointing);
            let mut ws = model.workspace(40, Some(&weights), purpose);
            let mut grads = weights.clone();
            grads.data.fill(0.0);
            let nll = rows
                .iter()
                .map(|row| model.forward_backward(&cpu(2), &mut ws, &weights, row, 0.5, 3, &mut grads).nll)
                .collect::<Vec<_>>();
            let bytes = Workspace::<f32>::bytes(model.config(), 40, Some(&weights), purpose);
            (nll, grads.data.iter().map(|g| g.to_bits()).collect::<Vec<_>>(), bytes)
        };
        let (nll, gradients, bytes) = run(GradientCheckpointing::None);
        for text in ["feed-forward", "layer", "every-2", "every-3", "every-4", "every-5", "every-9"] {
            let (other_nll, other, other_bytes) = run(text.parse().unwrap());
            assert!(nll == other_nll && gradients == other, "{text}");
            assert_eq!(other_bytes < bytes, !["every-5", "every-9"].contains(&text), "{text}");
        }
    }
}

#[test]
fn a_row_without_targets_has_no_loss_and_no_gradient() {
    let model = TinyFile::new().load();
    let weights = adapter(&model, &TargetModule::ALL, 0.0);
    let mut row = packed(&[5], 1);
    row.targets.fill(None);
    let (loss, gradients) = train(&cpu(1), &model, &weights, &[row], 0);
    assert_eq!(loss, LossSum::default());
    assert!(gradients.iter().all(|&g| g == 0.0));
}

#[test]
#[should_panic(expected = "segment 4..9 does not start at 3")]
fn refuses_segments_with_gaps() {
    let model = TinyFile::new().load();
    let mut row = packed(&[3, 6], 1);
    row.segments[1] = 4..9;
    model.loss(&cpu(1), &mut model.workspace(9, None, Purpose::Inference), None, &row);
}
