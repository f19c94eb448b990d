//! Findings: mistakes of a program, with their place.

use serde::{Deserialize, Serialize};

/// Kinds of mistakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// An access outside of any live allocation.
    OutOfBounds,
    /// An access to an allocation that was freed.
    UseAfterFree,
    /// An address that is no multiple of the access.
    Misaligned,
    /// Bytes that nothing has written.
    Uninitialised,
    /// Threads of a block, without a barrier between them.
    SharedRace,
    /// Threads of different blocks.
    GlobalRace,
    /// Lanes of a warp at different barriers.
    DivergentBarrier,
    /// Threads that wait for each other for ever.
    Deadlock,
    /// A value from a lane that takes no part.
    InactiveLane,
    /// More instructions than allowed.
    Timeout,
    /// `assert` of a kernel.
    Assert,
    /// `trap` of a kernel.
    Trap,
    /// A kernel that the simulator cannot run.
    Unsupported,
    /// A launch that no device would take.
    InvalidLaunch,
    /// Memory that is still there when its context ends.
    Leak,
    /// A call of the driver with something that is not what it should be.
    InvalidCall,
}

impl FindingKind {
    /// The driver's error that the launch ends with; 0 if the launch continues.
    pub fn code(self) -> i32 {
        match self {
            Self::OutOfBounds | Self::UseAfterFree => 700,
            Self::Misaligned => 716,
            Self::DivergentBarrier | Self::Deadlock | Self::InactiveLane | Self::Trap => 719,
            Self::Timeout => 702,
            Self::Assert => 710,
            Self::Unsupported => 801,
            Self::InvalidLaunch | Self::InvalidCall => 1,
            Self::Uninitialised | Self::SharedRace | Self::GlobalRace | Self::Leak => 0,
        }
    }
}

/// One mistake; the first of its kind at an instruction, with how often it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The kind of mistake.
    pub kind: FindingKind,
    /// The explanation.
    pub message: String,
    /// Kernel, empty outside of one.
    pub kernel: String,
    /// Opcode.
    pub opcode: String,
    /// Line of the PTX, 0 if there is none.
    pub ptx_line: u32,
    /// File and line of the source, empty and 0 if the PTX does not say.
    pub source_file: String,
    /// See `source_file`.
    pub source_line: u32,
    /// Block.
    pub block: [u32; 3],
    /// Thread.
    pub thread: [u32; 3],
    /// How often.
    pub count: u64,
}

impl Finding {
    /// Outside of any kernel.
    pub fn of_call(kind: FindingKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            kernel: String::new(),
            opcode: String::new(),
            ptx_line: 0,
            source_file: String::new(),
            source_line: 0,
            block: [0; 3],
            thread: [0; 3],
            count: 1,
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.message)?;
        if !self.kernel.is_empty() {
            let Self { kernel, opcode, ptx_line, source_file, source_line, block, thread, .. } = self;
            write!(
                f,
                "\n  kernel {kernel}, `{opcode}` at {source_file}:{source_line} (PTX line {ptx_line}), "
            )?;
            write!(f, "block {block:?}, thread {thread:?}")?;
        }
        if self.count > 1 {
            write!(f, ", {} times", self.count)?;
        }
        Ok(())
    }
}
