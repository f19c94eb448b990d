//! Mistakes that hardware does not tell: races, uninitialised bytes, wasted traffic.
//!
//! Where in the flow: the interpreter reports every access; errors come back as findings.
//!
//! **Invariant:** a program without findings here has none of these mistakes in the run that was checked, in
//! any order of blocks and warps, as far as its control flow does not depend on that order.

mod global;
mod shared;
mod traffic;

pub use global::Checks;
pub use shared::SharedShadow;
pub use traffic::Traffic;

/// An access of one lane.
#[derive(Debug, Clone, Copy)]
pub struct Touch {
    /// Device address, or offset into shared memory.
    pub address: u64,
    /// How many.
    pub bytes: u64,
    /// It reads.
    pub reads: bool,
    /// It writes.
    pub writes: bool,
    /// It does so as one.
    pub is_atomic: bool,
}
