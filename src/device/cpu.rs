//! The CPU backend: a thread pool and nothing else.

use super::Error;

/// The CPU backend: a rayon pool of its own, so that ggml's threads and ours never run at once by accident.
#[derive(Debug)]
pub struct CpuDevice {
    pool: rayon::ThreadPool,
}

impl CpuDevice {
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
    /// Free when called from inside the pool: wrap a whole step once.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.pool.install(work)
    }
}
