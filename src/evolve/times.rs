//! Where evolve's own time goes: the rules that need no model, and the journal. For `bench`.
//!
//! In the flow: `rounds` wraps its work in [`Stopwatch`]; [`super::run_timed`] returns [`Times`].
//!
//! **Invariant:** times decide nothing, and are in no row of the journal.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// What a run spent outside the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// Reading model output and asking the rules that need no model.
    pub filters: Duration,
    /// Reading and writing the journal.
    pub store: Duration,
}

/// Adds up [`Times`]; in cells, so that code with a shared reference to the run can add to it.
#[derive(Debug, Default)]
pub(super) struct Stopwatch {
    filters: Cell<Duration>,
    store: Cell<Duration>,
}

impl Stopwatch {
    /// Does `work` and adds its time to that of the rules.
    pub(super) fn filters<T>(&self, work: impl FnOnce() -> T) -> T {
        measure(&self.filters, work)
    }

    /// Does `work` and adds its time to that of the journal.
    pub(super) fn store<T>(&self, work: impl FnOnce() -> T) -> T {
        measure(&self.store, work)
    }

    pub(super) fn times(&self) -> Times {
        Times { filters: self.filters.get(), store: self.store.get() }
    }
}

fn measure<T>(account: &Cell<Duration>, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = work();
    account.set(account.get() + started.elapsed());
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_account_gets_its_own_work_only() {
        let watch = Stopwatch::default();
        let pause = Duration::from_millis(3);
        assert_eq!(watch.store(|| 7), 7);
        let before = watch.times();
        watch.filters(|| std::thread::sleep(pause));
        watch.filters(|| std::thread::sleep(pause));
        let after = watch.times();
        assert!(after.filters >= before.filters + 2 * pause, "{after:?}");
        assert_eq!(after.store, before.store);
    }
}
