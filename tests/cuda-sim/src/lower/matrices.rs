//! `ldmatrix`, `mma` and `wmma`.

use super::build::Builder;
use super::memory::space;
use super::{Element, Fragment, Kind, Multiply};
use crate::isa::Opcode;
use crate::ptx::{Class, Operand};

const UNSUPPORTED: &str = "this shape or type is not supported";

/// `m16n8k16` to its numbers.
fn shape(op: &Opcode<'_>) -> Option<[u8; 3]> {
    op.modifiers().find_map(|word| {
        let (m, rest) = word.strip_prefix('m')?.split_once('n')?;
        let (n, k) = rest.split_once('k')?;
        Some([m.parse().ok()?, n.parse().ok()?, k.parse().ok()?])
    })
}

fn element(word: &str) -> Option<Element> {
    Some(match word {
        "f16" => Element::F16,
        "bf16" => Element::Bf16,
        "tf32" => Element::Tf32,
        "f32" => Element::F32,
        "f64" => Element::F64,
        "s8" => Element::S8,
        "u8" => Element::U8,
        "s32" => Element::S32,
        _ => return None,
    })
}

/// Types in the order of the opcode.
fn elements(op: &Opcode<'_>) -> Vec<Element> {
    op.modifiers().filter_map(element).collect()
}

impl Builder<'_> {
    /// Registers of a vector, or of a single operand.
    fn registers(&mut self, operand: &Operand, element: Element) -> Result<Vec<u32>, String> {
        let parts = match operand {
            Operand::Vector(parts) => parts.as_slice(),
            single => std::slice::from_ref(single),
        };
        let class = if element == Element::F64 { Class::Double } else { Class::Word };
        parts.iter().map(|part| self.source(part, class)).collect()
    }

    pub(super) fn load_matrix(&mut self, op: &Opcode<'_>, operands: &[Operand]) -> Result<(), String> {
        let [to, address] = operands else { return Err(UNSUPPORTED.into()) };
        if !op.has("m8n8") || op.ty() != "b16" {
            return Err(UNSUPPORTED.into());
        }
        let mut registers = self.registers(to, Element::S32)?;
        let count = registers.len();
        if !matches!(count, 1 | 2 | 4) {
            return Err(UNSUPPORTED.into());
        }
        let (row, imm, _) = self.address(address)?;
        registers.push(row);
        let wide_address = self.class(row) == Class::Double;
        let kind = Kind::LoadMatrix { count: count as u8, transposed: op.has("trans"), wide_address };
        self.emit_with(kind, count, registers, imm, true);
        Ok(())
    }

    /// `mma.sync.aligned.SHAPE.row.col.D.A.B.C`.
    pub(super) fn multiply(&mut self, op: &Opcode<'_>, operands: &[Operand]) -> Result<(), String> {
        use Element::{Bf16, F16, F32, F64, S8, S32, Tf32, U8};
        let shape = shape(op).ok_or(UNSUPPORTED)?;
        let &[d, a, b, c] = elements(op).as_slice() else { return Err(UNSUPPORTED.into()) };
        let is_known = matches!(
            (shape, a, b, c),
            ([16, 8, 8 | 16], F16, F16, F16 | F32)
                | ([16, 8, 8 | 16], Bf16, Bf16, F32)
                | ([16, 8, 4 | 8], Tf32, Tf32, F32)
                | ([16, 8, 16 | 32] | [8, 8, 16], S8 | U8, S8 | U8, S32)
                | ([8, 8, 4], F64, F64, F64)
        );
        let [to, first, second, third] = operands else { return Err(UNSUPPORTED.into()) };
        if !is_known
            || d != c
            || op.has("sp")
            || op.modifiers().find(|word| matches!(*word, "row" | "col")) != Some("row")
        {
            return Err(UNSUPPORTED.into());
        }
        let mut all = self.registers(to, d)?;
        let writes = all.len();
        for (operand, element) in [(first, a), (second, b), (third, c)] {
            all.extend(self.registers(operand, element)?);
        }
        let [m, n, k] = shape.map(usize::from);
        let per_lane = |count: usize, element: Element| {
            count * element.bytes() / 32 / if element == F64 { 8 } else { 4 }
        };
        let expected = per_lane(m * k, a) + per_lane(k * n, b) + 2 * per_lane(m * n, c);
        if all.len() != expected {
            return Err(format!("{} registers, {expected} expected", all.len()));
        }
        let multiply = Multiply {
            shape,
            elements: [a, b, c],
            result: d,
            saturates: op.has("satfinite"),
            is_wmma: false,
        };
        self.emit_with(Kind::Multiply(multiply), writes, all, 0, true);
        Ok(())
    }

    /// `wmma.load`, `wmma.store`, `wmma.mma`.
    pub(super) fn fragment(&mut self, op: &Opcode<'_>, operands: &[Operand]) -> Result<(), String> {
        let shape @ [m, n, k] = shape(op).ok_or(UNSUPPORTED)?;
        let elements = elements(op);
        let mut words = op.modifiers();
        let (what, which) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        if what == "mma" {
            return self.wmma_multiply(op, shape, &elements, operands);
        }
        let stores = what == "store";
        let &[element] = elements.as_slice() else { return Err(UNSUPPORTED.into()) };
        let (registers, address, stride) = match operands {
            [address, registers, stride @ ..] if stores => (registers, address, stride),
            [registers, address, stride @ ..] => (registers, address, stride),
            _ => return Err(UNSUPPORTED.into()),
        };
        let size = match which {
            "a" => [m, k],
            "b" => [k, n],
            "c" | "d" => [m, n],
            _ => return Err(UNSUPPORTED.into()),
        };
        let layout = op.modifiers().find(|word| matches!(*word, "row" | "col")).ok_or(UNSUPPORTED)?;
        let mut all = self.registers(registers, element)?;
        let count = all.len();
        let (row, imm, known) = self.address(address)?;
        all.push(row);
        if let Some(stride) = stride.first() {
            all.push(self.source(stride, Class::Word)?);
        }
        let kind = Kind::Fragment(Fragment {
            stores,
            shape: size,
            column_major: layout == "col",
            element,
            registers: count as u8,
            space: known.map_or_else(|| space(op), Ok)?,
            has_stride: !stride.is_empty(),
            wide_address: self.class(row) == Class::Double,
        });
        self.emit_with(kind, if stores { 0 } else { count }, all, imm, true);
        Ok(())
    }

    /// `wmma.mma.sync.aligned.ALAYOUT.BLAYOUT.SHAPE.D[.A.B].C`: without types of a and b these are f16.
    fn wmma_multiply(
        &mut self,
        op: &Opcode<'_>,
        shape: [u8; 3],
        elements: &[Element],
        operands: &[Operand],
    ) -> Result<(), String> {
        let (d, a, b, c) = match *elements {
            [d, c] => (d, Element::F16, Element::F16, c),
            [d, a, b, c] => (d, a, b, c),
            _ => return Err(UNSUPPORTED.into()),
        };
        if a == Element::F64 {
            return Err(UNSUPPORTED.into());
        }
        let [to, first, second, third] = operands else { return Err(UNSUPPORTED.into()) };
        let mut all = self.registers(to, d)?;
        let writes = all.len();
        let mut counts = 0_i64;
        for (i, (operand, element)) in [(first, a), (second, b), (third, c)].into_iter().enumerate() {
            let registers = self.registers(operand, element)?;
            counts |= (registers.len() as i64) << (8 * i);
            all.extend(registers);
        }
        let multiply =
            Multiply { shape, elements: [a, b, c], result: d, saturates: op.has("satfinite"), is_wmma: true };
        self.emit_with(Kind::Multiply(multiply), writes, all, counts | (writes as i64) << 24, true);
        Ok(())
    }
}
