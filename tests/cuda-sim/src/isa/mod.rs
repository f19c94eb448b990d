//! What instructions compute: for each opcode and type, the function that computes it for a warp's lanes.
//!
//! Where in the flow: [`lower`](crate::lower) looks an opcode up here and keeps the handler;
//! [`exec`](crate::exec) calls it. Instructions that touch memory, other lanes or the control flow are not
//! here. Source: "PTX ISA" 8.8, section 9.7.
//!
//! **Invariant:** a handler is total: it may be run for lanes that are not active, whose registers hold
//! anything.

mod bits;
mod compare;
pub mod convert;
mod float;
mod half;
mod integer;
pub mod lanes;
pub mod rounding;

use crate::ptx::Class;
pub use float::{flushing, saturating};
pub use lanes::{Handler, Lanes};

/// An opcode, cut at its dots.
#[derive(Debug, Clone, Copy)]
pub struct Opcode<'a> {
    /// `fma` of `fma.rn.f32`.
    pub name: &'a str,
    /// The rest: `rn.f32`.
    modifiers: &'a str,
}

impl<'a> Opcode<'a> {
    /// Cuts a whole opcode.
    pub fn new(text: &'a str) -> Self {
        let (name, modifiers) = text.split_once('.').unwrap_or((text, ""));
        Self { name, modifiers }
    }

    /// Everything behind the name, in order.
    pub fn modifiers(&self) -> impl DoubleEndedIterator<Item = &'a str> + use<'a> {
        self.modifiers.split('.')
    }

    /// Whether the opcode has this modifier.
    pub fn has(&self, modifier: &str) -> bool {
        self.modifiers().any(|other| other == modifier)
    }

    /// The last modifier, which is the type for nearly all instructions.
    pub fn ty(&self) -> &'a str {
        self.modifiers().next_back().unwrap_or("")
    }

    /// How results are rounded, if the opcode says so.
    pub fn rounding(&self) -> Option<rounding::Mode> {
        self.modifiers().find_map(rounding::Mode::parse)
    }
}

/// The handler of an instruction between registers; `None` if the set has none.
pub fn select(op: &Opcode<'_>) -> Option<Lanes> {
    integer::select(op)
        .or_else(|| bits::select(op))
        .or_else(|| float::select(op))
        .or_else(|| half::select(op))
        .or_else(|| compare::select(op))
        .or_else(|| convert::select(op))
}

/// A type of lanes in a row.
pub trait Lane: Copy {
    /// The class of the registers that hold it.
    const CLASS: Class;
}

macro_rules! lane {
    ($($ty:ty => $class:ident),*) => { $(impl Lane for $ty { const CLASS: Class = Class::$class; })* };
}
lane!(u32 => Word, i32 => Word, f32 => Word, u64 => Double, i64 => Double, f64 => Double);
