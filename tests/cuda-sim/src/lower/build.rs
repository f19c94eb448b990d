//! Walks through a kernel and the functions it calls.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Inst, Kernel, Kind, Special, Symbol, Symbols, UNGUARDED, registers};
use crate::ptx::{Class, Function, Instruction, Module, Operand, Place, Space, Statement};

/// Calls inside calls; more is recursion.
const MAX_DEPTH: usize = 24;
/// Instructions of a kernel with all its functions in place.
const MAX_CODE: usize = 4 << 20;

/// An instruction whose operands are still virtual registers.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) inst: Inst,
    /// Rows that are written, then rows that are read.
    pub(super) operands: Vec<u32>,
    pub(super) writes: usize,
    /// Operands go to [`Kernel::lists`].
    pub(super) in_list: bool,
    place: Place,
    opcode: u32,
}

/// The place of a function's variable.
#[derive(Debug, Clone, Copy)]
pub(super) enum At {
    Shared(u64),
    DynamicShared,
    Local(u64),
    Param(u64),
}

/// A function that is being put in place.
struct Frame<'m> {
    function: &'m Function,
    /// Its register 0.
    base: u32,
    variables: Vec<At>,
    labels: HashMap<&'m str, usize>,
    /// Where `ret` goes; `None` in the kernel.
    end: Option<usize>,
    depth: usize,
}

pub(super) struct Builder<'m> {
    module: &'m Module,
    symbols: &'m Symbols,
    classes: Vec<Class>,
    pub(super) code: Vec<Draft>,
    /// Instruction of each label.
    labels: Vec<usize>,
    constants: HashMap<(u64, Class), u32>,
    specials: HashMap<Special, u32>,
    /// Constants that are to be added to the start of dynamic shared memory.
    dynamic: Vec<(u32, u64)>,
    shared: HashMap<(String, usize), u64>,
    shared_bytes: u64,
    local_bytes: u64,
    opcodes: Vec<String>,
    carry: Option<u32>,
    /// Of the instruction that is being lowered.
    frame_base: u32,
    frame_variables: Vec<At>,
    place: Place,
    guard: (u32, bool),
    opcode: u32,
}

/// Lowers a kernel; what cannot be is said in [`Kernel::unsupported`].
pub fn lower(
    module: &Module,
    function: &Function,
    symbols: &Symbols,
    files: &Arc<HashMap<u32, String>>,
) -> Kernel {
    let mut builder = Builder {
        module,
        symbols,
        classes: Vec::new(),
        code: Vec::new(),
        labels: Vec::new(),
        constants: HashMap::new(),
        specials: HashMap::new(),
        dynamic: Vec::new(),
        shared: HashMap::new(),
        shared_bytes: 0,
        local_bytes: 0,
        opcodes: Vec::new(),
        carry: None,
        frame_base: 0,
        frame_variables: Vec::new(),
        place: Place::default(),
        guard: (UNGUARDED, false),
        opcode: 0,
    };
    let mut params = Vec::new();
    let mut at = Vec::new();
    let mut end = 0_u64;
    for &index in &function.params {
        let variable = &function.variables[index];
        let size = variable.size.unwrap_or(0);
        let start = end.next_multiple_of(variable.align);
        params.push((start, size));
        at.push(At::Param(start));
        end = start + size;
    }
    let unsupported = builder.function(function, &at, None, 0).err().map(|error| {
        let opcode = builder.opcodes.get(builder.opcode as usize).map_or("", String::as_str);
        (format!("`{opcode}`: {error}"), builder.place)
    });
    builder.guard = (UNGUARDED, false);
    builder.emit(Kind::Exit, 0, vec![]);
    let mut kernel = Kernel {
        name: function.name.clone(),
        params,
        param_bytes: end,
        max_threads: function.max_threads,
        code: Vec::new(),
        places: Vec::new(),
        opcodes: Vec::new(),
        lists: Vec::new(),
        row_bytes: 0,
        constants: Vec::new(),
        specials: Vec::new(),
        shared_bytes: builder.shared_bytes,
        local_bytes: builder.local_bytes.next_multiple_of(16),
        live_registers: 0,
        unsupported,
        files: Arc::clone(files),
    };
    if kernel.unsupported.is_none() {
        builder.finish(&mut kernel);
    }
    kernel
}

impl<'m> Builder<'m> {
    /// Resolves labels and registers.
    fn finish(mut self, kernel: &mut Kernel) {
        for draft in &mut self.code {
            if let Kind::Branch(target) = &mut draft.inst.kind {
                *target = self.labels[*target as usize] as u32;
            }
        }
        // Behind all static variables, as the driver does.
        let dynamic_base = self.shared_bytes.next_multiple_of(16);
        let mut values: HashMap<u32, u64> = self.constants.iter().map(|(key, &row)| (row, key.0)).collect();
        for &(row, addend) in &self.dynamic {
            values.insert(row, dynamic_base + addend);
        }
        if !self.dynamic.is_empty() {
            kernel.shared_bytes = dynamic_base;
        }
        let fixed: Vec<u32> = values.keys().chain(self.specials.values()).copied().collect();
        let rows = registers::allocate(&self.code, &self.classes, &fixed);
        kernel.row_bytes = rows.bytes;
        kernel.live_registers = rows.live;
        let row = |register: u32| rows.offsets[register as usize];
        kernel.constants =
            values.iter().map(|(&r, &value)| (row(r), self.classes[r as usize], value)).collect();
        kernel.constants.sort_unstable_by_key(|constant| constant.0);
        kernel.specials = self.specials.iter().map(|(&special, &r)| (row(r), special)).collect();
        kernel.specials.sort_unstable_by_key(|special| special.0);
        for draft in self.code {
            let Draft { mut inst, operands, in_list, place, opcode, .. } = draft;
            if inst.guard != UNGUARDED {
                inst.guard = row(inst.guard);
            }
            if in_list {
                inst.list = kernel.lists.len() as u32;
                kernel.lists.extend(operands.into_iter().map(row));
            } else {
                for (slot, operand) in inst.r.iter_mut().zip(operands) {
                    *slot = row(operand);
                }
            }
            kernel.code.push(inst);
            kernel.places.push((place, opcode));
        }
        kernel.opcodes = self.opcodes;
    }

    fn function(
        &mut self,
        function: &'m Function,
        formals: &[At],
        end: Option<usize>,
        depth: usize,
    ) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err("recursion is not supported".into());
        }
        let base = self.classes.len() as u32;
        self.classes.extend_from_slice(&function.registers);
        let mut variables = Vec::with_capacity(function.variables.len());
        for (index, variable) in function.variables.iter().enumerate() {
            let formal = function.params.iter().chain(&function.returns).position(|&formal| formal == index);
            variables.push(match (formal, variable.space, variable.size) {
                (Some(formal), ..) => *formals.get(formal).ok_or("fewer arguments than parameters")?,
                (None, Space::Shared, None) => At::DynamicShared,
                (None, Space::Shared, Some(size)) => {
                    At::Shared(self.place_shared((function.name.clone(), index), size, variable.align))
                }
                (None, _, size) => At::Local(self.place_local(size.unwrap_or(0), variable.align)),
            });
        }
        let mut labels = HashMap::new();
        for statement in &function.body {
            if let Statement::Label(label) = statement {
                labels.insert(label.as_str(), self.new_label());
            }
        }
        let frame = Frame { function, base, variables, labels, end, depth };
        for statement in &function.body {
            match statement {
                Statement::Label(label) => {
                    let label = frame.labels[label.as_str()];
                    self.labels[label] = self.code.len();
                }
                Statement::Instruction(instruction) => self.instruction(&frame, instruction)?,
            }
            if self.code.len() > MAX_CODE {
                return Err("too many instructions once functions are in place of their calls".into());
            }
        }
        Ok(())
    }

    fn new_label(&mut self) -> usize {
        self.labels.push(usize::MAX);
        self.labels.len() - 1
    }

    fn place_shared(&mut self, key: (String, usize), size: u64, align: u64) -> u64 {
        let end = &mut self.shared_bytes;
        *self.shared.entry(key).or_insert_with(|| {
            let start = end.next_multiple_of(align);
            *end = start + size;
            start
        })
    }

    pub(super) fn place_local(&mut self, size: u64, align: u64) -> u64 {
        let start = self.local_bytes.next_multiple_of(align);
        self.local_bytes = start + size;
        start
    }

    fn instruction(&mut self, frame: &Frame<'m>, instruction: &'m Instruction) -> Result<(), String> {
        self.frame_base = frame.base;
        self.frame_variables.clone_from(&frame.variables);
        self.place = instruction.at;
        self.guard = instruction.guard.map_or((UNGUARDED, false), |(r, not)| (frame.base + r, not));
        self.opcode = match self.opcodes.iter().position(|opcode| *opcode == instruction.opcode) {
            Some(known) => known as u32,
            None => {
                self.opcodes.push(instruction.opcode.clone());
                self.opcodes.len() as u32 - 1
            }
        };
        let name = instruction.opcode.split('.').next().unwrap_or("");
        match (name, instruction.operands.as_slice()) {
            ("bra", [Operand::Symbol(label, _)]) => {
                let label = frame.labels.get(label.as_str()).ok_or_else(|| format!("no label `{label}`"))?;
                self.emit(Kind::Branch(*label as u32), 0, vec![]);
                Ok(())
            }
            ("ret", []) if frame.end.is_some() => {
                self.emit(Kind::Branch(frame.end.expect("just seen") as u32), 0, vec![]);
                Ok(())
            }
            ("ret" | "exit", []) => {
                self.emit(Kind::Exit, 0, vec![]);
                Ok(())
            }
            ("call", operands) => self.call(frame, operands),
            _ => self.select(&instruction.opcode, &instruction.operands),
        }
    }

    /// Puts the body of a function here.
    fn call(&mut self, frame: &Frame<'m>, operands: &'m [Operand]) -> Result<(), String> {
        let (returns, rest) = match operands {
            [Operand::List(returns), rest @ ..] => (returns.as_slice(), rest),
            _ => (&[][..], operands),
        };
        let (name, arguments) = match rest {
            [Operand::Symbol(name, _), Operand::List(arguments), ..] => (name, arguments.as_slice()),
            [Operand::Symbol(name, _)] => (name, &[][..]),
            _ => return Err("indirect calls are not supported".into()),
        };
        let place = |operand: &Operand| match operand {
            Operand::Variable(index, 0) => Ok(frame.variables[*index]),
            other => Err(format!("{other:?} as an argument is not supported")),
        };
        let mut formals = arguments.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        match name.as_str() {
            "vprintf" => return self.print(&formals, returns.first().map(place).transpose()?),
            "__assertfail" => return self.assert(&formals),
            _ => {}
        }
        let mut functions = self.module.functions.iter();
        let callee = functions.find(|function| function.name == *name && !function.is_entry);
        let callee = callee.ok_or_else(|| format!("function `{name}` has no body here"))?;
        for operand in returns {
            formals.push(place(operand)?);
        }
        // A guarded call: lanes without the predicate go around it.
        let end = self.new_label();
        if self.guard.0 != UNGUARDED {
            self.guard.1 = !self.guard.1;
            self.emit(Kind::Branch(end as u32), 0, vec![]);
        }
        self.function(callee, &formals, Some(end), frame.depth + 1)?;
        self.labels[end] = self.code.len();
        let _ = frame.function;
        Ok(())
    }

    pub(super) fn emit(&mut self, kind: Kind, writes: usize, operands: Vec<u32>) {
        self.emit_with(kind, writes, operands, 0, false);
    }

    pub(super) fn emit_with(
        &mut self,
        kind: Kind,
        writes: usize,
        operands: Vec<u32>,
        imm: i64,
        in_list: bool,
    ) {
        let (guard, guard_not) = self.guard;
        let inst = Inst { kind, r: [0; 5], list: 0, guard, guard_not, imm };
        let (place, opcode) = (self.place, self.opcode);
        self.code.push(Draft { inst, operands, writes, in_list, place, opcode });
    }

    /// A register that the text does not have.
    pub(super) fn temporary(&mut self, class: Class) -> u32 {
        self.classes.push(class);
        self.classes.len() as u32 - 1
    }

    pub(super) fn constant(&mut self, value: u64, class: Class) -> u32 {
        let value = if class == Class::Word { value & 0xffff_ffff } else { value };
        if let Some(&register) = self.constants.get(&(value, class)) {
            return register;
        }
        let register = self.temporary(class);
        self.constants.insert((value, class), register);
        register
    }

    pub(super) fn class(&self, register: u32) -> Class {
        self.classes[register as usize]
    }

    /// The register of carries (`add.cc`).
    pub(super) fn carry(&mut self) -> u32 {
        match self.carry {
            Some(register) => register,
            None => {
                let register = self.temporary(Class::Word);
                self.carry = Some(register);
                register
            }
        }
    }

    pub(super) fn destination(&mut self, operand: &Operand) -> Result<u32, String> {
        match operand {
            Operand::Register(register) => Ok(self.frame_base + register),
            other => Err(format!("{other:?} cannot be written")),
        }
    }

    /// A register with the operand's value.
    pub(super) fn source(&mut self, operand: &Operand, class: Class) -> Result<u32, String> {
        let register = match operand {
            Operand::Register(register) => self.frame_base + register,
            Operand::Not(register) => {
                let negated = self.temporary(Class::Predicate);
                let not = crate::isa::select(&crate::isa::Opcode::new("not.pred")).expect("it is there");
                let source = self.frame_base + register;
                self.emit(Kind::Lanes(self.handler(&not)), 1, vec![negated, source]);
                negated
            }
            Operand::Integer(value) if class == Class::Predicate => {
                self.constant(if *value == 0 { 0 } else { u64::MAX >> 32 }, class)
            }
            Operand::Integer(value) => self.constant(*value, class),
            Operand::Float(bits) if class == Class::Double => {
                self.constant(f64::from(f32::from_bits(*bits)).to_bits(), class)
            }
            Operand::Float(bits) => self.constant(u64::from(*bits), class),
            Operand::Double(bits) if class == Class::Word => {
                self.constant(u64::from((f64::from_bits(*bits) as f32).to_bits()), class)
            }
            Operand::Double(bits) => self.constant(*bits, class),
            Operand::Special(name) => self.special(name, class)?,
            Operand::Variable(index, offset) => self.address_of(self.frame_variables[*index], *offset, class),
            Operand::Symbol(name, offset) => {
                let at = self.symbol(name)?;
                match at {
                    Ok(at) => self.address_of(at, *offset, class),
                    Err(address) => self.constant(address.wrapping_add(*offset as u64), class),
                }
            }
            other => return Err(format!("{other:?} as a source is not supported")),
        };
        let found = self.class(register);
        if found == class {
            Ok(register)
        } else {
            Err(format!("an operand is {found:?}, expected {class:?}"))
        }
    }

    /// A place inside a block or a thread, or else an address.
    pub(super) fn symbol(&mut self, name: &str) -> Result<Result<At, u64>, String> {
        match self.symbols.get(name) {
            Some(Symbol::Global(address)) => Ok(Err(*address)),
            Some(&Symbol::Shared(size, align)) => {
                Ok(Ok(At::Shared(self.place_shared((format!("module {name}"), 0), size, align))))
            }
            Some(Symbol::DynamicShared) => Ok(Ok(At::DynamicShared)),
            None => Err(format!("`{name}` is not declared")),
        }
    }

    /// A constant with the offset of a place in its space.
    pub(super) fn address_of(&mut self, at: At, offset: i64, class: Class) -> u32 {
        match at {
            At::DynamicShared => {
                let register = self.temporary(class);
                self.dynamic.push((register, offset as u64));
                register
            }
            At::Shared(start) | At::Local(start) | At::Param(start) => {
                self.constant(start.wrapping_add(offset as u64), class)
            }
        }
    }

    pub(super) fn variable(&self, index: usize) -> At {
        self.frame_variables[index]
    }

    fn special(&mut self, name: &str, class: Class) -> Result<u32, String> {
        if matches!(name, "%clock" | "%clock_hi" | "%clock64" | "%globaltimer") {
            let register = self.temporary(class);
            self.emit(Kind::Clock(class == Class::Double), 1, vec![register]);
            return Ok(register);
        }
        let (stem, axis) = name.rsplit_once('.').unwrap_or((name, "x"));
        let axis = match axis {
            "x" => 0,
            "y" => 1,
            "z" => 2,
            _ => return Err(format!("special register `{name}` is not supported")),
        };
        let special = match stem {
            "%tid" => Special::Tid(axis),
            "%ntid" => Special::Ntid(axis),
            "%ctaid" => Special::Ctaid(axis),
            "%nctaid" => Special::Nctaid(axis),
            "%laneid" => Special::LaneId,
            "%warpid" => Special::WarpId,
            "%nwarpid" => Special::NwarpId,
            "%smid" => Special::SmId,
            "%nsmid" => Special::NsmId,
            "%gridid" => Special::GridId,
            "%lanemask_eq" => Special::LaneMaskEq,
            "%lanemask_lt" => Special::LaneMaskLt,
            "%lanemask_le" => Special::LaneMaskLe,
            "%lanemask_gt" => Special::LaneMaskGt,
            "%lanemask_ge" => Special::LaneMaskGe,
            "%dynamic_smem_size" => Special::DynamicSharedSize,
            "%total_smem_size" => Special::TotalSharedSize,
            _ => return Err(format!("special register `{name}` is not supported")),
        };
        if let Some(&register) = self.specials.get(&special) {
            return Ok(register);
        }
        let register = self.temporary(Class::Word);
        self.specials.insert(special, register);
        Ok(register)
    }
}
