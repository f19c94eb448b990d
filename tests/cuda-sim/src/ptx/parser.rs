//! Tokens to the tree.
//!
//! Registers and variables are resolved here, scope by scope, because their names may come again in another
//! scope.

use std::collections::HashMap;

use super::lexer::{Token, tokens};
use super::{Error, Function, Instruction, Module, Operand, Place, Space, Statement, Variable, type_size};

/// Registers of a function at most: far more than any compiler writes, and little memory.
const MAX_REGISTERS: usize = 1 << 18;
/// Brackets inside brackets of an operand.
const MAX_DEPTH: usize = 4;

/// Reads a whole text.
///
/// # Errors
/// Names the line of the first token that was not expected.
pub fn parse(text: &str) -> Result<Module, Error> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let mut module = Module::default();
    loop {
        let word = match parser.next() {
            Token::End => return Ok(module),
            Token::Word(word) => word,
            other => return parser.fail(format!("{other:?} outside of any function")),
        };
        match word {
            ".version" => module.version = parser.rest_of_line(),
            ".target" => module.target = parser.rest_of_line(),
            ".address_size" => {
                if parser.integer()? != 64 {
                    return parser.fail("only 64-bit addresses are supported");
                }
            }
            ".visible" | ".weak" | ".extern" | ".common" => {}
            ".file" => parser.file(&mut module)?,
            ".section" => parser.skip_block()?,
            ".pragma" | ".alias" => parser.skip_to(';')?,
            ".entry" | ".func" => module.functions.extend(parser.function(word == ".entry")?),
            ".global" | ".const" | ".shared" => {
                let space = if word == ".shared" { Space::Shared } else { Space::Global };
                module.variables.extend(parser.variables(space)?.into_iter().map(|(_, variable)| variable));
            }
            other => return parser.fail(format!("`{other}` outside of any function")),
        }
    }
}

pub(super) struct Parser<'a> {
    tokens: Vec<(Token<'a>, u32)>,
    at: usize,
}

/// What a name stands for in a scope.
#[derive(Clone, Copy)]
enum Name {
    Register(u32),
    Variable(usize),
}

/// A function while its body is read.
#[derive(Default)]
pub(super) struct Body<'a> {
    function: Function,
    scopes: Vec<HashMap<&'a str, Name>>,
    /// `%r<100>` is not a hundred names.
    ranges: Vec<Vec<(&'a str, u32, u32)>>,
    source: (u32, u32),
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens[self.at].0
    }

    fn line(&self) -> u32 {
        self.tokens[self.at].1
    }

    pub(super) fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    pub(super) fn fail<T>(&self, message: impl Into<String>) -> Result<T, Error> {
        Err(Error { line: self.tokens[self.at.saturating_sub(1)].1, message: message.into() })
    }

    pub(super) fn eat(&mut self, punct: char) -> bool {
        let is_there = self.peek() == Token::Punct(punct);
        if is_there {
            self.next();
        }
        is_there
    }

    pub(super) fn expect(&mut self, punct: char) -> Result<(), Error> {
        match self.next() {
            Token::Punct(found) if found == punct => Ok(()),
            other => self.fail(format!("`{punct}` expected, {other:?} found")),
        }
    }

    pub(super) fn word(&mut self) -> Result<&'a str, Error> {
        match self.next() {
            Token::Word(word) => Ok(word),
            other => self.fail(format!("a name expected, {other:?} found")),
        }
    }

    pub(super) fn integer(&mut self) -> Result<u64, Error> {
        match self.next() {
            Token::Integer(value) => Ok(value),
            other => self.fail(format!("a whole number expected, {other:?} found")),
        }
    }

    pub(super) fn signed(&mut self) -> Result<i64, Error> {
        let negative = self.eat('-');
        let value = self.integer()? as i64;
        Ok(if negative { value.wrapping_neg() } else { value })
    }

    fn rest_of_line(&mut self) -> String {
        let line = self.line();
        let mut words = Vec::new();
        while self.line() == line && self.peek() != Token::End {
            match self.next() {
                Token::Word(word) | Token::Decimal(word) => words.push(word.to_owned()),
                Token::Integer(value) => words.push(value.to_string()),
                _ => {}
            }
        }
        words.join(" ")
    }

    pub(super) fn skip_to(&mut self, punct: char) -> Result<(), Error> {
        loop {
            match self.next() {
                Token::Punct(found) if found == punct => return Ok(()),
                Token::End => return self.fail(format!("`{punct}` expected before the end")),
                _ => {}
            }
        }
    }

    fn skip_block(&mut self) -> Result<(), Error> {
        self.skip_to('{')?;
        let mut depth = 1;
        while depth > 0 {
            match self.next() {
                Token::Punct('{') => depth += 1,
                Token::Punct('}') => depth -= 1,
                Token::End => return self.fail("`}` expected before the end"),
                _ => {}
            }
        }
        Ok(())
    }

    /// `.file 1 "path", time, size`.
    fn file(&mut self, module: &mut Module) -> Result<(), Error> {
        let number = self.integer()? as u32;
        match self.next() {
            Token::Text(path) => module.files.insert(number, path.to_owned()),
            other => return self.fail(format!("a path expected, {other:?} found")),
        };
        while self.eat(',') {
            self.integer()?;
        }
        Ok(())
    }

    /// `None` for a declaration.
    fn function(&mut self, is_entry: bool) -> Result<Option<Function>, Error> {
        let mut body = Body { scopes: vec![HashMap::new()], ranges: vec![Vec::new()], ..Body::default() };
        body.function.is_entry = is_entry;
        if self.eat('(') {
            body.function.returns = self.formals(&mut body)?;
        }
        body.function.name = self.word()?.to_owned();
        if self.eat('(') {
            body.function.params = self.formals(&mut body)?;
        }
        loop {
            match self.next() {
                Token::Punct(';') => return Ok(None),
                Token::Punct('{') => break,
                Token::Word(".maxntid" | ".reqntid") => body.function.max_threads = self.product()?,
                Token::Word(".minnctapersm" | ".maxnreg" | ".maxclusterrank") => {
                    self.integer()?;
                }
                Token::Word(".noreturn" | ".reqnctapercluster" | ".explicitcluster" | ".unique") => {}
                other => return self.fail(format!("{other:?} in the head of a function")),
            }
        }
        while !body.scopes.is_empty() {
            self.statement(&mut body)?;
        }
        Ok(Some(body.function))
    }

    fn product(&mut self) -> Result<u64, Error> {
        let mut product = self.integer()?;
        while self.eat(',') {
            product = product.saturating_mul(self.integer()?);
        }
        Ok(product)
    }

    fn statement(&mut self, body: &mut Body<'a>) -> Result<(), Error> {
        let line = self.line();
        let mut guard = None;
        let word = match self.next() {
            Token::Punct('{') => {
                body.scopes.push(HashMap::new());
                body.ranges.push(Vec::new());
                return Ok(());
            }
            Token::Punct('}') => {
                body.scopes.pop();
                body.ranges.pop();
                return Ok(());
            }
            Token::Punct(';') => return Ok(()),
            Token::Punct('@') => {
                let negated = self.eat('!');
                let name = self.word()?;
                match body.find(name) {
                    Some(Name::Register(register)) => guard = Some((register, negated)),
                    _ => return self.fail(format!("`{name}` is no predicate")),
                }
                self.word()?
            }
            Token::Word(word) => word,
            other => return self.fail(format!("{other:?} in a function")),
        };
        if word.starts_with('.') {
            return self.directive(word, body);
        }
        if guard.is_none() && self.eat(':') {
            body.function.body.push(Statement::Label(word.to_owned()));
            return Ok(());
        }
        let mut operands = Vec::new();
        while !self.eat(';') {
            if !self.eat(',') {
                operands.push(self.operand(body, 0)?);
            }
        }
        let at = Place { line, source: body.source };
        let instruction = Instruction { guard, opcode: word.to_owned(), operands, at };
        body.function.body.push(Statement::Instruction(instruction));
        Ok(())
    }

    fn directive(&mut self, word: &'a str, body: &mut Body<'a>) -> Result<(), Error> {
        let space = match word {
            ".shared" => Space::Shared,
            ".local" => Space::Local,
            ".param" => Space::Param,
            ".loc" => {
                body.source = (self.integer()? as u32, self.integer()? as u32);
                self.integer()?;
                return self.rest_of_location();
            }
            ".pragma" | ".callprototype" | ".branchtargets" | ".calltargets" => return self.skip_to(';'),
            _ => match word.strip_prefix(".reg") {
                Some("") => {
                    let class = self.word()?;
                    return self.registers(class, body);
                }
                // Inline assembly of NVIDIA's headers leaves no space between the two.
                Some(class) => return self.registers(class, body),
                None => return self.fail(format!("`{word}` in a function")),
            },
        };
        for (name, variable) in self.variables(space)? {
            body.declare(name, variable);
        }
        Ok(())
    }

    /// `, function_name label, inlined_at 1 20 3`.
    fn rest_of_location(&mut self) -> Result<(), Error> {
        while self.eat(',') {
            match self.word()? {
                "function_name" => {
                    self.word()?;
                    if self.eat('+') {
                        self.integer()?;
                    }
                }
                _ => {
                    for _ in 0..3 {
                        self.integer()?;
                    }
                }
            }
        }
        Ok(())
    }

    /// `%r<100>, %s;`.
    fn registers(&mut self, class: &str, body: &mut Body<'a>) -> Result<(), Error> {
        let class = type_size(class).map_or_else(|| self.fail(format!("`{class}` is no type")), Ok)?.1;
        loop {
            let name = self.word()?;
            let mut count = 1;
            let is_range = self.eat('<');
            if is_range {
                count = self.integer()? as usize;
                self.expect('>')?;
            }
            let first = body.function.registers.len();
            if count > MAX_REGISTERS - first {
                return self.fail(format!("more than {MAX_REGISTERS} registers"));
            }
            body.function.registers.resize(first + count, class);
            if is_range {
                body.ranges.last_mut().expect("in a scope").push((name, first as u32, count as u32));
            } else {
                let scope = body.scopes.last_mut().expect("in a scope");
                scope.insert(name, Name::Register(first as u32));
            }
            if !self.eat(',') {
                return self.expect(';');
            }
        }
    }

    fn operand(&mut self, body: &Body<'a>, depth: usize) -> Result<Operand, Error> {
        if depth > MAX_DEPTH {
            return self.fail("too many brackets");
        }
        let operand = match self.next() {
            Token::Punct('{') => Operand::Vector(self.operands('}', body, depth)?),
            Token::Punct('(') => Operand::List(self.operands(')', body, depth)?),
            Token::Punct('[') => self.address(body, depth)?,
            Token::Punct('!') => {
                let name = self.word()?;
                match body.find(name) {
                    Some(Name::Register(register)) => Operand::Not(register),
                    _ => return self.fail(format!("`{name}` is no predicate")),
                }
            }
            Token::Punct('-') => Operand::Integer((self.integer()? as i64).wrapping_neg() as u64),
            Token::Integer(value) => Operand::Integer(value),
            Token::Float(bits) => Operand::Float(bits),
            Token::Double(bits) => Operand::Double(bits),
            Token::Decimal(text) => match text.parse::<f64>() {
                Ok(value) => Operand::Double(value.to_bits()),
                Err(_) => return self.fail(format!("`{text}` is no number")),
            },
            Token::Word(word) => self.named(word, body)?,
            other => return self.fail(format!("{other:?} as an operand")),
        };
        if self.eat('|') {
            let other = self.operand(body, depth + 1)?;
            return Ok(Operand::Pair(Box::new(operand), Box::new(other)));
        }
        Ok(operand)
    }

    fn operands(&mut self, end: char, body: &Body<'a>, depth: usize) -> Result<Vec<Operand>, Error> {
        let mut operands = Vec::new();
        while !self.eat(end) {
            if !self.eat(',') {
                operands.push(self.operand(body, depth + 1)?);
            }
        }
        Ok(operands)
    }

    fn named(&mut self, word: &'a str, body: &Body<'a>) -> Result<Operand, Error> {
        Ok(match (word, body.find(word)) {
            ("_", _) => Operand::Sink,
            (_, Some(Name::Register(register))) => Operand::Register(register),
            ("WARP_SZ", _) => Operand::Integer(32),
            (_, Some(Name::Variable(index))) => Operand::Variable(index, self.offset()?),
            _ if word.starts_with('%') => Operand::Special(word.to_owned()),
            _ => Operand::Symbol(word.to_owned(), self.offset()?),
        })
    }

    fn offset(&mut self) -> Result<i64, Error> {
        if self.eat('+') { self.signed() } else { Ok(0) }
    }

    fn address(&mut self, body: &Body<'a>, depth: usize) -> Result<Operand, Error> {
        let base = self.operand(body, depth + 1)?;
        let mut offset = 0_i64;
        while !self.eat(']') {
            if self.eat('+') {
                offset = offset.wrapping_add(self.signed()?);
            } else if self.eat('-') {
                offset = offset.wrapping_sub(self.integer()? as i64);
            } else {
                let found = self.peek();
                return self.fail(format!("`]` expected, {found:?} found"));
            }
        }
        Ok(Operand::Address(Box::new(base), offset))
    }
}

impl<'a> Body<'a> {
    pub(super) fn declare(&mut self, name: &'a str, variable: Variable) -> usize {
        let index = self.function.variables.len();
        self.function.variables.push(variable);
        self.scopes.last_mut().expect("in a scope").insert(name, Name::Variable(index));
        index
    }

    /// The innermost meaning of a name.
    fn find(&self, name: &str) -> Option<Name> {
        let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
        let (stem, number) = name.split_at(name.len() - digits);
        let number = number.parse::<u32>().ok();
        self.scopes.iter().zip(&self.ranges).rev().find_map(|(scope, ranges)| {
            let in_range = |&(range, first, count): &(&str, u32, u32)| {
                let number = number.filter(|&number| range == stem && number < count)?;
                Some(Name::Register(first + number))
            };
            scope.get(name).copied().or_else(|| ranges.iter().rev().find_map(in_range))
        })
    }
}
