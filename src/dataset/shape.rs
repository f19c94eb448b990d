//! The common JSON shapes of instruction data, and typed access to their fields.
//!
//! Where in the flow: parses a line of a file into a [`super::Seed`] or [`super::Example`].
//!
//! If an object has the keys of several shapes, the first of `messages`, `conversations`, `instruction` and
//! `prompt` decides: existing data sets repeat the first turn of `messages` as `prompt`.
//!
//! **Invariant:** a returned text is not blank and has no NUL character, because tokenizers end a text there.

use super::error::Reason;
use crate::llm::Message;
use serde_json::{Map, Value};

/// The JSON object on a line.
pub(super) type Object = Map<String, Value>;

/// A shape of instruction data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `messages`, an array of `{role, content}` (`OpenAI`, Hugging Face).
    Messages,
    /// `conversations`, an array of `{from, value}` (`ShareGPT`).
    Conversations,
    /// `instruction` (Alpaca), optionally with `instances` (Self-Instruct).
    Instruction,
    /// `prompt`, optionally with `completion`.
    Prompt,
}

impl Shape {
    const ALL: [Self; 4] = [Self::Messages, Self::Conversations, Self::Instruction, Self::Prompt];

    /// The key that identifies the shape.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Conversations => "conversations",
            Self::Instruction => "instruction",
            Self::Prompt => "prompt",
        }
    }

    /// Detects the shape of `object`; `expected` describes the shapes that the caller accepts.
    pub(super) fn detect(object: &Object, expected: &'static str) -> Result<Self, Reason> {
        Self::ALL.into_iter().find(|shape| object.contains_key(shape.key())).ok_or_else(|| {
            let keys: Vec<String> = object.keys().take(8).map(|key| format!("`{}`", shorten(key))).collect();
            let found = match keys.len() {
                0 => "no keys".to_owned(),
                1 => format!("the key {}", keys[0]),
                _ => format!("the keys {}", keys.join(", ")),
            };
            Reason::UnknownShape { found, expected }
        })
    }
}

/// Parses a line as a JSON object.
pub(super) fn parse_object(line: &str) -> Result<Object, Reason> {
    match serde_json::from_str(line) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(Reason::NotAnObject { found: describe(&other) }),
        Err(e) => {
            // The parser sees a single line, so its line number (always 1) would contradict ours.
            let problem = e.to_string();
            let problem = problem.split(" at line ").next().unwrap_or(&problem).to_owned();
            Err(Reason::NotJson { problem: format!("{problem} at column {}", e.column()) })
        }
    }
}

/// The text in `object[key]`; errors name the field as `path`.
pub(super) fn required_text<'a>(object: &'a Object, key: &str, path: &str) -> Result<&'a str, Reason> {
    let expected = "a string";
    match object.get(key) {
        None => Err(Reason::Field { field: path.to_owned(), found: "missing".to_owned(), expected }),
        Some(Value::String(text)) if !text.trim().is_empty() && !text.contains('\0') => Ok(text),
        Some(other) => Err(field(path, other, expected)),
    }
}

/// The text in `object[key]`, empty if it is absent, null or blank.
pub(super) fn optional_text<'a>(object: &'a Object, key: &str, path: &str) -> Result<&'a str, Reason> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(""),
        Some(_) => required_text(object, key, path),
    }
}

/// Iterates over the turns of a conversation and checks each one when it is reached. `shape` must be
/// [`Shape::Messages`] or [`Shape::Conversations`], and `object` must have its key.
pub(super) fn turns(
    object: &Object,
    shape: Shape,
) -> Result<impl Iterator<Item = Result<Message, Reason>>, Reason> {
    let key = shape.key();
    let Value::Array(turns) = &object[key] else {
        return Err(field(key, &object[key], "an array of turns"));
    };
    Ok(turns.iter().enumerate().map(move |(i, turn)| {
        let path = format!("{key}[{i}]");
        let Value::Object(turn) = turn else { return Err(field(&path, turn, "an object")) };
        let (role_key, content_key) =
            if shape == Shape::Messages { ("role", "content") } else { ("from", "value") };
        let role_path = format!("{path}.{role_key}");
        let role = role(required_text(turn, role_key, &role_path)?, shape, role_path)?;
        let content = required_text(turn, content_key, &format!("{path}.{content_key}"))?;
        Ok(Message { role: role.to_owned(), content: content.to_owned() })
    }))
}

/// Maps a data set's name for a role to the chat role. Existing `ShareGPT` files mix both vocabularies.
fn role(word: &str, shape: Shape, path: String) -> Result<&'static str, Reason> {
    match (word, shape) {
        ("system", _) => Ok("system"),
        ("user", _) | ("human", Shape::Conversations) => Ok("user"),
        ("assistant", _) | ("gpt" | "chatgpt", Shape::Conversations) => Ok("assistant"),
        _ => Err(Reason::Field {
            field: path,
            found: describe(&Value::from(word)),
            expected: if shape == Shape::Messages {
                "`system`, `user` or `assistant`"
            } else {
                "`system`, `human` or `gpt`"
            },
        }),
    }
}

/// The reason for refusing a field that does not hold what is `expected`.
pub(super) fn field(path: &str, found: &Value, expected: &'static str) -> Reason {
    Reason::Field { field: path.to_owned(), found: describe(found), expected }
}

/// Describes a JSON value in a few words.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => format!("the number {n}"),
        Value::String(s) if s.trim().is_empty() => "empty".to_owned(),
        Value::String(s) if s.contains('\0') => "a string with a NUL character".to_owned(),
        Value::String(s) => format!("the text `{}`", shorten(s)),
        Value::Array(items) if items.is_empty() => "an empty array".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// Shortens a text to its first 40 characters, on one line, for a message.
fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(40).is_some() {
        short.push('…');
    }
    short
}
