//! Reads the arguments (`kwargs`) of one instruction.
//!
//! Rows come from files that were converted many times: they may have keys of other instructions with null,
//! and whole numbers may be written as 3.0. Like the reference, this module ignores values that Python treats
//! as false (null, 0, "", []).
//!
//! **Invariant:** a returned value has the requested type and is not empty; everything else is an [`Error`].

use serde_json::{Map, Value};

use super::Error;

/// A lower or upper bound on a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound {
    is_lower: bool,
    n: u64,
}

impl Bound {
    /// Whether `count` is within the bound: "at least" includes the number, "less than" does not.
    pub(super) fn holds(self, count: usize) -> bool {
        if self.is_lower { count as u64 >= self.n } else { (count as u64) < self.n }
    }
}

/// The arguments of one instruction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arguments<'a> {
    pub(super) id: &'static str,
    pub(super) values: &'a Map<String, Value>,
}

impl<'a> Arguments<'a> {
    /// Refuses arguments that are set but not in `names`.
    pub(super) fn expect_only(&self, names: &[&str]) -> Result<(), Error> {
        let is_unknown = |(name, value): &(&String, &Value)| is_set(value) && !names.contains(&name.as_str());
        match self.values.iter().find(is_unknown) {
            None => Ok(()),
            Some((argument, _)) => Err(Error::UnknownArgument {
                id: self.id,
                argument: argument.clone(),
                expected: if names.is_empty() { "none".to_owned() } else { list(names) },
            }),
        }
    }

    /// A non-empty text.
    pub(super) fn text(&self, name: &'static str) -> Result<&'a str, Error> {
        self.set(name).and_then(Value::as_str).ok_or_else(|| self.wrong(name, "a string"))
    }

    /// A list of at least one text.
    pub(super) fn texts(&self, name: &'static str) -> Result<Vec<&'a str>, Error> {
        let texts = self.set(name).and_then(Value::as_array);
        let texts = texts.and_then(|texts| texts.iter().map(Value::as_str).collect());
        texts.ok_or_else(|| self.wrong(name, "a list of texts"))
    }

    /// A positive whole number.
    pub(super) fn number(&self, name: &'static str) -> Result<u64, Error> {
        self.set(name).and_then(whole_number).ok_or_else(|| self.wrong(name, "a positive whole number"))
    }

    /// A bound, from an argument with its number and one with its relation.
    pub(super) fn bound(&self, number: &'static str, relation: &'static str) -> Result<Bound, Error> {
        let is_lower = match self.set(relation).and_then(Value::as_str) {
            Some("at least") => true,
            Some("less than") => false,
            _ => return Err(self.wrong(relation, "`at least` or `less than`")),
        };
        Ok(Bound { is_lower, n: self.number(number)? })
    }

    /// The error for an argument that does not hold what is `expected`.
    pub(super) fn wrong(&self, argument: &'static str, expected: impl Into<String>) -> Error {
        let found = self.values.get(argument).map_or_else(|| "missing".to_owned(), ToString::to_string);
        Error::Argument { id: self.id, argument, found: shorten(found), expected: expected.into() }
    }

    fn set(&self, name: &str) -> Option<&'a Value> {
        self.values.get(name).filter(|value| is_set(value))
    }
}

/// Whether Python treats the value as true.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(values) => !values.is_empty(),
    }
}

/// A whole number above zero, which may be written as 3.0.
fn whole_number(value: &Value) -> Option<u64> {
    let of_float =
        || value.as_f64().filter(|n| n.fract() == 0.0 && (1.0..9e15).contains(n)).map(|n| n as u64);
    value.as_u64().or_else(of_float).filter(|&n| n > 0)
}

/// Formats names as a list in backticks.
pub(super) fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// Shortens a value to 80 characters, so that a message stays readable whatever the file contains.
fn shorten(text: String) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
