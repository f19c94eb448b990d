//! Where ops run. A closed set: the CPU now, CUDA beside it later; ops match on it.
//!
//! **Invariant:** no arithmetic here, and no result depends on the number of threads: ops cut their work at
//! fixed boundaries (see `ops`).

mod cpu;
pub mod cuda;

pub use cpu::CpuDevice;

/// A place to run ops.
#[derive(Debug)]
#[non_exhaustive]
pub enum Device {
    /// The CPU backend and its thread pool.
    Cpu(CpuDevice),
}

/// A device that cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused threads.
    #[error("cannot start {threads} worker threads")]
    ThreadPool {
        /// How many were asked for; 0 is one per core.
        threads: usize,
        /// Why not.
        #[source]
        source: rayon::ThreadPoolBuildError,
    },
}

impl Error {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::ThreadPool { .. } => Some("ask for fewer threads with `--threads`".to_owned()),
        }
    }
}

impl Device {
    /// The CPU with `threads` threads; 0 is one per core.
    ///
    /// # Errors
    /// The threads cannot be started.
    pub fn cpu(threads: usize) -> Result<Self, Error> {
        CpuDevice::new(threads).map(Self::Cpu)
    }

    /// Threads that ops use.
    pub fn threads(&self) -> usize {
        match self {
            Self::Cpu(cpu) => cpu.threads(),
        }
    }

    /// A short name for logs and manifests, such as `cpu (2 threads)`.
    pub fn describe(&self) -> String {
        match self {
            Self::Cpu(cpu) => format!("cpu ({} threads)", cpu.threads()),
        }
    }
}
