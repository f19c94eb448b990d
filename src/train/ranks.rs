//! Data parallelism over GPUs: each is a rank with a full copy of base, adapter and moments.
//!
//! Where in the flow: [`super::engine`] computes the steps of a run on GPUs here. The rows of a step are
//! dealt out in turn (rank r of n takes rows r, r + n, ...), one thread per rank computes them, and one
//! all-reduce gives every rank the sum of all gradients. Each rank then computes norm and step from the same
//! numbers, so all copies stay the same.
//!
//! **Invariant:** the all-reduce starts after every rank has finished its rows on its device. A rank that
//! fails earlier ends the step for all, and nobody waits for it on a device.
//! **Invariant:** losses are returned in the order of rows, whichever rank computed them.

use super::moments::{CudaMoments, Moments, Update};
use super::{Error, Job};
use crate::device::cuda::{Arena, Clique, CudaDevice, CudaError, Dtype, Memory, MixedPrecision, Tensor};
use crate::lora::LoraWeights;
use crate::model::{CudaModel, LossSum, Purpose};
use crate::ops::global_norm;
use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

/// All ranks of a run.
pub(super) struct Ranks<'a> {
    /// `None` for a single device. Declared before the ranks, so that it is dropped before their memory.
    clique: Option<Clique<'a>>,
    ranks: Vec<Rank<'a>>,
}

/// The copies on one GPU.
pub(super) struct Rank<'a> {
    device: &'a CudaDevice,
    pub(super) model: CudaModel<'a>,
    moments: CudaMoments,
    scratch: Tensor,
    _memory: Memory,
}

impl<'a> Ranks<'a> {
    /// Allocates all memory and copies everything to all devices, one after another. `on_upload` counts the
    /// bytes of all copies together; see [`CudaModel::new`].
    pub(super) fn new(
        job: &Job<'a>,
        gpus: &'a [CudaDevice],
        precision: MixedPrecision,
        adapter: &LoraWeights,
        moments: &Moments,
        longest_row: usize,
        on_upload: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<Self, Error> {
        let clique = if gpus.len() > 1 { Some(Clique::new(gpus)?) } else { None };
        let mut this = Self { clique, ranks: Vec::with_capacity(gpus.len()) };
        for (rank, device) in gpus.iter().enumerate() {
            let (before, copies) = (rank as u64, gpus.len() as u64);
            let mut on_upload = |done, total| on_upload(before * total + done, copies * total);
            let made = Rank::new(job, device, precision, adapter, moments, longest_row, &mut on_upload);
            match made {
                Ok(rank) => this.ranks.push(rank),
                Err(source) => {
                    this.clique.iter_mut().for_each(Clique::abort);
                    return Err(failure(gpus, rank, source));
                }
            }
        }
        Ok(this)
    }

    /// Number of ranks.
    pub(super) fn len(&self) -> usize {
        self.ranks.len()
    }

    /// Gives every rank the sum of the gradients that `compute` makes of all rows. Returns their losses, in
    /// order; `on_row` is called after every row.
    pub(super) fn accumulate<R: Sync>(
        &mut self,
        rows: &[R],
        compute: impl Fn(&mut CudaModel<'a>, &R) -> Result<LossSum, CudaError> + Sync,
        on_row: &mut dyn FnMut(),
    ) -> Result<Vec<LossSum>, Error> {
        for rank in 0..self.ranks.len() {
            let cleared = self.ranks[rank].model.clear_gradients();
            cleared.map_err(|source| self.failed(rank, source))?;
        }
        let sums = self.each(rows, compute, on_row)?;
        if let Some(clique) = &mut self.clique {
            let gradients: Vec<Tensor> = self.ranks.iter().map(|rank| rank.model.gradients()).collect();
            let reduced = clique.all_reduce(&gradients);
            reduced.map_err(|(rank, source)| self.failed(rank, source))?;
        }
        Ok(sums)
    }

    /// Calls `compute` for every row, on its rank. Returns the losses, in order.
    pub(super) fn each<R: Sync>(
        &mut self,
        rows: &[R],
        compute: impl Fn(&mut CudaModel<'a>, &R) -> Result<LossSum, CudaError> + Sync,
        on_row: &mut dyn FnMut(),
    ) -> Result<Vec<LossSum>, Error> {
        let mut sums = vec![LossSum::default(); rows.len()];
        if let [rank] = &mut self.ranks[..] {
            for (row, sum) in rows.iter().zip(&mut sums) {
                *sum = compute(&mut rank.model, row)?;
                on_row();
            }
            return Ok(sums);
        }
        let outcome = deal_out(&mut self.ranks, rows, &compute, &mut |index, sum| {
            sums[index] = sum;
            on_row();
        });
        match outcome {
            Ok(()) => Ok(sums),
            Err((rank, cause)) => Err(match cause {
                Cause::Device(source) => self.failed(rank, source),
                Cause::Thread(reason) => {
                    let ordinal = self.abort(rank);
                    Error::RankThread { ordinal, ranks: self.ranks.len(), reason }
                }
            }),
        }
    }

    /// The norm of the gradient, which must be the same on every rank.
    pub(super) fn gradient_norm(&mut self) -> Result<f64, Error> {
        let mut norms = Vec::with_capacity(self.ranks.len());
        for rank in 0..self.ranks.len() {
            let Rank { device, model, scratch, .. } = &self.ranks[rank];
            let norm = global_norm::cuda::global_norm(device, model.gradients(), *scratch);
            norms.push(norm.map_err(|source| self.failed(rank, source))?);
        }
        let (first, is_other) = (norms[0], |norm: &f64| norm.total_cmp(&norms[0]).is_ne());
        match norms.iter().position(is_other) {
            // A gradient that overflowed is not used, and its norm may be infinite here and NaN there.
            Some(rank) if first.is_finite() => {
                let ordinal = self.abort(rank);
                let first_ordinal = self.ranks[0].device.info().ordinal;
                Err(Error::RanksDiffer { ordinal, norm: norms[rank], first_ordinal, first })
            }
            _ => Ok(first),
        }
    }

    /// Makes the same step on every rank; `moments` gives only the layout of the parts.
    pub(super) fn step(&mut self, moments: &Moments, update: &Update) -> Result<(), Error> {
        for number in 0..self.ranks.len() {
            let rank = &mut self.ranks[number];
            let (gradients, params) = (rank.model.gradients(), rank.model.params());
            let stepped = rank.moments.step(rank.device, moments, update, gradients, params);
            let stepped = stepped.and_then(|()| rank.model.refresh());
            stepped.map_err(|source| self.failed(number, source))?;
        }
        Ok(())
    }

    /// Copies adapter and moments of the first rank to the host; all ranks have the same.
    pub(super) fn collect(&mut self, adapter: &mut LoraWeights, moments: &mut Moments) -> Result<(), Error> {
        let Rank { device, model, moments: here, .. } = &self.ranks[0];
        let copied = device.download(model.params(), &mut adapter.data);
        let copied = copied.and_then(|()| here.download(device, moments));
        copied.map_err(|source| self.failed(0, source))
    }

    /// Makes the error of a rank that failed, and disconnects the ranks: there is no further step.
    fn failed(&mut self, rank: usize, source: CudaError) -> Error {
        let ordinal = self.abort(rank);
        match self.ranks.len() {
            1 => Error::Cuda(source),
            ranks => Error::Rank { ordinal, ranks, cause: source },
        }
    }

    /// Disconnects all ranks. Returns the ordinal of a rank's device.
    fn abort(&mut self, rank: usize) -> usize {
        if let Some(clique) = &mut self.clique {
            clique.abort();
        }
        self.ranks[rank].device.info().ordinal
    }
}

impl<'a> Rank<'a> {
    fn new(
        job: &Job<'a>,
        device: &'a CudaDevice,
        precision: MixedPrecision,
        adapter: &LoraWeights,
        moments: &Moments,
        longest_row: usize,
        on_upload: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<Self, CudaError> {
        let purpose = Purpose::Training(job.config.gradient_checkpointing);
        let model = CudaModel::new(device, job.model, adapter, longest_row, purpose, precision, on_upload)?;
        let take = |mut arena: Arena| {
            let tensors = CudaMoments::take(&mut arena, moments);
            let scratch = arena.take(Dtype::F64, global_norm::cuda::scratch_len(adapter.data.len()));
            (tensors, scratch, arena)
        };
        let memory = device.allocate(&take(Arena::default()).2)?;
        let (tensors, scratch, _) = take(memory.arena());
        tensors.upload(device, moments)?;
        Ok(Self { device, model, moments: tensors, scratch, _memory: memory })
    }
}

/// The error of a rank that failed before all ranks were made.
fn failure(devices: &[CudaDevice], rank: usize, source: CudaError) -> Error {
    match devices.len() {
        1 => Error::Cuda(source),
        ranks => Error::Rank { ordinal: devices[rank].info().ordinal, ranks, cause: source },
    }
}

/// Why a rank failed.
enum Cause {
    Device(CudaError),
    /// Its thread could not be started, or panicked.
    Thread(String),
}

/// Computes the rows of each rank in a thread of its own. `done` is called on this thread as rows finish. If
/// several ranks fail, the first is reported.
fn deal_out<'a, R: Sync>(
    ranks: &mut [Rank<'a>],
    rows: &[R],
    compute: &(impl Fn(&mut CudaModel<'a>, &R) -> Result<LossSum, CudaError> + Sync),
    done: &mut dyn FnMut(usize, LossSum),
) -> Result<(), (usize, Cause)> {
    let (count, stop) = (ranks.len(), AtomicBool::new(false));
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let mut workers = Vec::with_capacity(count);
        for (number, rank) in ranks.iter_mut().enumerate() {
            let (sender, stop) = (sender.clone(), &stop);
            let name = format!("cuda:{}", rank.device.info().ordinal);
            let work = move || {
                let mut guard = StopOthers { stop, is_armed: true };
                for (index, row) in rows.iter().enumerate().skip(number).step_by(count) {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let sum = compute(&mut rank.model, row)?;
                    // The receiver is gone only if the calling thread unwinds, which ends everything.
                    let _ = sender.send((index, sum));
                }
                // Work on the device may still fail. That must show here, before the all-reduce makes other
                // devices wait for this one.
                rank.device.synchronize()?;
                guard.is_armed = false;
                Ok::<(), CudaError>(())
            };
            workers.push(thread::Builder::new().name(name).spawn_scoped(scope, work));
            if workers.last().is_some_and(Result::is_err) {
                stop.store(true, Ordering::Relaxed);
            }
        }
        drop(sender);
        for (index, sum) in receiver {
            done(index, sum);
        }
        let join = |worker: std::io::Result<thread::ScopedJoinHandle<'_, Result<(), CudaError>>>| {
            let worker = worker.map_err(|error| Cause::Thread(error.to_string()))?;
            let outcome = worker.join().map_err(|panic| Cause::Thread(words(panic.as_ref())))?;
            outcome.map_err(Cause::Device)
        };
        // Join all of them before reporting the first failure: a scope panics if a thread that panicked was
        // not joined.
        let outcomes: Vec<Result<(), Cause>> = workers.into_iter().map(join).collect();
        let mut numbered = outcomes.into_iter().enumerate();
        numbered.try_for_each(|(rank, outcome)| outcome.map_err(|cause| (rank, cause)))
    })
}

/// Stops the other ranks when it is dropped armed: on an error, and when its thread unwinds.
struct StopOthers<'s> {
    stop: &'s AtomicBool,
    is_armed: bool,
}

impl Drop for StopOthers<'_> {
    fn drop(&mut self) {
        if self.is_armed {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// The message of a panic.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it has panicked").to_owned()
}
