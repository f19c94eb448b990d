//! Reads training data.
//!
//! Where in the flow: the first step of `evol train`. It reads the files that [`super::export()`] writes, and
//! files from other sources in these shapes:
//! - Alpaca: `instruction`, `input` (optional), `output`;
//! - Messages: `messages` with `role` and `content`; `ShareGPT`: `conversations` with `from` and `value`;
//! - `prompt` and `completion`.
//!
//! **Invariant:** training data is never skipped or read in part: one bad line makes the reader refuse the
//! file, and the error lists all bad lines.
//! **Invariant:** a conversation is an optional system message, then alternating user and assistant turns,
//! ending with the assistant. Other orders are refused, because chat templates cannot render them.

use super::error::{BadLine, Error, Reason};
use super::lines::{Line, read_lines};
use super::shape::{Object, Shape, optional_text, parse_object, required_text, turns};
use super::{Example, user_turn};
use crate::llm::Message;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// The content of a training file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Examples {
    /// The examples in file order, at least one.
    pub examples: Vec<Example>,
    /// The line number of each example, from 1.
    pub lines: Vec<usize>,
}

/// Reads a JSONL file of training data.
///
/// # Errors
/// [`Error::Io`], [`Error::BadLines`], or [`Error::Empty`].
pub fn read_examples(path: &Path) -> Result<Examples, Error> {
    let file = File::open(path).map_err(Error::io(path, "open"))?;
    parse_examples(path, BufReader::new(file))
}

/// Reads training data from `reader`; `path` names it in errors.
///
/// # Errors
/// As [`read_examples`].
pub fn parse_examples(path: &Path, reader: impl BufRead) -> Result<Examples, Error> {
    let mut found = Examples::default();
    let mut bad = Vec::new();
    for Line { number, text } in read_lines(reader).map_err(Error::io(path, "read"))? {
        match text.and_then(|text| example(&text)) {
            Ok(example) => {
                found.examples.push(example);
                found.lines.push(number);
            }
            Err(reason) => bad.push(BadLine { line: number, reason }),
        }
    }
    if !bad.is_empty() {
        return Err(Error::BadLines { path: path.to_owned(), bad });
    }
    if found.examples.is_empty() {
        return Err(Error::Empty { path: path.to_owned(), skipped: 0 });
    }
    Ok(found)
}

fn example(line: &str) -> Result<Example, Reason> {
    let object = parse_object(line)?;
    let expected = "`instruction` and `output`, `messages`, `conversations`, or `prompt` and `completion`";
    let messages = match Shape::detect(&object, expected)? {
        shape @ (Shape::Messages | Shape::Conversations) => conversation(&object, shape)?,
        Shape::Instruction => {
            let instruction = required_text(&object, "instruction", "instruction")?;
            let input = optional_text(&object, "input", "input")?;
            exchange(user_turn(instruction, input), required_text(&object, "output", "output")?)
        }
        Shape::Prompt => {
            let prompt = required_text(&object, "prompt", "prompt")?.to_owned();
            exchange(prompt, required_text(&object, "completion", "completion")?)
        }
    };
    Ok(Example { messages })
}

fn exchange(user: String, assistant: &str) -> Vec<Message> {
    let message = |role: &str, content| Message { role: role.to_owned(), content };
    vec![message("user", user), message("assistant", assistant.to_owned())]
}

/// Reads the turns of a conversation and checks that they alternate.
fn conversation(object: &Object, shape: Shape) -> Result<Vec<Message>, Reason> {
    let messages = turns(object, shape)?.collect::<Result<Vec<_>, _>>()?;
    let unexpected = |field: String, found: &str, expected| {
        Err(Reason::Field { field, found: found.to_owned(), expected })
    };
    let offset = usize::from(messages.first().is_some_and(|first| first.role == "system"));
    for (i, message) in messages.iter().enumerate().skip(offset) {
        let expected = if (i - offset).is_multiple_of(2) { "user" } else { "assistant" };
        if message.role != expected {
            let found = format!("a turn by the {}", message.role);
            let expected = if expected == "user" { "one by the user" } else { "one by the assistant" };
            return unexpected(format!("{}[{i}]", shape.key()), &found, expected);
        }
    }
    if messages.len() < offset + 2 || (messages.len() - offset) % 2 != 0 {
        let found = match messages.last() {
            None => "an empty array".to_owned(),
            Some(last) => format!("a conversation that ends with the {}", last.role),
        };
        return unexpected(shape.key().to_owned(), &found, "one that ends with an assistant turn");
    }
    Ok(messages)
}
