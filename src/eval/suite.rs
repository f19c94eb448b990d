//! Test suites: the built-in one, and a reader of the common formats.
//!
//! Where in the flow: the first step of an evaluation. `responses` answers the items, `measure` scores the
//! responses.
//!
//! The fields of a line show its format:
//!
//! | format | fields | scored by |
//! |---|---|---|
//! | evol | `instruction`, `skill`, `difficulty`, `constraints` or `answer` | constraints, match, judge |
//! | `WizardLM`'s test set | `Instruction`, `Skill`, `Difficulty` | judge |
//! | `IFEval` | `prompt`, `instruction_id_list`, `kwargs` | the checks of `IFEval` |
//! | `GSM8k` | `question`, `answer` with `#### 42` | exact match |
//! | MMLU | `question`, `choices` (texts), `answer` (index or letter) | log-probability |
//! | ARC | `question`, `choices` (`text`, `label`), `answerKey` | log-probability |
//!
//! **Invariant:** no file content can make the reader panic. An error names the line and the field that
//! cannot be used.

use super::Error;
use super::ifeval::IfevalInstruction;
use crate::constraint::Constraint;
use crate::gguf::sha256;
use serde_json::{Map, Value};
use std::path::Path;

/// The built-in suite in JSONL: for each of 29 skills, one instruction at each difficulty from 1 to 10.
pub const BUILTIN: &str = include_str!("suite.jsonl");

/// The name of the built-in suite.
pub const BUILTIN_NAME: &str = "built-in";

/// A test suite.
#[derive(Debug, Clone)]
pub struct Suite {
    /// The file, or [`BUILTIN_NAME`].
    pub name: String,
    /// SHA-256 of the file, in lowercase hex.
    pub sha256: String,
    /// The items in the order of the file, at least one.
    pub items: Vec<Item>,
}

/// One item of a suite.
#[derive(Debug, Clone)]
pub struct Item {
    /// The line in the file, from 1.
    pub line: usize,
    /// The instruction as its author wrote it.
    pub instruction: String,
    /// Text added to the instruction in the prompt that makes the answer easy to find.
    pub suffix: &'static str,
    /// The skill that it tests, if known.
    pub skill: Option<String>,
    /// The difficulty from 1 to 10, if known.
    pub difficulty: Option<u8>,
    /// How responses are scored.
    pub task: Task,
}

/// How the responses to an item are scored.
#[derive(Debug, Clone)]
pub enum Task {
    /// Only a judge can score them.
    Open,
    /// Code checks these constraints.
    Constraints(Vec<Constraint>),
    /// The checks of `IFEval`.
    Ifeval(Vec<IfevalInstruction>),
    /// Exact match with the right answer.
    Exact(String),
    /// Multiple choice: the choice with the highest likelihood is the response.
    Choice {
        /// The texts of the choices.
        choices: Vec<String>,
        /// The index of the right choice.
        right: usize,
    },
}

impl Item {
    /// The text of the user's turn: the instruction with its suffix.
    pub fn question(&self) -> String {
        format!("{}{}", self.instruction, self.suffix)
    }
}

impl Suite {
    /// The built-in suite.
    ///
    /// # Panics
    /// Never: a test reads it.
    pub fn builtin() -> Self {
        parse(BUILTIN_NAME, BUILTIN.as_bytes()).expect("a test reads the built-in suite")
    }

    /// Reads a suite in any of the formats.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Item`] for the first line that cannot be used, [`Error::NoItems`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        parse(&path.display().to_string(), &bytes)
    }
}

fn parse(name: &str, bytes: &[u8]) -> Result<Suite, Error> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|&byte| byte == b'\n').count();
        bad_line(name, line, "is not UTF-8".to_owned())
    })?;
    let mut items = Vec::new();
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let number = at + 1;
        let fields: Map<String, Value> = serde_json::from_str(line)
            .map_err(|error| bad_line(name, number, format!("is not a JSON object: {error}")))?;
        let mut item = parse_item(&fields).map_err(|reason| bad_line(name, number, reason))?;
        item.line = number;
        items.push(item);
    }
    if items.is_empty() {
        return Err(Error::NoItems { name: name.to_owned() });
    }
    let sha256 = sha256(bytes);
    Ok(Suite { name: name.to_owned(), sha256, items })
}

fn bad_line(name: &str, line: usize, reason: String) -> Error {
    Error::Item { name: name.to_owned(), line, reason }
}

/// Parses an item of any format. An error names the field, what was found and what was expected, and
/// continues a sentence that starts with the line.
fn parse_item(fields: &Map<String, Value>) -> Result<Item, String> {
    if fields.contains_key("instruction_id_list") {
        return parse_ifeval(fields);
    }
    if fields.contains_key("choices") {
        return parse_choice(fields);
    }
    if fields.contains_key("question") {
        return parse_gsm8k(fields);
    }
    parse_evol(fields)
}

fn parse_evol(fields: &Map<String, Value>) -> Result<Item, String> {
    // WizardLM's test set has the same fields with capitals.
    let either = |name: &str, other: &str| fields.get(name).or_else(|| fields.get(other));
    let instruction = match either("instruction", "Instruction") {
        Some(Value::String(text)) if !text.trim().is_empty() => text.clone(),
        found => {
            return Err(format!(
                "has {} as `instruction`, expected a non-blank string (or the fields of another form: \
                 `prompt` and `instruction_id_list`, `question` and `answer`)",
                describe(found)
            ));
        }
    };
    let input = optional_text(fields, "input")?.unwrap_or_default();
    let instruction = crate::dataset::user_turn(&instruction, &input);
    let constraints = match fields.get("constraints") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => {
            let parse = |(at, value): (usize, &Value)| {
                serde_json::from_value(value.clone())
                    .map_err(|error| format!("has an invalid entry {} in `constraints`: {error}", at + 1))
            };
            list.iter().enumerate().map(parse).collect::<Result<Vec<Constraint>, _>>()?
        }
        found => return Err(format!("has {} as `constraints`, expected a list", describe(found))),
    };
    let answer = optional_text(fields, "answer")?;
    let task = match (answer, constraints) {
        (None, constraints) if constraints.is_empty() => Task::Open,
        (None, constraints) => Task::Constraints(constraints),
        (Some(answer), constraints) if constraints.is_empty() => Task::Exact(answer),
        (Some(_), _) => return Err("has both `constraints` and `answer`, expected one of them".to_owned()),
    };
    Ok(Item {
        line: 0,
        instruction,
        suffix: "",
        skill: match either("skill", "Skill") {
            None | Some(Value::Null) => None,
            Some(Value::String(skill)) => Some(skill.clone()),
            found => return Err(format!("has {} as `skill`, expected a string", describe(found))),
        },
        difficulty: difficulty(either("difficulty", "Difficulty"))?,
        task,
    })
}

/// Parses a difficulty from 1 to 10, given as a number or as text.
fn difficulty(value: Option<&Value>) -> Result<Option<u8>, String> {
    let number = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(value) => value.as_u64(),
    };
    match number {
        Some(number @ 1..=10) => Ok(Some(number as u8)),
        _ => Err(format!(
            "has {} as `difficulty`, expected a whole number from 1 to 10",
            value.map_or_else(|| "nothing".to_owned(), Value::to_string)
        )),
    }
}

fn parse_ifeval(fields: &Map<String, Value>) -> Result<Item, String> {
    let prompt = required_text(fields, "prompt")?;
    let Some(Value::Array(ids)) = fields.get("instruction_id_list") else {
        return Err(format!(
            "has {} as `instruction_id_list`, expected a list of strings",
            describe(fields.get("instruction_id_list"))
        ));
    };
    let Some(Value::Array(arguments)) = fields.get("kwargs") else {
        return Err(format!(
            "has {} as `kwargs`, expected a list of objects",
            describe(fields.get("kwargs"))
        ));
    };
    if ids.len() != arguments.len() || ids.is_empty() {
        return Err(format!(
            "has {} instructions and {} `kwargs`, expected the same number of both, at least one",
            ids.len(),
            arguments.len()
        ));
    }
    let parse = |(id, arguments): (&Value, &Value)| {
        let id = id.as_str().ok_or_else(|| format!("has {} as an instruction id", describe(Some(id))))?;
        let none = Map::new();
        let arguments = match arguments {
            Value::Object(arguments) => arguments,
            Value::Null => &none,
            found => return Err(format!("has {} in `kwargs`, expected an object", describe(Some(found)))),
        };
        IfevalInstruction::parse(id, arguments).map_err(|error| error.to_string())
    };
    let instructions = ids.iter().zip(arguments).map(parse).collect::<Result<_, _>>()?;
    Ok(Item {
        line: 0,
        instruction: prompt,
        suffix: "",
        skill: None,
        difficulty: None,
        task: Task::Ifeval(instructions),
    })
}

fn parse_gsm8k(fields: &Map<String, Value>) -> Result<Item, String> {
    let (question, answer) = (required_text(fields, "question")?, required_text(fields, "answer")?);
    let answer = answer.rsplit_once("####").map_or(answer.as_str(), |(_, last)| last).trim().to_owned();
    if answer.is_empty() {
        return Err("has nothing after `####` in `answer`".to_owned());
    }
    let suffix = "\n\nEnd with a line that has #### and then the final answer.";
    Ok(Item {
        line: 0,
        instruction: question,
        suffix,
        skill: None,
        difficulty: None,
        task: Task::Exact(answer),
    })
}

fn parse_choice(fields: &Map<String, Value>) -> Result<Item, String> {
    let question = required_text(fields, "question")?;
    let (texts, labels) = match fields.get("choices") {
        Some(Value::Array(texts)) => (texts.clone(), Vec::new()),
        Some(Value::Object(both)) => {
            let list = |name: &str| match both.get(name) {
                Some(Value::Array(list)) => Ok(list.clone()),
                found => Err(format!("has {} as `choices.{name}`, expected a list", describe(found))),
            };
            (list("text")?, list("label")?)
        }
        found => return Err(format!("has {} as `choices`, expected a list of strings", describe(found))),
    };
    let choices: Vec<String> = texts
        .iter()
        .map(|text| match text {
            Value::String(text) if !text.trim().is_empty() => Ok(text.clone()),
            found => {
                Err(format!("has {} among `choices`, expected non-blank strings", describe(Some(found))))
            }
        })
        .collect::<Result<_, _>>()?;
    let name = if fields.contains_key("answerKey") { "answerKey" } else { "answer" };
    let right = match fields.get(name) {
        Some(Value::Number(index)) => index.as_u64().map(|index| index as usize),
        Some(Value::String(letter)) => {
            let of_label = labels.iter().position(|label| label.as_str() == Some(letter));
            of_label.or_else(|| match letter.as_bytes() {
                [letter @ b'A'..=b'Z'] => Some(usize::from(letter - b'A')),
                _ => None,
            })
        }
        _ => None,
    };
    let right = right.filter(|&right| right < choices.len()).ok_or_else(|| {
        format!(
            "has {} as `{name}`, expected the right one of {} choices: its index from 0, or its letter",
            fields.get(name).map_or_else(|| "nothing".to_owned(), Value::to_string),
            choices.len()
        )
    })?;
    let skill = optional_text(fields, "subject")?.filter(|subject| !subject.is_empty());
    Ok(Item {
        line: 0,
        instruction: question,
        suffix: "",
        skill,
        difficulty: None,
        task: Task::Choice { choices, right },
    })
}

fn required_text(fields: &Map<String, Value>, name: &str) -> Result<String, String> {
    match fields.get(name) {
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(text.clone()),
        found => Err(format!("has {} as `{name}`, expected a non-blank string", describe(found))),
    }
}

fn optional_text(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        found => Err(format!("has {} as `{name}`, expected a string", describe(found))),
    }
}

fn describe(value: Option<&Value>) -> &'static str {
    match value {
        None => "nothing",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "true or false",
        Some(Value::Number(_)) => "a number",
        Some(Value::String(text)) if text.trim().is_empty() => "a blank text",
        Some(Value::String(_)) => "a string",
        Some(Value::Array(_)) => "a list",
        Some(Value::Object(_)) => "an object",
    }
}
