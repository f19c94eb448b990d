//! Packing samples into rows: which samples share a row, in which order rows are trained, and the rows.
//!
//! Where in the flow: after [`super::encode()`], before the model. An optimiser step trains a *window* of
//! `micro_batch_size * gradient_accumulation_steps` rows per device; an epoch's last window may be smaller.
//!
//! Packing is first-fit over the epoch's shuffled samples. Rows have no padding, so a denser packing would
//! only even out row lengths. First-fit keeps the neighbours in a row random, while sorting by length
//! (best-fit decreasing) would put the same samples together in every epoch. Because first-fit puts short
//! samples into the early rows, the rows are shuffled too.
//!
//! **Invariant:** [`epoch_rows`] is a pure function of (lengths, [`Packing`], epoch); every sample is in
//! exactly one row of every epoch, and no row is longer than the capacity.

use super::encode::Sample;
use crate::model::{Noise, PackedRow};
use crate::rng;

/// How samples are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packing {
    pub(super) capacity: usize,
    pub(super) seed: u64,
    /// Whether every epoch has another random order.
    pub(super) shuffle: bool,
    /// Whether a row may have several samples.
    pub(super) shared_rows: bool,
}

impl Packing {
    pub(super) fn of(config: &super::TrainConfig) -> Self {
        let &super::TrainConfig { max_seq_len: capacity, seed, shuffle, packing: shared_rows, .. } = config;
        Self { capacity, seed, shuffle, shared_rows }
    }
}

/// Indices of the samples in each row of `epoch`, rows in training order.
pub(super) fn epoch_rows(lengths: &[usize], packing: Packing, epoch: u64) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    if packing.shuffle {
        shuffle(&mut order, rng::key(packing.seed, "train.sample_order", &[epoch]));
    }
    if !packing.shared_rows {
        return order.into_iter().map(|sample| vec![sample]).collect();
    }
    let mut rows = first_fit(&order, lengths, packing.capacity);
    if packing.shuffle {
        shuffle(&mut rows, rng::key(packing.seed, "train.row_order", &[epoch]));
    }
    rows
}

/// Puts each sample of `order` into the first row that has room for it, or opens a new row.
pub(super) fn first_fit(order: &[usize], lengths: &[usize], capacity: usize) -> Vec<Vec<usize>> {
    let shortest = lengths.iter().copied().min().unwrap_or(0);
    let mut rows: Vec<Vec<usize>> = Vec::new();
    // Index and free room of rows. Rows that no sample fits into anymore are removed, to keep the list short.
    let mut open: Vec<(usize, usize)> = Vec::new();
    for &sample in order {
        let length = lengths[sample];
        assert!(length <= capacity, "sample {sample} has {length} tokens, a row holds {capacity}");
        if let Some(slot) = open.iter().position(|&(_, room)| room >= length) {
            let (row, room) = &mut open[slot];
            rows[*row].push(sample);
            *room -= length;
            if *room < shortest {
                open.remove(slot);
            }
        } else {
            open.push((rows.len(), capacity - length));
            rows.push(vec![sample]);
        }
    }
    rows
}

/// Writes the samples one after the other into `row`, reusing its buffers.
///
/// A sample of n tokens feeds n - 1 positions: position t predicts token t + 1, and the last token
/// predicts nothing.
pub(super) fn fill_row(row: &mut PackedRow, samples: &[Sample], indices: &[usize]) {
    row.tokens.clear();
    row.targets.clear();
    row.segments.clear();
    for &index in indices {
        let sample = &samples[index];
        let start = row.tokens.len();
        row.tokens.extend_from_slice(&sample.tokens[..sample.positions()]);
        let next = sample.tokens.iter().zip(&sample.has_loss).skip(1);
        row.targets.extend(next.map(|(&token, &has_loss)| has_loss.then_some(token)));
        row.segments.push(start..row.tokens.len());
    }
}

/// Fills the first of `rows` with the rows of a window, reusing their buffers, and returns them.
pub(super) fn fill_rows<'r>(
    rows: &'r mut Vec<(PackedRow, Noise)>,
    samples: &[Sample],
    window: &[Vec<usize>],
) -> &'r mut [(PackedRow, Noise)] {
    let empty = || PackedRow { tokens: Vec::new(), targets: Vec::new(), segments: Vec::new() };
    if rows.len() < window.len() {
        rows.resize_with(window.len(), || (empty(), Noise::from(0)));
    }
    let rows = &mut rows[..window.len()];
    for ((row, _), indices) in rows.iter_mut().zip(window) {
        fill_row(row, samples, indices);
    }
    rows
}

/// Fisher-Yates with counter-based draws. Our own, because the order of training must not change when the
/// `rand` crate changes its algorithm.
fn shuffle<T>(items: &mut [T], key: u64) {
    for i in (1..items.len()).rev() {
        // The draw is below 1, but the product may round up to i + 1.
        let j = (rng::uniform(key, i as u64, 0) * (i + 1) as f64) as usize;
        items.swap(i, j.min(i));
    }
}

/// Maps optimiser steps to their rows.
#[derive(Debug)]
pub(super) struct Timeline {
    lengths: Vec<usize>,
    packing: Packing,
    window_rows: usize,
    /// First step of each epoch.
    epoch_starts: Vec<u64>,
    /// Optimiser steps of the whole run.
    pub(super) total_steps: u64,
    /// Positions fed over the whole run.
    pub(super) total_tokens: u64,
    /// The epoch whose rows are in `rows`.
    epoch: Option<u64>,
    rows: Vec<Vec<usize>>,
}

impl Timeline {
    /// Packs every epoch once to count its steps. Without `max_steps` the run has `num_train_epochs`; with
    /// it, as many epochs as needed, the last one cut short. A step has the rows of all `ranks`.
    pub(super) fn new(config: &super::TrainConfig, ranks: usize, lengths: Vec<usize>) -> Self {
        let mut timeline = Self {
            lengths,
            packing: Packing::of(config),
            window_rows: config.window_rows().saturating_mul(ranks),
            epoch_starts: Vec::new(),
            total_steps: 0,
            total_tokens: 0,
            epoch: None,
            rows: Vec::new(),
        };
        assert!(!timeline.lengths.is_empty(), "a timeline needs samples");
        let limit = config.max_steps.unwrap_or(u64::MAX);
        let mut epoch = 0;
        while timeline.total_steps < limit && (config.max_steps.is_some() || epoch < config.num_train_epochs)
        {
            timeline.epoch_starts.push(timeline.total_steps);
            timeline.seek_epoch(epoch);
            for window in timeline.rows.chunks(timeline.window_rows) {
                if timeline.total_steps == limit {
                    break;
                }
                let tokens: usize = window.iter().flatten().map(|&sample| timeline.lengths[sample]).sum();
                timeline.total_tokens += tokens as u64;
                timeline.total_steps += 1;
            }
            epoch += 1;
        }
        timeline
    }

    /// Epochs started, including one that is cut short.
    pub(super) fn epochs(&self) -> usize {
        self.epoch_starts.len()
    }

    /// The rows of an optimiser step (counted from 0).
    pub(super) fn window(&mut self, step: u64) -> &[Vec<usize>] {
        assert!(step < self.total_steps, "step {step} of {}", self.total_steps);
        let epoch = self.epoch_starts.partition_point(|&start| start <= step) - 1;
        self.seek_epoch(epoch as u64);
        let first = (step - self.epoch_starts[epoch]) as usize * self.window_rows;
        &self.rows[first..self.rows.len().min(first.saturating_add(self.window_rows))]
    }

    fn seek_epoch(&mut self, epoch: u64) {
        if self.epoch != Some(epoch) {
            self.rows = epoch_rows(&self.lengths, self.packing, epoch);
            self.epoch = Some(epoch);
        }
    }
}
