//! The threads that CPU ops run on.
//!
//! Where in the flow: a command starts one pool with `--threads` threads; every CPU op takes it as its first
//! argument.

use super::Error;

/// A rayon pool of our own, so that its threads and ggml's never compute at the same time by accident.
#[derive(Debug)]
pub struct CpuPool {
    pool: rayon::ThreadPool,
}

impl CpuPool {
    /// Starts `threads` threads; 0 is one per core.
    ///
    /// # Errors
    /// The threads cannot be started.
    pub fn new(threads: usize) -> Result<Self, Error> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("evol-cpu-{i}"))
            .build()
            .map_err(|source| Error::ThreadPool { threads, source })?;
        Ok(Self { pool })
    }

    /// Threads in the pool.
    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Runs `work` inside the pool, so that rayon's parallel iterators and `join` in it use these threads.
    ///
    /// A call from inside the pool costs nothing, so callers wrap a whole pass: handing over every op takes
    /// 3 % of a pass over 512 tokens with two threads.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.pool.install(work)
    }
}
