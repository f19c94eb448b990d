//! Prompt files: data with a tiny syntax, embedded in the binary and hashed into the run's identity.
//!
//! ```text
//! # Comments, then settings as `name: JSON`, then sections.
//! stop: ["\n"]
//! --- text                       completion style: one section
//! --- system | user | assistant  chat style: the messages in order
//! --- start                      chat style: how the model's own turn begins
//! Task: {{instruction}}          a slot
//! {{#input}}...{{/input}}        left out where the task has no material
//! ```
//!
//! Settings are `stop` (generation ends before the first of these), `labels` (for a judge: the spellings of
//! each label), `output` (see [`Output`]) and, for each language, `start` with first words of the output, of
//! which one is put into the model's mouth, so that a child cannot start as an answer does. `start de` is for
//! tasks in German, `start en code` for those in English that want code (see
//! [`Shape`]).
//!
//! In the flow: `library` parses the files, `requests` and `judge` render them.
//!
//! **Invariant:** what fills a slot is never read as syntax: it is inserted once, and a slot's
//! name within it stays text.
//! **Invariant:** messages before the first slot are the same for all requests, and marked as shared.

use crate::constraint::{Language, Shape};
use crate::llm::{self, Generate, Message, Part, Prompt};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// What can stand between `{{` and `}}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// The instruction to work on.
    Instruction,
    /// The material that belongs to it.
    Input,
    /// The first of two tasks.
    First,
    /// The second of two tasks.
    Second,
    /// First words of the output.
    Start,
}

impl Slot {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "instruction" => Some(Self::Instruction),
            "input" => Some(Self::Input),
            "first" => Some(Self::First),
            "second" => Some(Self::Second),
            "start" => Some(Self::Start),
            _ => None,
        }
    }
}

/// What a model writes for an operator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Output {
    /// The whole request, changed.
    #[default]
    Rewrite,
    /// Sentences that code puts behind the request, which stays as it is.
    Addition,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Slot(Slot),
    /// What follows is left out where the task has no material.
    IfInput,
    EndIf,
}

/// A mistake in a prompt file: the line, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptError {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong, in words.
    pub problem: String,
}

/// A parsed prompt file.
#[derive(Debug, Clone)]
pub(super) struct PromptFile {
    /// Generation ends before the first of these.
    pub(super) stop: Vec<String>,
    /// For a judge: the spellings of each label.
    pub(super) labels: Vec<Vec<String>>,
    /// For an operator: what the model writes.
    pub(super) output: Output,
    /// First words of the output, by language, or language and shape.
    starts: BTreeMap<String, Vec<String>>,
    /// (role, content).
    sections: Vec<(String, Vec<Piece>)>,
}

impl PromptFile {
    /// Parses an embedded file. A mistake in one is a bug that the tests find, so it panics by name.
    pub(super) fn embedded(name: &str, source: &str) -> Self {
        Self::parse(source)
            .unwrap_or_else(|error| panic!("prompt `{name}`, line {}: {}", error.line, error.problem))
    }

    /// Parses a file.
    pub(super) fn parse(source: &str) -> Result<Self, PromptError> {
        let mut file = Self {
            stop: Vec::new(),
            labels: Vec::new(),
            output: Output::default(),
            starts: BTreeMap::new(),
            sections: Vec::new(),
        };
        let mut bodies: Vec<(usize, String, String)> = Vec::new();
        for (at, line) in source.lines().enumerate() {
            let error = |problem| PromptError { line: at + 1, problem };
            if let Some(role) = line.strip_prefix("--- ") {
                if !["text", "system", "user", "assistant", "start"].contains(&role) {
                    return Err(error(format!(
                        "unknown section `{role}`, expected text, system, user, assistant or start"
                    )));
                }
                bodies.push((at + 1, role.to_owned(), String::new()));
            } else if let Some((_, _, body)) = bodies.last_mut() {
                body.push_str(line);
                body.push('\n');
            } else if !line.starts_with('#') && !line.trim().is_empty() {
                file.set(line).map_err(error)?;
            }
        }
        for (line, role, body) in bodies {
            // The line break before the next section belongs to the syntax.
            let pieces =
                pieces(body.trim_end_matches('\n')).map_err(|problem| PromptError { line, problem })?;
            file.sections.push((role, pieces));
        }
        let first = |problem: &str| PromptError { line: 1, problem: problem.to_owned() };
        let count = |role: &str| file.sections.iter().filter(|section| section.0 == role).count();
        let (all, texts, starts) = (file.sections.len(), count("text"), count("start"));
        if all == starts {
            return Err(first("no section that shows the task, such as `--- user`"));
        }
        if texts > 0 && all > 1 {
            return Err(first("a section `text` stands alone"));
        }
        let is_empty = |label: &Vec<String>| label.is_empty() || label.iter().any(String::is_empty);
        if file.labels.iter().any(is_empty) {
            return Err(first("a label without a spelling in `labels`"));
        }
        Ok(file)
    }

    /// Checks that the sections have `needed` and no slots but `others` beside it.
    pub(super) fn check_slots(&self, needed: Slot, others: &[Slot]) -> Result<(), PromptError> {
        let pieces = self.sections.iter().flat_map(|(_, pieces)| pieces);
        let slots: Vec<Slot> = pieces
            .filter_map(|piece| if let Piece::Slot(slot) = piece { Some(*slot) } else { None })
            .collect();
        let problem = if !slots.contains(&needed) {
            format!("the slot `{needed:?}` is missing").to_lowercase()
        } else if let Some(slot) = slots.iter().find(|slot| **slot != needed && !others.contains(slot)) {
            format!("the slot `{slot:?}` has no place here").to_lowercase()
        } else {
            return Ok(());
        };
        Err(PromptError { line: 1, problem })
    }

    /// Reads a line `name: JSON`.
    fn set(&mut self, line: &str) -> Result<(), String> {
        fn json<T: DeserializeOwned>(value: &str) -> Result<T, String> {
            serde_json::from_str(value).map_err(|error| format!("`{value}`: {error}"))
        }
        let (setting, value) = line.split_once(": ").unwrap_or((line, ""));
        match setting {
            "stop" => self.stop = json(value)?,
            "labels" => self.labels = json(value)?,
            "output" => self.output = json(value)?,
            _ if setting.starts_with("start ") => {
                let tag = &setting["start ".len()..];
                check_tag(tag)?;
                self.starts.insert(tag.to_owned(), json(value)?);
            }
            _ => {
                return Err(format!("unknown setting `{setting}`, expected stop, labels, output or start"));
            }
        }
        Ok(())
    }

    /// The prompt with its slots filled; `None` when the file is a conversation and the model has no chat
    /// template.
    pub(super) fn render(
        &self,
        model: &dyn Generate,
        value: impl Fn(Slot) -> String,
    ) -> Option<Result<Prompt, llm::Error>> {
        if self.sections[0].0 == "text" {
            return Some(Ok(fill(&self.sections[0].1, value)));
        }
        let messages: Vec<Message> = self
            .sections
            .iter()
            .filter(|(role, _)| role != "start")
            .map(|(role, pieces)| Message { role: role.clone(), content: text(pieces, &value) })
            .collect();
        let has_slot =
            |(_, pieces): &(String, Vec<Piece>)| pieces.iter().any(|p| !matches!(p, Piece::Text(_)));
        let shared = self.sections.iter().position(has_slot).unwrap_or(messages.len());
        let start = self.sections.iter().find(|(role, _)| role == "start");
        Some(model.chat_prompt(&messages, shared)?.map(|mut prompt| {
            if let Some((_, pieces)) = start {
                // A space at the end is no token that a model has learnt.
                let text = text(pieces, &value).trim_end().to_owned();
                prompt.parts.push(Part { text, special: false });
            }
            prompt
        }))
    }

    /// The first words of an output, chosen by `key` among those for the first of `tags` that has some;
    /// empty: the model starts by itself.
    pub(super) fn start(&self, tags: &[&str], key: u64) -> &str {
        let starts = tags.iter().find_map(|tag| self.starts.get(*tag)).map_or(&[][..], Vec::as_slice);
        // The remainder is as good as even: there are few starts.
        if starts.is_empty() { "" } else { &starts[(key % starts.len() as u64) as usize] }
    }

    /// All fixed text, for the search for leaks of it.
    pub(super) fn fixed_text(&self) -> String {
        let texts = self.sections.iter().flat_map(|(_, pieces)| pieces).filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Slot(_) | Piece::IfInput | Piece::EndIf => None,
        });
        // The break keeps words of two pieces from forming a phrase that is not in the file.
        texts.collect::<Vec<_>>().join("\n\n")
    }
}

/// Checks what a `start` is for: a language, or a language and a shape.
fn check_tag(tag: &str) -> Result<(), String> {
    let (language, shape) = tag.split_once(' ').unwrap_or((tag, "open"));
    if Language::parse(language).is_none() {
        return Err(format!("`start {tag}`: `{language}` is no language, expected a code such as `en`"));
    }
    if Shape::parse(shape).is_none() {
        let shapes: Vec<&str> = Shape::ALL.iter().map(|shape| shape.name()).collect();
        return Err(format!("`start {tag}`: `{shape}` is no shape, expected one of {}", shapes.join(", ")));
    }
    Ok(())
}

/// Splits a body at its slots.
fn pieces(body: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let (mut rest, mut is_open) = (body, false);
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or("`{{` without an end")?;
        let piece = match name {
            "#input" if !is_open => Piece::IfInput,
            "/input" if is_open => Piece::EndIf,
            _ => Piece::Slot(Slot::parse(name).ok_or_else(|| format!("unknown slot `{name}`"))?),
        };
        is_open = (is_open || piece == Piece::IfInput) && piece != Piece::EndIf;
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(piece);
        rest = after;
    }
    if is_open {
        return Err("`{{#input}}` without `{{/input}}`".to_owned());
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(pieces)
}

fn text(pieces: &[Piece], value: impl Fn(Slot) -> String) -> String {
    let mut text = String::new();
    let mut is_left_out = false;
    for piece in pieces {
        match piece {
            Piece::IfInput => is_left_out = value(Slot::Input).is_empty(),
            Piece::EndIf => is_left_out = false,
            Piece::Text(_) | Piece::Slot(_) if is_left_out => {}
            Piece::Text(part) => text.push_str(part),
            Piece::Slot(slot) => text.push_str(&value(*slot)),
        }
    }
    text
}

/// A plain prompt: the text before the first slot is the shared part, all after it the other. A space before
/// that slot goes with the slot, because vocabularies have tokens for ` word`, not for `word` after a space.
fn fill(pieces: &[Piece], value: impl Fn(Slot) -> String) -> Prompt {
    let Some((Piece::Text(first), rest)) = pieces.split_first() else {
        unreachable!("a body begins with its text, which may be empty")
    };
    let shared = first.trim_end_matches(' ');
    let own = format!("{}{}", &first[shared.len()..], text(rest, value));
    let part = |text: &str| Part { text: text.to_owned(), special: false };
    Prompt { parts: vec![part(shared), part(&own)], shared: 1 }
}

/// BLAKE3 over the parts, 32 hexadecimal digits: the journal's record of the prompt.
pub(super) fn hash(prompt: &Prompt) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in &prompt.parts {
        hasher.update(&(part.text.len() as u64).to_le_bytes());
        hasher.update(&[u8::from(part.special)]);
        hasher.update(part.text.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evolve::scripted::Scripted;

    fn rendered(source: &str, input: &str) -> String {
        let value = |slot| match slot {
            Slot::Input => input.to_owned(),
            Slot::Start => "Also say".to_owned(),
            _ => "Name a river.".to_owned(),
        };
        let prompt = PromptFile::parse(source).unwrap().render(&Scripted::new(0, 0.0), value);
        prompt.unwrap().unwrap().parts.into_iter().map(|part| part.text).collect()
    }

    #[test]
    fn what_belongs_to_material_is_left_out_without_it() {
        let source = "--- user\nTask: {{instruction}}{{#input}}\n\nMaterial: {{input}}{{/input}}\nGo.\n\
                      --- start\nIt: {{start}}\n";
        assert_eq!(rendered(source, ""), "<user>Task: Name a river.\nGo.It: Also say");
        assert_eq!(rendered(source, "x"), "<user>Task: Name a river.\n\nMaterial: x\nGo.It: Also say");
    }

    #[test]
    fn a_start_is_that_of_the_first_tag_that_has_some() {
        let source = "start en: [\"A\", \"B\"]\nstart en code: [\"C\"]\n--- user\n{{instruction}}\n";
        let file = PromptFile::parse(source).unwrap();
        assert_eq!(file.start(&["en code", "en"], 7), "C");
        assert_eq!([0, 1, 2].map(|key| file.start(&["en list", "en"], key)), ["A", "B", "A"]);
        assert_eq!(file.start(&["de open", "de"], 1), "");
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        for (source, line, word) in [
            ("# x\nwords: 3\n--- user\nx", 2, "words"),
            ("stop: [1]\n--- user\nx", 1, "[1]"),
            ("start xx: []\n--- user\nx", 1, "xx"),
            ("start en poem: []\n--- user\nx", 1, "poem"),
            ("--- human\nx", 1, "human"),
            ("--- system\nx\n--- user\n{{tast}}", 3, "tast"),
            ("--- user\n{{input", 1, "without an end"),
            ("--- user\n{{#input}}x", 1, "{{/input}}"),
            ("# nothing\n", 1, "--- user"),
            ("--- start\nx", 1, "--- user"),
            ("--- text\nx\n--- user\nx", 1, "stands alone"),
            ("labels: [[\"a\"], []]\n--- user\nx", 1, "label"),
        ] {
            let error = PromptFile::parse(source).unwrap_err();
            assert_eq!(error.line, line, "{source:?}");
            assert!(error.problem.contains(word), "{source:?}: {}", error.problem);
        }
    }
}
