//! Spreads a call over the cores: each worker has a context of its own and takes work from a queue.
//!
//! Where in the flow: between a call of the engine and its loop (`generate.rs`, `score.rs`).
//!
//! llama.cpp can put several threads on one batch, but they meet at a spinning barrier after every operation,
//! some thousand times per token. When another program takes one of the cores for a moment, all wait
//! (measured on two busy cores: 200 ms per token instead of 10). Workers with one thread each never wait for
//! each other, and a few sequences per worker are enough to use the arithmetic of a core (tokens per CPU
//! second with the default model after a prefix of 256 tokens: 156 at width 4, 188 at 8, 220 at 16, 231 at
//! 32).
//!
//! Where results do not depend on the schedule (`Determinism::Exact`), a worker without work takes the next
//! group of prompts, and when there is none, half of what waits for another worker, rounded up. Otherwise the
//! shares are fixed before anything runs.
//!
//! **Invariant:** under `Determinism::Scheduled`, the shares of workers are a function of the list and the
//! options, never of time.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use super::llama::{Context, ContextShape, Model};
use super::prefill::{self, EXTRA_SEQUENCES};
use super::progress::Progress;
use super::settings::{Call, Settings};
use super::{Determinism, Error, prefix};

/// With fewer sequences per worker, several threads on one batch are faster.
const SEQUENCES_PER_WORKER: usize = 4;

/// A worker of a call.
pub(super) struct Worker<'e> {
    pub(super) model: &'e Model,
    pub(super) context: Context<'e>,
    pub(super) settings: &'e Settings,
    /// Sequences that may be in progress at once.
    pub(super) width: usize,
    queue: &'e Queue,
    number: usize,
}

impl Worker<'_> {
    /// Takes the next index from the queue.
    pub(super) fn next(&self) -> Option<usize> {
        self.queue.next(self.number)
    }
}

/// How the work of a call is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    workers: usize,
    /// Threads of each worker.
    threads: usize,
    /// Sequences that a worker has in progress at once.
    width: usize,
    /// Sequences that its context has for them, at least `width`.
    room: usize,
}

impl Layout {
    /// For `sequences` (at least one) that can be in progress at once.
    fn new(threads: usize, sequences: usize) -> Self {
        let workers = threads.min(sequences / SEQUENCES_PER_WORKER).max(1);
        let width = sequences.div_ceil(workers);
        Self { workers, threads: threads / workers, width, room: width }
    }

    /// For `jobs` of which `n_seq` can be in progress at once. Contexts have the room of a full list even for
    /// few jobs, because stored prefixes only fit contexts with the same number of sequences.
    pub(super) fn side_by_side(threads: usize, n_seq: usize, jobs: usize) -> Self {
        let layout = Self::new(threads, n_seq.min(jobs));
        Self { room: layout.width.max(Self::new(threads, n_seq).width), ..layout }
    }

    /// The shape of contexts for prompts of at most `tokens` tokens, including completions, by number of
    /// threads.
    pub(super) fn shape(self, settings: Settings, tokens: usize) -> impl Fn(usize) -> ContextShape {
        move |threads| settings.shape(self.room + EXTRA_SEQUENCES, tokens, threads)
    }

    /// For jobs that a worker does one at a time.
    pub(super) fn one_by_one(threads: usize, jobs: usize) -> Self {
        Self { width: 1, room: 1, ..Self::new(threads, jobs) }
    }
}

/// The jobs that wait for workers.
struct Queue {
    state: Mutex<Waiting>,
    /// Whether a worker without work may take that of another.
    steal: bool,
}

struct Waiting {
    /// Groups that no worker has taken yet.
    groups: VecDeque<Vec<usize>>,
    /// Jobs of each worker.
    own: Vec<VecDeque<usize>>,
}

impl Queue {
    /// A queue whose groups are taken as workers become free.
    fn shared(groups: Vec<Vec<usize>>, workers: usize) -> Self {
        let own = vec![VecDeque::new(); workers];
        Self { state: Mutex::new(Waiting { groups: groups.into(), own }), steal: true }
    }

    /// A queue with fixed shares, dealt out in turn, so that each worker gets its part of every group.
    fn fixed(groups: &[Vec<usize>], workers: usize) -> Self {
        let order = groups.concat();
        let share = |worker| order.iter().copied().skip(worker).step_by(workers).collect();
        let own = (0..workers).map(share).collect();
        Self { state: Mutex::new(Waiting { groups: VecDeque::new(), own }), steal: false }
    }

    fn next(&self, worker: usize) -> Option<usize> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.own[worker].is_empty() {
            if let Some(group) = state.groups.pop_front() {
                state.own[worker] = group.into();
            } else if self.steal {
                let most = state.own.iter_mut().max_by_key(|own| own.len())?;
                // Rounded up, so that a single remaining job goes to the idle worker.
                let stolen = most.split_off(most.len() / 2);
                state.own[worker] = stolen;
            }
        }
        state.own[worker].pop_front()
    }
}

/// Runs the jobs of `plan`, which are indices into the caller's list, in contexts whose `shape` depends on
/// their number of threads. `common` is the prefix that the plan holds for all of them. Returns results with
/// their indices, in no particular order.
pub(super) fn run<T: Send>(
    call: Call<'_>,
    layout: Layout,
    plan: &prefix::Plan,
    common: &[u32],
    shape: impl Fn(usize) -> ContextShape,
    work: impl Fn(Worker<'_>, &prefix::Plan) -> Result<Vec<(usize, T)>, Error> + Sync,
) -> Result<Vec<(usize, T)>, Error> {
    if plan.len() == 0 {
        return Ok(Vec::new());
    }
    let Call { model, mut adapter, settings } = call;
    let Layout { workers, threads, width, .. } = layout;
    let queue = match settings.determinism {
        Determinism::Exact => Queue::shared(plan.groups.clone(), workers),
        Determinism::Scheduled => Queue::fixed(&plan.groups, workers),
    };
    // Only under `exact` do workers look for prefixes that others have computed.
    if workers > 1 && settings.determinism == Determinism::Exact {
        // One thread if workers have one, because several are slow on a busy machine (see above).
        let all_threads = if threads == 1 { 1 } else { settings.threads };
        prefill::prepare(model, adapter.as_deref_mut(), &settings, shape(all_threads), common)?;
    }
    let shape = shape(threads);
    let make = |_| Context::new(model, adapter.as_deref_mut(), shape);
    let contexts: Vec<Context<'_>> = (0..workers).map(make).collect::<Result<_, _>>()?;
    let run_one = |(number, context): (usize, Context<'_>)| {
        let worker = Worker { model, context, settings: &settings, width, queue: &queue, number };
        let result = Progress::time(&settings.progress.worker_ns, || work(worker, plan));
        if result.is_err() {
            settings.failed.store(true, Ordering::Relaxed);
        }
        result
    };
    let results: Vec<Result<Vec<(usize, T)>, Error>> = std::thread::scope(|scope| {
        let run_one = &run_one;
        let start = |job| scope.spawn(move || run_one(job));
        let handles: Vec<_> = contexts.into_iter().enumerate().map(start).collect();
        let join = |handle: std::thread::ScopedJoinHandle<'_, _>| {
            handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        handles.into_iter().map(join).collect()
    });
    merge(results)
}

/// All results, or the error of the first worker that failed; workers that were only stopped do not count.
fn merge<T>(results: Vec<Result<Vec<(usize, T)>, Error>>) -> Result<Vec<(usize, T)>, Error> {
    let mut merged = Vec::new();
    let mut interrupted = false;
    for result in results {
        match result {
            Ok(part) => merged.extend(part),
            Err(Error::Interrupted) => interrupted = true,
            Err(error) => return Err(error),
        }
    }
    if interrupted { Err(Error::Interrupted) } else { Ok(merged) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_become_workers_while_each_has_enough_to_do() {
        for ((threads, sequences), expected) in [
            ((1, 32), (1, 1, 32)),
            ((2, 32), (2, 1, 16)),
            ((2, 15), (2, 1, 8)),
            ((2, 7), (1, 2, 7)),
            ((4, 32), (4, 1, 8)),
            ((16, 32), (8, 2, 4)),
            ((3, 1), (1, 3, 1)),
        ] {
            let Layout { workers, threads: each, width, .. } = Layout::new(threads, sequences);
            assert_eq!((workers, each, width), expected, "{threads} threads, {sequences} sequences");
        }
        let room = |jobs| Layout::side_by_side(2, 32, jobs).room;
        assert_eq!([1, 7, 20, 32, 500].map(room), [16; 5], "contexts of all lists exchange prefixes");
        assert_eq!(Layout::side_by_side(16, 32, 7).room, 7, "but hold what is in progress");
    }

    #[test]
    fn a_worker_without_work_takes_groups_then_half_of_what_another_has() {
        let queue = Queue::shared(vec![vec![0, 1, 2, 3, 4], vec![5]], 2);
        let taken: Vec<Option<usize>> = [0, 1, 1, 1, 0, 0, 0, 1].map(|worker| queue.next(worker)).to_vec();
        // Worker 1 takes the second group, then half of the four that worker 0 has left, then finds none to
        // share.
        assert_eq!(taken, [Some(0), Some(5), Some(3), Some(4), Some(1), Some(2), None, None]);
        // What is left over from a half goes to who has nothing to do: of three two, of one that one.
        for (waiting, stolen) in [(vec![0, 1, 2, 3], [Some(2), Some(3)]), (vec![0, 1], [Some(1), None])] {
            let queue = Queue::shared(vec![waiting], 2);
            assert_eq!(queue.next(0), Some(0));
            assert_eq!([1, 1].map(|worker| queue.next(worker)), stolen);
        }
    }

    #[test]
    fn fixed_shares_do_not_depend_on_who_comes_first() {
        let groups = [vec![4, 0], vec![2, 3, 1]];
        for first in [0, 1] {
            let queue = Queue::fixed(&groups, 2);
            let mut shares = [Vec::new(), Vec::new()];
            for worker in [first, 1 - first] {
                shares[worker].extend(std::iter::from_fn(|| queue.next(worker)));
            }
            assert_eq!(shares, [vec![4, 2, 1], vec![0, 3]]);
        }
    }

    #[test]
    fn a_failure_wins_over_the_interruptions_it_causes() {
        let failure = || Err(Error::NotANumber { token: 7 });
        let merged = merge::<()>(vec![Err(Error::Interrupted), failure(), Ok(vec![])]);
        assert!(matches!(merged, Err(Error::NotANumber { token: 7 })), "{merged:?}");
        assert!(matches!(merge::<()>(vec![Ok(vec![]), Err(Error::Interrupted)]), Err(Error::Interrupted)));
    }
}
