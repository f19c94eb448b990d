//! Lowers the syntax tree to the instructions that the interpreter runs.
//!
//! Where in the flow: [`ptx`](crate::ptx) before, [`exec`](crate::exec) after. One kernel becomes one list of
//! instructions: device functions are put in place of their calls, operands are resolved to rows, constants
//! and special registers are rows that are filled before a warp starts.
//!
//! **Invariant:** an instruction that is not supported does not stop a module: it stops the kernels that have
//! it, when they are launched.

mod build;
mod matrices;
mod memory;
mod registers;
mod select;

use std::collections::HashMap;
use std::sync::Arc;

use crate::isa::Handler;
use crate::ptx::{Class, Module, Place, Space};

pub use build::lower;

/// Where shared memory of a block appears among generic addresses.
pub const SHARED_WINDOW: u64 = 1 << 45;
/// Where local memory of a thread appears among generic addresses.
pub const LOCAL_WINDOW: u64 = 2 << 45;
/// Where a kernel's parameters appear among generic addresses.
pub const PARAM_WINDOW: u64 = 3 << 45;
/// Bits of an offset inside a window.
pub const WINDOW_BITS: u32 = 45;

/// No predicate guards an instruction.
pub const UNGUARDED: u32 = u32::MAX;

/// A kernel, ready to run.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// Its name in the text.
    pub name: String,
    /// (offset, bytes) of each parameter.
    pub params: Vec<(u64, u64)>,
    /// Bytes of all parameters.
    pub param_bytes: u64,
    /// Threads of a block at most, 0 for no limit.
    pub max_threads: u64,
    /// Its instructions.
    pub code: Vec<Inst>,
    /// Where each instruction came from: its place, and an index into `opcodes`.
    pub places: Vec<(Place, u32)>,
    /// Opcodes as in the text.
    pub opcodes: Vec<String>,
    /// Operands of instructions with many.
    pub lists: Vec<u32>,
    /// Bytes of a warp's rows.
    pub row_bytes: u32,
    /// Rows that hold a constant.
    pub constants: Vec<(u32, Class, u64)>,
    /// Rows that hold a special register.
    pub specials: Vec<(u32, Special)>,
    /// Bytes of static shared memory.
    pub shared_bytes: u64,
    /// Bytes of local memory of a thread.
    pub local_bytes: u64,
    /// 32-bit registers that are alive at once, at most.
    pub live_registers: u32,
    /// Why it cannot run, and where.
    pub unsupported: Option<(String, Place)>,
    /// Source files by number.
    pub files: Arc<HashMap<u32, String>>,
}

/// One instruction. `r` holds byte offsets of rows, what is written first.
#[derive(Debug, Clone, Copy)]
pub struct Inst {
    /// The kind of instruction.
    pub kind: Kind,
    /// Rows, if there are at most five.
    pub r: [u32; 5],
    /// First of its operands in [`Kernel::lists`], for kinds that have many.
    pub list: u32,
    /// Row of a predicate, or [`UNGUARDED`].
    pub guard: u32,
    /// It runs where the predicate is false.
    pub guard_not: bool,
    /// Offset of an address, number of a group.
    pub imm: i64,
}

/// The kinds of instruction.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A function of the lanes.
    Lanes(Handler),
    /// A jump to another instruction.
    Branch(u32),
    /// The end of a thread.
    Exit,
    /// An error of the program.
    Trap,
    /// Barrier of a block; rows: result (if it reduces), number, threads, predicate.
    Barrier(Barrier),
    /// Barrier of lanes; row: mask.
    WarpBarrier,
    /// Something between lanes; rows: results, value, two more, mask.
    Collective(Collective),
    /// Row: result.
    ActiveMask,
    /// Row: result; whether it has 64 bits.
    Clock(bool),
    /// List: values and the address' row.
    Load(Access),
    /// List: the address' row and values.
    Store(Access),
    /// Rows: result, address, value, other value.
    Atomic(Atomic),
    /// List: `count` results and the address' row.
    LoadMatrix {
        /// Matrices of 8×8.
        count: u8,
        /// Columns for rows.
        transposed: bool,
        /// Whether the address has 64 bits.
        wide_address: bool,
    },
    /// List: results, a, b, c.
    Multiply(Multiply),
    /// List: registers, address' row, stride's row.
    Fragment(Fragment),
    /// Rows: destination, source, bytes to read; `imm` packs both offsets.
    CopyAsync {
        /// Bytes a lane.
        size: u8,
        /// Whether fewer bytes may be read, the rest being zeros.
        has_source_size: bool,
        /// Whether the destination's address has 64 bits.
        wide_address: bool,
    },
    /// Closes a group of copies.
    CopyCommit,
    /// Waits until at most `imm` groups are open; -1 is for all copies.
    CopyWait,
    /// Orders memory; whether for the whole device.
    Fence(bool),
    /// List: format's and arguments' address.
    Print,
    /// List: message's, file's, line's, function's value.
    Assert,
}

/// Kinds of `bar`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barrier {
    /// Waits.
    Sync,
    /// Does not wait.
    Arrive,
    /// Counts predicates.
    Popc,
    /// Whether one predicate holds.
    Or,
    /// Whether all predicates hold.
    And,
}

/// Something between the lanes of a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collective {
    /// `shfl.sync`: lanes below, above, at a distance by xor, at an index.
    Shuffle(Shuffle, bool),
    /// `vote.sync`.
    Vote(Vote),
    /// `match.any.sync`; whether values have 64 bits.
    MatchAny(bool),
    /// `match.all.sync`; whether values have 64 bits, and whether a predicate is wanted.
    MatchAll(bool, bool),
    /// `redux.sync`.
    Reduce(Reduce),
}

/// Modes of `shfl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "PTX's own words")]
pub enum Shuffle {
    Up,
    Down,
    Bfly,
    Idx,
}

/// Modes of `vote`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "PTX's own words")]
pub enum Vote {
    All,
    Any,
    Uni,
    Ballot,
}

/// Operations of `redux` and of atomics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "PTX's own words")]
pub enum Reduce {
    Add,
    MinS,
    MaxS,
    MinU,
    MaxU,
    And,
    Or,
    Xor,
}

/// A load or store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Space of the address.
    pub space: Space,
    /// Bytes of an element.
    pub size: u8,
    /// Elements.
    pub count: u8,
    /// Narrow elements are extended by their sign.
    pub signed: bool,
    /// Registers have 64 bits.
    pub wide_value: bool,
    /// The address has 64 bits.
    pub wide_address: bool,
    /// `volatile`, `relaxed`, `acquire` or `release`: no race with others of their kind.
    pub is_strong: bool,
    /// Bit i: element i is not wanted.
    pub sinks: u8,
}

/// The operation of an atomic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtomicOp {
    /// On whole numbers of 4 or 8 bytes.
    Integer(Reduce),
    /// Wraps at a limit.
    Inc,
    /// The other way.
    Dec,
    /// Exchange.
    Exch,
    /// Compare and swap.
    Cas,
    /// Sum of f32, f64, f16, bf16, f16x2 or bf16x2.
    AddFloat(Float),
}

/// Floating-point types of atomics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "PTX's own words")]
pub enum Float {
    F32,
    F64,
    F16,
    Bf16,
    F16x2,
    Bf16x2,
}

/// `atom` and `red`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Atomic {
    /// The operation.
    pub op: AtomicOp,
    /// Space of the address.
    pub space: Space,
    /// Bytes.
    pub size: u8,
    /// The old value is wanted.
    pub returns: bool,
    /// The address has 64 bits.
    pub wide_address: bool,
}

/// Elements of matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "PTX's own words")]
pub enum Element {
    F16,
    Bf16,
    Tf32,
    F32,
    F64,
    S8,
    U8,
    S32,
}

impl Element {
    /// Bytes in a register or in memory.
    pub fn bytes(self) -> usize {
        match self {
            Self::S8 | Self::U8 => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::Tf32 | Self::F32 | Self::S32 => 4,
            Self::F64 => 8,
        }
    }
}

/// A product of matrices by a warp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Multiply {
    /// Rows, columns, inner size.
    pub shape: [u8; 3],
    /// Element types of a, of b, and of c and d.
    pub elements: [Element; 3],
    /// Element type of d, which may differ from c's for `wmma`.
    pub result: Element,
    /// Whole numbers stay in their range instead of wrapping.
    pub saturates: bool,
    /// Registers are laid out as `wmma` of this simulator does; else as PTX documents for `mma`.
    pub is_wmma: bool,
}

/// `wmma.load` and `wmma.store`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// Whether it stores to memory instead of loading.
    pub stores: bool,
    /// Rows and columns of this matrix.
    pub shape: [u8; 2],
    /// Columns follow each other in memory, not rows.
    pub column_major: bool,
    /// Element type, in memory and in registers.
    pub element: Element,
    /// Registers of a lane.
    pub registers: u8,
    /// Space of the address.
    pub space: Space,
    /// Whether a stride is given.
    pub has_stride: bool,
    /// The address has 64 bits.
    pub wide_address: bool,
}

/// Special registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "PTX's own words")]
pub enum Special {
    Tid(u8),
    Ntid(u8),
    Ctaid(u8),
    Nctaid(u8),
    LaneId,
    WarpId,
    NwarpId,
    SmId,
    NsmId,
    GridId,
    LaneMaskEq,
    LaneMaskLt,
    LaneMaskLe,
    LaneMaskGt,
    LaneMaskGe,
    DynamicSharedSize,
    TotalSharedSize,
}

/// The address of a name of the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symbol {
    /// An address of device memory.
    Global(u64),
    /// Static shared memory: bytes and alignment.
    Shared(u64, u64),
    /// Dynamic shared memory.
    DynamicShared,
}

/// Symbols of a module.
pub type Symbols = HashMap<String, Symbol>;

/// All kernels of a module.
pub fn kernels(module: &Module, symbols: &Symbols) -> Vec<Kernel> {
    let files = Arc::new(module.files.clone());
    let entries = module.functions.iter().filter(|function| function.is_entry);
    entries.map(|function| lower(module, function, symbols, &files)).collect()
}
