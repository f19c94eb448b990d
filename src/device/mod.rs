//! Where ops run. A closed set: the CPU now, CUDA beside it later; ops match on it.

/// A place to run ops.
#[derive(Debug)]
#[non_exhaustive]
pub enum Device {
    /// The CPU backend and its thread pool.
    Cpu(CpuDevice),
}

/// The CPU backend: a rayon pool of its own, so that ggml's threads and ours never run at once by accident.
#[derive(Debug)]
pub struct CpuDevice {}
