//! What is asked: the built-in suite, and other people's in the forms that are in use.
//!
//! Where in the flow: the first step of an evaluation; `responses` asks the items, `measure` scores what came
//! back.
//!
//! The form of a line shows in its fields:
//!
//! | form | fields | scored by |
//! |---|---|---|
//! | ours | `instruction`, `skill`, `difficulty`, and `constraints` or `answer` or neither | constraints, exact match, the judge |
//! | `WizardLM`'s test set | `Instruction`, `Skill`, `Difficulty` | the judge |
//! | `IFEval` | `prompt`, `instruction_id_list`, `kwargs` | the constraints as `IFEval` checks them |
//! | `GSM8k` | `question`, `answer` with `#### 42` | exact match |
//! | MMLU | `question`, `choices` (texts), `answer` (index or letter) | log-probability |
//! | ARC | `question`, `choices` (`text`, `label`), `answerKey` | log-probability |
//!
//! **Invariant:** no bytes in a file make the reader panic; a line that cannot be used is named with its
//! field.

use super::Error;
use super::ifeval::IfevalInstruction;
use crate::constraint::Constraint;
use crate::gguf::sha256;
use serde_json::{Map, Value};
use std::path::Path;

/// The built-in suite: 29 skills, an instruction at each difficulty from 1 to 10.
pub const BUILTIN: &str = include_str!("suite.jsonl");

/// Name of the built-in suite.
pub const BUILTIN_NAME: &str = "built-in";

/// A list of items.
#[derive(Debug, Clone)]
pub struct Suite {
    /// The file, or [`BUILTIN_NAME`].
    pub name: String,
    /// Lowercase hex, of the bytes read.
    pub sha256: String,
    /// In the order of the file.
    pub items: Vec<Item>,
}

/// One question.
#[derive(Debug, Clone)]
pub struct Item {
    /// Line of the file, from 1.
    pub line: usize,
    /// What is asked, as its author wrote it.
    pub instruction: String,
    /// What is added when it is asked, so that the answer can be found.
    pub suffix: &'static str,
    /// What it takes.
    pub skill: Option<String>,
    /// 1 to 10.
    pub difficulty: Option<u8>,
    /// How a response is scored.
    pub task: Task,
}

/// How a response is scored.
#[derive(Debug, Clone)]
pub enum Task {
    /// By a judge only.
    Open,
    /// By our constraints.
    Constraints(Vec<Constraint>),
    /// By `IFEval`'s.
    Ifeval(Vec<IfevalInstruction>),
    /// By the one right answer.
    Exact(String),
    /// By which of these texts is likeliest as the answer.
    Choice {
        /// The texts.
        choices: Vec<String>,
        /// Which is right, from 0.
        right: usize,
    },
}

impl Item {
    /// The user's turn.
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

    /// Reads a suite in one of the forms.
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
        bad(name, line, "is not UTF-8".to_owned())
    })?;
    let mut items = Vec::new();
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let number = at + 1;
        let fields: Map<String, Value> = serde_json::from_str(line)
            .map_err(|error| bad(name, number, format!("is no JSON object: {error}")))?;
        let mut item = item(&fields).map_err(|reason| bad(name, number, reason))?;
        item.line = number;
        items.push(item);
    }
    if items.is_empty() {
        return Err(Error::NoItems { name: name.to_owned() });
    }
    let sha256 = sha256(bytes);
    Ok(Suite { name: name.to_owned(), sha256, items })
}

fn bad(name: &str, line: usize, reason: String) -> Error {
    Error::Item { name: name.to_owned(), line, reason }
}

/// Reasons say the field, what was found and what was expected.
fn item(fields: &Map<String, Value>) -> Result<Item, String> {
    if fields.contains_key("instruction_id_list") {
        return ifeval(fields);
    }
    if fields.contains_key("choices") {
        return choice(fields);
    }
    if fields.contains_key("question") {
        return gsm8k(fields);
    }
    ours(fields)
}

fn ours(fields: &Map<String, Value>) -> Result<Item, String> {
    // WizardLM's test set has the same fields with capitals.
    let either = |name: &str, other: &str| fields.get(name).or_else(|| fields.get(other));
    let instruction = match either("instruction", "Instruction") {
        Some(Value::String(text)) if !text.trim().is_empty() => text.clone(),
        found => {
            return Err(format!(
                "has {} as `instruction`, expected a non-blank string \
                 (or the fields of another form: `prompt` and `instruction_id_list`, `question` and `answer`)",
                kind(found)
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
                    .map_err(|error| format!("has a `constraints` whose number {} is wrong: {error}", at + 1))
            };
            list.iter().enumerate().map(parse).collect::<Result<Vec<Constraint>, _>>()?
        }
        found => return Err(format!("has {} as `constraints`, expected a list", kind(found))),
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
            found => return Err(format!("has {} as `skill`, expected a string", kind(found))),
        },
        difficulty: difficulty(either("difficulty", "Difficulty"))?,
        task,
    })
}

/// A number from 1 to 10, or a text that is one.
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

fn ifeval(fields: &Map<String, Value>) -> Result<Item, String> {
    let prompt = text(fields, "prompt")?;
    let Some(Value::Array(ids)) = fields.get("instruction_id_list") else {
        return Err(format!(
            "has {} as `instruction_id_list`, expected a list of strings",
            kind(fields.get("instruction_id_list"))
        ));
    };
    let Some(Value::Array(arguments)) = fields.get("kwargs") else {
        return Err(format!("has {} as `kwargs`, expected a list of objects", kind(fields.get("kwargs"))));
    };
    if ids.len() != arguments.len() || ids.is_empty() {
        return Err(format!(
            "has {} instructions and {} `kwargs`, expected as many, and at least one",
            ids.len(),
            arguments.len()
        ));
    }
    let parse = |(id, arguments): (&Value, &Value)| {
        let id = id.as_str().ok_or_else(|| format!("has {} as an instruction id", kind(Some(id))))?;
        let none = Map::new();
        let arguments = match arguments {
            Value::Object(arguments) => arguments,
            Value::Null => &none,
            found => return Err(format!("has {} in `kwargs`, expected an object", kind(Some(found)))),
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

fn gsm8k(fields: &Map<String, Value>) -> Result<Item, String> {
    let (question, answer) = (text(fields, "question")?, text(fields, "answer")?);
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

fn choice(fields: &Map<String, Value>) -> Result<Item, String> {
    let question = text(fields, "question")?;
    let (texts, labels) = match fields.get("choices") {
        Some(Value::Array(texts)) => (texts.clone(), Vec::new()),
        Some(Value::Object(both)) => {
            let list = |name: &str| match both.get(name) {
                Some(Value::Array(list)) => Ok(list.clone()),
                found => Err(format!("has {} as `choices.{name}`, expected a list", kind(found))),
            };
            (list("text")?, list("label")?)
        }
        found => return Err(format!("has {} as `choices`, expected a list of strings", kind(found))),
    };
    let choices: Vec<String> = texts
        .iter()
        .map(|text| match text {
            Value::String(text) if !text.trim().is_empty() => Ok(text.clone()),
            found => Err(format!("has {} among `choices`, expected non-blank strings", kind(Some(found)))),
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
            "has {} as `{name}`, expected which of the {} choices is right: its index from 0, or its letter",
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

fn text(fields: &Map<String, Value>, name: &str) -> Result<String, String> {
    match fields.get(name) {
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(text.clone()),
        found => Err(format!("has {} as `{name}`, expected a non-blank string", kind(found))),
    }
}

fn optional_text(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        found => Err(format!("has {} as `{name}`, expected a string", kind(found))),
    }
}

fn kind(value: Option<&Value>) -> &'static str {
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
