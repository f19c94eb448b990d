//! What ops run on: a pool of CPU threads ([`CpuPool`]) or a GPU ([`cuda`]).
//!
//! Where in the flow: the lowest module of training. Ops take a pool or a device as their first argument;
//! `train::Backend` says which of the two a run uses. There is no type over both, because they share no call:
//! a CPU op takes slices, a CUDA op takes tensors in the memory of its device.
//!
//! **Invariant:** no arithmetic here, and no result depends on the number of threads: ops cut their work at
//! fixed boundaries (see `ops`).

mod cpu;
pub mod cuda;

use crate::explain::{Blame, Explain, Explanation};
pub use cpu::CpuPool;

/// Why a pool could not be started.
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

impl Explain for Error {
    fn explain(&self) -> Explanation {
        match self {
            Self::ThreadPool { .. } => Blame::Run.hint("use fewer threads with `--threads`"),
        }
    }
}
