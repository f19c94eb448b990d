//! Selects the kind of instruction for an opcode, and its operands.

use super::build::Builder;
use super::{
    Barrier, Collective, Kind, LOCAL_WINDOW, PARAM_WINDOW, Reduce, SHARED_WINDOW, Shuffle, Vote, WINDOW_BITS,
};
use crate::isa::{self, Handler, Lanes, Opcode, convert, lanes};
use crate::ptx::{Class, Operand};

const UNSUPPORTED: &str = "this instruction is not supported";

impl Builder<'_> {
    /// The handler that this processor can run.
    pub(super) fn handler(&self, lanes: &Lanes) -> Handler {
        lanes.run[usize::from(lanes::has_wide())]
    }

    pub(super) fn select(&mut self, opcode: &str, operands: &[Operand]) -> Result<(), String> {
        let op = Opcode::new(opcode);
        match op.name {
            "ld" | "ldu" | "st" => self.access(&op, operands),
            "atom" | "red" => self.atomic(&op, operands),
            "cp" => self.copy_async(&op, operands),
            "ldmatrix" => self.load_matrix(&op, operands),
            "mma" => self.multiply(&op, operands),
            "wmma" => self.fragment(&op, operands),
            "bar" | "barrier" => self.barrier(&op, operands),
            "shfl" | "vote" | "match" | "redux" | "activemask" => self.collective(&op, operands),
            "membar" | "fence" => {
                let is_wide = !op.has("cta");
                self.emit(Kind::Fence(is_wide), 0, vec![]);
                Ok(())
            }
            "trap" => {
                self.emit(Kind::Trap, 0, vec![]);
                Ok(())
            }
            // Hints and waits without an effect on results.
            "prefetch" | "prefetchu" | "nanosleep" | "pmevent" | "brkpt" | "applypriority" => Ok(()),
            "mov" => self.mov(&op, operands),
            "cvta" => self.convert_address(&op, operands),
            "isspacep" => self.is_space(&op, operands),
            "setp" => self.set_predicate(&op, operands),
            "addc" | "subc" | "madc" => self.carried(&op, operands),
            "add" | "sub" | "mad" if op.has("cc") => self.carried(&op, operands),
            _ => self.plain(&op, operands),
        }
    }

    /// An instruction between registers, with what `.ftz` and `.sat` put around it.
    fn plain(&mut self, op: &Opcode<'_>, operands: &[Operand]) -> Result<(), String> {
        let Some(lanes) = isa::select(op) else {
            let (lanes, code) =
                (op.name == "cvt").then(|| convert::general(op)).flatten().ok_or(UNSUPPORTED)?;
            let [to, from] = operands else { return Err(UNSUPPORTED.into()) };
            let destination = self.destination(to)?;
            let from = self.narrowed_source(from, lanes.sources[0])?;
            let code = self.constant(u64::from(code), Class::Word);
            return self.write_as(destination, lanes.destination, |builder, to| {
                builder.lanes(&lanes, to, vec![from, code]);
            });
        };
        let (to, sources) = operands.split_first().ok_or(UNSUPPORTED)?;
        if sources.len() != lanes.sources.len() {
            return Err(format!("{} sources, {} expected", sources.len(), lanes.sources.len()));
        }
        let is_single = op.ty() == "f32" && op.name != "cvt";
        let flushes = is_single && op.has("ftz");
        let mut registers = Vec::with_capacity(sources.len());
        for (operand, &class) in sources.iter().zip(lanes.sources) {
            let source = if op.name == "cvt" {
                self.narrowed_source(operand, class)?
            } else {
                self.source(operand, class)?
            };
            registers.push(if flushes && class == Class::Word {
                let flushed = self.temporary(Class::Word);
                self.lanes(&isa::flushing(), flushed, vec![source]);
                flushed
            } else {
                source
            });
        }
        let destination = self.destination(to)?;
        self.write_as(destination, lanes.destination, |builder, to| builder.lanes(&lanes, to, registers))?;
        if flushes && lanes.destination == Class::Word {
            self.lanes(&isa::flushing(), destination, vec![destination]);
        }
        if op.has("sat") && matches!(op.ty(), "f32" | "f64") && op.name != "cvt" {
            self.lanes(&isa::saturating(op.ty()), destination, vec![destination]);
        }
        Ok(())
    }

    pub(super) fn lanes(&mut self, lanes: &Lanes, to: u32, sources: Vec<u32>) {
        let handler = self.handler(lanes);
        let mut operands = vec![to];
        operands.extend(sources);
        self.emit(Kind::Lanes(handler), 1, operands);
    }

    fn by_name(&mut self, opcode: &str, to: u32, sources: Vec<u32>) {
        let lanes = isa::select(&Opcode::new(opcode)).expect("an opcode of this file");
        self.lanes(&lanes, to, sources);
    }

    /// `cvt` reads registers that are wider than its type.
    fn narrowed_source(&mut self, operand: &Operand, class: Class) -> Result<u32, String> {
        if let Operand::Register(_) = operand {
            let register = self.destination(operand)?;
            if self.class(register) == Class::Double && class == Class::Word {
                let low = self.temporary(Class::Word);
                self.by_name("cvt.u32.u64", low, vec![register]);
                return Ok(low);
            }
        }
        self.source(operand, class)
    }

    /// `cvt` writes registers that are wider than its type: with zeros, or the sign that the value already
    /// has.
    fn write_as(
        &mut self,
        destination: u32,
        class: Class,
        write: impl FnOnce(&mut Self, u32),
    ) -> Result<(), String> {
        let found = self.class(destination);
        if found == class {
            write(self, destination);
        } else if (found, class) == (Class::Double, Class::Word) {
            let narrow = self.temporary(Class::Word);
            write(self, narrow);
            self.by_name("cvt.u64.u32", destination, vec![narrow]);
        } else {
            return Err(format!("the destination is {found:?}, expected {class:?}"));
        }
        Ok(())
    }

    /// `mov`, which also packs and unpacks.
    fn mov(&mut self, op: &Opcode<'_>, operands: &[Operand]) -> Result<(), String> {
        match operands {
            [Operand::Vector(parts), from] => self.unpack(op, parts, from),
            [to, Operand::Vector(parts)] => self.pack(op, to, parts),
            _ => self.plain(op, operands),
        }
    }

    fn unpack(&mut self, op: &Opcode<'_>, parts: &[Operand], from: &Operand) -> Result<(), String> {
        let wide = op.ty() == "b64";
        let from = self.source(from, if wide { Class::Double } else { Class::Word })?;
        let bits = if wide { 64 } else { 32 } / parts.len().max(1) as u32;
        for (i, part) in parts.iter().enumerate().filter(|(_, part)| **part != Operand::Sink) {
            let to = self.destination(part)?;
            let (at, len) = (
                self.constant(u64::from(bits) * i as u64, Class::Word),
                self.constant(u64::from(bits), Class::Word),
            );
            if wide {
                let shifted = self.temporary(Class::Double);
                self.by_name("bfe.u64", shifted, vec![from, at, len]);
                self.by_name("cvt.u32.u64", to, vec![shifted]);
            } else {
                self.by_name("bfe.u32", to, vec![from, at, len]);
            }
        }
        Ok(())
    }

    fn pack(&mut self, op: &Opcode<'_>, to: &Operand, parts: &[Operand]) -> Result<(), String> {
        let wide = op.ty() == "b64";
        let to = self.destination(to)?;
        let class = self.class(to);
        if (class == Class::Double) != wide || parts.is_empty() {
            return Err(UNSUPPORTED.into());
        }
        let bits = if wide { 64 } else { 32 } / parts.len() as u64;
        let len = self.constant(bits, Class::Word);
        let mut sum = self.constant(0, class);
        for (i, part) in parts.iter().enumerate() {
            let part = self.source(part, Class::Word)?;
            let at = self.constant(bits * i as u64, Class::Word);
            let next = if i + 1 == parts.len() { to } else { self.temporary(class) };
            if wide {
                let widened = self.temporary(Class::Double);
                self.by_name("cvt.u64.u32", widened, vec![part]);
                self.by_name("bfi.b64", next, vec![widened, sum, at, len]);
            } else {
                self.by_name("bfi.b32", next, vec![part, sum, at, len]);
            }
            sum = next;
        }
        Ok(())
    }

    /// `cvta`: generic addresses are those of a space behind the start of its window.
    fn convert_address(&mut self, op: &Opcode<'_>, operands: &[Operand]) -> Result<(), String> {
        let [to, from] = operands else { return Err(UNSUPPORTED.into()) };
        let window = match op.modifiers().find(|word| !matches!(*word, "to" | "u64" | "u32")) {
            Some("global" | "const") => 0,
            Some("shared" | "shared::cta") => SHARED_WINDOW,
            Some("local") => LOCAL_WINDOW,
            Some("param" | "param::entry") => PARAM_WINDOW,
            _ => return Err(UNSUPPORTED.into()),
        };
        let from = self.source(from, Class::Double)?;
        let to = self.destination(to)?;
        let window = self.constant(window, Class::Double);
        let opcode = if op.has("to") { "sub.u64" } else { "add.u64" };
        self.by_name(opcode, to, vec![from, window]);
        Ok(())
    }

    fn is_space(&mut self, op: &Opcode<'_>, operands: &[Operand]) -> Result<(), String> {
        let [to, from] = operands else { return Err(UNSUPPORTED.into()) };
        let window = match op.modifiers().next() {
            Some("shared" | "shared::cta") => SHARED_WINDOW,
            Some("local") => LOCAL_WINDOW,
            Some("param" | "const") => PARAM_WINDOW,
            Some("global") => u64::MAX,
            _ => return Err(UNSUPPORTED.into()),
        };
        let (to, from) = (self.destination(to)?, self.source(from, Class::Double)?);
        let bits = self.constant(u64::from(WINDOW_BITS), Class::Word);
        let number = self.temporary(Class::Double);
        self.by_name("shr.u64", number, vec![from, bits]);
        if window == u64::MAX {
            let last = self.constant(PARAM_WINDOW >> WINDOW_BITS, Class::Double);
            self.by_name("setp.gt.u64", to, vec![number, last]);
        } else {
            let own = self.constant(window >> WINDOW_BITS, Class::Double);
            self.by_name("setp.eq.u64", to, vec![number, own]);
        }
        Ok(())
    }

    /// `setp.CMP.BOOL.type p|q, a, b, c`: p = (a CMP b) BOOL c, q = !(a CMP b) BOOL c.
    fn set_predicate(&mut self, op: &Opcode<'_>, operands: &[Operand]) -> Result<(), String> {
        let lanes = isa::select(op).ok_or(UNSUPPORTED)?;
        let [to, a, b, third @ ..] = operands else { return Err(UNSUPPORTED.into()) };
        let mut sources = vec![self.source(a, lanes.sources[0])?, self.source(b, lanes.sources[1])?];
        if op.has("ftz") && op.ty() == "f32" {
            for source in &mut sources {
                let flushed = self.temporary(Class::Word);
                self.lanes(&isa::flushing(), flushed, vec![*source]);
                *source = flushed;
            }
        }
        let combine = ["and", "or", "xor"].into_iter().find(|word| op.has(word));
        if let (Operand::Register(_), None) = (to, combine) {
            let to = self.destination(to)?;
            self.lanes(&lanes, to, sources);
            return Ok(());
        }
        let holds = self.temporary(Class::Predicate);
        self.lanes(&lanes, holds, sources);
        let third = third.first().map(|third| self.source(third, Class::Predicate)).transpose()?;
        let (p, q) = match to {
            Operand::Pair(p, q) => (&**p, Some(&**q)),
            other => (other, None),
        };
        if let Some(q) = q.filter(|q| **q != Operand::Sink) {
            let to = self.destination(q)?;
            let fails = self.temporary(Class::Predicate);
            self.by_name("not.pred", fails, vec![holds]);
            self.combined(combine, to, fails, third);
        }
        if *p != Operand::Sink {
            let to = self.destination(p)?;
            self.combined(combine, to, holds, third);
        }
        Ok(())
    }

    fn combined(&mut self, combine: Option<&str>, to: u32, value: u32, third: Option<u32>) {
        match (combine, third) {
            (Some(combine), Some(third)) => {
                self.by_name(&format!("{combine}.pred"), to, vec![value, third]);
            }
            _ => self.by_name("mov.pred", to, vec![value]),
        }
    }

    /// Sums with a carry, in steps of 33 bits: the carry is what a 64-bit sum has above 32 bits.
    fn carried(&mut self, op: &Opcode<'_>, operands: &[Operand]) -> Result<(), String> {
        if !matches!(op.ty(), "u32" | "s32" | "b32") {
            return Err(UNSUPPORTED.into());
        }
        let (to, sources) = operands.split_first().ok_or(UNSUPPORTED)?;
        let to = self.destination(to)?;
        let mut words = Vec::new();
        for source in sources {
            words.push(self.source(source, Class::Word)?);
        }
        let takes = op.name.ends_with('c');
        let (first, second) = match (op.name.trim_end_matches('c'), words.as_slice()) {
            ("add" | "sub", &[a, b]) => (a, b),
            ("mad", &[a, b, c]) => {
                let product = self.temporary(Class::Word);
                let part = if op.has("hi") { "hi" } else { "lo" };
                self.by_name(&format!("mul.{part}.{}", op.ty()), product, vec![a, b]);
                (product, c)
            }
            _ => return Err(UNSUPPORTED.into()),
        };
        let subtracts = op.name.starts_with("sub");
        let (wide, other, sum) =
            (self.temporary(Class::Double), self.temporary(Class::Double), self.temporary(Class::Double));
        self.by_name("cvt.u64.u32", wide, vec![first]);
        self.by_name("cvt.u64.u32", other, vec![second]);
        let opcode = if subtracts { "sub.u64" } else { "add.u64" };
        self.by_name(opcode, sum, vec![wide, other]);
        let carry = self.carry();
        if takes {
            let wide = self.temporary(Class::Double);
            self.by_name("cvt.u64.u32", wide, vec![carry]);
            self.by_name(opcode, sum, vec![sum, wide]);
        }
        self.by_name("cvt.u32.u64", to, vec![sum]);
        if op.has("cc") {
            let (at, one) = (self.constant(32, Class::Word), self.constant(1, Class::Word));
            let above = self.temporary(Class::Double);
            self.by_name("bfe.u64", above, vec![sum, at, one]);
            self.by_name("cvt.u32.u64", carry, vec![above]);
        }
        Ok(())
    }

    fn barrier(&mut self, op: &Opcode<'_>, operands: &[Operand]) -> Result<(), String> {
        if op.has("warp") {
            let [mask] = operands else { return Err(UNSUPPORTED.into()) };
            let mask = self.source(mask, Class::Word)?;
            self.emit(Kind::WarpBarrier, 0, vec![mask]);
            return Ok(());
        }
        let all = self.constant(u64::from(u32::MAX), Class::Word);
        let always = self.constant(1, Class::Predicate);
        if !op.has("red") {
            let kind = match (op.has("sync"), op.has("arrive")) {
                (true, _) => Barrier::Sync,
                (_, true) => Barrier::Arrive,
                _ => return Err(UNSUPPORTED.into()),
            };
            let (number, threads) = match operands {
                [number] => (self.source(number, Class::Word)?, all),
                [number, threads] => (self.source(number, Class::Word)?, self.source(threads, Class::Word)?),
                _ => return Err(UNSUPPORTED.into()),
            };
            let unused = self.temporary(Class::Word);
            self.emit(Kind::Barrier(kind), 1, vec![unused, number, threads, always]);
            return Ok(());
        }
        let kind = match op.modifiers().find(|word| matches!(*word, "popc" | "or" | "and")) {
            Some("popc") => Barrier::Popc,
            Some("or") => Barrier::Or,
            Some("and") => Barrier::And,
            _ => return Err(UNSUPPORTED.into()),
        };
        let (to, number, threads, predicate) = match operands {
            [to, number, predicate] => (to, number, all, predicate),
            [to, number, threads, predicate] => (to, number, self.source(threads, Class::Word)?, predicate),
            _ => return Err(UNSUPPORTED.into()),
        };
        let to = self.destination(to)?;
        let (number, predicate) =
            (self.source(number, Class::Word)?, self.source(predicate, Class::Predicate)?);
        self.emit(Kind::Barrier(kind), 1, vec![to, number, threads, predicate]);
        Ok(())
    }

    fn collective(&mut self, op: &Opcode<'_>, operands: &[Operand]) -> Result<(), String> {
        let mode = op.modifiers().nth(1).unwrap_or("");
        let wide = op.ty() == "b64";
        match (op.name, operands) {
            ("activemask", [to]) => {
                let to = self.destination(to)?;
                self.emit(Kind::ActiveMask, 1, vec![to]);
            }
            ("shfl", [to, a, b, c, mask]) => {
                let mode = match mode {
                    "up" => Shuffle::Up,
                    "down" => Shuffle::Down,
                    "bfly" => Shuffle::Bfly,
                    "idx" => Shuffle::Idx,
                    _ => return Err(UNSUPPORTED.into()),
                };
                let (to, predicate) = match to {
                    Operand::Pair(to, predicate) => (&**to, Some(&**predicate)),
                    to => (to, None),
                };
                let to = self.destination(to)?;
                let wants = predicate.is_some_and(|predicate| *predicate != Operand::Sink);
                let predicate = match predicate {
                    Some(predicate) if wants => self.destination(predicate)?,
                    _ => self.temporary(Class::Predicate),
                };
                let mut all = vec![to, predicate];
                for operand in [a, b, c, mask] {
                    all.push(self.source(operand, Class::Word)?);
                }
                self.emit_with(Kind::Collective(Collective::Shuffle(mode, wants)), 2, all, 0, true);
            }
            ("vote", [to, a, mask]) => {
                let mode = match mode {
                    "all" => Vote::All,
                    "any" => Vote::Any,
                    "uni" => Vote::Uni,
                    "ballot" => Vote::Ballot,
                    _ => return Err(UNSUPPORTED.into()),
                };
                let to = self.destination(to)?;
                let all = vec![to, self.source(a, Class::Predicate)?, self.source(mask, Class::Word)?];
                self.emit_with(Kind::Collective(Collective::Vote(mode)), 1, all, 0, true);
            }
            ("match", [to, a, mask]) => {
                let a = self.source(a, if wide { Class::Double } else { Class::Word })?;
                let mask = self.source(mask, Class::Word)?;
                let (to, predicate) = match to {
                    Operand::Pair(to, predicate) => (&**to, Some(self.destination(predicate)?)),
                    to => (to, None),
                };
                let to = self.destination(to)?;
                if op.has("any") {
                    let kind = Kind::Collective(Collective::MatchAny(wide));
                    self.emit_with(kind, 1, vec![to, a, mask], 0, true);
                } else {
                    let kind = Collective::MatchAll(wide, predicate.is_some());
                    let predicate = predicate.unwrap_or_else(|| self.temporary(Class::Predicate));
                    self.emit_with(Kind::Collective(kind), 2, vec![to, predicate, a, mask], 0, true);
                }
            }
            ("redux", [to, a, mask]) => {
                let reduce = reduce(mode, op.ty()).ok_or(UNSUPPORTED)?;
                let to = self.destination(to)?;
                let all = vec![to, self.source(a, Class::Word)?, self.source(mask, Class::Word)?];
                self.emit_with(Kind::Collective(Collective::Reduce(reduce)), 1, all, 0, true);
            }
            _ => return Err(UNSUPPORTED.into()),
        }
        Ok(())
    }
}

/// An operation of `redux` or `atom` by its name and type.
pub(super) fn reduce(name: &str, ty: &str) -> Option<Reduce> {
    Some(match (name, ty) {
        ("add", "u32" | "s32" | "u64" | "s64") => Reduce::Add,
        ("min", "s32" | "s64") => Reduce::MinS,
        ("max", "s32" | "s64") => Reduce::MaxS,
        ("min", "u32" | "u64") => Reduce::MinU,
        ("max", "u32" | "u64") => Reduce::MaxU,
        ("and", _) => Reduce::And,
        ("or", _) => Reduce::Or,
        ("xor", _) => Reduce::Xor,
        _ => return None,
    })
}
