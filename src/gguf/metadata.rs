//! Typed getters for metadata values.
//!
//! Where in the flow: the readers of the model configuration, the chat template and adapters use them.
//!
//! **Invariant:** a key of the wrong type is an error that names the file, the key, the type found and the
//! type expected; only an absent key counts as absent. Integers are accepted in any width and signedness
//! that holds the value, because converters disagree on them.

use super::{Error, Gguf, Value};

impl Gguf {
    /// A non-negative integer that fits in 32 bits.
    ///
    /// # Errors
    /// The key is missing, is not an integer, or is out of range.
    pub fn u32(&self, key: &str) -> Result<u32, Error> {
        self.optional_u32(key)?.ok_or_else(|| self.missing(key, "an integer"))
    }

    /// A floating-point number.
    ///
    /// # Errors
    /// The key is missing or is neither f32 nor f64.
    pub fn f32(&self, key: &str) -> Result<f32, Error> {
        self.optional_f32(key)?.ok_or_else(|| self.missing(key, "a floating-point number"))
    }

    /// A string.
    ///
    /// # Errors
    /// The key is missing or is not a string.
    pub fn string(&self, key: &str) -> Result<&str, Error> {
        self.optional_string(key)?.ok_or_else(|| self.missing(key, "a string"))
    }

    /// An array of strings.
    ///
    /// # Errors
    /// The key is missing or is not an array of strings.
    pub fn strings(&self, key: &str) -> Result<Vec<&str>, Error> {
        self.optional_strings(key)?.ok_or_else(|| self.missing(key, "an array of strings"))
    }

    /// [`Gguf::u32`] for a key that may be missing.
    ///
    /// # Errors
    /// The key is not an integer or is out of range.
    pub fn optional_u32(&self, key: &str) -> Result<Option<u32>, Error> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let integer = value.as_integer().ok_or_else(|| self.wrong_type(key, value, "an integer"))?;
        let fitting = u32::try_from(integer);
        fitting.map(Some).map_err(|_| self.wrong_value(key, &integer.to_string(), "0 to 4294967295"))
    }

    /// [`Gguf::f32`] for a key that may be missing.
    ///
    /// # Errors
    /// The key is neither f32 nor f64.
    pub fn optional_f32(&self, key: &str) -> Result<Option<f32>, Error> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::F32(number)) => Ok(Some(*number)),
            Some(Value::F64(number)) => Ok(Some(*number as f32)),
            Some(other) => Err(self.wrong_type(key, other, "a floating-point number")),
        }
    }

    /// A boolean, for a key that may be missing.
    ///
    /// # Errors
    /// The key is not a boolean.
    pub fn optional_bool(&self, key: &str) -> Result<Option<bool>, Error> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(self.wrong_type(key, other, "a bool")),
        }
    }

    /// [`Gguf::string`] for a key that may be missing.
    ///
    /// # Errors
    /// The key is not a string.
    pub fn optional_string(&self, key: &str) -> Result<Option<&str>, Error> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong_type(key, other, "a string")),
        }
    }

    /// [`Gguf::strings`] for a key that may be missing.
    ///
    /// # Errors
    /// The key is not an array of strings.
    pub fn optional_strings(&self, key: &str) -> Result<Option<Vec<&str>>, Error> {
        let expected = "an array of strings";
        let elements = match self.value(key) {
            None => return Ok(None),
            Some(Value::Array(elements)) => elements,
            Some(other) => return Err(self.wrong_type(key, other, expected)),
        };
        elements
            .iter()
            .map(|element| match element {
                Value::String(text) => Ok(text.as_str()),
                other => Err(self.wrong_value(key, &format!("an array of {}", other.value_type()), expected)),
            })
            .collect::<Result<_, _>>()
            .map(Some)
    }

    pub(super) fn missing(&self, key: &str, expected: &str) -> Error {
        Error::MissingKey { path: self.path().to_owned(), key: key.to_owned(), expected: expected.to_owned() }
    }

    pub(super) fn wrong_value(&self, key: &str, found: &str, expected: &str) -> Error {
        Error::KeyValue {
            path: self.path().to_owned(),
            key: key.to_owned(),
            found: found.to_owned(),
            expected: expected.to_owned(),
        }
    }

    fn wrong_type(&self, key: &str, value: &Value, expected: &'static str) -> Error {
        Error::KeyType {
            path: self.path().to_owned(),
            key: key.to_owned(),
            found: value.value_type(),
            expected,
        }
    }
}
