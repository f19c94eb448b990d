//! The parameters of a constraint as JSON fields: reading them, and checking texts.
//!
//! serde's own messages for tagged enums name neither the kind nor the field, and a flattened enum cannot
//! refuse unknown fields; so the fields are taken one by one.
//!
//! **Invariant:** an error names the kind, the field, what was found and what was expected.

use super::bound::Bound;
use super::error::Error;
use serde_json::{Map, Value};

/// The longest list of words.
const MAX_LIST: usize = 20;

/// The fields of one object; each is taken once, and what is left at the end is unknown.
pub(super) struct Fields {
    kind: &'static str,
    left: Map<String, Value>,
    taken: Vec<&'static str>,
}

impl Fields {
    /// The fields of a constraint of the kind with that name, without `kind` itself.
    pub(super) fn new(kind: &'static str, left: Map<String, Value>) -> Self {
        Self { kind, left, taken: Vec::new() }
    }

    fn bad(&self, field: &'static str, found: String, expected: impl Into<String>) -> Error {
        bad(self.kind, field, found, expected)
    }

    /// The value of a field, or `Null`, which no field expects.
    fn take(&mut self, field: &'static str) -> Value {
        self.taken.push(field);
        self.left.remove(field).unwrap_or(Value::Null)
    }

    pub(super) fn number(&mut self, field: &'static str) -> Result<u32, Error> {
        let value = self.take(field);
        let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
        number.ok_or_else(|| self.bad(field, describe(&value), "a whole number"))
    }

    pub(super) fn string(&mut self, field: &'static str) -> Result<String, Error> {
        match self.take(field) {
            Value::String(text) => Ok(text),
            other => Err(self.bad(field, describe(&other), "a string")),
        }
    }

    pub(super) fn strings(&mut self, field: &'static str) -> Result<Vec<String>, Error> {
        let Value::Array(values) = self.take(field) else {
            return Err(self.bad(field, "no list".to_owned(), "a list of strings"));
        };
        let strings = values.into_iter().map(|value| match value {
            Value::String(text) => Ok(text),
            other => {
                Err(self.bad(field, format!("a list with {} in it", describe(&other)), "a list of strings"))
            }
        });
        strings.collect()
    }

    /// A word of a closed set.
    pub(super) fn named<T: Copy>(
        &mut self,
        field: &'static str,
        all: &[T],
        name: fn(T) -> &'static str,
    ) -> Result<T, Error> {
        let value = self.take(field);
        let found = all.iter().copied().find(|&one| value == name(one));
        found.ok_or_else(|| {
            let names: Vec<String> = all.iter().map(|&one| format!("`{}`", name(one))).collect();
            self.bad(field, describe(&value), format!("one of: {}", names.join(", ")))
        })
    }

    pub(super) fn letter(&mut self, field: &'static str) -> Result<char, Error> {
        let text = self.string(field)?;
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(letter), None) => Ok(letter),
            _ => Err(self.bad(field, format!("`{text}`"), "one letter")),
        }
    }

    pub(super) fn bound(&mut self) -> Result<Bound, Error> {
        let relation = self.take("relation");
        match relation.as_str() {
            Some("at_least") => Ok(Bound::AtLeast { n: self.number("n")? }),
            Some("at_most") => Ok(Bound::AtMost { n: self.number("n")? }),
            Some("exactly") => Ok(Bound::Exactly { n: self.number("n")? }),
            Some("between") => Ok(Bound::Between { low: self.number("low")?, high: self.number("high")? }),
            _ => Err(self.bad(
                "relation",
                describe(&relation),
                "one of: `at_least`, `at_most`, `exactly`, `between`",
            )),
        }
    }

    /// Refuses what was not taken.
    pub(super) fn finish(self) -> Result<(), Error> {
        let Some(field) = self.left.keys().next() else { return Ok(()) };
        let names: Vec<String> = self.taken.iter().map(|name| format!("`{name}`")).collect();
        let expected =
            if names.is_empty() { "no parameters".to_owned() } else { format!("only {}", names.join(", ")) };
        Err(Error::UnknownField { kind: self.kind, field: field.clone(), expected })
    }
}

/// A value as a message shows it.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "missing".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

/// A parameter that cannot be used.
pub(super) fn bad(
    kind: &'static str,
    field: &'static str,
    found: String,
    expected: impl Into<String>,
) -> Error {
    Error::Field { kind, field, found, expected: expected.into() }
}

/// What a text that a wording quotes may be.
#[derive(Clone, Copy)]
pub(super) struct Phrase {
    /// The most characters.
    pub(super) max: usize,
    /// It may have line breaks and tabs.
    pub(super) may_span_lines: bool,
    /// It must have a letter or digit.
    pub(super) needs_letter: bool,
}

impl Phrase {
    /// A word, phrase, key or option.
    pub(super) const SHORT: Self = Self { max: 200, may_span_lines: false, needs_letter: false };

    /// A phrase is not blank and has no blanks around it.
    pub(super) fn check(self, kind: &'static str, field: &'static str, text: &str) -> Result<(), Error> {
        let length = text.chars().count();
        let is_odd = |c: char| c.is_control() && !(self.may_span_lines && matches!(c, '\n' | '\r' | '\t'));
        let expected = if length > self.max {
            format!("at most {} characters, not {length}", self.max)
        } else if text.trim().is_empty() {
            "some text".to_owned()
        } else if text.trim() != text {
            "no blanks around it".to_owned()
        } else if text.chars().any(is_odd) {
            "no control characters".to_owned()
        } else if self.needs_letter && !text.contains(char::is_alphanumeric) {
            "a letter or digit in it".to_owned()
        } else {
            return Ok(());
        };
        let shown: String = text.chars().take(Self::SHORT.max).collect();
        Err(bad(kind, field, format!("`{}`", shown.escape_debug()), expected))
    }
}

/// A list of `least` different phrases or more.
pub(super) fn check_phrases(
    kind: &'static str,
    field: &'static str,
    texts: &[String],
    least: usize,
) -> Result<(), Error> {
    if !(least..=MAX_LIST).contains(&texts.len()) {
        let found = format!("a list of {}", texts.len());
        return Err(bad(kind, field, found, format!("{least} to {MAX_LIST} of them")));
    }
    for (at, text) in texts.iter().enumerate() {
        Phrase::SHORT.check(kind, field, text)?;
        if texts[..at].iter().any(|other| other.to_lowercase() == text.to_lowercase()) {
            return Err(bad(kind, field, format!("a list with `{text}` twice"), "each once"));
        }
    }
    Ok(())
}
