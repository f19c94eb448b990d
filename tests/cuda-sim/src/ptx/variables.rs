//! Declarations of variables and parameters.

use super::lexer::Token;
use super::parser::{Body, Parser};
use super::{Error, Space, Variable, type_size};

impl<'a> Parser<'a> {
    /// `.align 4 .b8 name[16] = {...}, other;`.
    pub(super) fn variables(&mut self, space: Space) -> Result<Vec<(&'a str, Variable)>, Error> {
        let mut variables = Vec::new();
        let (mut align, mut element, mut lanes) = (1, 4, 1);
        loop {
            match self.word()? {
                ".align" => align = self.alignment()?,
                ".attribute" => self.skip_to(')')?,
                ".ptr" | ".global" | ".const" | ".shared" | ".local" | ".param" => {}
                ".v2" => lanes = 2,
                ".v4" => lanes = 4,
                word if word.starts_with('.') => {
                    element =
                        type_size(word).map_or_else(|| self.fail(format!("`{word}` is no type")), Ok)?.0;
                }
                name => {
                    let variable = self.variable(name, space, align, element, lanes)?;
                    variables.push((name, variable));
                    if !self.eat(',') {
                        self.expect(';')?;
                        return Ok(variables);
                    }
                }
            }
        }
    }

    fn alignment(&mut self) -> Result<u64, Error> {
        let align = self.integer()?;
        if !align.is_power_of_two() || align > 1 << 16 {
            return self.fail(format!("an alignment of {align}"));
        }
        Ok(align)
    }

    /// What follows a name: lengths and an initial value.
    fn variable(
        &mut self,
        name: &str,
        space: Space,
        align: u64,
        element: u64,
        lanes: u64,
    ) -> Result<Variable, Error> {
        let mut size = Some(element * lanes);
        while self.eat('[') {
            if self.eat(']') {
                size = None;
                continue;
            }
            let count = self.integer()?;
            self.expect(']')?;
            size = match size.map(|size| size.checked_mul(count)) {
                None => None,
                Some(Some(size)) if size < 1 << 40 => Some(size),
                _ => return self.fail(format!("`{name}` is too large")),
            };
        }
        let align = align.max(element * lanes);
        let mut variable =
            Variable { name: name.to_owned(), space, align, size, init: Vec::new(), relocations: Vec::new() };
        if self.eat('=') {
            self.initial(&mut variable, element as usize)?;
            let len = variable.init.len() as u64;
            if variable.size.is_some_and(|size| size < len) {
                return self.fail(format!("`{name}` has more values than room"));
            }
            variable.size.get_or_insert(len);
        }
        Ok(variable)
    }

    fn initial(&mut self, variable: &mut Variable, element: usize) -> Result<(), Error> {
        let mut depth = 0_usize;
        loop {
            let bits = match self.next() {
                Token::Punct('{') => {
                    depth += 1;
                    continue;
                }
                Token::Punct('}') if depth > 0 => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(());
                    }
                    continue;
                }
                Token::Punct(',') if depth > 0 => continue,
                Token::Punct('-') => (self.integer()? as i64).wrapping_neg() as u64,
                Token::Integer(value) => value,
                Token::Float(bits) => u64::from(bits),
                Token::Double(bits) => bits,
                Token::Word(symbol) => {
                    let symbol = if symbol == "generic" { self.in_parentheses()? } else { symbol };
                    let addend = if self.eat('+') { self.signed()? } else { 0 };
                    variable.relocations.push((variable.init.len(), symbol.to_owned(), addend));
                    0
                }
                other => return self.fail(format!("{other:?} as an initial value")),
            };
            variable.init.extend_from_slice(&bits.to_le_bytes()[..element.min(8)]);
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn in_parentheses(&mut self) -> Result<&'a str, Error> {
        self.expect('(')?;
        let word = self.word()?;
        self.expect(')')?;
        Ok(word)
    }

    /// `.param .b64 name, .param .align 8 .b8 other[16])`.
    pub(super) fn formals(&mut self, body: &mut Body<'a>) -> Result<Vec<usize>, Error> {
        let mut indices = Vec::new();
        let (mut align, mut element) = (1, 4);
        while !self.eat(')') {
            if self.eat(',') {
                (align, element) = (1, 4);
                continue;
            }
            match self.word()? {
                ".align" => align = self.alignment()?,
                ".reg" => return self.fail("parameters in registers are not supported"),
                ".param" | ".ptr" | ".global" | ".const" | ".shared" | ".local" => {}
                word if word.starts_with('.') => {
                    element =
                        type_size(word).map_or_else(|| self.fail(format!("`{word}` is no type")), Ok)?.0;
                }
                name => {
                    let variable = self.variable(name, Space::Param, align, element, 1)?;
                    indices.push(body.declare(name, variable));
                }
            }
        }
        Ok(indices)
    }
}
