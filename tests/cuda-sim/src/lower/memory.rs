//! Loads, stores, atomics, asynchronous copies, and the two functions of the runtime that print.

use super::build::{At, Builder};
use super::select::reduce;
use super::{Access, Atomic, AtomicOp, Float, Kind};
use crate::isa::Opcode;
use crate::ptx::{Class, Operand, Space, type_size};

const UNSUPPORTED: &str = "this form is not supported";

/// The space that an opcode names.
pub(super) fn space(op: &Opcode<'_>) -> Result<Space, String> {
    for word in op.modifiers() {
        return Ok(match word {
            "global" | "const" => Space::Global,
            "shared" | "shared::cta" => Space::Shared,
            "local" => Space::Local,
            "param" | "param::func" | "param::entry" => Space::Param,
            "shared::cluster" => return Err("clusters are not supported".into()),
            _ => continue,
        });
    }
    Ok(Space::Generic)
}

impl Builder<'_> {
    /// The row of an address, its offset, and the space where a name is known to be.
    pub(super) fn address(&mut self, operand: &Operand) -> Result<(u32, i64, Option<Space>), String> {
        let Operand::Address(base, offset) = operand else {
            return Err(format!("{operand:?} is no address"));
        };
        Ok(match &**base {
            Operand::Register(_) => (self.destination(base)?, *offset, None),
            Operand::Variable(index, inner) => {
                let at = self.variable(*index);
                (self.address_of(at, *inner, Class::Double), *offset, Some(at.space()))
            }
            Operand::Symbol(name, inner) => match self.symbol(name)? {
                Ok(at) => (self.address_of(at, *inner, Class::Double), *offset, Some(at.space())),
                Err(address) => (
                    self.constant(address.wrapping_add(*inner as u64), Class::Double),
                    *offset,
                    Some(Space::Global),
                ),
            },
            other => (self.source(other, Class::Double)?, *offset, None),
        })
    }

    fn is_wide(&self, register: u32) -> bool {
        self.class(register) == Class::Double
    }

    pub(super) fn access(&mut self, op: &Opcode<'_>, operands: &[Operand]) -> Result<(), String> {
        let ty = op.ty();
        let (size, class) = type_size(&format!(".{ty}")).ok_or(UNSUPPORTED)?;
        let (values, address) = match (op.name, operands) {
            ("st", [address, values]) => (values, address),
            (_, [values, address]) => (values, address),
            _ => return Err(UNSUPPORTED.into()),
        };
        let stores = op.name == "st";
        let (row, imm, known) = self.address(address)?;
        let space = match (space(op)?, known) {
            // Parameters of calls are in local memory.
            (Space::Param, Some(known)) => known,
            (Space::Generic, Some(known)) => known,
            (space, _) => space,
        };
        let parts = match values {
            Operand::Vector(parts) => parts.as_slice(),
            single => std::slice::from_ref(single),
        };
        if parts.len() > 8 || class == Class::Predicate {
            return Err(UNSUPPORTED.into());
        }
        let mut sinks = 0;
        let mut registers = Vec::new();
        let mut wide_value = class == Class::Double;
        for (i, part) in parts.iter().enumerate() {
            registers.push(match part {
                Operand::Sink if !stores => {
                    sinks |= 1 << i;
                    self.temporary(class)
                }
                // Registers may be wider than what is moved.
                Operand::Register(_) => {
                    let register = self.destination(part)?;
                    wide_value = self.is_wide(register);
                    register
                }
                part if stores => self.source(part, if wide_value { Class::Double } else { Class::Word })?,
                _ => return Err(UNSUPPORTED.into()),
            });
        }
        if !wide_value && class == Class::Double {
            return Err("a register is narrower than the access".into());
        }
        let access = Access {
            space,
            size: size as u8,
            count: parts.len() as u8,
            signed: ty.starts_with('s'),
            wide_value,
            wide_address: self.is_wide(row),
            is_strong: ["volatile", "relaxed", "acquire", "release"].iter().any(|word| op.has(word)),
            sinks,
        };
        if stores {
            registers.insert(0, row);
            self.emit_with(Kind::Store(access), 0, registers, imm, true);
        } else {
            let writes = registers.len();
            registers.push(row);
            self.emit_with(Kind::Load(access), writes, registers, imm, true);
        }
        Ok(())
    }

    pub(super) fn atomic(&mut self, op: &Opcode<'_>, operands: &[Operand]) -> Result<(), String> {
        let ty = op.ty();
        let name = op.modifiers().find(|word| {
            matches!(*word, "add" | "min" | "max" | "and" | "or" | "xor" | "inc" | "dec" | "exch" | "cas")
        });
        let name = name.ok_or(UNSUPPORTED)?;
        let (size, class) = type_size(&format!(".{ty}")).ok_or(UNSUPPORTED)?;
        let atomic = match (name, ty) {
            ("inc", "u32") => AtomicOp::Inc,
            ("dec", "u32") => AtomicOp::Dec,
            ("exch", "b32" | "b64") => AtomicOp::Exch,
            ("cas", "b16" | "b32" | "b64") => AtomicOp::Cas,
            ("add", "f32") => AtomicOp::AddFloat(Float::F32),
            ("add", "f64") => AtomicOp::AddFloat(Float::F64),
            ("add", "f16") => AtomicOp::AddFloat(Float::F16),
            ("add", "bf16") => AtomicOp::AddFloat(Float::Bf16),
            ("add", "f16x2") => AtomicOp::AddFloat(Float::F16x2),
            ("add", "bf16x2") => AtomicOp::AddFloat(Float::Bf16x2),
            _ if size >= 4 => AtomicOp::Integer(reduce(name, ty).ok_or(UNSUPPORTED)?),
            _ => return Err(UNSUPPORTED.into()),
        };
        let (to, rest) = if op.name == "red" {
            (None, operands)
        } else {
            (operands.first(), &operands[1.min(operands.len())..])
        };
        let (address, values) = rest.split_first().ok_or(UNSUPPORTED)?;
        let (row, imm, known) = self.address(address)?;
        let space = match (space(op)?, known) {
            (Space::Generic, Some(known)) => known,
            (space, _) => space,
        };
        let returns = to.is_some_and(|to| *to != Operand::Sink);
        let to = match to {
            Some(to) if returns => self.destination(to)?,
            _ => self.temporary(class),
        };
        let mut all = vec![to, row];
        for value in values {
            if matches!(value, Operand::Vector(_)) {
                return Err(UNSUPPORTED.into());
            }
            all.push(self.source(value, class)?);
        }
        if all.len() < 3 {
            return Err(UNSUPPORTED.into());
        }
        let wide_address = self.is_wide(row);
        let kind = Kind::Atomic(Atomic { op: atomic, space, size: size as u8, returns, wide_address });
        self.emit_with(kind, 1, all, imm, false);
        Ok(())
    }

    pub(super) fn copy_async(&mut self, op: &Opcode<'_>, operands: &[Operand]) -> Result<(), String> {
        if op.has("commit_group") {
            self.emit(Kind::CopyCommit, 0, vec![]);
            return Ok(());
        }
        if op.has("wait_all") {
            self.emit_with(Kind::CopyWait, 0, vec![], -1, false);
            return Ok(());
        }
        if let ([Operand::Integer(groups)], true) = (operands, op.has("wait_group")) {
            self.emit_with(Kind::CopyWait, 0, vec![], *groups as i64, false);
            return Ok(());
        }
        let [to, from, Operand::Integer(size), rest @ ..] = operands else { return Err(UNSUPPORTED.into()) };
        if op.has("bulk") || !op.has("async") || !matches!(size, 4 | 8 | 16) {
            return Err(UNSUPPORTED.into());
        }
        let (to, to_offset, _) = self.address(to)?;
        let (from, from_offset, _) = self.address(from)?;
        let mut all = vec![to, from];
        let has_source_size = !rest.is_empty();
        if let Some(bytes) = rest.first() {
            all.push(self.source(bytes, Class::Word)?);
        }
        let imm = to_offset << 32 | from_offset & 0xffff_ffff;
        let wide_address = self.is_wide(to);
        let kind = Kind::CopyAsync { size: *size as u8, has_source_size, wide_address };
        self.emit_with(kind, 0, all, imm, false);
        Ok(())
    }

    /// Reads an argument of a call.
    fn argument(&mut self, at: At, size: u8) -> u32 {
        let wide = size == 8;
        let value = self.temporary(if wide { Class::Double } else { Class::Word });
        let row = self.address_of(at, 0, Class::Double);
        let access = Access {
            space: at.space(),
            size,
            count: 1,
            signed: false,
            wide_value: wide,
            wide_address: true,
            is_strong: false,
            sinks: 0,
        };
        self.emit_with(Kind::Load(access), 1, vec![value, row], 0, true);
        value
    }

    /// `vprintf(format, arguments)`, which returns the number of arguments.
    pub(super) fn print(&mut self, arguments: &[At], result: Option<At>) -> Result<(), String> {
        let &[format, values] = arguments else { return Err(UNSUPPORTED.into()) };
        let all = vec![self.argument(format, 8), self.argument(values, 8)];
        self.emit_with(Kind::Print, 0, all, 0, true);
        if let Some(at) = result {
            let (row, zero) = (self.address_of(at, 0, Class::Double), self.constant(0, Class::Word));
            let access = Access {
                space: at.space(),
                size: 4,
                count: 1,
                signed: false,
                wide_value: false,
                wide_address: true,
                is_strong: false,
                sinks: 0,
            };
            self.emit_with(Kind::Store(access), 0, vec![row, zero], 0, true);
        }
        Ok(())
    }

    /// `__assertfail(message, file, line, function, width of a character)`.
    pub(super) fn assert(&mut self, arguments: &[At]) -> Result<(), String> {
        let &[message, file, line, function, ..] = arguments else { return Err(UNSUPPORTED.into()) };
        let all = vec![
            self.argument(message, 8),
            self.argument(file, 8),
            self.argument(line, 4),
            self.argument(function, 8),
        ];
        self.emit_with(Kind::Assert, 0, all, 0, true);
        Ok(())
    }
}

impl At {
    pub(super) fn space(self) -> Space {
        match self {
            Self::Shared(_) | Self::DynamicShared => Space::Shared,
            Self::Local(_) => Space::Local,
            Self::Param(_) => Space::Param,
        }
    }
}
