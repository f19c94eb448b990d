//! PTX text to a tree: lexer and parser, without any meaning of instructions.
//!
//! Where in the flow: first step of loading a module; [`lower`](crate::lower) is the next.
//! Source: NVIDIA, "PTX ISA" 8.8, chapters 4 to 7 and 11; and what NVRTC writes.
//!
//! **Invariant:** any text gives a module or an error with its line; nothing here panics
//! (`benches/fuzz_ptx.rs`).

mod lexer;
mod parser;
mod variables;

use std::collections::HashMap;

pub use parser::parse;

/// Width class of a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// One bit a lane.
    Predicate,
    /// Up to 32 bits a lane; narrower registers use the low bits.
    Word,
    /// 64 bits a lane.
    Double,
}

/// State space of a variable or an access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Space {
    /// Decided by the address.
    Generic,
    /// Device memory; constants too.
    Global,
    /// Shared memory of a block.
    Shared,
    /// Local memory of a thread.
    Local,
    /// A kernel's parameters; those of calls are in local memory.
    Param,
}

/// A variable of a module or a function.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Name in the text.
    pub name: String,
    /// The space that it is in.
    pub space: Space,
    /// Bytes, a power of two.
    pub align: u64,
    /// Bytes; `None` for an array without a length (dynamic shared memory).
    pub size: Option<u64>,
    /// First bytes; the rest is zero.
    pub init: Vec<u8>,
    /// (offset, symbol, addend) of addresses among the first bytes.
    pub relocations: Vec<(usize, String, i64)>,
}

/// A kernel or a device function.
#[derive(Debug, Clone, Default)]
pub struct Function {
    /// Name in the text.
    pub name: String,
    /// A kernel.
    pub is_entry: bool,
    /// Indices into `variables` of the formal parameters.
    pub params: Vec<usize>,
    /// Indices into `variables` of the return values.
    pub returns: Vec<usize>,
    /// Class of every register.
    pub registers: Vec<Class>,
    /// Every variable of its scopes.
    pub variables: Vec<Variable>,
    /// Statements in the order of the text.
    pub body: Vec<Statement>,
    /// Threads of a block at most (`.maxntid`, `.reqntid`); 0 for no limit.
    pub max_threads: u64,
}

/// A line of a function.
#[derive(Debug, Clone)]
pub enum Statement {
    /// Target of branches.
    Label(String),
    /// Something to do.
    Instruction(Instruction),
}

/// One instruction.
#[derive(Debug, Clone)]
pub struct Instruction {
    /// Predicate register and whether it is negated.
    pub guard: Option<(u32, bool)>,
    /// The full opcode, as in `ld.global.f32`.
    pub opcode: String,
    /// Operands in the order of the text.
    pub operands: Vec<Operand>,
    /// Its place in the source.
    pub at: Place,
}

/// A place in the PTX and, if `.loc` said so, in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Line of the PTX text, from 1.
    pub line: u32,
    /// Number of the source file, and its line; 0 if unknown.
    pub source: (u32, u32),
}

/// What an instruction reads or writes.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// Index into the function's registers.
    Register(u32),
    /// `!%p`.
    Not(u32),
    /// Bits, as wide as the instruction's type.
    Integer(u64),
    /// Bits of `0f...`.
    Float(u32),
    /// Bits of `0d...`.
    Double(u64),
    /// `%tid.x` and its like.
    Special(String),
    /// A variable of the function, and bytes behind its start.
    Variable(usize, i64),
    /// Anything of the module, or a label.
    Symbol(String, i64),
    /// `[base + offset]`.
    Address(Box<Operand>, i64),
    /// `{a, b}`.
    Vector(Vec<Operand>),
    /// `(a, b)` of calls.
    List(Vec<Operand>),
    /// `p|q`.
    Pair(Box<Operand>, Box<Operand>),
    /// `_`.
    Sink,
}

/// A parsed text.
#[derive(Debug, Clone, Default)]
pub struct Module {
    /// `.version`.
    pub version: String,
    /// `.target`.
    pub target: String,
    /// Variables outside functions.
    pub variables: Vec<Variable>,
    /// Functions that have a body.
    pub functions: Vec<Function>,
    /// Paths by the numbers of `.file`.
    pub files: HashMap<u32, String>,
}

/// Why a text is no PTX.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Line of the text, from 1.
    pub line: u32,
    /// What was found and what was expected.
    pub message: String,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PTX line {}: {}", self.line, self.message)
    }
}

/// Bytes of a type's name with its dot, and the class of registers that hold it; `None` if it is no type.
pub fn type_size(name: &str) -> Option<(u64, Class)> {
    Some(match name.strip_prefix('.')? {
        "pred" => (1, Class::Predicate),
        "b8" | "u8" | "s8" | "e4m3" | "e5m2" => (1, Class::Word),
        "b16" | "u16" | "s16" | "f16" | "bf16" => (2, Class::Word),
        "b32" | "u32" | "s32" | "f32" | "f16x2" | "bf16x2" | "tf32" => (4, Class::Word),
        "b64" | "u64" | "s64" | "f64" => (8, Class::Double),
        _ => return None,
    })
}
