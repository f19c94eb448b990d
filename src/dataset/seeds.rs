//! Seed instructions: the built-in ones, and the reader of seed files.
//!
//! Where in the flow: the first step of a run; `evolve` starts from the seeds.
//!
//! A seed file as a whole is either JSONL or plain text. It is JSONL if its name ends in `.jsonl`, `.ndjson`
//! or `.json`, or if any line starts with `{`; otherwise every line is an instruction. A damaged line in a
//! JSONL file is therefore reported and never taken for an instruction. Blank lines are ignored in both.
//! Lines that start with `#` are comments in plain text only, because JSONL has no comments.
//!
//! JSON shapes:
//! - Alpaca: `instruction`, `input`. An `output` is ignored, because the run's model generates the answers.
//! - Self-Instruct: `instruction`, `instances` (the `input` of the first one is used).
//! - Messages and `ShareGPT`: the first user turn. A system message is refused, because a seed has no field
//!   for it and dropping it would change the task.
//! - `prompt`.
//!
//! Each may have `skill` (a string) and `difficulty` (1 to 10).
//!
//! **Invariant:** every non-blank line that is not a comment becomes a seed, a [`Duplicate`] or a
//! [`BadLine`]; none disappears.

use super::Seed;
use super::error::{BadLine, Error, Reason};
use super::lines::{Line, read_lines};
use super::shape::{Object, Shape, field, optional_text, parse_object, required_text, turns};
use serde_json::Value;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// The built-in seeds in JSONL: 261 instructions of our own, nine for each of the 29 skills of the `WizardLM`
/// test set, at nine different difficulties.
pub const BUILTIN_SEEDS: &str = include_str!("seeds.jsonl");

/// What the reader does with a line that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBadInput {
    /// It refuses the file; the error lists every bad line.
    #[default]
    Fail,
    /// It reads the other lines and returns the bad ones in [`Seeds::skipped`].
    Skip,
}

/// The content of a seed file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seeds {
    /// The seeds in file order, at least one.
    pub seeds: Vec<Seed>,
    /// Lines that were skipped ([`OnBadInput::Skip`]), in file order.
    pub skipped: Vec<BadLine>,
    /// Lines that were left out because they repeat an earlier seed, in file order.
    pub duplicates: Vec<Duplicate>,
}

/// A line that repeats an earlier one: its input is the same, and its instruction differs at most in case and
/// white space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duplicate {
    /// The line that was left out, from 1.
    pub line: usize,
    /// The earlier line that was kept, from 1.
    pub first_line: usize,
}

/// The built-in seeds.
#[expect(clippy::missing_panics_doc, reason = "the text is part of the program, and a test reads it")]
pub fn builtin_seeds() -> Vec<Seed> {
    parse_seeds(Path::new("seeds.jsonl"), BUILTIN_SEEDS.as_bytes(), OnBadInput::Fail)
        .expect("a test reads the built-in seeds")
        .seeds
}

/// Reads a seed file.
///
/// # Errors
/// [`Error::Io`]; [`Error::BadLines`] under [`OnBadInput::Fail`]; [`Error::Empty`] if no seed is left.
pub fn read_seeds(path: &Path, on_bad_input: OnBadInput) -> Result<Seeds, Error> {
    let file = File::open(path).map_err(Error::io(path, "open"))?;
    parse_seeds(path, BufReader::new(file), on_bad_input)
}

/// Reads seeds from `reader`. `path` names the file in errors, and its extension helps to decide the format.
///
/// # Errors
/// As [`read_seeds`].
pub fn parse_seeds(path: &Path, reader: impl BufRead, on_bad_input: OnBadInput) -> Result<Seeds, Error> {
    let lines = read_lines(reader).map_err(Error::io(path, "read"))?;
    let jsonl = is_jsonl(path, &lines);
    let mut found = Seeds::default();
    let mut first_lines = HashMap::new();
    for Line { number: line, text } in lines {
        if !jsonl && matches!(&text, Ok(text) if text.trim_start().starts_with('#')) {
            continue;
        }
        match text.and_then(|text| if jsonl { json_seed(&text) } else { text_seed(&text) }) {
            Err(reason) => found.skipped.push(BadLine { line, reason }),
            Ok(seed) => match first_lines.entry(duplicate_key(&seed)) {
                Entry::Occupied(first) => found.duplicates.push(Duplicate { line, first_line: *first.get() }),
                Entry::Vacant(place) => {
                    place.insert(line);
                    found.seeds.push(seed);
                }
            },
        }
    }
    if on_bad_input == OnBadInput::Fail && !found.skipped.is_empty() {
        return Err(Error::BadLines { path: path.to_owned(), bad: found.skipped });
    }
    if found.seeds.is_empty() {
        return Err(Error::Empty { path: path.to_owned(), skipped: found.skipped.len() });
    }
    Ok(found)
}

fn is_jsonl(path: &Path, lines: &[Line]) -> bool {
    let by_name = path.extension().is_some_and(|extension| {
        ["jsonl", "ndjson", "json"].iter().any(|name| extension.eq_ignore_ascii_case(name))
    });
    by_name || lines.iter().any(|line| matches!(&line.text, Ok(text) if text.trim_start().starts_with('{')))
}

/// The key that a seed and its duplicates have in common.
fn duplicate_key(seed: &Seed) -> (String, String) {
    let words: Vec<String> = seed.instruction.split_whitespace().map(str::to_lowercase).collect();
    (words.join(" "), seed.input.clone())
}

fn text_seed(line: &str) -> Result<Seed, Reason> {
    let value = Value::from(line.trim());
    if line.contains('\0') {
        return Err(field("instruction", &value, "a string"));
    }
    Ok(Seed { instruction: line.trim().to_owned(), input: String::new(), skill: None, difficulty: None })
}

fn json_seed(line: &str) -> Result<Seed, Reason> {
    let object = parse_object(line)?;
    let shape = Shape::detect(&object, "`instruction`, `messages`, `conversations` or `prompt`")?;
    let mut input = "";
    let instruction = match shape {
        Shape::Messages | Shape::Conversations => first_user_turn(&object, shape)?,
        Shape::Prompt => required_text(&object, "prompt", "prompt")?.to_owned(),
        Shape::Instruction => {
            input = alpaca_input(&object)?;
            required_text(&object, "instruction", "instruction")?.to_owned()
        }
    };
    let skill = optional_text(&object, "skill", "skill")?;
    Ok(Seed {
        instruction: instruction.trim().to_owned(),
        input: input.to_owned(),
        skill: (!skill.is_empty()).then(|| skill.to_owned()),
        difficulty: difficulty(&object)?,
    })
}

/// The `input` of the object, or of its first instance if it has none of its own.
fn alpaca_input(object: &Object) -> Result<&str, Reason> {
    let own = optional_text(object, "input", "input")?;
    if !own.is_empty() {
        return Ok(own);
    }
    match object.get("instances") {
        None | Some(Value::Null) => Ok(""),
        Some(Value::Array(instances)) => match instances.first() {
            None => Ok(""),
            Some(Value::Object(first)) => optional_text(first, "input", "instances[0].input"),
            Some(other) => Err(field("instances[0]", other, "an object")),
        },
        Some(other) => Err(field("instances", other, "an array of objects")),
    }
}

fn first_user_turn(object: &Object, shape: Shape) -> Result<String, Reason> {
    for turn in turns(object, shape)? {
        let turn = turn?;
        match turn.role.as_str() {
            "user" => return Ok(turn.content),
            "system" => {
                return Err(Reason::Field {
                    field: shape.key().to_owned(),
                    found: "a conversation with a system message".to_owned(),
                    expected: "one without: seeds have no system message",
                });
            }
            _ => {}
        }
    }
    Err(Reason::Field {
        field: shape.key().to_owned(),
        found: "a conversation without a user turn".to_owned(),
        expected: "at least one",
    })
}

fn difficulty(object: &Object) -> Result<Option<u8>, Reason> {
    match object.get("difficulty") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(level @ 1..=10) => Ok(Some(level as u8)),
            _ => Err(field("difficulty", value, "a whole number from 1 to 10")),
        },
    }
}
